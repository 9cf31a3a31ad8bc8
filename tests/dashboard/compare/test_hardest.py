"""The histogram of missed cells: bars by class that add up, a title that says what is in it."""

import numpy as np
import pandas as pd
import pytest

from core.evaluation.hard_examples import EnsembleAccuracy
from dashboard.compare.hardest import missed_histogram, missed_title
from dashboard.style import class_colours

CODES = ["BA", "EO"]
NAMES = {"BA": "basophil", "EO": "eosinophil"}
TOGETHER = EnsembleAccuracy(n=100, best=0.95, mean=0.96, any_right=0.98, missed=np.array([90, 8, 0, 2]))
MISSED = pd.DataFrame(
    [(0, "BA", 40), (0, "EO", 50), (1, "BA", 5), (1, "EO", 3), (2, "BA", 0), (2, "EO", 0), (3, "BA", 2), (3, "EO", 0)],
    columns=["missed_by", "code", "cells"],
)


@pytest.mark.parametrize("dark", [False, True])
def test_bars_by_class_without_the_cells_that_nobody_misses(dark):
    fig = missed_histogram(MISSED, TOGETHER, CODES, NAMES, dark=dark)
    bars = {t.name: t for t in fig.data if t.type == "bar"}
    assert list(bars["BA"].x) == [1, 2, 3]
    assert list(bars["BA"].y) == [5, 0, 2]
    assert bars["EO"].marker.color == class_colours(CODES, dark)["EO"]
    labels = next(t for t in fig.data if t.type == "scatter")
    assert list(labels.text) == ["8", "", "2"]


def test_a_class_without_errors_has_no_bar():
    fig = missed_histogram(MISSED.assign(cells=MISSED["cells"] * (MISSED["code"] == "BA")), TOGETHER, CODES, NAMES)
    assert [t.name for t in fig.data if t.type == "bar"] == ["BA"]


def test_titles():
    assert missed_title(TOGETHER) == "90 cells of 100 missed by none, 2 by all 3"
    one = EnsembleAccuracy(n=10, best=0.9, mean=0.9, any_right=0.9, missed=np.array([9, 1]))
    assert missed_title(one) == "9 cells of 10 missed by none, 1 by the one model shown"
    none = EnsembleAccuracy(n=10, best=1, mean=1, any_right=1, missed=np.array([10, 0, 0]))
    assert missed_title(none) == "Every one of 10 cells is named right by every model"
    assert missed_histogram(MISSED.assign(cells=0), none, CODES, NAMES).data
