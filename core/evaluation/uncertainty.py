"""How far certainty can be trusted: coverage of what is told, selective risk, reliability, and their summary.

Sets of classes promise something for each class on its own, by the score p(class), which gives the smallest sets
(Sadinle, Lei and Wasserman 2019, arXiv:1609.00451); how their thresholds come about and what they promise stands at
`core.probabilities.class_thresholds`. All are functions of arrays: ``labels`` int (N,), ``probabilities`` float (N, C).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.evaluation.metrics import confidence_bins
from core.inference.predictor import confidence_threshold, prediction_set_thresholds
from core.probabilities import NOMINAL_COVERAGE, softmax, spoken_sets
from core.runs import Run


@dataclass(frozen=True)
class Coverage:
    """How sets keep their promise: ``by_class`` (C,) share of each class's cells whose set holds it (NaN: no cells).

    ``counts`` int (C,) cells of each class; ``overall`` the share over all cells; ``mean_size`` classes in a set,
    ``mean_size_by_class`` (C,) for cells of that class; ``singleton_fraction`` the share of sets with exactly one
    class.
    """

    by_class: np.ndarray
    counts: np.ndarray
    overall: float
    mean_size: float
    mean_size_by_class: np.ndarray
    singleton_fraction: float


def coverage(labels: np.ndarray, sets: np.ndarray) -> Coverage:
    """How often ``sets`` bool (N, C) hold the right class, N at least 1."""
    labels, classes = np.asarray(labels), sets.shape[1]
    covered, size = sets[np.arange(len(labels)), labels], sets.sum(axis=1)
    counts = np.bincount(labels, minlength=classes)

    def by_class(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(labels, values, minlength=classes)
        return np.divide(sums, counts, out=np.full(classes, np.nan), where=counts > 0)

    overall, mean_size, singletons = (float(values.mean()) for values in (covered, size, size == 1))
    return Coverage(by_class(covered), counts, overall, mean_size, by_class(size), singletons)


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
    ranked, answered = top[order], np.arange(1, len(top) + 1)
    risk = np.cumsum(wrong[order]) / answered
    last = np.append(ranked[1:] != ranked[:-1], True)
    return RiskCoverage(answered[last] / len(top), risk[last], ranked[last], float(risk.mean()))


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
    confidence, right, counts = confidence_bins(labels, probabilities, bins)
    error = float(np.abs(confidence - right).sum() / max(1, len(labels)))
    occupied = counts > 0
    confidence, right, counts = confidence[occupied], right[occupied], counts[occupied]
    return Reliability(confidence / counts, right / counts, counts, error)


MAX_CURVE_POINTS = 200  # of a curve that is drawn: more can't be seen. No figure is read off it
TOLERATED_RISK = 0.01  # of the answers that are given may be wrong: what silence buys is told at this


def uncertainty_summary(
    labels: np.ndarray, probabilities: np.ndarray, told: np.ndarray, nominal_coverage: float = NOMINAL_COVERAGE
) -> dict[str, Any]:
    """Figures of ``probabilities`` (N, C) for cells of ``labels`` int (N,), ready for JSON; shares in 0 to 1.

    ``told`` bool (N, C): the classes that a person is told of each (`core.probabilities.spoken_sets`), which promise to
    hold the right one of ``nominal_coverage`` of each class. ``sure``: share of the cells of which one class is told,
    ``sure_accuracy``: share right of these. ``told``: ``coverage`` (C, None for a class without cells), ``counts``,
    ``overall``, ``mean_size``, ``mean_size_by_class`` (C). ``reliability``: lists confidence, accuracy, counts, and the
    calibration ``error``. ``risk_coverage``: lists coverage, risk, from_probability (thinned to `MAX_CURVE_POINTS`);
    of all cells, not of these points, the ``area`` under them and ``answered``, the largest share of the cells, surest
    first, of whose answers `TOLERATED_RISK` are wrong at most.
    """
    calibration, selective = reliability(labels, probabilities), risk_coverage(labels, probabilities)
    held, sure = coverage(labels, told), told.sum(axis=1) == 1
    held_sure = told[np.arange(len(labels)), labels][sure]
    bearable = selective.coverage[selective.risk <= TOLERATED_RISK]
    last = len(selective.coverage) - 1
    shown = np.unique(np.linspace(0, last, min(MAX_CURVE_POINTS, last + 1)).round().astype(int))
    return {
        "n": len(labels),
        "nominal_coverage": nominal_coverage,
        "sure": held.singleton_fraction,
        "sure_accuracy": float(held_sure.mean()) if sure.any() else None,
        "reliability": {
            "confidence": _json_floats(calibration.confidence),
            "accuracy": _json_floats(calibration.accuracy),
            "counts": calibration.counts.tolist(),
            "error": calibration.error,
        },
        "told": {
            "coverage": _json_floats(held.by_class),
            "counts": held.counts.tolist(),
            "overall": held.overall,
            "mean_size_by_class": _json_floats(held.mean_size_by_class),
            "mean_size": held.mean_size,
        },
        "risk_coverage": {
            "coverage": _json_floats(selective.coverage[shown]),
            "risk": _json_floats(selective.risk[shown]),
            "from_probability": _json_floats(selective.from_probability[shown]),
            "area": selective.area,
            "answered": float(bearable.max(initial=0.0)),
        },
    }


def run_uncertainty(run: Run, split: str = "test") -> dict[str, Any]:
    """`uncertainty_summary` of the answers that ``run`` stored on ``split``: 'test', or 'val', which set the thresholds
    and had chosen epoch and temperature, and so tells how much better a promise is kept where it was made.
    """
    stored = run.predictions(split)
    probabilities = softmax(stored.logits)
    told = spoken_sets(probabilities, prediction_set_thresholds(run), confidence_threshold(run))
    return uncertainty_summary(stored.labels, probabilities, told)


def lowest_class(figures: Mapping[str, Any], codes: Sequence[str]) -> tuple[float, str]:
    """The share (0 to 1) and the code of the class that what is told holds least often, of `uncertainty_summary`."""
    held = zip(figures["told"]["coverage"], codes, strict=True)
    return min((share, code) for share, code in held if share is not None)


def _json_floats(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 6) for value in values]
