"""The strange pictures that the benchmark draws are what they are called, and the same every time."""

import numpy as np

from benchmarks.ood import non_cell_images, skin_textures


def test_skin_is_drawn_in_many_tones_with_some_texture():
    pictures = skin_textures(20, 64)
    assert pictures.shape == (20, 64, 64, 3)
    assert pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures, skin_textures(20, 64))
    means = pictures.mean((1, 2))
    assert (means[:, 0] > means[:, 2]).all()  # redder than blue
    assert np.ptp(means[:, 0]) > 60
    fine = np.abs(np.diff(pictures.astype(int), axis=1)).mean((1, 2, 3))
    assert (fine > 1).all()
    assert (fine < 20).all()


def test_made_up_pictures_come_in_the_size_that_is_asked_for():
    found = dict(non_cell_images(28, 5))
    assert len(found) == 5
    for name, frames in found.items():
        assert frames.shape[1:] == (28, 28, 3), name
        assert frames.dtype == np.uint8
    blank = found["blank, white to grey"]
    assert (np.ptp(blank.reshape(5, -1), axis=1) == 0).all()
    assert blank.max() == 255
