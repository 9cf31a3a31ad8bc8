"""The comparison in words: who leads, by how much, and whether chance explains it."""

import numpy as np
import pytest

from core.evaluation.compare import compare_predictions
from dashboard.compare import comparison_text

LABELS = np.zeros(100, int)


def answers(*wrong: int) -> np.ndarray:
    given = LABELS.copy()
    given[list(wrong)] = 1
    return given


@pytest.mark.parametrize("swapped", [False, True])
def test_the_better_run_is_named_first_and_the_interval_is_its_lead(swapped):
    good, poor = answers(0), answers(*range(20, 40))
    paired = compare_predictions(LABELS, *((poor, good) if swapped else (good, poor)))
    said = comparison_text(paired, *(("Poor", "Good") if swapped else ("Good", "Poor")), (64, 64))
    assert "**Good** is 19.00 points more accurate than **Poor**" in said
    low = float(said.split("interval ")[1].split(" to ")[0])
    assert low > 0
    assert "p < 0.001" in said
    assert said.endswith("more than chance explains.")


def test_a_small_difference_may_be_chance():
    said = comparison_text(compare_predictions(LABELS, answers(0), answers(1, 2)), "A", "B", (64, 28))
    assert "chance alone could explain" in said
    assert "at 28 px" in said


def test_equal_runs():
    said = comparison_text(compare_predictions(LABELS, answers(0), answers(1)), "A", "B", (64, 64))
    assert "equally accurate" in said
    assert "chance" not in said
