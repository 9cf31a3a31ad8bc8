"""Statistics of a data set: computed on images made for it, shipped, read again."""

import numpy as np
import pytest

from core.datasets import SPLITS, LoadedDataset, Provenance, Split, bloodmnist, get_dataset
from core.datasets.statistics import SUMMARIES, load_summary, save_summary, summarize


def made(size=28, per_class=3):
    """Eight classes of plain colours: level 20 * class of red, 255 of green, 0 of blue."""
    splits = {}
    for number, split in enumerate(SPLITS):
        labels = np.repeat(np.arange(8), per_class)
        images = np.zeros((len(labels), size, size, 3), np.uint8)
        images[..., 0] = 20 * labels[:, None, None]
        images[..., 1] = 255
        images[:, 0, 0, 2] = 3 * np.arange(len(labels)) + number  # no two alike
        splits[split] = Split(images, labels.astype(np.int64), np.arange(len(labels)).astype(str))
    return LoadedDataset(get_dataset("bloodmnist"), size, Provenance("other", "made", "abc"), splits)


def test_counts_means_and_colours():
    summary = summarize(made())
    assert summary.total == 72
    assert summary.imbalance == 1
    np.testing.assert_allclose(summary.shares, 1 / 8)
    assert (summary.mean_cells[3, 5, 5] == (60, 255, 0)).all()
    np.testing.assert_allclose(summary.colour_mean[:, 0], 20 * np.arange(8), atol=1e-3)
    np.testing.assert_allclose(summary.histograms.sum(-1), 1, atol=1e-5)
    assert summary.histograms[3, 0].argmax() == 60 // 8
    assert summary.histograms[3, 1].argmax() == 31


def test_colours_are_those_of_the_middle():
    data = made(size=64)
    for split in data.splits.values():
        split.images[:, :8, :, 0] = 255  # above the cell
        split.images[:, 30:34, 30:34, 2] = 200  # in its middle
    summary = summarize(data)
    assert summary.histograms[0, 0].argmax() == 0
    assert summary.histograms[0, 0, 31] == 0
    assert 0 < summary.histograms[0, 2, 200 // 8] == pytest.approx(16 / (np.pi * (0.3 * 64) ** 2), rel=0.05)


def test_likeness_finds_the_class_and_its_neighbour():
    summary = summarize(made())
    np.testing.assert_allclose(summary.likeness, np.eye(8), atol=1e-6)
    swapped = made()
    swapped["val"].labels[swapped["val"].labels == 2] = 5  # val cells of ERB are called MO
    near = summarize(swapped).neighbours("MO")
    assert near[0] == ("ERB", pytest.approx(0.5))


def test_duplicates_are_counted_with_their_splits_and_labels():
    data = made()
    train, test = data["train"], data["test"]
    train.images[1] = train.images[0]  # same split, same label
    test.images[0] = train.images[2]  # across splits
    train.images[6] = train.images[9]  # labels differ: 2 and 3
    assert summarize(data).duplicates == {"groups": 3, "across_splits": 1, "labels_differ": 1}


def test_imbalance_is_commonest_over_rarest():
    data = made()
    data["train"].labels[:2] = 1
    assert summarize(data).imbalance == pytest.approx(11 / 7)


def test_written_and_read_again(tmp_path):
    summary = summarize(made())
    paths = save_summary(summary, tmp_path)
    assert [p.suffix for p in paths] == [".json", ".safetensors"]
    again = load_summary("bloodmnist", 28, tmp_path)
    assert again.provenance == summary.provenance
    assert again.codes == summary.codes
    assert again.duplicates == summary.duplicates
    for split in SPLITS:
        assert (again.counts[split] == summary.counts[split]).all()
    for name in ("mean_cells", "histograms", "colour_mean", "likeness"):
        np.testing.assert_array_equal(getattr(again, name), getattr(summary, name))


def test_broken_or_absent_summary_is_none(tmp_path):
    assert load_summary("bloodmnist", 28, tmp_path) is None
    for path in save_summary(summarize(made()), tmp_path):
        path.write_bytes(path.read_bytes()[:40])
    assert load_summary("bloodmnist", 28, tmp_path) is None


def test_mean_cells_of_large_images_are_made_smaller():
    assert summarize(made(size=128, per_class=1)).mean_cells.shape == (8, 64, 64, 3)


@pytest.mark.parametrize("size", [28, 64])
def test_shipped_summary_of_bloodmnist(size):
    summary = load_summary("bloodmnist", size)
    assert {s: int(c.sum()) for s, c in summary.counts.items()} == bloodmnist.medmnist_info()["n_samples"]
    assert summary.codes == get_dataset("bloodmnist").codes
    assert summary.mean_cells.shape == (8, size, size, 3)
    assert summary.provenance.label
    assert len(summary.provenance.content_hash) == 12
    np.testing.assert_allclose(summary.likeness.sum(1), 1, atol=1e-5)


def test_shipped_summaries_are_small():
    assert sum(p.stat().st_size for p in SUMMARIES.iterdir()) < 800_000


def test_summary_of_drawn_cells_is_computed():
    summary = load_summary("synthetic", 28)
    assert summary.provenance.kind == "drawn"
    assert summary.total == 2400
