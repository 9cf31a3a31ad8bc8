"""Every corruption changes a picture, more so at a higher severity, the same way each time, at every size."""

import numpy as np
import pytest

from core.datasets.synthetic import draw_cells
from core.evaluation.robustness import CORRUPTIONS, SEVERITIES, corrupt

each_way = pytest.mark.parametrize("name", CORRUPTIONS)


@pytest.fixture(scope="module")
def cells() -> np.ndarray:
    return draw_cells(np.arange(8) % 8, 64, 3)


def change(before: np.ndarray, after: np.ndarray) -> float:
    return float(np.abs(after.astype(float) - before).mean())


def test_there_are_the_eleven_of_the_paper():
    assert len(CORRUPTIONS) == 11
    assert all(len(way.levels) == len(SEVERITIES) and way.name == name for name, way in CORRUPTIONS.items())


@each_way
@pytest.mark.parametrize("size", [28, 64, 128])
def test_shape_and_type_stay_and_the_picture_changes(name, size):
    before = draw_cells(np.arange(3), size, 1)
    kept = before.copy()
    after = corrupt(before, name, 3)
    assert after.shape == before.shape
    assert after.dtype == np.uint8
    assert all(change(one, other) > 0.1 for one, other in zip(before, after, strict=True))
    np.testing.assert_array_equal(before, kept)


@each_way
def test_a_higher_severity_changes_more(name, cells):
    found = [change(cells, corrupt(cells, name, severity)) for severity in SEVERITIES]
    assert found == sorted(found)
    # Three deposits at most from severity 3 on; which a few cells may have already.
    assert len(set(found)) == len(found)


@each_way
def test_a_picture_is_spoilt_alike_whenever_and_beside_whichever(name, cells):
    together = corrupt(cells, name, 4, seed=1)
    np.testing.assert_array_equal(together, corrupt(cells, name, 4, seed=1))
    np.testing.assert_array_equal(together[5:6], corrupt(cells[5:6], name, 4, seed=1))


@pytest.mark.parametrize("name", ["motion_blur", "stain_deposit", "bubble"])
def test_chance_depends_on_the_seed(name, cells):
    assert (corrupt(cells, name, 4, seed=1) != corrupt(cells, name, 4, seed=2)).any()


@pytest.mark.parametrize("name", ["defocus_blur", "motion_blur", "bubble", "stain_deposit"])
def test_lengths_are_shares_of_the_picture(name):
    """A picture spoilt and then reduced is about the reduced picture spoilt, save for what is drawn by chance."""
    big = draw_cells(np.arange(8), 128, 5)  # so many that chance evens out: where deposits fall is drawn anew
    small = big.reshape(8, 64, 2, 64, 2, 3).mean((2, 4)).round().astype(np.uint8)
    reduced = corrupt(big, name, 5).reshape(8, 64, 2, 64, 2, 3).mean((2, 4))
    cost, cost_there = change(small, corrupt(small, name, 5)), change(small, reduced)
    assert 0.4 * cost_there < cost < 2.5 * cost_there
    if name == "defocus_blur":
        assert change(reduced, corrupt(small, name, 5)) < 0.25 * cost


def test_blur_spreads_a_point_to_a_disc_of_the_right_size():
    side, radius = 224, 6  # severity 5 at 224 px
    point = np.zeros((1, side, side, 3), np.uint8)
    point[0, 110:114, 110:114] = 255
    spread = corrupt(point, "defocus_blur", 5)[0, :, :, 0].astype(float)
    y, x = np.mgrid[:side, :side] - 111.5
    assert spread.sum() == pytest.approx(255 * 16, rel=0.1), "light is kept"
    variance = (spread * (y**2 + x**2)).sum() / spread.sum()
    assert variance == pytest.approx(radius**2 / 2 + 2 * (4**2 - 1) / 12, rel=0.2)


def test_blur_leaves_the_cell_where_it_is():
    point = np.full((4, 64, 64, 3), 200, np.uint8)
    point[:, 28:36, 28:36] = 40
    point[1:, 0, 0] = np.arange(1, 4)[:, None]  # other pictures, other directions
    for image in corrupt(point, "motion_blur", 5):
        dark = 200 - image[4:60, 4:60, 0].astype(float)
        y, x = np.mgrid[4:60, 4:60]
        assert (dark * x).sum() / dark.sum() == pytest.approx(31.5, abs=0.3)
        assert (dark * y).sum() / dark.sum() == pytest.approx(31.5, abs=0.3)


def test_light_and_colour_are_what_they_say():
    plain = np.tile(np.uint8([200, 100, 100]), (1, 32, 32, 1))
    assert corrupt(plain, "brightness_down", 5)[0, 0, 0].tolist() == [100, 50, 50]
    assert corrupt(plain, "saturate", 5)[0, 0, 0].tolist() == [200, 60, 60]
    grey = np.full((1, 32, 32, 3), 90, np.uint8)
    np.testing.assert_array_equal(corrupt(grey, "saturate", 5), grey)
    halves = grey.copy()
    halves[:, :16] = 110
    assert np.ptp(corrupt(halves, "contrast_down", 5)) == 10


def test_few_pixels_are_left():
    noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    blocks = corrupt(noise, "pixelate", 5)[0].reshape(16, 4, 16, 4, 3)
    assert (np.ptp(blocks, axis=(1, 3)) == 0).all()


def test_no_pictures_give_none():
    assert corrupt(np.zeros((0, 64, 64, 3), np.uint8), "bubble", 1).shape == (0, 64, 64, 3)


@pytest.mark.parametrize(
    ("images", "name", "severity"),
    [
        (np.zeros((1, 8, 8, 3), np.uint8), "rain", 1),
        (np.zeros((1, 8, 8, 3), np.uint8), "bubble", 0),
        (np.zeros((1, 8, 8, 3), np.uint8), "bubble", 6),
        (np.zeros((1, 8, 8, 3), np.float32), "bubble", 1),
        (np.zeros((8, 8, 3), np.uint8), "bubble", 1),
        (np.zeros((1, 8, 9, 3), np.uint8), "bubble", 1),
    ],
)
def test_what_does_not_fit_is_refused(images, name, severity):
    with pytest.raises(ValueError, match=r"there are|expected"):
        corrupt(images, name, severity)
