"""Sets of classes that hold the right one as often as promised, and how errors fall where a model may stay silent.

Split conformal prediction (Vovk, Gammerman and Shafer 2005), its promise kept for each class on its own (Mondrian:
Vovk 2012, arXiv:1209.2673) with the score 1 - p(class), which gives the smallest sets (Sadinle, Lei and Wasserman
2019, arXiv:1609.00451). All are functions of arrays: ``labels`` int (N,), ``probabilities`` float (N, C).
"""

from dataclasses import dataclass

import numpy as np

from core.evaluation.metrics import expected_calibration_error

NOMINAL = 0.99


def class_thresholds(labels: np.ndarray, probabilities: np.ndarray, coverage: float = NOMINAL) -> np.ndarray:
    """From which probability on a class belongs into the set: float64 (C,), each in 0 to 1.

    From cells that the model did not learn from. Of further cells of class c a share of ``coverage`` or more gets c
    into its set, whatever the model is worth, as long as they are like those. A class of n cells, too few for that
    promise (fewer than coverage / (1 - coverage)), gets the one that n cells can give, n / (n + 1); a class without
    cells is always in the set.
    """
    found = np.zeros(probabilities.shape[1])
    for c in range(len(found)):
        own = np.sort(probabilities[labels == c, c])
        left_out = int(np.floor((len(own) + 1) * (1 - coverage) + 1e-9))  # so many of the lowest may be missed
        if len(own):
            found[c] = own[max(1, left_out) - 1]
    return found


def prediction_sets(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Which classes may be it: bool (N, C); no class where every one of them would be unusual."""
    return probabilities >= thresholds


@dataclass(frozen=True)
class Coverage:
    """How sets keep their promise: ``by_class`` (C,) share of each class's cells whose set holds it (NaN: no cells).

    ``counts`` int (C,) cells of each class; ``overall`` the share over all cells; ``mean_size`` classes in a set,
    ``mean_size_by_class`` (C,) for cells of that class; ``single`` the share of sets with exactly one class.
    """

    by_class: np.ndarray
    counts: np.ndarray
    overall: float
    mean_size: float
    mean_size_by_class: np.ndarray
    single: float


def coverage(labels: np.ndarray, sets: np.ndarray) -> Coverage:
    """How often ``sets`` bool (N, C) hold the right class, N at least 1."""
    labels, classes = np.asarray(labels), sets.shape[1]
    held, size = sets[np.arange(len(labels)), labels], sets.sum(axis=1)
    counts = np.bincount(labels, minlength=classes)

    def by_class(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(labels, values, minlength=classes)
        return np.divide(sums, counts, out=np.full(classes, np.nan), where=counts > 0)

    return Coverage(
        by_class(held),
        counts,
        float(held.mean()),
        float(size.mean()),
        by_class(size),
        float((size == 1).mean()),
    )


@dataclass(frozen=True)
class RiskCoverage:
    """What happens where a model answers only the cells it is surest of (Geifman and El-Yaniv 2017, arXiv:1705.08500).

    ``coverage`` (M,) share of the cells that are answered, rising to 1; ``risk`` (M,) share of wrong answers among
    them; ``from_probability`` (M,) the top probability from which it answers. ``area``: mean risk over all coverages.
    """

    coverage: np.ndarray
    risk: np.ndarray
    from_probability: np.ndarray
    area: float


def risk_coverage(labels: np.ndarray, probabilities: np.ndarray) -> RiskCoverage:
    """Risk at every coverage that some threshold on the top probability gives; equal ones stand or fall together."""
    top = probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != labels
    order = np.argsort(-top, kind="stable")
    ranked = top[order]
    risk = np.cumsum(wrong[order]) / np.arange(1, len(top) + 1)
    share = np.arange(1, len(top) + 1) / len(top)
    last = np.append(ranked[1:] != ranked[:-1], True)
    return RiskCoverage(share[last], risk[last], ranked[last], float(risk.mean()))


@dataclass(frozen=True)
class Reliability:
    """Said against seen: for each bin of top probability its mean ``confidence`` and the ``accuracy`` there.

    ``counts`` int (B,) cells in it; bins without cells are left out. ``error``: the expected calibration error.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    counts: np.ndarray
    error: float


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> Reliability:
    """Reliability over ``bins`` equally wide bins (Guo et al. 2017, arXiv:1706.04599)."""
    top = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((top * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    there = counts > 0
    return Reliability(
        np.bincount(place, top, minlength=bins)[there] / counts[there],
        np.bincount(place, right, minlength=bins)[there] / counts[there],
        counts[there],
        expected_calibration_error(labels, probabilities, bins),
    )
