"""Occlusion maps of classifiers that can be computed by hand."""

import numpy as np
import pytest

from core.explain.occlusion import border_colour, occluded_images, occlusion
from core.inference import engine
from core.probabilities import softmax


@pytest.fixture
def cell():
    """A white picture of 40 x 40 px with one dark square, rows 8 to 11, columns 24 to 31."""
    picture = np.full((40, 40, 3), 250, np.uint8)
    picture[8:12, 24:32] = 20
    return picture


def darkness(pictures):
    """Two classes; the first is the likelier the more dark pixels there are."""
    dark = (pictures.mean(axis=3) < 100).mean(axis=(1, 2))
    return softmax(np.stack([200 * dark, np.full(len(pictures), 2.0)], axis=1))


def test_what_the_answer_needs_is_found(cell):
    found = occlusion(darkness, cell, 0)
    assert found.values.shape == (10, 10)
    assert found.values.max() == 1
    assert set(zip(*np.nonzero(found.values == 1), strict=True)) == {(2, 6), (2, 7)}
    assert set(np.flatnonzero(found.values.sum(1))) <= {1, 2, 3}  # rows of places that touch the square
    assert set(np.flatnonzero(found.values.sum(0))) <= {5, 6, 7, 8}
    assert found.minimum < found.baseline
    assert not found.is_empty


def test_a_class_that_only_gains_has_an_empty_map(cell):
    found = occlusion(darkness, cell, 1)
    assert found.is_empty
    assert found.baseline == pytest.approx(float(darkness(cell[None])[0, 1]))


@pytest.mark.parametrize("side", [28, 64, 30])
def test_covers_leave_no_pixel_unseen_and_only_their_own_place_changed(side):
    picture = np.random.default_rng(0).integers(1, 200, (side, side, 3), dtype=np.uint8)
    picture[0] = picture[-1] = 0
    picture[:, 0] = picture[:, -1] = 0
    pieces = occluded_images(picture)
    assert pieces.shape == (100, side, side, 3)
    changed = (pieces != picture).any(axis=3)
    inner = np.s_[side // 16 + 1 : -side // 16 - 1]
    assert changed.any(axis=0)[inner, inner].mean() > 0.95
    assert changed.reshape(100, -1).mean(1).max() <= 0.06  # a window of two places a side


def test_the_cover_has_the_colour_around_the_cell(cell):
    assert border_colour(cell).tolist() == [250, 250, 250]


def test_it_reads_whatever_the_engine_serves(make_run, colour):
    run, picture = make_run(size=40), colour((60, 60, 60), 40, 40)
    picture[10:20, 10:20] = (255, 0, 0)  # the stub calls red pictures basophils
    found = occlusion(lambda pictures: softmax(engine.logits(run, pictures)), picture, 0)
    assert np.unravel_index(found.values.argmax(), found.values.shape)[0] in (2, 3, 4)
