"""Calibration of probabilities after training."""

import numpy as np


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

    found = minimize_scalar(negative_log_likelihood, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(found.x))
