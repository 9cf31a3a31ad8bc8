"""Two white cells are told by their nuclei, on discs whose places are known."""

import numpy as np
import pytest

from core.images.nucleus import has_two_nuclei


def discs(*places: tuple[int, int, int], width: int = 240, height: int = 160) -> np.ndarray:
    """Nuclei (x, y, radius) on a pale ground with red cells."""
    y, x = np.mgrid[:height, :width]
    picture = np.full((height, width, 3), (238, 220, 212), float)
    for red_x, red_y in ((20, 140), (120, 145), (225, 15), (120, 12)):
        picture[np.hypot(x - red_x, y - red_y) < 24] = (205, 160, 160)
    for at_x, at_y, radius in places:
        picture[np.hypot(x - at_x, y - at_y) < radius] = (95, 50, 140)
    return np.clip(picture + np.random.default_rng(0).normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("places", "two"),
    [
        ([(60, 80, 28), (180, 80, 26)], True),
        ([(60, 80, 28)], False),
        ([(60, 80, 28), (180, 80, 9)], False),  # a platelet beside a cell
        ([(60, 80, 28), (236, 80, 26)], False),  # a neighbour that the border cuts
        ([(60, 66, 14), (70, 98, 15), (95, 78, 14)], False),  # lobes of one nucleus
        ([], False),
    ],
)
def test_two_nuclei_are_told_from_lobes_platelets_and_cut_neighbours(places, two):
    assert has_two_nuclei(discs(*places)) is two


def test_nothing_has_no_nuclei():
    assert not has_two_nuclei(np.full((80, 80, 3), 230, np.uint8))
