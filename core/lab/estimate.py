"""How well a laboratory is read, from the few cells that somebody named.

Questions go to cells in doubt, so the share of them that is right says little of the others. Cross-validation on the
named cells tells how far the head's confidence may be trusted: one temperature (Guo et al. 2017, arXiv:1706.04599).
The confidence so corrected, averaged over the cells that nobody named, is the share that is expected to be right
(Garg et al. 2022, arXiv:2201.04234, compare such estimates).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from core.evaluation.metrics import accuracy_interval
from core.lab.head import Anchors, Head, fit_head

FOLDS = 5
_COLDEST, _HOTTEST = -1.5, 2.0  # logarithms of the temperature
_WEIGHT = 2.0  # answers' worth of an interval's width, by trials on three laboratories


@dataclass(frozen=True)
class Estimate:
    """Share right among all cells of the batch, ``before`` and ``after`` teaching, each with its 95 % interval.

    ``n`` cells were named. ``labels``, ``before_answers``, ``after_answers`` int (n,): what these are, and were called
    before and, each while it was left out (whole slides where they are known), after. ``temperature`` makes the
    head's confidence true.
    """

    n: int
    before: float
    before_interval: tuple[float, float]
    after: float
    after_interval: tuple[float, float]
    labels: np.ndarray
    before_answers: np.ndarray
    after_answers: np.ndarray
    temperature: float


def estimate(
    start: Head,
    taught: Head,
    embeddings: np.ndarray,
    probabilities: np.ndarray,
    named: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str] | None = None,
    anchors: Anchors | None = None,
    believed: Anchors | None = None,
    seed: int = 0,
) -> Estimate | None:
    """Of the batch ``embeddings`` (N, K), ``probabilities`` (N, C), where the cells ``named`` int (n,) are ``labels``.

    ``start`` and ``taught``: the heads before and after, the latter with ``anchors`` and ``believed`` cells.
    None below 5 named cells, or all of one group.
    """
    if len(named) < FOLDS:
        return None
    folds = _folds([groups[i] for i in named] if groups else None, len(named), seed)
    if len(set(folds)) < 2:
        return None
    vectors, beliefs = embeddings[named], probabilities[named]
    left_out = np.empty((len(named), probabilities.shape[1]))
    for fold in set(folds):
        out = folds == fold
        head = fit_head(start, vectors[~out], beliefs[~out], labels[~out], anchors, believed)
        left_out[out] = head.probabilities(vectors[out], beliefs[out])
    temperature = fitted_temperature(left_out, labels)
    before = start.probabilities(embeddings, probabilities).argmax(1)
    believed = tempered(taught.probabilities(embeddings, probabilities), temperature)
    believed[named] = np.eye(believed.shape[1])[labels]  # these are known
    shares = [float(believed[np.arange(len(before)), answers].mean()) for answers in (before, believed.argmax(1))]
    intervals = [accuracy_interval(share * _WEIGHT * len(named), _WEIGHT * len(named)) for share in shares]
    return Estimate(
        len(named),
        shares[0],
        intervals[0],
        shares[1],
        intervals[1],
        labels,
        before[named],
        left_out.argmax(1),
        temperature,
    )


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (N, C) with their logarithms divided by ``temperature``."""
    powered = probabilities ** (1 / temperature)
    return powered / powered.sum(1, keepdims=True)


def fitted_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes ``labels`` int (n,) likeliest, drawn slightly towards 1: n is small."""
    rows = np.arange(len(labels))

    def loss(log: float) -> float:
        right = tempered(probabilities, float(np.exp(log)))[rows, labels]
        return float(-np.log(right + 1e-9).sum() + log**2)

    return float(np.exp(minimize_scalar(loss, bounds=(_COLDEST, _HOTTEST), method="bounded").x))


def _folds(groups: Sequence[str] | None, count: int, seed: int) -> np.ndarray:
    """Fold of each of ``count`` cells; a group is never parted."""
    rng = np.random.default_rng(seed)
    if groups is None:
        return rng.permutation(np.arange(count) % FOLDS)
    names, index = np.unique(groups, return_inverse=True)
    return rng.permutation(np.arange(len(names)) % FOLDS)[index]
