"""Drawn cells: always the same, at every size, and told apart by their looks."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from core.datasets import get_dataset
from core.datasets.synthetic import draw_cells


def test_same_seed_same_cells_another_seed_others():
    labels = np.arange(8)
    first = draw_cells(labels, 28, seed=3)
    assert first.shape == (8, 28, 28, 3)
    assert first.dtype == np.uint8
    assert (first == draw_cells(labels, 28, seed=3)).all()
    assert (first != draw_cells(labels, 28, seed=4)).mean() > 0.5


def test_a_cell_does_not_depend_on_its_company():
    alone = draw_cells([5], 32, seed=1)
    among = draw_cells([5, 0, 1, 5], 32, seed=1)
    assert (alone[0] == among[0]).all()


def test_one_cell_looks_the_same_at_every_size():
    large = draw_cells([1, 6], 224, seed=2).reshape(2, 56, 4, 56, 4, 3).mean((2, 4))
    small = draw_cells([1, 6], 56, seed=2)
    assert np.abs(large - small).mean() < 6


@pytest.mark.parametrize("size", [1, 17, 28, 100])
def test_any_size_is_drawn(size):
    assert draw_cells(range(8), size, seed=0).shape == (8, size, size, 3)


def test_no_labels_no_cells_and_wrong_labels_are_refused():
    assert draw_cells([], 64, seed=0).shape == (0, 64, 64, 3)
    with pytest.raises(ValueError, match="0 to 7"):
        draw_cells([8], 28, seed=0)
    with pytest.raises(ValueError, match="0 to 7"):
        draw_cells([-1], 28, seed=0)


def test_cells_of_a_class_differ_from_each_other():
    cells = draw_cells([6] * 6, 28, seed=0).astype(float)
    distances = [np.abs(a - b).mean() for i, a in enumerate(cells) for b in cells[:i]]
    assert min(distances) > 4


def test_classes_are_told_apart_by_a_simple_classifier():
    labels = np.arange(480) % 8
    cells = draw_cells(labels, 28, seed=11).reshape(480, -1)
    forest = RandomForestClassifier(60, random_state=0).fit(cells[:320], labels[:320])
    assert forest.score(cells[320:], labels[320:]) > 0.9


def test_drawn_data_set_is_labelled_drawn_and_balanced():
    spec = get_dataset("synthetic")
    assert spec.real is False
    loaded = spec.load(28)
    assert loaded.provenance.kind == "drawn"
    assert loaded.provenance.label == "drawn, not real"
    assert {name: len(split) for name, split in loaded.splits.items()} == {"train": 1600, "val": 320, "test": 480}
    for split in loaded.splits.values():
        assert len(set(np.bincount(split.labels))) == 1
    assert spec.load(28) is loaded  # drawn once
    train = {image.tobytes() for image in loaded["train"].images}
    assert not any(image.tobytes() in train for image in loaded["test"].images)
