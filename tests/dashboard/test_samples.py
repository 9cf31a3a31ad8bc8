"""Sample cells: real where the data is, generated or drawn and labelled so where it is not."""

import numpy as np
import pytest

from core.datasets import get_dataset
from core.datasets.synthetic import PROVENANCE_LABEL as DRAWN
from core.generator import LABEL as GENERATED
from dashboard.samples import samples


@pytest.fixture(autouse=True)
def _empty(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path))


def write(path, size, value):
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = np.full((16, size, size, 3), value, np.uint8)
        arrays[f"{split}_labels"] = np.repeat(np.arange(8, dtype=np.uint8), 2)[:, None]
    arrays["test_images"][:] = value + 1
    np.savez(path, **arrays)


@pytest.mark.parametrize("kind", [DRAWN, GENERATED])
def test_other_cells_stand_in_and_say_so(kind, tmp_path, monkeypatch):
    if kind == DRAWN:
        monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path))  # no generator there
    cells = samples("bloodmnist", 64, per_class=2)
    assert [c.truth for c in cells[::2]] == list(get_dataset("bloodmnist").codes)
    assert len(cells) == 16
    assert all(c.source == kind and not c.real for c in cells)
    assert all(c.pixels.shape == (64, 64, 3) for c in cells)
    assert len({c.name for c in cells}) == 16


def test_real_cells_come_from_the_test_split_at_the_size_asked_for(tmp_path):
    write(tmp_path / "rebuilt_bloodmnist.npz", 28, 10)
    write(tmp_path / "rebuilt_bloodmnist_64.npz", 64, 20)
    for size, value in ((28, 11), (64, 21), (128, 21)):
        cells = samples("bloodmnist", size)
        assert [c.truth for c in cells] == list(get_dataset("bloodmnist").codes)
        assert all((c.pixels == value).all() for c in cells), size
        assert all("rebuilt" in c.source and "test split" in c.source and c.real for c in cells)


def test_a_broken_file_does_not_take_the_page_down(tmp_path):
    (tmp_path / "rebuilt_bloodmnist_64.npz").write_bytes(b"broken")
    assert not samples("bloodmnist", 64)[0].real


def test_drawn_sets_are_never_passed_off_as_real():
    assert all(not c.real for c in samples("synthetic", 64))
