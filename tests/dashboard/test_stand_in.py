"""What stands in for real cells: generated where a generator is, else drawn; each says which."""

import numpy as np
import pytest
import streamlit as st

from core.datasets import get_dataset
from core.generator import FACTS, FLOW, LABEL, SHEET
from core.progress import Progress
from dashboard import samples as samples_module
from dashboard.dataset.gallery import PLACEHOLDER_PAGES, gallery_page
from dashboard.samples import samples
from tests.fake_generator import write_generator

SPEC = get_dataset("bloodmnist")


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    st.cache_resource.clear()
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path / "shipped"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    return tmp_path / "shipped"


def test_without_a_generator_cells_are_drawn_and_say_so():
    assert samples_module.placeholder_label(SPEC) == samples_module.DRAWN
    assert samples_module.placeholder_help(SPEC) is None
    drawn = samples_module.placeholder_page(SPEC, 28, "LY", 1)
    assert drawn.shape == (20, 28, 28, 3)
    assert not np.array_equal(drawn, samples_module.placeholder_page(SPEC, 28, "LY", 2))
    assert len(samples_module.placeholder_cells(SPEC, 28, "LY", 3)) == 3
    assert {cell.name for cell in samples("bloodmnist", 28)} >= {"BA drawn 1", "PLT drawn 1"}


def test_generated_cells_take_their_place_and_say_so(root):
    write_generator(root)
    assert samples_module.placeholder_label(SPEC) == LABEL
    assert "93 % of 800" in samples_module.placeholder_help(SPEC)
    cells = samples("bloodmnist", 32, per_class=2)
    assert [cell.name for cell in cells[:3]] == ["BA generated 1", "BA generated 2", "EO generated 1"]
    assert all(cell.source == LABEL and not cell.real for cell in cells)
    assert np.abs(cells[3].pixels.mean() - 21) < 3  # the second eosinophil of the sheet
    page = gallery_page(SPEC, None, 32, "EO", "train", 1)
    assert (page.source, page.real, page.total) == (LABEL, False, 20 * PLACEHOLDER_PAGES)
    assert np.array_equal(page.images[1], cells[3].pixels)


def test_further_pages_are_made_once_and_tell_how_far_they_are(root):
    write_generator(root)
    told: list[Progress] = []
    first = samples_module.placeholder_page(SPEC, 32, "MO", 1, told.append)
    assert first.shape == (20, 32, 32, 3)
    assert told[-1].done == told[-1].total == 20
    told.clear()
    assert np.array_equal(samples_module.placeholder_page(SPEC, 32, "MO", 1, told.append), first)
    assert not told
    assert not np.array_equal(samples_module.placeholder_page(SPEC, 32, "MO", 2), first)


def test_they_are_reduced_but_never_enlarged(root):
    write_generator(root)
    assert samples_module.placeholder_page(SPEC, 28, "BA", 0).shape == (20, 28, 28, 3)
    assert samples_module.placeholder_page(SPEC, 128, "BA", 0).shape == (20, 32, 32, 3)


@pytest.mark.parametrize("file", [FACTS, SHEET])
def test_a_broken_generator_leaves_the_drawn_cells(root, file):
    made = write_generator(root)
    (made.path / file).write_bytes(b"broken")
    assert samples_module.placeholder_label(SPEC) == samples_module.DRAWN
    assert len(samples("bloodmnist", 28)) == 8


def test_drawn_sets_stay_drawn_and_others_have_nothing(root):
    write_generator(root)
    assert samples_module.placeholder_label(get_dataset("synthetic")) == samples_module.DRAWN
    assert not samples_module.has_placeholders(get_dataset("bone_marrow"))
    assert samples("bone_marrow", 64) == []


def test_a_page_that_can_not_be_made_is_an_error_in_words(root):
    made = write_generator(root)
    (made.path / FLOW).write_bytes(b"broken")
    with pytest.raises(samples_module.BadGenerator, match="restore its folder"):
        samples_module.placeholder_page(SPEC, 32, "BA", 1)
