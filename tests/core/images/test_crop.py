"""Framing: the very pixels that the training data has, whatever the upload's shape."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core import paths
from core.datasets import get_dataset
from core.images.crop import centre_box, crop_by_shape

BLOODMNIST = get_dataset("bloodmnist")
DRAWN = get_dataset("synthetic")


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def reference(pixels, size, crop):
    """The published recipe with torchvision itself: CenterCrop, then a bilinear resize of the PIL picture."""
    transforms = pytest.importorskip("torchvision.transforms")
    recipe = transforms.Compose([transforms.CenterCrop(crop), transforms.Resize(size)])
    return np.array(recipe(Image.fromarray(pixels)))


PARENT_SHAPES = [(360, 363), (366, 369), (360, 360), (360, 361), (362, 360), (361, 360), (359, 360)]


@pytest.mark.parametrize("shape", PARENT_SHAPES)
@pytest.mark.parametrize("size", [64, 128, 224])
def test_parent_crops_become_torchvisions_pixels(shape, size):
    pixels = noise(*shape)
    framed = crop_by_shape(pixels, size, BLOODMNIST)
    np.testing.assert_array_equal(framed.pixels, reference(pixels, size, 200))
    assert framed.pixels.dtype == np.uint8


def test_the_usual_crop_starts_at_80_and_82():
    assert crop_by_shape(noise(360, 363), 64, BLOODMNIST).box == (80, 82, 280, 282)


def test_rounding_is_torchvisions_for_every_parity():
    center_crop = pytest.importorskip("torchvision.transforms.functional").center_crop
    for width in range(200, 232):
        for height in (200, 201, 202, 203, 229, 363):
            where = np.arange(width * height, dtype=np.int32).reshape(height, width)
            left, top, right, bottom = centre_box(width, height, 200)
            cropped = np.array(center_crop(Image.fromarray(where), [200, 200]))
            np.testing.assert_array_equal(where[top:bottom, left:right], cropped)


def test_28_px_goes_through_jpeg_as_the_published_pixels_did():
    pixels = noise(360, 363)
    buffer = io.BytesIO()
    Image.fromarray(reference(pixels, 28, 200)).save(buffer, "JPEG", quality=75, subsampling="4:2:0")
    np.testing.assert_array_equal(crop_by_shape(pixels, 28, BLOODMNIST).pixels, np.array(Image.open(buffer)))


@pytest.mark.parametrize("side", [28, 64, 128, 224])
def test_the_data_sets_own_pictures_are_left_as_they_are(side):
    pixels = noise(side, side)
    framed = crop_by_shape(pixels, side, BLOODMNIST)
    np.testing.assert_array_equal(framed.pixels, pixels)
    assert framed.box == (0, 0, side, side)


@pytest.mark.parametrize("side", [28, 100, 200, 224])
def test_tight_crops_are_not_cropped_again(side):
    framed = crop_by_shape(noise(side, side), 64, BLOODMNIST)
    assert framed.box == (0, 0, side, side)
    assert framed.pixels.shape == (64, 64, 3)
    assert "whole picture" in framed.note


def test_a_tiny_picture_says_that_it_holds_little():
    assert "only 28 px" in crop_by_shape(noise(28, 28), 64, BLOODMNIST).note
    assert "only" not in crop_by_shape(noise(64, 64), 64, BLOODMNIST).note


@pytest.mark.parametrize(("width", "height"), [(720, 726), (732, 738), (1080, 1089), (726, 720)])
def test_an_enlarged_parent_crop_is_cut_in_proportion(width, height):
    framed = crop_by_shape(noise(width, height), 64, BLOODMNIST)
    factor = width // 360
    assert framed.box == centre_box(width, height, 200 * factor)
    assert f"{factor} times as large" in framed.note


@pytest.mark.parametrize(
    ("width", "height"), [(640, 480), (300, 300), (720, 720), (575, 575), (1000, 60), (440, 443), (720, 740)]
)
def test_other_shapes_use_the_central_square_and_say_so(width, height):
    framed = crop_by_shape(noise(width, height), 64, BLOODMNIST)
    side = min(width, height)
    assert framed.box == centre_box(width, height, side)
    assert f"{width} x {height} px is not shaped like" in framed.note


def test_the_visitor_can_overrule():
    crop = noise(360, 363)
    assert crop_by_shape(crop, 64, BLOODMNIST, "whole").box == (0, 2, 360, 362)
    assert crop_by_shape(crop, 64, BLOODMNIST, "parent").box == (80, 82, 280, 282)
    assert crop_by_shape(noise(720, 720), 64, BLOODMNIST, "parent").box == (160, 160, 560, 560)
    assert crop_by_shape(noise(64, 64), 64, BLOODMNIST, "parent").box == (14, 14, 50, 50)
    for mode in ("parent", "whole"):
        assert "as you asked" in crop_by_shape(crop, 64, BLOODMNIST, mode).note
    with pytest.raises(ValueError, match="framing"):
        crop_by_shape(crop, 64, BLOODMNIST, "squeezed")


def test_a_data_set_without_a_parent_takes_pictures_whole():
    assert crop_by_shape(noise(360, 363), 64, DRAWN).box == (0, 2, 360, 362)
    assert crop_by_shape(noise(360, 363), 64, DRAWN, "parent").box == (0, 2, 360, 362)


def test_what_comes_in_is_not_written_to():
    pixels = noise(64, 64)
    pixels.setflags(write=False)
    crop_by_shape(pixels, 64, BLOODMNIST).pixels[0] = 0


@pytest.mark.realdata
@pytest.mark.parametrize("size", [28, 64])
def test_originals_become_the_data_sets_very_pixels(size):
    """Needs ``pbc_test_originals/`` and ``index.csv`` (file, id) beside the BloodMNIST files in the data root."""
    folder, index = paths.data_root() / "pbc_test_originals", paths.data_root() / "index.csv"
    if not (folder.is_dir() and index.exists() and BLOODMNIST.available(size)):
        pytest.skip("no parent originals with their index in the data root")
    with open(index, newline="", encoding="utf-8") as table:
        ids = {Path(row["file"]).name: row["id"] for row in csv.DictReader(table)}
    test = BLOODMNIST.load(size)["test"]
    position = {id_: number for number, id_ in enumerate(test.ids)}
    originals = [p for p in sorted(folder.rglob("*.jpg")) if ids.get(p.name) in position]
    assert originals
    for path in originals:
        framed = crop_by_shape(np.array(Image.open(path).convert("RGB")), size, BLOODMNIST)
        np.testing.assert_array_equal(framed.pixels, test.images[position[ids[path.name]]], err_msg=path.name)
