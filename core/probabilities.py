"""From scores to probabilities and what may be said by them: softmax, temperature, prediction sets, Wilson's interval.

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


def class_thresholds(labels: np.ndarray, probabilities: np.ndarray, coverage: float = NOMINAL_COVERAGE) -> np.ndarray:
    """From which probability on a class belongs into the set: float64 (C,), each in 0 to 1.

    From cells that the model did not learn from. Of further cells of class c a share of ``coverage`` or more gets c
    into its set, whatever the model is worth, as long as they are like those. A class of n cells, too few for that
    promise (fewer than coverage / (1 - coverage)), gets the one that n cells can give, n / (n + 1); a class without
    cells is always in the set.
    """
    thresholds = np.zeros(probabilities.shape[1])
    for c in range(len(thresholds)):
        class_probabilities = np.sort(probabilities[labels == c, c])
        left_out = int(
            np.floor((len(class_probabilities) + 1) * (1 - coverage) + 1e-9)
        )  # so many of the lowest may be missed
        if len(class_probabilities):
            thresholds[c] = class_probabilities[max(1, left_out) - 1]
    return thresholds


def prediction_sets(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Which classes may be it: bool (N, C); no class where every one of them would be unusual."""
    return probabilities >= thresholds
