"""Features of pictures: the numbers themselves, the sample, the stored file."""

import numpy as np
import pytest

from core.datasets import get_dataset
from core.datasets import statistics as texture
from core.datasets.statistics import KEYS


def column(values: np.ndarray, key: str) -> np.ndarray:
    return values[:, KEYS.index(key)]


def test_a_plain_picture_has_no_texture():
    found = texture.texture_features(np.full((2, 16, 16, 3), 200, np.uint8))
    assert column(found, "brightness") == pytest.approx(200)
    assert column(found, "contrast") == pytest.approx(0)
    assert column(found, "dissimilarity") == pytest.approx(0)
    assert column(found, "homogeneity") == pytest.approx(1)
    assert column(found, "energy") == pytest.approx(1)
    assert column(found, "correlation") == pytest.approx(1)
    assert column(found, "size") == pytest.approx(100)  # all of one value: all of it is the dark part


def test_the_dark_part_is_counted_and_the_picture_beside_it_changes_nothing():
    images = np.full((2, 20, 20, 3), 220, np.uint8)
    images[0, 5:15, 5:13] = 40
    images[1, :2, :2] = 10
    assert column(texture.texture_features(images), "size") == pytest.approx([20, 1])


def test_texture_is_that_of_the_models():
    torch = pytest.importorskip("torch")
    from core.models.classical.features import PROPERTIES, CellSize, Cooccurrence, to_grey

    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 3), dtype=np.uint8)
    images[:, 8:20, 8:20] //= 4
    pixels = torch.tensor(images).permute(0, 3, 1, 2).float()
    expected = Cooccurrence(28).properties(to_grey(pixels))[:, :, 0].mean(2).numpy()
    found = texture.texture_features(images)
    for place, name in enumerate(PROPERTIES):
        assert column(found, name) == pytest.approx(expected[:, place], abs=1e-5)
    assert column(found, "size") == pytest.approx(100 * CellSize(28)(pixels)[:, 5].numpy(), abs=1e-4)


def test_many_pictures_are_measured_in_parts_of_the_same_numbers(monkeypatch):
    images = np.random.default_rng(1).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    whole = texture.texture_features(images)
    monkeypatch.setattr(texture, "CHUNK_PIXELS", 2 * 16 * 16)
    assert np.array_equal(texture.texture_features(images), whole)
    assert texture.texture_features(images[:0]).shape == (0, len(KEYS))


def test_the_sample_is_bounded_the_same_each_time_and_told_step_by_step():
    loaded = get_dataset("synthetic").load(28)
    steps = []
    found = texture.measure_texture(loaded, 5, steps.append)
    assert len(found.values) == 3 * 8 * 5 == steps[-1].done == steps[-1].total
    assert len(found.values_of("NE", "energy", "val")) == 5
    assert np.array_equal(found.values, texture.measure_texture(loaded, 5).values)
    assert not found.values.flags.writeable


def test_stored_and_read_again(tmp_path):
    found = texture.measure_texture(get_dataset("synthetic").load(28), 3)
    path = texture.save_texture(found, tmp_path)
    assert path.stat().st_size < 5000
    again = texture.load_texture("synthetic", 28, tmp_path)
    assert again.codes == found.codes
    assert again.provenance == found.provenance
    assert again.values == pytest.approx(found.values, rel=2e-3)
    assert np.array_equal(again.labels, found.labels)
    assert np.array_equal(again.splits, found.splits)


def test_a_broken_or_missing_file_is_none(tmp_path):
    assert texture.load_texture("synthetic", 28, tmp_path) is None
    (tmp_path / "synthetic-28-texture.safetensors").write_bytes(b"nothing of the kind")
    assert texture.load_texture("synthetic", 28, tmp_path) is None


def test_features_of_another_time_are_not_taken_for_todays(tmp_path, monkeypatch):
    texture.save_texture(texture.measure_texture(get_dataset("synthetic").load(28), 3), tmp_path)
    monkeypatch.setattr(texture, "KEYS", (*KEYS, "another"))
    assert texture.load_texture("synthetic", 28, tmp_path) is None


@pytest.mark.parametrize("size", [28, 64])
def test_what_ships_for_bloodmnist(size):
    found = texture.load_texture("bloodmnist", size)
    assert found.codes == get_dataset("bloodmnist").codes
    assert len(found.values_of("BA", "size", "train")) == texture.MAX_PER_CLASS
    assert np.isfinite(found.values).all()
