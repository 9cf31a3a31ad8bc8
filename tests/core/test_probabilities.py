"""Sets that keep their promise for each class, the price of silence, and said against seen."""

import numpy as np
import pytest

from core.evaluation.uncertainty import coverage, reliability, risk_coverage
from core.probabilities import class_thresholds, prediction_sets, softmax


def answers(n: int, seed: int, sharp: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of three classes, of which the third is rare and hard, and probabilities."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    logits = rng.normal(size=(n, 3))
    logits[np.arange(n), labels] += np.array([sharp, sharp, sharp / 2])[labels]
    return labels, softmax(logits)


@pytest.mark.parametrize("promised", [0.9, 0.99])
def test_every_class_is_covered_as_promised_on_average(promised):
    found = []
    for seed in range(40):
        labels, probabilities = answers(3000, seed)
        thresholds = class_thresholds(labels[:1500], probabilities[:1500], promised)
        found.append(coverage(labels[1500:], prediction_sets(probabilities[1500:], thresholds)).by_class)
    by_class = np.mean(found, axis=0)
    assert (by_class >= promised - 0.005).all()
    assert (by_class <= promised + 0.02).all()


def test_one_threshold_for_all_would_not_do():
    """The rare, hard class is what the promise for each class is about."""
    labels, probabilities = answers(20000, 1)
    own = np.sort(probabilities[np.arange(10000), labels[:10000]])
    together = coverage(labels[10000:], prediction_sets(probabilities[10000:], np.full(3, own[1000]))).by_class
    apart = class_thresholds(labels[:10000], probabilities[:10000], 0.9)
    each = coverage(labels[10000:], prediction_sets(probabilities[10000:], apart)).by_class
    assert together[2] < 0.85
    assert each[2] > 0.88


def test_few_cells_promise_what_they_can_and_none_promise_nothing():
    found = []
    for seed in range(300):
        labels, probabilities = answers(300, seed)
        rare = np.flatnonzero(labels == 2)
        kept = np.setdiff1d(np.arange(len(labels)), rare[9:])
        thresholds = class_thresholds(labels[kept], probabilities[kept], 0.99)
        found.append((probabilities[rare[9:], 2] >= thresholds[2]).mean())
    assert np.mean(found) == pytest.approx(9 / 10, abs=0.02)
    assert class_thresholds(labels[labels != 2], probabilities[labels != 2])[2] == 0


def test_coverage_counts():
    sets = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]], bool)
    found = coverage(np.array([0, 1, 1, 1]), sets)
    np.testing.assert_allclose(found.by_class, [1, 1 / 3, np.nan])
    assert found.counts.tolist() == [1, 3, 0]
    assert (found.overall, found.mean_size, found.singleton_fraction) == (0.5, 1.0, 0.5)
    np.testing.assert_allclose(found.mean_size_by_class, [2, 2 / 3, np.nan])


def test_risk_against_coverage():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    found = risk_coverage(np.array([0, 1, 1, 1]), probabilities)
    np.testing.assert_allclose(found.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found.risk, [0, 1 / 2, 1 / 3, 1 / 2])
    np.testing.assert_allclose(found.from_probability, [0.9, 0.8, 0.7, 0.6])
    assert found.area == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_equal_probabilities_are_answered_together():
    found = risk_coverage(np.array([0, 0, 1, 1]), np.full((4, 2), [0.8, 0.2]))
    assert found.coverage.tolist() == [1]
    assert found.risk.tolist() == [0.5]


def test_reliability_is_said_against_seen():
    top = np.repeat([0.55, 0.95], 100)
    right = np.r_[np.arange(100) < 70, np.arange(100) < 95]
    probabilities = np.stack([top, 1 - top], axis=1)
    found = reliability(np.where(right, 0, 1), probabilities, bins=10)
    np.testing.assert_allclose(found.confidence, [0.55, 0.95])
    np.testing.assert_allclose(found.accuracy, [0.7, 0.95])
    assert found.counts.tolist() == [100, 100]
    assert found.error == pytest.approx(0.5 * 0.15)
