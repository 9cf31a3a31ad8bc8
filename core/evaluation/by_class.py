"""Each class on its own: how much of it is found, how much is called it wrongly, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.evaluation.metrics import accuracy_interval

MEASURES = ("sensitivity", "specificity", "precision", "f1")


@dataclass(frozen=True)
class Share:
    """``hits`` out of ``of`` cells: ``value`` with its 95 % interval ``low`` to ``high``, all in 0 to 1.

    ``value`` is NaN where there was no cell to count. For F1 ``hits`` and ``of`` are those of F*, see `shares`.
    """

    value: float
    low: float
    high: float
    hits: int
    of: int


def shares(confusion: Sequence[Sequence[int]] | np.ndarray) -> list[dict[str, Share]]:
    """For each class the four `MEASURES` with Wilson intervals, from a confusion matrix (rows are the truth).

    Sensitivity, specificity and precision are shares of cells. F1 is not, but F* = TP / (TP + FP + FN) is, and
    F1 = 2 F* / (1 + F*) rises with it, so the interval of F* is carried over (Hand, D. J., Christen, P. and
    Kirielle, N. (2021), Machine Learning 110, 451-456).
    """
    matrix = np.asarray(confusion)
    n, found, support, called = matrix.sum(), np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    rows = []
    for hits, of, named in zip(found.tolist(), support.tolist(), called.tolist(), strict=True):
        union = of + named - hits
        star = _share(hits, union)
        rows.append(
            {
                "sensitivity": _share(hits, of),
                "specificity": _share(int(n) - union, int(n) - of),
                "precision": _share(hits, named),
                "f1": Share(*(2 * v / (1 + v) for v in (star.value, star.low, star.high)), hits, union),
            }
        )
    return rows


def _share(hits: int, of: int) -> Share:
    low, high = accuracy_interval(hits, of)
    return Share(hits / of if of else float("nan"), low, high, hits, of)
