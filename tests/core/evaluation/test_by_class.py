"""Measures of each class with their intervals, by hand and against the stored metrics."""

import numpy as np
import pytest
from scipy.stats import binomtest

from core.evaluation.metrics import CLASS_MEASURES, class_proportions, score

CONFUSION = [[90, 10, 0], [5, 45, 0], [0, 0, 0]]


def test_counts_by_hand():
    first, second, third = class_proportions(CONFUSION)
    assert (first["sensitivity"].hits, first["sensitivity"].n) == (90, 100)
    assert (first["precision"].hits, first["precision"].n) == (90, 95)
    assert (first["specificity"].hits, first["specificity"].n) == (45, 50)
    assert (second["specificity"].hits, second["specificity"].n) == (90, 100)
    assert first["f1"].value == pytest.approx(180 / 195)
    assert np.isnan(third["sensitivity"].value)
    assert np.isnan(third["f1"].value)
    assert third["specificity"].value == 1


@pytest.mark.parametrize("measure", ["sensitivity", "specificity", "precision"])
def test_intervals_are_wilsons(measure):
    for row in class_proportions(CONFUSION)[:2]:
        share = row[measure]
        expected = binomtest(share.hits, share.n).proportion_ci(0.95, method="wilson")
        assert (share.low, share.high) == pytest.approx((expected.low, expected.high))
        assert share.low < share.value < share.high


def test_the_interval_of_f1_is_that_of_f_star_carried_over():
    share = class_proportions(CONFUSION)[0]["f1"]
    expected = binomtest(90, 105).proportion_ci(0.95, method="wilson")
    assert share.low == pytest.approx(2 * expected.low / (1 + expected.low))
    assert share.high == pytest.approx(2 * expected.high / (1 + expected.high))


def test_values_are_those_that_runs_store():
    rng = np.random.default_rng(1)
    labels, logits = rng.integers(0, 4, 300), rng.normal(0, 1, (300, 4))
    logits[np.arange(300), labels] += 1
    stored = score(labels, logits)
    for index, row in enumerate(class_proportions(stored["confusion"])):
        for measure in CLASS_MEASURES:
            assert row[measure].value == pytest.approx(stored["per_class"][measure][index])
