"""Answers and verdicts."""

import numpy as np
import pytest

from core.inference.predictor import (
    FALLBACK_CONFIDENCE_THRESHOLD,
    MIN_CONFIDENCE_THRESHOLD,
    confidence_threshold,
    fit_confidence_threshold,
    predict_crop_batches,
    predict_crops,
    verdicts,
)


def test_answers_are_probabilities_with_times(make_run, colour):
    images = np.stack([colour((255, 0, 0)), colour((0, 255, 0)), colour((0, 0, 255))] * 30)
    answers = predict_crops(images, make_run())
    assert len(answers) == 90
    assert answers.probabilities.shape == (90, 8)
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1)
    assert answers.predicted.tolist() == [0, 1, 2] * 30
    assert (answers.milliseconds > 0).all()
    assert answers.milliseconds.shape == (90,)


def test_no_cells_no_answers(make_run):
    answers = predict_crops(np.zeros((0, 64, 64, 3), np.uint8), make_run())
    assert answers.probabilities.shape == (0, 8)
    assert len(answers.milliseconds) == 0


def test_batches_come_one_by_one(make_run, colour):
    taken = []

    def source():
        for n in (3, 1, 2):
            taken.append(n)
            yield np.stack([colour((255, 0, 0))] * n)

    answers = predict_crop_batches(source(), make_run())
    assert len(next(answers)) == 3
    assert taken == [3]
    assert [len(a) for a in answers] == [1, 2]


def test_the_threshold_keeps_its_promise():
    rng = np.random.default_rng(0)
    top = rng.uniform(0.3, 1, 5000)
    correct = rng.uniform(size=5000) < np.clip(top + 0.2, 0, 1)
    threshold = fit_confidence_threshold(top, correct)
    assert correct[top >= threshold].mean() >= 0.995
    lower = top[top < threshold].max()
    assert correct[top >= lower].mean() < 0.995


def test_a_model_that_is_always_right_is_still_unsure_below_the_floor():
    top = np.linspace(0.2, 0.95, 1000)
    assert fit_confidence_threshold(top, np.ones(1000, bool)) == MIN_CONFIDENCE_THRESHOLD


def test_too_few_cells_or_a_bad_model_fall_back():
    assert fit_confidence_threshold(np.full(10, 0.6), np.ones(10, bool)) == FALLBACK_CONFIDENCE_THRESHOLD
    top = np.linspace(0.5, 0.999, 1000)
    wrong_at_the_top = np.arange(1000) < 500
    assert fit_confidence_threshold(top, wrong_at_the_top) == pytest.approx(0.999)


def test_equal_probabilities_stand_or_fall_together():
    top = np.full(1000, 0.8)
    correct = np.arange(1000) < 900
    assert fit_confidence_threshold(top, correct) == FALLBACK_CONFIDENCE_THRESHOLD


def test_the_threshold_of_a_run_comes_from_its_validation_cells(make_run):
    assert confidence_threshold(make_run(cells=50)) == FALLBACK_CONFIDENCE_THRESHOLD
    assert confidence_threshold(make_run("chance", cells=1000)) > 0.5


def test_verdicts():
    assert verdicts(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), 0.8) == ["sure", "unsure", "sure"]


def test_answers_bring_the_embedding_along(make_run, colour):
    images = np.stack([colour((255, 0, 0)), colour((0, 255, 0))] * 40)
    answers = predict_crops(images, make_run(), batch=64)
    np.testing.assert_allclose(answers.embeddings, images[:, 0, 0] / 255, atol=1e-6)
    assert predict_crops(images, make_run("trees", features=False)).embeddings is None
