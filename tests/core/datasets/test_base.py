"""Rows of a file look like an array and leave no memory behind; specs raise what they promise."""

from pathlib import Path

import numpy as np
import pytest

from core.datasets import UnknownDataset, get_dataset
from core.datasets.base import ImageRows


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.arange(60, dtype=np.uint8).reshape(10, 2, 3))
    return ImageRows(path, np.array([7, 0, 3]))


def test_they_are_indexed_like_an_array(rows):
    whole = np.arange(60, dtype=np.uint8).reshape(10, 2, 3)[[7, 0, 3]]
    assert len(rows) == 3
    assert rows.shape == (3, 2, 3)
    assert rows.dtype == np.uint8
    assert (rows[0] == whole[0]).all()
    assert (rows[1:] == whole[1:]).all()
    assert (rows[np.array([2, 0])] == whole[[2, 0]]).all()
    assert (rows[np.array([True, False, True])] == whole[[0, 2]]).all()
    assert (np.asarray(rows) == whole).all()
    assert (np.stack(list(rows)) == whole).all()
    assert rows[:0].shape == (0, 2, 3)
    assert rows.nbytes == whole.nbytes


def test_they_can_not_be_written_to(rows):
    rows.setflags(write=False)
    with pytest.raises(ValueError, match="written"):
        rows.setflags(write=True)


def test_a_file_that_was_cut_off_is_an_error(rows):
    content = rows.path.read_bytes()
    rows.path.write_bytes(content[:-20])
    with pytest.raises(OSError, match="shorter"):
        ImageRows(rows.path, np.array([9]))[0]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory figures from Linux's /proc")
def test_reading_a_large_file_leaves_no_memory_behind(tmp_path):
    def resident() -> int:
        line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS"))
        return int(line.split()[1]) // 1024

    path = tmp_path / "large.npy"
    large = np.lib.format.open_memmap(path, "w+", np.uint8, (30_000, 64, 64, 3))  # 369 MB, all zeros
    del large
    before = resident()
    for chunk in ImageRows(path, np.arange(30_000)):
        assert not chunk.any()
    assert resident() - before < 50


def test_some_classes_in_another_order_and_what_is_not_there_is_a_key_error():
    spec = get_dataset("bloodmnist")
    assert spec.with_classes(["NE", "BA"]).names == {"NE": "neutrophil", "BA": "basophil"}
    with pytest.raises(KeyError):
        spec.with_classes(["NE", "XX"])
    assert get_dataset("all4").scheme("").name == "grouped"
    assert spec.scheme("") is None
    with pytest.raises(KeyError):
        get_dataset("all4").scheme("by the moon")


def test_an_unknown_name_is_a_lookup_error_that_is_no_key_error():
    with pytest.raises(UnknownDataset) as raised:
        get_dataset("nothing")
    assert isinstance(raised.value, LookupError)
    assert not isinstance(raised.value, KeyError)
    assert "there are: bloodmnist" in str(raised.value)
