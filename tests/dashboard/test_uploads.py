"""Where the frames of uploads lie while they still come in, and once all are read."""

import numpy as np
import pytest

from core.datasets import get_dataset
from core.serving import framing
from core.serving.framing import Place, frame_batch
from dashboard.uploads import FIRST, Uploads
from tests.core.serving.test_framing import smear

SPEC = get_dataset("bloodmnist")


@pytest.fixture(scope="module")
def pictures():
    """Ten pictures of a laboratory whose red cells are 60 px across."""
    places = 120 + 60 * np.random.default_rng(8).random((10, 2))
    return [smear(n, 60, at) for n, at in enumerate(places)]


def filled(pictures, complete=True):
    uploads = Uploads()
    for number, pixels in enumerate(pictures):
        uploads.add(str(number), pixels)
    uploads.look(complete)
    return uploads


def test_a_drop_is_framed_as_the_batch_would_be(pictures):
    uploads = filled(pictures)
    assert uploads.known_place("0", None) is None
    places = [uploads.place(str(n), None, SPEC) for n in range(10)]
    batch = frame_batch(pictures, SPEC, 64)
    for place, picture, expected in zip(places, pictures, batch.frames, strict=True):
        framed = place.frame(picture, 64, SPEC)
        assert framed.box == expected.box
        assert (framed.pixels == expected.pixels).all()
    assert uploads.survey(None).scale == batch.scale
    assert uploads.known_place("0", None) == places[0]


def test_the_end_does_not_depend_on_how_pictures_came(pictures, monkeypatch):
    monkeypatch.setattr("dashboard.uploads.FIRST", 4)
    uploads = Uploads()
    for number, pixels in enumerate(pictures):
        uploads.add(str(number), pixels)
        uploads.look(complete=number == len(pictures) - 1)
        first = uploads.place("0", None, SPEC)
        assert (uploads.place(str(number), None, SPEC) is None) == (4 <= number < len(pictures) - 1)
    at_once = filled(pictures)
    assert FIRST > 4
    assert first == at_once.place("0", None, SPEC)
    assert uploads.survey(None).scale == at_once.survey(None).scale


def test_a_removed_picture_leaves_the_scale_of_the_others(pictures, monkeypatch):
    uploads = filled(pictures)
    before = uploads.place("0", None, SPEC)
    uploads.remove("5")
    uploads.look(complete=True)

    def fail(*_arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr(framing.ruler, "read", fail)
    assert uploads.place("0", None, SPEC) == before


def test_a_side_by_hand_stands_beside_the_measured_one(pictures):
    uploads = filled(pictures)
    measured, by_hand = uploads.place("3", None, SPEC), uploads.place("3", 222, SPEC)
    assert by_hand.side == 222
    assert measured.side != 222
    assert (by_hand.found.x, by_hand.found.y) == pytest.approx((measured.found.x, measured.found.y), abs=3)
    assert uploads.survey(222).scale.source == "given"


def test_a_whole_field_among_crops_is_left_to_its_shape(pictures):
    field = np.full((600, 800, 3), 220, np.uint8)
    uploads = filled([*pictures, field])
    assert uploads.place("10", None, SPEC) == Place()
    assert filled([field]).place("0", None, SPEC).missing  # alone it is looked at: nothing is on it


def test_a_picture_beside_takes_the_scale_of_those_that_are_there(pictures):
    uploads = filled(pictures[:9])
    uploads.place("0", None, SPEC)
    assert uploads.place_beside(pictures[9], None, SPEC).side == uploads.survey(None).scale.side
    assert Uploads().place_beside(np.full((360, 363, 3), 220, np.uint8), None, SPEC).missing
