"""What pictures look like in numbers."""

import numpy as np
import pytest

from core.datasets.synthetic import draw_cells
from core.inference.ood import STATISTIC_GROUPS, image_statistics, statistic_groups


@pytest.mark.parametrize("size", [28, 64, 100, 128])
def test_every_number_has_its_kind_at_every_size(size):
    found = image_statistics(draw_cells(np.arange(8), size, 0))
    assert found.shape == (8, len(statistic_groups(size)))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert set(statistic_groups(size)) == set(STATISTIC_GROUPS)


def test_pictures_do_not_depend_on_their_neighbours():
    frames = draw_cells(np.arange(300) % 8, 28, 0)
    together = image_statistics(frames)
    np.testing.assert_allclose(together[257:260], image_statistics(frames[257:260]), rtol=1e-5, atol=1e-6)
    assert image_statistics(frames[:0]).shape == (0, len(statistic_groups(28)))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_plain_picture_has_numbers_too(level):
    assert np.isfinite(image_statistics(np.full((1, 64, 64, 3), level, np.uint8))).all()


def test_colour_is_colour_only():
    frames = draw_cells(np.arange(8), 64, 0)
    swapped = frames[..., [2, 1, 0]]
    changed = np.abs(image_statistics(frames) - image_statistics(swapped)).max(0)
    of = statistic_groups(64)
    assert changed[of == "colour"].max() > 0.1
    assert changed[of == "scale"].max() < 1e-6  # told from green


def test_scale_tells_the_size_of_the_dark_part():
    size, found = 64, []
    for radius in (8, 16):
        y, x = np.mgrid[:size, :size] - (size - 1) / 2
        disc = np.where(np.hypot(x, y) < radius, 80, 220).astype(np.uint8)
        found.append(image_statistics(np.repeat(disc[None, ..., None], 3, -1))[0][statistic_groups(size) == "scale"])
    area, spread = found[1][:2] / found[0][:2]
    assert area == pytest.approx(4, rel=0.1)
    assert spread == pytest.approx(2, rel=0.1)
    assert found[0][2] < 0.01  # in the middle
    assert found[0][3] == 0  # touches no border
