"""ROC and precision-recall curves of one class against all others, thin enough to draw.

scikit-learn is imported where a curve is computed: whoever only reads stored metrics needn't wait for it.
"""

from dataclasses import dataclass

import numpy as np

DETAIL = 1e-5  # of the axis' length: less than a pixel where a corner of 2 % fills the figure


@dataclass(frozen=True)
class ClassCurves:
    """How one class is told from all others as the bar for naming it is moved.

    ``roc`` float (K, 2): false positive rate (1 - specificity) and sensitivity, from (0, 0) to (1, 1).
    ``precision_recall`` float (M, 2): recall (= sensitivity) and precision, by rising recall.
    ``auroc`` and ``average_precision`` are those of all points, in 0 to 1; ``prevalence`` is the class's share:
    the precision of guessing. ``positives`` of ``n`` cells are of the class.
    """

    roc: np.ndarray
    precision_recall: np.ndarray
    auroc: float
    average_precision: float
    positives: int
    n: int

    @property
    def prevalence(self) -> float:
        return self.positives / self.n


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
        roc=thinned(np.stack([false_positive, sensitivity], axis=1)),
        precision_recall=thinned(np.stack([recall, precision], axis=1)[::-1]),
        auroc=float(roc_auc_score(truth, score)),
        average_precision=float(average_precision_score(truth, score)),
        positives=int(truth.sum()),
        n=len(truth),
    )


def thinned(points: np.ndarray, detail: float = DETAIL) -> np.ndarray:
    """``points`` (N, 2) without those whose absence moves the line by ``detail`` or less; both ends stay.

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
        away = _distances(points[first + 1 : last], points[first], points[last])
        furthest = int(away.argmax())
        if away[furthest] > detail:
            middle = first + 1 + furthest
            keep[middle] = True
            pending += [(first, middle), (middle, last)]
    return points[keep]


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distance of each point (N, 2) to the segment from ``start`` to ``end``."""
    along = end - start
    length = float(along @ along)
    place = np.clip((points - start) @ along / length, 0, 1) if length else np.zeros(len(points))
    return np.hypot(*(points - start - place[:, None] * along).T)
