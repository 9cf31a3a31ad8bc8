"""What pictures look like in numbers."""

import numpy as np
import pytest

from core.datasets.drawing import draw
from core.serving.appearance import KINDS, appearance, kinds


@pytest.mark.parametrize("size", [28, 64, 100, 128])
def test_every_number_has_its_kind_at_every_size(size):
    found = appearance(draw(np.arange(8), size, 0))
    assert found.shape == (8, len(kinds(size)))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert set(kinds(size)) == set(KINDS)


def test_pictures_do_not_depend_on_their_neighbours():
    frames = draw(np.arange(300) % 8, 28, 0)
    together = appearance(frames)
    np.testing.assert_allclose(together[257:260], appearance(frames[257:260]), rtol=1e-5, atol=1e-6)
    assert appearance(frames[:0]).shape == (0, len(kinds(28)))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_plain_picture_has_numbers_too(level):
    assert np.isfinite(appearance(np.full((1, 64, 64, 3), level, np.uint8))).all()


def test_colour_is_colour_only():
    frames = draw(np.arange(8), 64, 0)
    swapped = frames[..., [2, 1, 0]]
    changed = np.abs(appearance(frames) - appearance(swapped)).max(0)
    of = kinds(64)
    assert changed[of == "colour"].max() > 0.1
    assert changed[of == "scale"].max() < 1e-6  # told from green


def test_scale_tells_the_size_of_the_dark_part():
    size, found = 64, []
    for radius in (8, 16):
        y, x = np.mgrid[:size, :size] - (size - 1) / 2
        disc = np.where(np.hypot(x, y) < radius, 80, 220).astype(np.uint8)
        found.append(appearance(np.repeat(disc[None, ..., None], 3, -1))[0][kinds(size) == "scale"])
    area, spread = found[1][:2] / found[0][:2]
    assert area == pytest.approx(4, rel=0.1)
    assert spread == pytest.approx(2, rel=0.1)
    assert found[0][2] < 0.01  # in the middle
    assert found[0][3] == 0  # touches no border
