"""Identical images are found wherever they are, with what is known of each."""

import numpy as np
import pytest

from core.datasets import bloodmnist, get_dataset
from core.datasets.base import LoadedDataset, Provenance, Split
from core.datasets.quality.near_duplicates import identical_images


def loaded(**parts: list[tuple[str, int, int]]) -> LoadedDataset:
    """A data set of plain images from (id, label, grey) by split."""
    splits = {}
    for name in ("train", "val", "test"):
        rows = parts.get(name, [])
        images = np.array([np.full((4, 4, 3), grey) for _, _, grey in rows], np.uint8).reshape(-1, 4, 4, 3)
        splits[name] = Split(
            images, np.array([label for _, label, _ in rows], int), np.array([i for i, _, _ in rows], "U5")
        )
    return LoadedDataset(get_dataset("synthetic"), 4, Provenance("drawn", "made for tests", "0"), splits)


def test_twins_across_splits_and_labels():
    found = identical_images(
        loaded(train=[("a", 0, 10), ("b", 1, 20)], val=[("c", 2, 30)], test=[("d", 3, 20), ("e", 1, 20), ("f", 0, 11)])
    )
    assert found == [(("train", "b", 1), ("test", "d", 3), ("test", "e", 1))]
    assert found[0][1].split == "test"


def test_none_where_every_image_is_its_own():
    assert identical_images(loaded(train=[("a", 0, 1)], test=[("b", 0, 2)])) == []


@pytest.mark.realdata
def test_bloodmnist_holds_17_pairs_one_with_two_labels():
    if not any(kind == "rebuilt" for _, kind, _ in bloodmnist.builds(28)):
        pytest.skip("the rebuilt BloodMNIST at 28 px is not in the data root")
    found = identical_images(bloodmnist.load(28))
    assert len(found) == 17
    assert sum(len({m.split for m in members}) > 1 for members in found) == 9
    assert [{m.id for m in members} for members in found if len({m.label for m in members}) > 1] == [{"06961", "07542"}]
