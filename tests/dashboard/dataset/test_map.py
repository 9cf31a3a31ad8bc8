"""The map's sample and table, and its figure."""

import numpy as np
import pandas as pd
import pytest

from core.datasets import get_dataset
from core.evaluation.embeddings import Projection
from dashboard.dataset.map import EmbeddedSample, draw_sample, map_scatter, map_table
from dashboard.style import class_colours

SPEC = get_dataset("synthetic")
NAMES = dict(zip(SPEC.codes, SPEC.class_names, strict=True))


@pytest.fixture(scope="module")
def loaded():
    return SPEC.load(28)


def test_the_sample_is_of_val_and_test_and_leads_back_to_the_pictures(loaded):
    found = draw_sample(loaded, 50)
    assert len(found) == 50
    assert set(found.splits) == {"val", "test"}
    assert np.array_equal(found.ids, draw_sample(loaded, 50).ids)
    order = np.array([49, 0, 7])
    images = found.images(loaded, order)
    for image, position in zip(images, order, strict=True):
        split = loaded[found.splits[position]]
        assert split.ids[found.rows[position]] == found.ids[position]
        assert split.labels[found.rows[position]] == found.labels[position]
        assert np.array_equal(split.images[found.rows[position]], image)
    assert found.find(found.name(7)) == 7
    assert found.find("test nothing-of-the-kind") is None
    assert len(draw_sample(loaded, 10**6)) == 800


def test_ids_that_stand_in_two_splits_are_told_apart(loaded):
    found = draw_sample(loaded, 50)
    found.ids[:] = "00001"
    assert {found.splits[found.find(f"{split} 00001")] for split in ("val", "test")} == {"val", "test"}


def test_a_row_a_picture(loaded):
    found = draw_sample(loaded, 12)
    drawn = Projection(np.arange(24, dtype=np.float32).reshape(12, 2))
    rows = map_table(EmbeddedSample(found, np.zeros((12, 3)), np.full(12, 0.5)), drawn, SPEC.codes)
    assert rows["class"].tolist() == [SPEC.codes[label] for label in found.labels]
    assert rows["y"].tolist() == list(range(1, 24, 2))


@pytest.mark.parametrize("dark", [False, True])
def test_every_point_knows_its_position_and_has_its_class_s_colour(dark):
    rows = pd.DataFrame(
        {"id": list("abc"), "split": "test", "class": ["NE", "BA", "NE"], "x": 0.0, "y": 1.0, "same_class": 1.0}
    )
    fig = map_scatter(rows, SPEC.codes, NAMES, title="t", axes=("", ""), dark=dark)
    assert [trace.name.split()[0] for trace in fig.data] == ["BA", "NE"]
    assert [point[0] for point in fig.data[1].customdata] == [0, 2]
    assert fig.data[1].marker.color == class_colours(SPEC.codes, dark)["NE"]
    assert [note.text for note in fig.layout.annotations] == ["<b>BA</b>", "<b>NE</b>"]
