"""How well one number tells classes apart: the chance that it puts two of their members in the right order."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from scipy.stats import rankdata


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


def separation(values: Mapping[str, np.ndarray]) -> dict[tuple[str, str], float]:
    """For each pair of classes the `auroc` in the better direction, .5 (chance) to 1, of ``values`` by class.

    A pair of which one class is empty is left out.
    """
    found = {}
    for one, other in combinations(values, 2):
        area = auroc(values[one], values[other])
        if area == area:
            found[one, other] = max(area, 1 - area)
    return found
