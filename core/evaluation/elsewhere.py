"""Figures of a run on another laboratory's cells, where some classes may be absent and cells of a slide go together."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.evaluation.metrics import accuracy_interval

RESAMPLES = 2000


def score_elsewhere(
    labels: np.ndarray,
    probabilities: np.ndarray,
    there: Sequence[int],
    slides: Sequence[str] | None = None,
    sure_from: float = 0.9,
) -> dict[str, Any]:
    """How well ``probabilities`` (N, C) name cells whose classes ``labels`` int (N,) are among ``there`` only.

    ``accuracy`` lets the run answer with any of its C classes, ``accuracy_lab_classes`` with those of the laboratory
    only, which is fair where it is known which can occur. Each has an ``..._interval`` (95 %): over ``slides`` where
    they are known (a bootstrap of whole slides, since cells of one slide are alike), else Wilson's. The balanced
    accuracies weigh each class alike. ``confusion``: counts, rows ``there``, columns all C classes.
    ``mean_confidence``: of the likeliest class; ``sure``: share with ``sure_from`` or more; ``sure_and_wrong``:
    share of all cells that are sure and wrong.
    """
    labels, there = np.asarray(labels), np.asarray(there)
    answers = probabilities.argmax(1)
    among = there[probabilities[:, there].argmax(1)]
    confidence = probabilities.max(1)
    confusion = np.zeros((len(there), probabilities.shape[1]), int)
    row_of = np.full(probabilities.shape[1], -1)
    row_of[there] = np.arange(len(there))
    np.add.at(confusion, (row_of[labels], answers), 1)
    right, right_among = answers == labels, among == labels
    sure = confidence >= sure_from
    return {
        "n": len(labels),
        "slides": None if slides is None else len(set(slides)),
        "accuracy": float(right.mean()),
        "accuracy_interval": list(share_interval(right, slides)),
        "accuracy_lab_classes": float(right_among.mean()),
        "accuracy_lab_classes_interval": list(share_interval(right_among, slides)),
        "balanced_accuracy": balanced(labels, right),
        "balanced_accuracy_lab_classes": balanced(labels, right_among),
        "confusion": confusion.tolist(),
        "mean_confidence": float(confidence.mean()),
        "sure": float(sure.mean()),
        "sure_and_wrong": float((sure & ~right).mean()),
    }


def balanced(labels: np.ndarray, right: np.ndarray) -> float:
    """Mean over the classes that occur of the share of ``right`` (bool (N,)) answers."""
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def share_interval(hits: np.ndarray, slides: Sequence[str] | None = None, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of ``hits`` bool (N,).

    With ``slides`` (N names, two or more different) whole slides are drawn anew `RESAMPLES` times (Davison and
    Hinkley 1997, Bootstrap Methods, section 3.8); else Wilson's interval.
    """
    names, index = np.unique(np.asarray(slides if slides is not None else []), return_inverse=True)
    if len(names) < 2:
        return accuracy_interval(int(hits.sum()), len(hits))
    sums = np.bincount(index, hits, minlength=len(names))
    sizes = np.bincount(index, minlength=len(names))
    drawn = np.random.default_rng(seed).integers(0, len(names), (RESAMPLES, len(names)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
