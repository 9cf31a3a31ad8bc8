"""Classification metrics of one split, in the form in which a run stores them.

scikit-learn is imported where a split is scored: whoever only wants probabilities needn't wait for it.
"""

from statistics import NormalDist
from typing import Any

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) float64 from ``logits`` (N, C)."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def accuracy_interval(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
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


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins (Guo et al. 2017, arXiv:1706.04599)."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    gap = np.abs(
        np.bincount(index, weights=confidence, minlength=bins) - np.bincount(index, weights=correct, minlength=bins)
    )
    return float(gap.sum() / max(1, count.sum()))


def score(labels: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
    """All metrics of one split, ready for ``metrics.json``.

    ``labels`` int (N,), ``logits`` (N, C). Figures are in 0 to 1; ``confusion`` is (C, C) counts with
    the true class in rows; ``per_class`` has one list of C figures for each measure. A measure that
    the split can't give (a class without images) is None.
    """
    from sklearn.metrics import confusion_matrix

    labels = np.asarray(labels).astype(int)
    probabilities = softmax(np.asarray(logits))
    n, classes = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predicted, labels=np.arange(classes))
    true_positive = np.diag(confusion).astype(float)
    support = confusion.sum(axis=1)
    called = confusion.sum(axis=0)
    sensitivity = _ratio(true_positive, support)
    precision = _ratio(true_positive, called)
    specificity = _ratio(n - support - called + true_positive, n - support)
    f1 = _ratio(2 * true_positive, support + called)
    correct = int(true_positive.sum())
    present = support > 0
    return {
        "n": int(n),
        "accuracy": correct / n,
        "accuracy_interval": list(accuracy_interval(correct, n)),
        "balanced_accuracy": float(np.mean(sensitivity[present])),
        "macro_f1": float(np.mean(f1[present])),
        "macro_auroc": _macro_auroc(labels, probabilities),
        "ece": expected_calibration_error(labels, probabilities),
        "confusion": confusion.tolist(),
        "per_class": {
            "sensitivity": _plain(sensitivity),
            "specificity": _plain(specificity),
            "precision": _plain(precision),
            "f1": _plain(f1),
        },
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(v) else float(v) for v in values]


def _macro_auroc(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Mean one-vs-rest area under the ROC curve over the classes that have both kinds of images."""
    from sklearn.metrics import roc_auc_score

    areas = []
    for c in range(probabilities.shape[1]):
        truth = labels == c
        if truth.any() and not truth.all():
            areas.append(roc_auc_score(truth, probabilities[:, c]))
    return float(np.mean(areas)) if areas else None
