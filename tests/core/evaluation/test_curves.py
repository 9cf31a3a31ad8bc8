"""Curves of one class against the others: scikit-learn's, thinned without a visible change."""

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from core.evaluation.metrics import CURVE_TOLERANCE, class_curves, simplify_curve
from core.probabilities import softmax


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray]:
    """Labels (3000,) and logits (3000, 4) of a model that is right most of the time."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 3000)
    logits = rng.normal(0, 1, (3000, 4))
    logits[np.arange(3000), labels] += 2.5
    return labels, logits


def test_a_ranking_done_by_hand():
    scores = np.array([[0.9], [0.8], [0.7], [0.1]])
    curves = class_curves(np.array([0, 1, 0, 1]), scores, 0)
    assert curves.roc.tolist() == [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]]
    assert curves.auroc == pytest.approx(0.75)  # three of four pairs are in order
    assert curves.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert curves.n == 4


def test_every_class_agrees_with_scikit_learn(scored):
    labels, logits = scored
    probabilities = softmax(logits)
    for index in range(4):
        curves = class_curves(labels, probabilities, index)
        truth = labels == index
        assert curves.auroc == pytest.approx(roc_auc_score(truth, probabilities[:, index]))
        assert curves.average_precision == pytest.approx(average_precision_score(truth, probabilities[:, index]))


def test_thinning_keeps_the_shape(scored):
    labels, logits = scored
    probabilities, truth = softmax(logits)[:, 1], labels == 1
    curves = class_curves(labels, softmax(logits), 1)
    x, y, _ = roc_curve(truth, probabilities, drop_intermediate=False)
    assert len(curves.roc) < len(x) / 4
    assert auc(*curves.roc.T) == pytest.approx(auc(x, y), abs=2 * CURVE_TOLERANCE)
    assert curves.roc[0].tolist() == [0, 0]
    assert curves.roc[-1].tolist() == [1, 1]

    precision, recall, _ = precision_recall_curve(truth, probabilities)
    assert auc(*curves.precision_recall.T) == pytest.approx(auc(recall, precision), abs=5e-3)
    assert (np.diff(curves.precision_recall[:, 0]) >= 0).all()


def test_no_dropped_point_is_far_from_the_line():
    rng = np.random.default_rng(0)
    points = np.stack([np.linspace(0, 1, 400), np.sort(rng.random(400))], axis=1)
    kept = simplify_curve(points, 0.01)
    assert 2 < len(kept) < 200
    assert np.abs(np.interp(points[:, 0], *kept.T) - points[:, 1]).max() < 0.05
    assert simplify_curve(points, 0).shape[0] > 390


def test_straight_lines_and_short_ones():
    assert simplify_curve(np.array([[0, 0], [0.2, 0.2], [0.7, 0.7], [1, 1]])).tolist() == [[0, 0], [1, 1]]
    assert simplify_curve(np.array([[0.0, 0.0], [1.0, 1.0]])).tolist() == [[0, 0], [1, 1]]
    same = np.zeros((5, 2))
    assert len(simplify_curve(same)) == 2


def test_a_class_without_cells_or_with_all_of_them_has_no_curves():
    labels, probabilities = np.zeros(5, int), np.full((5, 2), 0.5)
    assert class_curves(labels, probabilities, 0) is None
    assert class_curves(labels, probabilities, 1) is None
