"""Classification metrics: of a split as a run stores them, of each class with intervals, as curves, of one number.

scikit-learn and scipy are imported where they are used: whoever only reads stored metrics needn't wait for them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy.stats import rankdata

from core.probabilities import softmax, wilson_interval


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins (Guo et al. 2017, arXiv:1706.04599)."""
    confidence, correct, _ = confidence_bins(labels, probabilities, bins)
    return float(np.abs(confidence - correct).sum() / max(1, len(labels)))


def confidence_bins(
    labels: np.ndarray, probabilities: np.ndarray, bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum of the top probability, right answers and cells in each of ``bins`` equally wide bins of it, (bins,) each."""
    top, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    index = np.minimum((top * bins).astype(int), bins - 1)
    sums, hits, counts = (np.bincount(index, weights, minlength=bins) for weights in (top, correct, None))
    return sums, hits, counts


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
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), labels=np.arange(classes))
    hits, support, predicted = np.diag(confusion).astype(float), confusion.sum(axis=1), confusion.sum(axis=0)
    per_class = {
        "sensitivity": _ratio(hits, support),
        "specificity": _ratio(n - support - predicted + hits, n - support),
        "precision": _ratio(hits, predicted),
        "f1": _ratio(2 * hits, support + predicted),
    }
    correct, present = int(hits.sum()), support > 0
    return {
        "n": int(n),
        "accuracy": correct / n,
        "accuracy_interval": list(wilson_interval(correct, n)),
        "balanced_accuracy": float(np.mean(per_class["sensitivity"][present])),
        "macro_f1": float(np.mean(per_class["f1"][present])),
        "macro_auroc": _macro_auroc(labels, probabilities),
        "ece": expected_calibration_error(labels, probabilities),
        "confusion": confusion.tolist(),
        "per_class": {
            measure: [None if np.isnan(v) else float(v) for v in values] for measure, values in per_class.items()
        },
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def _macro_auroc(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Mean one-vs-rest area under the ROC curve over the classes that have both kinds of images."""
    from sklearn.metrics import roc_auc_score

    present = np.unique(labels)
    if len(present) < 2:
        return None
    return float(np.mean([roc_auc_score(labels == c, probabilities[:, c]) for c in present]))


def balanced_accuracy(labels: np.ndarray, correct: np.ndarray) -> float:
    """Mean over the classes that occur of the share of ``correct`` (bool (N,)) answers."""
    return float(np.mean([correct[labels == label].mean() for label in np.unique(labels)]))


CLASS_MEASURES = ("sensitivity", "specificity", "precision", "f1")


@dataclass(frozen=True)
class Proportion:
    """``hits`` out of ``n`` cells: ``value`` with its 95 % interval ``low`` to ``high``, all in 0 to 1.

    ``value`` is NaN where there was no cell to count. For F1 ``hits`` and ``n`` are those of F*, see
    `class_proportions`.
    """

    value: float
    low: float
    high: float
    hits: int
    n: int


def class_proportions(confusion: Sequence[Sequence[int]] | np.ndarray) -> list[dict[str, Proportion]]:
    """For each class the four `CLASS_MEASURES` with Wilson intervals, from a confusion matrix (rows are the truth).

    Sensitivity, specificity and precision are shares of cells. F1 is not, but F* = TP / (TP + FP + FN) is, and
    F1 = 2 F* / (1 + F*) rises with it, so the interval of F* is carried over (Hand, D. J., Christen, P. and
    Kirielle, N. (2021), Machine Learning 110, 451-456).
    """
    matrix = np.asarray(confusion)
    n = int(matrix.sum())
    rows = []
    for hits, support, predicted in np.stack([np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)], 1).tolist():
        union = support + predicted - hits
        star = _proportion(hits, union)
        value, low, high = (2 * v / (1 + v) for v in (star.value, star.low, star.high))
        rows.append(
            {
                "sensitivity": _proportion(hits, support),
                "specificity": _proportion(n - union, n - support),
                "precision": _proportion(hits, predicted),
                "f1": Proportion(value, low, high, hits, union),
            }
        )
    return rows


def _proportion(hits: int, n: int) -> Proportion:
    low, high = wilson_interval(hits, n)
    return Proportion(hits / n if n else float("nan"), low, high, hits, n)


CURVE_TOLERANCE = 1e-5  # of the axis' length: less than a pixel where a corner of 2 % fills the figure


@dataclass(frozen=True)
class ClassCurves:
    """How one class is told from all others as the bar for naming it is moved.

    ``roc`` float (K, 2): false positive rate (1 - specificity) and sensitivity, from (0, 0) to (1, 1).
    ``precision_recall`` float (M, 2): recall (= sensitivity) and precision, by rising recall.
    ``auroc`` and ``average_precision`` are those of all points, in 0 to 1, of ``n`` cells.
    """

    roc: np.ndarray
    precision_recall: np.ndarray
    auroc: float
    average_precision: float
    n: int


def class_curves(labels: np.ndarray, probabilities: np.ndarray, index: int) -> ClassCurves | None:
    """The curves of class ``index`` from ``labels`` int (N,) and ``probabilities`` (N, C).

    None where the cells are all of this class or none is: there is nothing to tell apart. Average
    precision is the sum of precision over steps of recall, without interpolation (Davis, J. and
    Goadrich, M. (2006), ICML, on why not to interpolate).
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    truth, score = np.asarray(labels) == index, np.asarray(probabilities)[:, index]
    if not truth.any() or truth.all():
        return None
    false_positive, sensitivity, _ = roc_curve(truth, score)
    precision, recall, _ = precision_recall_curve(truth, score, drop_intermediate=True)
    return ClassCurves(
        roc=simplify_curve(np.stack([false_positive, sensitivity], axis=1)),
        precision_recall=simplify_curve(np.stack([recall, precision], axis=1)[::-1]),
        auroc=float(roc_auc_score(truth, score)),
        average_precision=float(average_precision_score(truth, score)),
        n=len(truth),
    )


def simplify_curve(points: np.ndarray, tolerance: float = CURVE_TOLERANCE) -> np.ndarray:
    """``points`` (N, 2) without those whose absence moves the line by ``tolerance`` or less; both ends stay.

    Douglas, D. H. and Peucker, T. K. (1973), Cartographica 10(2), 112-122.
    """
    points = np.asarray(points, float)
    keep = np.zeros(len(points), bool)
    keep[[0, -1]] = True
    pending = [(0, len(points) - 1)]
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        away = _segment_distances(points[first + 1 : last], points[first], points[last])
        furthest = int(away.argmax())
        if away[furthest] > tolerance:
            middle = first + 1 + furthest
            keep[middle] = True
            pending += [(first, middle), (middle, last)]
    return points[keep]


def _segment_distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distance of each point (N, 2) to the segment from ``start`` to ``end``."""
    along = end - start
    length = float(along @ along)
    place = np.clip((points - start) @ along / length, 0, 1) if length else np.zeros(len(points))
    return np.hypot(*(points - start - place[:, None] * along).T)


def auroc(lower: np.ndarray, higher: np.ndarray) -> float:
    """The chance that a value of ``higher`` (m,) lies above one of ``lower`` (n,), ties counting half; 0 to 1.

    It is the area under the ROC curve (Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747); NaN where
    either is empty.
    """
    n, m = len(lower), len(higher)
    if not n or not m:
        return float("nan")
    ranks = rankdata(np.concatenate([lower, higher]))[n:].sum()
    return float((ranks - m * (m + 1) / 2) / (n * m))


def auroc_interval(lower: np.ndarray, higher: np.ndarray) -> tuple[float, float]:
    """95 % interval of `auroc` of ``lower`` (n,) and ``higher`` (m,), two or more each: low, high in 0 to 1.

    The variance of DeLong, DeLong and Clarke-Pearson 1988 (Biometrics 44, 837), on the scale of log odds, which keeps
    the interval within 0 to 1. Where no two values lie the wrong way round there is no variance to go by: then
    Wilson's interval as if each value of the smaller group had been one trial.
    """
    n, m = len(lower), len(higher)
    ranks = rankdata(np.concatenate([lower, higher]))
    below = (ranks[n:] - rankdata(higher)) / n  # of each higher value, the share of lower ones beneath it
    above = 1 - (ranks[:n] - rankdata(lower)) / m
    area, error = float(below.mean()), math.sqrt(below.var(ddof=1) / m + above.var(ddof=1) / n)
    if area in (0, 1):
        low, high = wilson_interval(area * min(n, m), min(n, m))
        return (low, 1.0) if area else (0.0, high)
    middle, half = math.log(area / (1 - area)), NormalDist().inv_cdf(0.975) * error / (area * (1 - area))
    return 1 / (1 + math.exp(half - middle)), 1 / (1 + math.exp(-half - middle))


def pairwise_auroc(values: Mapping[str, np.ndarray]) -> dict[tuple[str, str], float]:
    """For each pair of classes the `auroc` in the better direction, .5 (chance) to 1, of ``values`` by class.

    A pair of which one class is empty is left out.
    """
    areas = {(one, two): auroc(values[one], values[two]) for one, two in combinations(values, 2)}
    return {pair: max(area, 1 - area) for pair, area in areas.items() if not np.isnan(area)}
