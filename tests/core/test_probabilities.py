"""Sets that keep their promise for each class, the price of silence, and said against seen."""

import numpy as np
import pytest

from core.evaluation.uncertainty import coverage, reliability, risk_coverage
from core.probabilities import class_thresholds, prediction_sets, softmax, spoken_sets


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
    assert (by_class <= promised + 0.03).all(), "longer sets than promised"


def test_one_threshold_for_all_would_not_do():
    """The rare, hard class is what the promise for each class is about."""
    labels, probabilities = answers(20000, 1)
    own = np.sort(probabilities[np.arange(10000), labels[:10000]])
    together = coverage(labels[10000:], prediction_sets(probabilities[10000:], np.full(3, own[1000]))).by_class
    apart = class_thresholds(labels[:10000], probabilities[:10000], 0.9)
    each = coverage(labels[10000:], prediction_sets(probabilities[10000:], apart)).by_class
    assert together[2] < 0.85
    assert each[2] > 0.88


def test_few_cells_of_a_class_keep_the_promise_by_those_of_all_and_none_are_in_every_set():
    found = []
    for seed in range(200):
        labels, probabilities = answers(300, seed)
        rare = np.flatnonzero(labels == 2)
        kept = np.setdiff1d(np.arange(len(labels)), rare[9:])
        thresholds = class_thresholds(labels[kept], probabilities[kept], 0.99)
        found.append((probabilities[rare[9:], 2] >= thresholds[2]).mean())
    assert np.mean(found) > 0.95  # nine cells by themselves could promise 9 / 10
    assert class_thresholds(labels[labels != 2], probabilities[labels != 2])[2] == 0


def test_one_odd_cell_does_not_set_its_class_s_threshold():
    labels, probabilities = np.repeat([0, 1, 2], 120), np.full((360, 3), 0.02)
    probabilities[np.arange(360), labels] = 0.96
    for cell in (5, 65, 125, 185, 245, 305):  # two of each class are misnamed, not far off
        probabilities[cell] = np.roll([0.28, 0.7, 0.02], labels[cell])
    before = class_thresholds(labels, probabilities)
    probabilities[5] = [0.0003, 0.9995, 0.0002]
    after = class_thresholds(labels, probabilities)
    assert (before > 0.2).all()
    assert after[0] > 0.02  # the class's lowest probability, which a quantile of 120 cells would take, is 0.0003
    np.testing.assert_allclose(after[1:], before[1:], rtol=0.1)


def test_a_model_that_names_every_cell_needs_no_list():
    labels, probabilities = np.repeat([0, 1], 200), np.full((400, 2), 0.1)
    probabilities[np.arange(400), labels] = 0.9
    assert class_thresholds(labels, probabilities).tolist() == [0.5, 0.5]
    few = class_thresholds(labels[::40], probabilities[::40])
    assert ((few > 0) & (few < 0.5)).all(), "ten cells can't tell that"


def test_what_is_told_is_one_class_where_it_is_sure_and_two_or_more_where_it_is_not():
    probabilities = np.array(
        [
            [0.95, 0.03, 0.02],  # alone in its set
            [0.95, 0.05, 0.00],  # another reaches its threshold
            [0.80, 0.04, 0.16],  # alone in its set, but of too low a probability
            [0.60, 0.22, 0.18],  # two in its set
            [0.50, 0.20, 0.30],  # all in its set
            [0.10, 0.86, 0.04],  # the likeliest is below its own threshold
            [0.04, 0.85, 0.11],
        ]
    )
    told = spoken_sets(probabilities, np.array([0.2, 0.05, 0.17]), 0.9)
    expected = [[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [1, 1, 1], [1, 1, 0], [0, 1, 1]]
    np.testing.assert_array_equal(told, np.array(expected, bool))
    alone = spoken_sets(np.array([[0.04, 0.92, 0.04]]), np.array([0.2, 0.95, 0.2]), 0.9)
    assert alone.tolist() == [[False, True, False]], "a sure answer is told alone though its own threshold is higher"


def test_what_is_told_holds_the_prediction_set():
    labels, probabilities = answers(3000, 3)
    thresholds = class_thresholds(labels, probabilities)
    told, sets = spoken_sets(probabilities, thresholds, 0.9), prediction_sets(probabilities, thresholds)
    assert (told >= sets).all()
    sure = told.sum(1) == 1
    assert 0 < sure.mean() < 1
    assert (probabilities.max(1)[sure] >= 0.9).all()
    assert (told.argmax(1) == probabilities.argmax(1))[sure].all()


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
