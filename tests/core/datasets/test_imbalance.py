"""What uneven classes mean for accuracy, for counts that can be reckoned by hand."""

import numpy as np
import pytest

from core.datasets.statistics import measure_imbalance


def test_uneven_classes():
    found = measure_imbalance(("A", "B", "C"), np.array([60, 30, 10]))
    assert (found.majority, found.rarest) == ("A", "C")
    assert found.majority_accuracy == pytest.approx(0.6)
    assert found.majority_balanced_accuracy == pytest.approx(1 / 3)
    assert found.accuracy_without_rarest == pytest.approx(0.9)
    assert found.balanced_accuracy_without_rarest == pytest.approx(2 / 3)
    assert found.ratio == pytest.approx(6)
    assert not found.is_balanced


def test_even_classes_and_empty_ones():
    found = measure_imbalance(("A", "B", "C"), np.array([50, 0, 50]))
    assert found.codes == ("A", "C")
    assert found.is_balanced
    assert found.majority_balanced_accuracy == pytest.approx(0.5)


@pytest.mark.parametrize("counts", [[0, 0], [7, 0]])
def test_fewer_than_two_classes_say_nothing(counts):
    assert measure_imbalance(("A", "B"), np.array(counts)) is None
