"""What every registered data set promises, and that one file adds one."""

import sys

import numpy as np
import pytest

import core.datasets
from core.cli import main
from core.datasets import SPLITS, DatasetUnavailable, base, content_hash, dataset_names, get_dataset, splits
from core.datasets.quality.audit import audit, audit_text
from core.datasets.statistics import load_summary, measure_texture

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


MODULE = '''
"""Three shades, as CONTRIBUTING tells to add a data set: one file."""

import numpy as np

from core.datasets import (
    SPLITS, CellClass, DatasetSpec, DatasetUnavailable, LoadedDataset, Provenance, Split, content_hash, register
)
from core.progress import silent

MEANING = "A drawn square of one colour, with noise, which is here only so that a recipe can be followed."


def load(size, content_hash_=None, scheme="", report=silent):
    rng, splits = np.random.default_rng(0), {}
    for split, count in zip(SPLITS, (60, 30, 30), strict=True):
        labels = np.arange(count) % 3
        images = rng.integers(0, 90, (count, size, size, 3), dtype=np.uint8)
        images[np.arange(count), :, :, labels] += 120
        splits[split] = Split(images, labels, np.array([f"{split}-{i}" for i in range(count)]))
    return LoadedDataset(SPEC, size, Provenance("drawn", "shades of a test", content_hash(splits)), splits)


SPEC = register(
    DatasetSpec(
        name="shades", title="Shades", summary="Drawn squares.", sizes=(16,), real=False, domain="squares",
        classes=tuple(CellClass(name[:2].upper(), name, MEANING) for name in ("red", "green", "blue")),
        licence="none", citation="none", url="", load=load, available=lambda size: size == 16,
    )
)
'''


@pytest.fixture
def _one_file_more(tmp_path, monkeypatch):
    """A module in the package of data sets that is gone again afterwards."""
    dataset_names()
    (tmp_path / "shades_of_a_test.py").write_text(MODULE)
    monkeypatch.setattr(core.datasets, "__path__", [*core.datasets.__path__, str(tmp_path)])
    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))
    base._discover.cache_clear()
    yield
    sys.modules.pop("core.datasets.shades_of_a_test", None)


@pytest.mark.usefixtures("_one_file_more")
def test_a_data_set_is_added_by_one_file_and_all_serves_it(capsys):
    assert dataset_names()[-2:] == ["shades", "synthetic"]
    spec = get_dataset("shades")
    loaded = spec.load(16)
    summary = load_summary("shades", 16)
    assert summary.shares == pytest.approx([1 / 3] * 3)
    assert summary.likeness.argmax(1).tolist() == [0, 1, 2]
    assert len(measure_texture(loaded, 5).values) == 45
    found = audit(loaded)
    assert found.codes == spec.codes
    assert not found.duplicates
    assert "Shades, 16 px, shades of a test" in audit_text(found, loaded)
    labels = np.concatenate([loaded[split].labels for split in SPLITS])
    for where in (splits.random_split(labels), splits.grouped_split(labels, np.arange(len(labels)) // 2)):
        assert set(where) == {0, 1, 2}
    assert main(["datasets", "list"]) == 0
    assert "shades: Shades. Drawn squares." in capsys.readouterr().out
    assert main(["datasets", "audit", "shades"]) == 0
