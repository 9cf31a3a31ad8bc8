"""The figures over corruptions: counted by hand; the drawn cells keep each class's share."""

import numpy as np
import pytest

from core.evaluation.robustness import (
    ALEXNET,
    ALEXNET_CLEAN,
    CORRUPTIONS,
    robustness_summary,
    stratified_sample,
    worst_corruption,
)
from core.probabilities import wilson_interval

LABELS = np.array([0, 0, 0, 1])


def answers(*classes: int, sure: float = 0.9) -> np.ndarray:
    found = np.full((len(classes), 2), 1 - sure)
    found[np.arange(len(classes)), classes] = sure
    return found


def test_every_class_keeps_its_share():
    labels = np.repeat([0, 1, 2], [700, 200, 100])
    chosen = stratified_sample(labels, 100)
    assert np.bincount(labels[chosen]).tolist() == [70, 20, 10]
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, stratified_sample(labels, 100))
    assert (chosen != stratified_sample(labels, 100, seed=1)).any()


def test_more_than_there_are_gives_all():
    np.testing.assert_array_equal(stratified_sample(np.array([3, 1, 1]), 50), [0, 1, 2])
    assert len(stratified_sample(np.array([3, 1, 1]), 1)) == 1


def test_figures_are_counted_by_cell_and_by_class():
    spoilt = {"bubble": [answers(0, 0, 0, 1)] * 4 + [answers(0, 0, 1, 0, sure=0.6)]}
    found = robustness_summary(LABELS, answers(0, 0, 0, 1), spoilt, relative=False)
    assert found["n"] == 4
    assert found["clean"] == {
        "accuracy": 1.0,
        "balanced_error": 0.0,
        "confidence": 0.9,
        "accuracy_interval": pytest.approx(wilson_interval(4, 4), abs=1e-4),
    }
    bubble = found["corruptions"]["bubble"]
    assert bubble["accuracy"] == [1, 1, 1, 1, 0.5]
    assert bubble["balanced_error"][-1] == pytest.approx(1 - (2 / 3 + 0) / 2, abs=1e-4)
    assert bubble["confidence"][-1] == 0.6
    assert bubble["mean_accuracy"] == found["mean_accuracy"] == 0.9
    assert bubble["mean_accuracy_interval"] == pytest.approx(wilson_interval(3.6, 4), abs=1e-4)
    assert "be" not in found


def test_errors_are_shares_of_the_papers():
    assert set(ALEXNET) == set(CORRUPTIONS)
    labels = np.zeros(1000, int)
    clean = answers(*[1] * 10, *[0] * 990)

    def wrong(share: float) -> list[np.ndarray]:
        return [answers(*[1] * round(1000 * share), *[0] * (1000 - round(1000 * share)))] * 5

    found = robustness_summary(labels, clean, {name: wrong(error) for name, error in ALEXNET.items()})
    assert found["be"] == pytest.approx(1, abs=0.02)
    relative = np.mean([(error - 0.01) / (error - ALEXNET_CLEAN) for error in ALEXNET.values()])
    assert found["rbe"] == pytest.approx(relative, abs=0.02)


def test_the_worst_costs_most():
    spoilt = {"bubble": [answers(0, 0, 0, 1)] * 5, "pixelate": [answers(0, 0, 0, 0)] * 5}
    assert worst_corruption(robustness_summary(LABELS, answers(0, 0, 0, 1), spoilt, relative=False)) == "pixelate"
