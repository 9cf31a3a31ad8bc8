"""Where the frames of uploads lie while they still come in, and once all are read."""

import numpy as np
import pytest

from core.datasets import get_dataset
from core.images import framing
from core.images.framing import CropWindow, MeasuredPicture, crop_batch
from dashboard.session import FIRST, UploadFraming
from tests.core.images.test_framing import smear

SPEC = get_dataset("bloodmnist")


@pytest.fixture(scope="module")
def pictures():
    """Ten pictures of a laboratory whose red cells are 60 px across."""
    places = 120 + 60 * np.random.default_rng(8).random((10, 2))
    return [smear(n, 60, at) for n, at in enumerate(places)]


def filled(pictures, complete=True):
    uploads = UploadFraming()
    for number, pixels in enumerate(pictures):
        uploads.add(str(number), pixels)
    uploads.update_scale(complete)
    return uploads


def test_a_drop_is_framed_as_the_batch_would_be(pictures):
    uploads = filled(pictures)
    assert uploads.known_window("0", None) is None
    places = [uploads.window(str(n), None, SPEC) for n in range(10)]
    batch = crop_batch(pictures, SPEC, 64)
    for place, picture, expected in zip(places, pictures, batch.crops, strict=True):
        framed = place.crop(picture, 64, SPEC)
        assert framed.box == expected.box
        assert (framed.pixels == expected.pixels).all()
    assert uploads.batch_scale(None).scale == batch.scale
    assert uploads.known_window("0", None) == places[0]


def test_the_end_does_not_depend_on_how_pictures_came(pictures, monkeypatch):
    monkeypatch.setattr("dashboard.session.FIRST", 4)
    uploads = UploadFraming()
    for number, pixels in enumerate(pictures):
        uploads.add(str(number), pixels)
        uploads.update_scale(complete=number == len(pictures) - 1)
        first = uploads.window("0", None, SPEC)
        assert (uploads.window(str(number), None, SPEC) is None) == (4 <= number < len(pictures) - 1)
    at_once = filled(pictures)
    assert FIRST > 4
    assert first == at_once.window("0", None, SPEC)
    assert uploads.batch_scale(None).scale == at_once.batch_scale(None).scale


def test_a_removed_picture_leaves_the_scale_of_the_others(pictures, monkeypatch):
    uploads = filled(pictures)
    before = uploads.window("0", None, SPEC)
    uploads.remove("5")
    uploads.update_scale(complete=True)

    def fail(*_arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr(framing.red_cells, "red_cell_size", fail)
    assert uploads.window("0", None, SPEC) == before


def test_a_side_by_hand_stands_beside_the_measured_one(pictures):
    uploads = filled(pictures)
    measured, by_hand = uploads.window("3", None, SPEC), uploads.window("3", 222, SPEC)
    assert by_hand.side == 222
    assert measured.side != 222
    assert (by_hand.cell.x, by_hand.cell.y) == pytest.approx((measured.cell.x, measured.cell.y), abs=3)
    assert uploads.batch_scale(222).scale.source == "given"


def test_a_whole_field_among_crops_is_left_to_its_shape(pictures):
    field = np.full((600, 800, 3), 220, np.uint8)
    uploads = filled([*pictures, field])
    assert uploads.window("10", None, SPEC) == CropWindow()
    assert filled([field]).window("0", None, SPEC).cell_missing  # alone it is looked at: nothing is on it


def test_a_picture_beside_takes_the_scale_of_those_that_are_there(pictures):
    uploads = filled(pictures[:9])
    uploads.window("0", None, SPEC)
    assert uploads.window_beside(MeasuredPicture(pictures[9]), None, SPEC).side == uploads.batch_scale(None).scale.side
    stated = MeasuredPicture(pictures[9], pixel_size=0.1)
    assert UploadFraming().window_beside(stated, None, SPEC).side == 200  # 20 µm
    assert (
        UploadFraming().window_beside(MeasuredPicture(np.full((360, 363, 3), 220, np.uint8)), None, SPEC).cell_missing
    )
