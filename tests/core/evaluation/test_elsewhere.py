"""Figures elsewhere: only the laboratory's classes count, and cells of a slide stand together."""

import numpy as np
import pytest

from core.evaluation.external import clustered_interval, external_metrics
from core.evaluation.metrics import balanced_accuracy


def test_an_answer_outside_the_laboratorys_classes_is_wrong_but_has_a_second_choice():
    labels = np.array([1, 1, 3, 3])
    probabilities = np.array(
        [[0.0, 0.95, 0.0, 0.05], [0.6, 0.3, 0.0, 0.1], [0.0, 0.0, 0.97, 0.03], [0.0, 0.7, 0.0, 0.3]]
    )
    found = external_metrics(labels, probabilities, [1, 3], confidence_threshold=0.9)
    assert found["accuracy"] == 0.25
    assert found["accuracy_lab_classes"] == 0.75
    assert found["confusion"] == [[1, 1, 0, 0], [0, 1, 1, 0]]
    assert found["sure"] == 0.5
    assert found["sure_and_wrong"] == 0.25
    assert found["mean_confidence"] == pytest.approx((0.95 + 0.6 + 0.97 + 0.7) / 4)
    assert found["slides"] is None


def test_balanced_weighs_classes_alike():
    assert balanced_accuracy(np.array([0] * 9 + [1]), np.array([True] * 9 + [False])) == 0.5


def test_cells_that_stand_and_fall_with_their_slide_widen_the_interval():
    slides = np.repeat([f"S{k}" for k in range(10)], 20)
    hits = np.repeat(np.arange(10) % 2 == 0, 20)
    low, high = clustered_interval(hits, slides)
    wilson_low, wilson_high = clustered_interval(hits)
    assert low < wilson_low - 0.1
    assert high > wilson_high + 0.1
    mixed_low, mixed_high = clustered_interval(np.tile([True, False], 100), slides)
    assert mixed_high - mixed_low == 0  # each slide has the same share


def test_one_slide_tells_no_more_than_its_cells():
    hits = np.array([True, True, False, True])
    assert clustered_interval(hits, ["A"] * 4) == clustered_interval(hits)
