"""From scores to probabilities and what may be said by them: softmax, temperature, prediction sets, intervals.

Needed at every level (data quality, inference, evaluation, training), so it stands below all of them. Numpy only;
``labels`` are int (N,), ``probabilities`` float (N, C).
"""

from statistics import NormalDist

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) float64 from ``logits`` (N, C)."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def wilson_interval(correct: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of ``correct`` out of ``n``, both bounds in 0 to 1.

    Wilson, E. B. (1927), J. Am. Stat. Assoc. 22(158), 209-212.
    """
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = correct / n
    centre = p + z * z / (2 * n)
    spread = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return float(max(0.0, (centre - spread) / scale)), float(min(1.0, (centre + spread) / scale))


def exact_interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval (Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404) of ``count`` out of ``total``, both
    bounds in 0 to 1; 0 to 1 of nothing.
    """
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, total - count + 1)) if count else 0.0
    return low, float(beta.ppf(1 - tail, count + 1, total - count)) if count < total else 1.0


def fit_temperature(labels: np.ndarray, logits: np.ndarray) -> float:
    """The temperature T that makes softmax(logits / T) likeliest, between 0.05 and 20.

    ``labels`` int (N,), ``logits`` (N, C), from pictures that the network was not trained on
    (Guo et al. 2017, arXiv:1706.04599). Above 1 the network was too sure, below 1 too shy.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    rows, truth = np.arange(len(labels)), np.asarray(labels)
    logits = np.asarray(logits, np.float64)

    def negative_log_likelihood(log_temperature: float) -> float:
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[rows, truth].mean()

    result = minimize_scalar(negative_log_likelihood, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(result.x))


NOMINAL_COVERAGE = 0.99

# Chosen by cross-validation within the val cells of the shipped runs: less, and one odd cell sets its class's
# threshold; more, and hard classes are missed.
_SHARED_WEIGHT = 10.0  # all classes together tell of a class as much as so many cells, and misnamed cells, of its own
_CERTAINTY = 0.95  # of the bound on a class's rate of misnamed cells
_WINS = 0.5  # a class that is this probable is the likeliest


def class_thresholds(labels: np.ndarray, probabilities: np.ndarray, coverage: float = NOMINAL_COVERAGE) -> np.ndarray:
    """From which probability on a class belongs into the set of an answer that names another: float64 (C,), 0 to 0.5.

    From cells that the model did not learn from. A set holds the likeliest class, so it misses a cell of class c only
    where another is likelier and c's probability is below the threshold. How often that happens is the rate of misnamed
    cells of c, times the share of misnamed cells that are below. The rate is taken at its upper 95 % bound (of a Beta
    distribution, begun at the rate of all classes with a weight of 10 cells), the share from the misnamed cells of c
    and, with a weight of 10, those of all classes. Where the product is 1 - ``coverage`` lies the threshold, which
    one odd cell doesn't set.

    Promised: on average over draws of these cells, of further cells of the same kind a share of ``coverage`` or more of
    each class finds its class in its set, as far as misnamed cells of different classes are about equally improbable.
    That is less than a conformal guarantee, which assumes nothing, but whose threshold at 99 % of 120 cells is the
    oddest cell's. Nothing is promised of other laboratories' cells, and a little less where the cells also chose the
    model (its epoch, its temperature). A class without cells is in every set.
    """
    from scipy.special import betaincinv

    classes, given = probabilities.shape[1], probabilities[np.arange(len(labels)), labels]
    misnamed = probabilities.argmax(axis=1) != labels
    counts, misses = np.bincount(labels, minlength=classes), np.bincount(labels[misnamed], minlength=classes)
    rate = (misses.sum() + 0.5) / (len(labels) + 1)
    bounds = betaincinv(misses + _SHARED_WEIGHT * rate, counts - misses + _SHARED_WEIGHT * (1 - rate), _CERTAINTY)
    order = np.flatnonzero(misnamed)[np.argsort(given[misnamed], kind="stable")]
    scale = np.log(np.append(np.clip(given[order], 1e-12, _WINS), _WINS))
    thresholds = np.zeros(classes)
    for c in np.flatnonzero(counts):
        allowed = (1 - coverage) / bounds[c]  # share of the misnamed cells of c that may be below
        if allowed >= 1:
            thresholds[c] = _WINS
        elif not len(order):  # as if such cells were spread evenly
            thresholds[c] = allowed * _WINS
        else:
            weights = _SHARED_WEIGHT / len(order) + (labels[order] == c)
            below = (np.cumsum(weights) - weights / 2) / weights.sum()
            thresholds[c] = np.exp(np.interp(allowed, np.append(below, 1), scale))
    return thresholds


def prediction_sets(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Which classes may be it, bool (N, C): the likeliest, and all that reach their threshold."""
    sets = probabilities >= thresholds
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return sets


NEVER_SURE = 1.01  # a confidence threshold that no probability reaches: nobody measured what confidence is worth


def spoken_sets(probabilities: np.ndarray, thresholds: np.ndarray, confidence_threshold: float) -> np.ndarray:
    """The classes that a person is told, bool (N, C): one where the answer is sure, two or more where it is not.

    Sure is an answer whose prediction set (of ``thresholds`` (C,)) holds the likeliest class alone, of
    ``confidence_threshold`` or more. All others name the set and the two likeliest. So what is told holds the
    prediction set, whatever is sure.
    """
    sets = prediction_sets(probabilities, thresholds)
    unsure = (sets.sum(axis=1) > 1) | (probabilities.max(axis=1) < confidence_threshold)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rows = np.flatnonzero(unsure)
    sets[rows[:, None], order[rows, :2]] = True
    return sets
