"""Copies and near copies are found and grouped, different cells are not; in files as in memory."""

import numpy as np
import pytest

from core.datasets.base import ImageRows
from core.datasets.quality.near_duplicates import near_duplicate_groups, near_duplicate_pairs
from core.datasets.synthetic import draw_cells
from tests.core.datasets.planted import stored_anew

SIZE = 32


@pytest.fixture(scope="module")
def cells():
    return draw_cells(np.arange(160) % 8, SIZE, seed=5)


def planted(cells):
    images = cells.copy()
    images[100], images[120], images[121] = images[10], images[20], images[20]
    images[110], images[159] = stored_anew(images[30]), stored_anew(images[31])
    return images


def test_planted_copies_are_found_and_nothing_else(cells):
    pairs = near_duplicate_pairs(planted(cells))
    found = {
        (int(a), int(b)): bool(same) for a, b, same in zip(pairs.first, pairs.second, pairs.identical, strict=True)
    }
    assert found == {(10, 100): True, (20, 120): True, (20, 121): True, (30, 110): False, (31, 159): False}
    assert (pairs.similarity >= pairs.threshold).all()


def test_groups_join_copies_of_copies_and_number_them_in_order(cells):
    images = planted(cells)
    images[158] = images[159]  # a copy of a near copy
    groups = near_duplicate_groups(images)
    assert groups.dtype == np.int64
    assert groups.shape == (160,)
    assert len(np.unique(groups)) == groups.max() + 1 == 160 - 6
    assert groups[31] == groups[158] == groups[159]
    assert groups[20] == groups[120] == groups[121]
    assert groups[0] == 0
    assert groups[1] == 1


def test_rows_on_disk_give_the_same(tmp_path, cells):
    images = planted(cells)
    np.save(tmp_path / "images.npy", images)
    rows = ImageRows(tmp_path / "images.npy", np.arange(len(images)))
    assert np.array_equal(near_duplicate_groups(rows), near_duplicate_groups(images))


@pytest.mark.parametrize("number", [0, 1, 2, 3, 7])
def test_few_pictures(cells, number):
    images = cells[:number]
    assert np.array_equal(near_duplicate_groups(images), np.arange(number))
    if number:
        assert near_duplicate_groups(np.concatenate([images, images[:1]]))[-1] == 0


def test_blank_pictures_are_one_group():
    assert near_duplicate_groups(np.full((50, 16, 16, 3), 200, np.uint8)).max() == 0


def test_progress_is_told(cells):
    steps = []
    near_duplicate_groups(planted(cells), report=steps.append)
    assert {step.message for step in steps} == {"reading", "comparing"}
    assert all(0 < step.done <= step.total for step in steps)
