import numpy as np
import pytest

from core.evaluation.importance import permutation_importance


def test_what_decides_costs_accuracy_and_what_does_not_costs_none() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(400, 3))
    labels = table[:, 0] > 0

    def accuracy(given: np.ndarray) -> float:
        return float(((given[:, 0] > 0) == labels).mean())

    done = []
    first, second, both = permutation_importance(table, accuracy, [[0], [1], [0, 1]], repeats=4, report=done.append)
    assert first == pytest.approx(0.5, abs=0.06)
    assert second == 0
    assert both == pytest.approx(0.5, abs=0.06)
    assert done == [1, 2, 3]
    assert permutation_importance(table, accuracy, [[0], [1], [0, 1]], repeats=4) == [first, second, both]


def test_features_that_say_the_same_are_missed_only_together() -> None:
    signal = np.tile([0.0, 1.0], 200)
    table = np.stack([signal, signal], 1)

    def accuracy(given: np.ndarray) -> float:
        return float(((given.max(1) > 0.5) == (signal > 0.5)).mean())

    alone, together = permutation_importance(table, accuracy, [[0], [0, 1]], repeats=8)
    assert 0 < alone < together


def test_the_table_is_left_as_it_was() -> None:
    table = np.arange(12.0).reshape(6, 2)
    table.setflags(write=False)
    permutation_importance(table, lambda given: 0.0, [[0, 1]])
