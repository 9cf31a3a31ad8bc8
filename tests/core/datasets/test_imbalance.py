"""What uneven classes mean for accuracy, for counts that can be reckoned by hand."""

import numpy as np
import pytest

from core.datasets.imbalance import imbalance


def test_uneven_classes():
    found = imbalance(("A", "B", "C"), np.array([60, 30, 10]))
    assert (found.majority, found.rarest) == ("A", "C")
    assert found.guess == pytest.approx(0.6)
    assert found.guess_balanced == pytest.approx(1 / 3)
    assert found.without_rarest == pytest.approx(0.9)
    assert found.without_rarest_balanced == pytest.approx(2 / 3)
    assert found.ratio == pytest.approx(6)
    assert not found.even


def test_even_classes_and_empty_ones():
    found = imbalance(("A", "B", "C"), np.array([50, 0, 50]))
    assert found.codes == ("A", "C")
    assert found.even
    assert found.guess_balanced == pytest.approx(0.5)


@pytest.mark.parametrize("counts", [[0, 0], [7, 0]])
def test_fewer_than_two_classes_say_nothing(counts):
    assert imbalance(("A", "B"), np.array(counts)) is None
