"""Figures of doubt: from answers to something that JSON can hold."""

import json

import numpy as np

from core.evaluation.uncertainty import MAX_CURVE_POINTS, uncertainty_summary
from core.probabilities import class_thresholds, softmax, spoken_sets


def test_all_figures_fit_together_and_into_json():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 3000)  # of four classes
    logits = rng.normal(size=(3000, 4))
    logits[np.arange(3000), labels] += 4
    probabilities = softmax(logits)
    thresholds = class_thresholds(labels[:1500], probabilities[:1500], 0.95)
    thresholds[3] = 0.1  # without cells it would be told of each
    told = spoken_sets(probabilities[1500:], thresholds, 0.9)
    found = uncertainty_summary(labels[1500:], probabilities[1500:], told, nominal_coverage=0.95)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["n"], found["nominal_coverage"]) == (1500, 0.95)
    assert found["told"]["coverage"][3] is None
    assert min(found["told"]["coverage"][:3]) > 0.92
    assert sum(found["reliability"]["counts"]) == 1500
    risk = found["risk_coverage"]
    assert len(risk["risk"]) == MAX_CURVE_POINTS
    assert risk["coverage"][-1] == 1
    wrong = (probabilities[1500:].argmax(1) != labels[1500:]).mean()
    assert abs(risk["risk"][-1] - wrong) < 1e-6
    order = np.argsort(-probabilities[1500:].max(1))
    risks = np.cumsum((probabilities[1500:].argmax(1) != labels[1500:])[order]) / np.arange(1, 1501)
    assert risk["answered"] == (np.flatnonzero(risks <= 0.01)[-1] + 1) / 1500  # of all cells, not of the curve's points
    assert found["sure_accuracy"] > 0.95
    assert found["told"]["mean_size"] >= 2 - found["sure"]
    assert 0 < found["sure"] < 1


def test_nothing_sure_is_said():
    found = uncertainty_summary(np.array([0, 1]), np.full((2, 2), 0.5), np.full((2, 2), True))
    assert found["sure"] == 0
    assert found["sure_accuracy"] is None
    assert found["risk_coverage"]["coverage"] == [1]
    assert found["risk_coverage"]["answered"] == 0
    assert (found["told"]["overall"], found["told"]["mean_size"]) == (1, 2)
