"""What every registered data set promises."""

import numpy as np
import pytest

from core.datasets import SPLITS, DatasetUnavailable, content_hash, dataset_names, get_dataset

NAMES = dataset_names()


@pytest.fixture(autouse=True)
def _no_real_data(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", NAMES)
def test_spec_is_complete(name):
    spec = get_dataset(name)
    assert spec.name == name
    assert spec.title
    assert spec.summary
    assert spec.domain
    assert spec.licence
    assert spec.citation
    assert len(set(spec.codes)) == len(spec.codes) >= 2
    assert spec.sizes == tuple(sorted(set(spec.sizes)))
    for cell in spec.classes:
        assert 2 <= len(cell.code) <= 3
        assert cell.name
        assert cell.description[0].isupper()
        assert cell.description.endswith(".")
        assert len(cell.description) > 60
    assert (spec.parent_side is None) == (spec.parent_crop is None)


@pytest.mark.parametrize("name", NAMES)
def test_loads_or_says_why_not(name):
    spec = get_dataset(name)
    size = spec.sizes[0]
    if not spec.available(size):
        with pytest.raises(DatasetUnavailable, match="download"):
            spec.load(size)
        return
    loaded = spec.load(size)
    assert loaded.spec is spec
    assert loaded.size == size
    assert tuple(loaded.splits) == SPLITS
    assert loaded.provenance.content_hash == content_hash(loaded.splits)
    assert loaded.provenance.kind in {"official", "rebuilt", "other", "drawn"}
    assert (loaded.provenance.kind == "drawn") == (not spec.real)
    ids = np.concatenate([s.ids for s in loaded.splits.values()])
    assert len(set(ids)) == len(ids)
    for split in loaded.splits.values():
        assert split.images.shape == (len(split), size, size, 3)
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert split.labels.shape == split.ids.shape == (len(split),)
        assert set(np.unique(split.labels)) == set(range(len(spec.codes)))
        for array in (split.images, split.labels, split.ids):
            assert not array.flags.writeable


@pytest.mark.parametrize("name", NAMES)
def test_refuses_a_size_or_content_that_is_not_there(name):
    spec = get_dataset(name)
    assert not spec.available(29)
    with pytest.raises(DatasetUnavailable, match="29 px"):
        spec.load(29)
    with pytest.raises(DatasetUnavailable):
        spec.load(spec.sizes[0], content_hash="0" * 12)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(LookupError, match="bloodmnist"):
        get_dataset("nothing")
