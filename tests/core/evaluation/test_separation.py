"""How well one number tells classes apart."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from core.evaluation.metrics import auroc, auroc_interval, pairwise_auroc


def test_known_values():
    assert auroc(np.array([1, 2]), np.array([3, 4])) == 1
    assert auroc(np.array([3, 4]), np.array([1, 2])) == 0
    assert auroc(np.array([1.0, 1.0]), np.array([1.0])) == 0.5
    assert math.isnan(auroc(np.array([]), np.array([1.0])))


def test_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    low, high = rng.normal(size=80).round(1), rng.normal(0.5, size=50).round(1)
    expected = roc_auc_score(np.repeat([0, 1], [80, 50]), np.concatenate([low, high]))
    assert auroc(low, high) == pytest.approx(expected)


def test_direction_does_not_matter_and_empty_classes_are_left_out():
    found = pairwise_auroc({"A": np.array([5.0, 6.0]), "B": np.array([1.0, 2.0]), "C": np.array([])})
    assert found == {("A", "B"): 1.0}


def test_an_interval_is_as_wide_as_redrawn_cells_vary():
    rng = np.random.default_rng(0)
    low, high = rng.normal(size=300), rng.normal(1.5, 1.2, size=80)
    redrawn = [auroc(rng.choice(low, 300), rng.choice(high, 80)) for _ in range(400)]
    found = auroc_interval(low, high)
    assert found[0] < auroc(low, high) < found[1]
    np.testing.assert_allclose(found, np.quantile(redrawn, [0.025, 0.975]), atol=0.01)


def test_the_interval_of_groups_that_do_not_overlap_has_a_width():
    low, high = np.arange(50.0), np.arange(100.0, 120.0)
    assert auroc_interval(low, high)[1] == 1
    assert 0.8 < auroc_interval(low, high)[0] < 0.9
    assert auroc_interval(high, low)[0] == 0
    assert auroc_interval(low, np.arange(100.0, 1000.0))[0] > auroc_interval(low, high)[0]
