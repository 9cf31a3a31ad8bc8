"""How good a taught head is on the cells that nobody named: the share right, calibration, and from when on it is sure.

The answers that a person gave are read by heads that were taught without them (cross-validation, whole slides left out
where they are known). What they say is a relation, how often an answer of a given confidence is right (two numbers, as
in Platt 1999), not a share: the named cells were chosen because they were in doubt, and are unlike the others. The
relation, averaged over the confidences of the others, is their expected share (Garg et al. 2022, arXiv:2201.04234,
compare such estimates). A few dozen answers fix two numbers badly, so a prior that other laboratories gave stands
beside them, and the interval holds what is left open: the relation, how far the chosen cells tell of the others, and
chance among so many cells.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from core.adaptation.head import Head
from core.probabilities import exact_interval

ESTIMATE_FOLDS = 10
MIN_ESTIMATE_ANSWERS = 5
SURE_PRECISION = 0.95
MIN_SURE_CONFIDENCE = 0.9  # below that nobody would call it sure
_BOUND = 0.2  # the chance at most that fewer than `SURE_PRECISION` of the sure answers are right
_MAX_CONFIDENCE = 0.9975  # a head is never surer than it can show
_MAX_TEMPERATURE = 5.0
_BINS = 64  # of confidences: more tell nothing more
_GRID = 3.0  # deviations to either side


@dataclass(frozen=True)
class ReliabilityPrior:
    """What is expected of a laboratory before it answers: P(right) = 1 / (1 + exp(-(``intercept`` + ``slope`` g))),
    where g is the log-odds of an answer's confidence; each with its deviation. ``transfer``: deviation of the
    intercept between the cells that were named and those that weren't.

    The numbers are those of three laboratories, 10 natural draws each (`benchmarks.profile_estimates`).
    """

    intercept: float = 0.03
    intercept_deviation: float = 0.5
    slope: float = 0.70
    slope_deviation: float = 0.15
    transfer: float = 0.4


PRIOR = ReliabilityPrior()


@dataclass(frozen=True)
class Reliability:
    """How often answers are right, by their confidence: ``intercepts``, ``slopes`` float64 (G,) with ``weights`` (G,)
    that sum to 1, as far as the answers tell.
    """

    intercepts: np.ndarray
    slopes: np.ndarray
    weights: np.ndarray

    def chances(self, confidence: np.ndarray) -> np.ndarray:
        """P(right) float64 (G, N) of answers with ``confidence`` (N,), in each of the G cases."""
        return _logistic(self.intercepts[:, None] + self.slopes[:, None] * log_odds(confidence))

    def mean(self, confidence: np.ndarray) -> np.ndarray:
        """Expected P(right) float64 (N,)."""
        return self.weights @ self.chances(confidence)


def fit_reliability(confidence: np.ndarray, right: np.ndarray, prior: ReliabilityPrior = PRIOR) -> Reliability:
    """From top probabilities ``confidence`` (n,) of cells left out of the teaching, and whether they were ``right``
    bool (n,).
    """
    at = np.linspace(-_GRID, _GRID, 25)
    a, b, shift = (axis.ravel() for axis in np.meshgrid(at, at[::2], at[::3], indexing="ij"))
    intercepts = prior.intercept + prior.intercept_deviation * a
    slopes = np.maximum(prior.slope + prior.slope_deviation * b, 0.0)
    scores = intercepts[:, None] + slopes[:, None] * log_odds(confidence)
    likelihood = (right * scores - np.logaddexp(0, scores)).sum(1)
    logs = likelihood - (a**2 + b**2 + shift**2) / 2
    weights = np.exp(logs - logs.max())
    return Reliability(intercepts + prior.transfer * shift, slopes, weights / weights.sum())


def log_odds(confidence: np.ndarray) -> np.ndarray:
    """Of top probabilities ``confidence`` (N,), which are never taken for surer than a head can show."""
    limited = np.clip(confidence, 1 - _MAX_CONFIDENCE, _MAX_CONFIDENCE)
    return np.log(limited / (1 - limited))


def _logistic(scores: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-scores))


@dataclass(frozen=True)
class AccuracyEstimate:
    """Share right among the ``unnamed`` cells of the batch, ``before`` and ``after`` teaching, each with its 95 %
    interval; where all were named, among as many more like them.

    ``n`` cells were named. ``labels``, ``before_predicted`` int (n,): what these are, and were called before;
    ``left_out`` float64 (n, C): what each is read as while it is left out (whole slides where they are known).
    ``temperature``: what the head's log-probabilities are divided by, so that its mean confidence is the share right.
    ``calibration_error``: by how much confidences so corrected are expected to miss the share right (0 to 1).
    ``confidence_threshold``: the least of them from which on `SURE_PRECISION` of the answers are right, 1 where none is
    known to do.
    """

    n: int
    unnamed: int
    before: float
    before_interval: tuple[float, float]
    after: float
    after_interval: tuple[float, float]
    labels: np.ndarray
    before_predicted: np.ndarray
    left_out: np.ndarray
    temperature: float
    calibration_error: float
    confidence_threshold: float

    @property
    def after_predicted(self) -> np.ndarray:
        """What each named cell is called while it is left out: int (n,)."""
        return self.left_out.argmax(1)

    @property
    def others(self) -> str:
        """The cells that it is about: 'the other 140', 'cells like them' where all were named."""
        return others_text(self.unnamed)


def others_text(unnamed: int | None) -> str:
    """The cells that an estimate is about, where so many were not named; None: all, as older versions told it."""
    if unnamed is None:
        return "all cells"
    return f"the other {unnamed:,}" if unnamed else "cells like them"


def estimate_accuracy(
    untaught: Head,
    taught: Head,
    teach: Callable[[np.ndarray, np.ndarray], Head],
    embeddings: np.ndarray,
    probabilities: np.ndarray,
    labelled: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str] | None = None,
    prior: ReliabilityPrior = PRIOR,
    seed: int = 0,
) -> AccuracyEstimate | None:
    """Of the batch ``embeddings`` (N, K), ``probabilities`` (N, C), where the cells ``labelled`` int (n,) are
    ``labels``.

    ``untaught`` and ``taught``: the heads before and after; ``teach``: the latter from some of the named cells, int
    (m,) indexes and int (m,) classes.
    None below `MIN_ESTIMATE_ANSWERS` named cells, or all of one group.
    """
    if len(labelled) < MIN_ESTIMATE_ANSWERS:
        return None
    folds = _folds([groups[i] for i in labelled] if groups else None, len(labelled), seed)
    if len(set(folds)) < 2:
        return None
    vectors, labelled_probabilities = embeddings[labelled], probabilities[labelled]
    left_out = np.empty((len(labelled), probabilities.shape[1]))
    for fold in set(folds):
        out = folds == fold
        left_out[out] = teach(labelled[~out], labels[~out]).probabilities(vectors[out], labelled_probabilities[out])
    reliability = fit_reliability(left_out.max(1), left_out.argmax(1) == labels, prior)
    before = untaught.probabilities(embeddings, probabilities).argmax(1)
    others = np.setdiff1d(np.arange(len(embeddings)), labelled)
    posterior = taught.probabilities(embeddings[others], probabilities[others]) if len(others) else left_out
    former = before[others] if len(others) else before[labelled]
    shares = [_former_chances(reliability, posterior, former), _mean_chances(reliability, posterior.max(1))]
    (before_share, before_interval), (after_share, after_interval) = (
        _share(chances, reliability.weights, len(posterior), len(labelled)) for chances in shares
    )
    temperature = _fit_temperature(posterior, after_share)
    confidence = apply_temperature(posterior, temperature).max(1)
    return AccuracyEstimate(
        len(labelled),
        len(others),
        before_share,
        before_interval,
        after_share,
        after_interval,
        labels,
        before[labelled],
        left_out,
        temperature,
        float(reliability.weights @ np.abs(reliability.chances(posterior.max(1)) - confidence).mean(1)),
        _sure_from(reliability, posterior.max(1), confidence),
    )


def _mean_chances(reliability: Reliability, confidence: np.ndarray) -> np.ndarray:
    """The share right of answers with ``confidence`` (N,) in each of the G cases: float64 (G,)."""
    parts = np.array_split(np.sort(confidence), min(_BINS, len(confidence)))
    sizes = np.array([len(part) for part in parts])
    return reliability.chances(np.array([part.mean() for part in parts])) @ (sizes / sizes.sum())


def _former_chances(reliability: Reliability, posterior: np.ndarray, former: np.ndarray) -> np.ndarray:
    """The share right of the answers ``former`` int (N,) that were given before, in each of the G cases: (G,).

    Where they are still given, they are right as often as these are; where not, as often as what is left of the
    ``posterior`` (N, C) says.
    """
    rows, top = np.arange(len(former)), posterior.max(1)
    same = posterior.argmax(1) == former
    total = np.zeros(len(reliability.weights))
    if same.any():
        total += same.sum() * _mean_chances(reliability, top[same])
    if not same.all():
        rest = posterior[rows, former][~same] / np.maximum(1 - top[~same], 1e-9)
        total += (1 - reliability.chances(top[~same])) @ rest
    return total / len(former)


def _share(chances: np.ndarray, weights: np.ndarray, cells: int, answers: int) -> tuple[float, tuple[float, float]]:
    """Expected share right of ``cells``, and its 95 % interval, where it is ``chances`` (G,) with ``weights`` (G,).

    Never above what so many ``answers`` prove if all of them were right.
    """
    order = np.argsort(chances)
    cumulative = np.cumsum(weights[order])
    levels = (np.arange(200) + 0.5) / 200
    cases = chances[order][np.minimum(np.searchsorted(cumulative, levels), len(order) - 1)]
    counts = np.unique(np.linspace(0, cells, min(cells, 1000) + 1).round().astype(int))
    distribution = binom.cdf(counts[None], cells, cases[:, None]).mean(0)
    low, high = (counts[min(int(np.searchsorted(distribution, q)), len(counts) - 1)] / cells for q in (0.025, 0.975))
    told = min(float(weights @ chances), (answers + 0.5) / (answers + 1))
    low = min(float(low), exact_interval(answers, answers)[0], told)
    return told, (low, max(float(high), told))


def _sure_from(reliability: Reliability, raw: np.ndarray, confidence: np.ndarray) -> float:
    """The least ``confidence`` (N,), of `MIN_SURE_CONFIDENCE` or more, at and above which enough answers are right.

    ``raw`` (N,): the top probabilities as the reliability knows them.
    """
    order = np.argsort(-confidence, kind="stable")
    precision = np.cumsum(reliability.chances(raw[order]), axis=1) / np.arange(1, len(order) + 1)
    ranked = np.argsort(precision, axis=0)
    cumulative = np.cumsum(reliability.weights[ranked], axis=0)
    first = (cumulative >= _BOUND).argmax(0)
    bound = np.take_along_axis(precision, np.take_along_axis(ranked, first[None], 0), 0)[0]
    admissible = np.flatnonzero(bound >= SURE_PRECISION)
    if not len(admissible):
        return 1.0
    return float(max(MIN_SURE_CONFIDENCE, confidence[order][admissible[-1]]))


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (N, C) with their logarithms divided by ``temperature``."""
    powered = probabilities ** (1 / temperature)
    return powered / powered.sum(1, keepdims=True)


def _fit_temperature(probabilities: np.ndarray, share: float) -> float:
    """The temperature, 1 or more, at which the mean confidence of ``probabilities`` (N, C) is ``share``.

    A head that few answers taught is never taken for too shy.
    """
    low, high = 1.0, _MAX_TEMPERATURE
    for _ in range(30):
        middle = (low + high) / 2
        if apply_temperature(probabilities, middle).max(1).mean() > share:
            low = middle
        else:
            high = middle
    return low


def _folds(groups: Sequence[str] | None, count: int, seed: int) -> np.ndarray:
    """Fold of each of ``count`` cells; a group is never parted."""
    rng = np.random.default_rng(seed)
    if groups is None:
        return rng.permutation(np.arange(count) % ESTIMATE_FOLDS)
    names, index = np.unique(groups, return_inverse=True)
    return rng.permutation(np.arange(len(names)) % ESTIMATE_FOLDS)[index]
