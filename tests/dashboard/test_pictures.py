"""Pictures as files: what a pixel spans goes with them."""

import numpy as np
import pytest

from core.images.decode import decode
from dashboard.pictures import as_png


@pytest.mark.parametrize("pixel_size", [0.06, 0.25])
def test_a_picture_says_what_its_pixels_span(pixel_size):
    image = np.full((200, 150, 3), 180, np.uint8)
    read = decode(as_png(image, pixel_size), "a.png")
    assert read.pixel_size == pytest.approx(pixel_size, rel=1e-3)
    assert np.array_equal(read.pixels, image)


def test_a_picture_whose_scale_is_not_known_says_none():
    assert decode(as_png(np.zeros((60, 60, 3), np.uint8)), "a.png").pixel_size is None
