"""What a data set is like, in numbers small enough to ship: counts, mean cells, colours, likeness, duplicates.

`summarize` computes a `Summary` from the images, `save_summary` writes it as one JSON and one
safetensors file, `load_summary` reads the shipped one, so that a page works without the images.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from core.datasets.base import SPLITS, LoadedDataset, Provenance, get_dataset
from core.datasets.rows import Rows
from core.datasets.twins import identical_images

FOLDER = Path(__file__).parent / "summaries"
BINS = 32
MEAN_SIDE = 64  # a mean cell has nothing finer to show
RINGS = 12
DISC = 0.6  # of the side: here the cell lies, around it mostly plasma and red cells
CHUNK = 256


@dataclass(frozen=True)
class Summary:
    """Statistics of one build of a data set at one ``size``; C classes in the data set's order.

    ``counts``: split to int64 (C,). ``mean_cells`` uint8 (C, M, M, 3): the mean of all training
    images, M = min(size, 64). ``histograms`` float32 (C, 3, 32): shares of the pixels
    in the middle of the training images (a disc of 0.6 of the side, where the cell is) by level of
    red, green, blue (each adds up to 1), over bins of 8 levels. ``colour_mean``, ``colour_std``
    float32 (C, 3): over the same pixels, 0 to 255.
    ``likeness`` float32 (C, C): of the val images of a class (row), the share whose most similar
    training image (by colour at each distance from the middle) is of the class of the column.
    ``duplicates``: number of groups of images that are the same to the pixel: 'groups', those that
    span splits ('across_splits') and those with more than one label ('labels_differ').
    """

    dataset: str
    size: int
    codes: tuple[str, ...]
    provenance: Provenance
    counts: dict[str, np.ndarray]
    mean_cells: np.ndarray
    histograms: np.ndarray
    colour_mean: np.ndarray
    colour_std: np.ndarray
    likeness: np.ndarray
    duplicates: dict[str, int]

    @property
    def total(self) -> int:
        """Images in all splits."""
        return int(sum(c.sum() for c in self.counts.values()))

    @property
    def by_class(self) -> np.ndarray:
        """Images of each class in all splits, int64 (C,)."""
        return np.sum(list(self.counts.values()), axis=0)

    @property
    def shares(self) -> np.ndarray:
        """Share of each class in all splits, float (C,), adding up to 1."""
        return self.by_class / self.total

    @property
    def imbalance(self) -> float:
        """The commonest class's count over the rarest's."""
        return float(self.by_class.max() / self.by_class.min())

    def neighbours(self, code: str, most: int = 2) -> list[tuple[str, float]]:
        """The other classes that ``code``'s cells resemble, the nearest first, each with its share."""
        row = self.likeness[self.codes.index(code)]
        order = [int(k) for k in np.argsort(-row, kind="stable") if self.codes[k] != code]
        return [(self.codes[k], float(row[k])) for k in order[:most]]


def summarize(loaded: LoadedDataset) -> Summary:
    """Compute the `Summary` of a data set in memory; some seconds for BloodMNIST at 64 px."""
    train, classes = loaded["train"], len(loaded.spec.codes)
    counts = {s: np.bincount(loaded[s].labels, minlength=classes).astype(np.int64) for s in SPLITS}
    sums = np.zeros((classes, loaded.size, loaded.size, 3))
    bins = np.zeros((classes, 3, 256))
    middle = _from_middle(loaded.size) < DISC / 2
    for label in range(classes):
        members = np.flatnonzero(train.labels == label)
        for part in _parts(train.images, members):
            sums[label] += part.sum(0, dtype=np.float64)
            bins[label] += [np.bincount(part[..., c][:, middle].ravel(), minlength=256) for c in range(3)]
    levels = np.arange(256)
    shares = bins / np.maximum(bins.sum(-1, keepdims=True), 1)
    mean = shares @ levels
    deviation = np.sqrt(np.maximum(shares @ levels**2 - mean**2, 0))
    cells = sums / np.maximum(counts["train"], 1)[:, None, None, None]
    return Summary(
        dataset=loaded.spec.name,
        size=loaded.size,
        codes=loaded.spec.codes,
        provenance=loaded.provenance,
        counts=counts,
        mean_cells=_smaller(cells),
        histograms=shares.reshape(classes, 3, BINS, -1).sum(-1).astype(np.float32),
        colour_mean=mean.astype(np.float32),
        colour_std=deviation.astype(np.float32),
        likeness=_likeness(loaded, classes),
        duplicates=_duplicates(loaded),
    )


def save_summary(summary: Summary, folder: Path = FOLDER) -> tuple[Path, Path]:
    """Write <dataset>-<size>.json and .safetensors into ``folder``; returns both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "dataset": summary.dataset,
        "size": summary.size,
        "codes": list(summary.codes),
        "provenance": summary.provenance.as_json(),
        "counts": {split: counts.tolist() for split, counts in summary.counts.items()},
        "duplicates": summary.duplicates,
    }
    arrays = {name: np.ascontiguousarray(getattr(summary, name)) for name in _ARRAYS}
    as_json, as_arrays = _paths(summary.dataset, summary.size, folder)
    as_json.write_text(json.dumps(facts, indent=1) + "\n")
    save_file(arrays, as_arrays)
    as_arrays.chmod(0o644)  # safetensors leaves the file readable by its owner alone
    return as_json, as_arrays


def load_summary(dataset: str, size: int, folder: Path = FOLDER) -> Summary | None:
    """The shipped summary of a data set at ``size``; None where none is shipped or it can't be read.

    A drawn data set's is computed instead (some seconds).
    """
    spec = get_dataset(dataset)
    as_json, as_arrays = _paths(dataset, size, folder)
    if as_json.is_file() and as_arrays.is_file():
        try:
            facts = json.loads(as_json.read_text())
            arrays = load_file(as_arrays)
            return Summary(
                dataset=facts["dataset"],
                size=facts["size"],
                codes=tuple(facts["codes"]),
                provenance=Provenance(**facts["provenance"]),
                counts={split: np.array(counts, np.int64) for split, counts in facts["counts"].items()},
                duplicates=facts["duplicates"],
                **{name: arrays[name] for name in _ARRAYS},
            )
        except (ValueError, KeyError, TypeError, OSError, SafetensorError):
            return None
    if not spec.real and size in spec.sizes:
        return summarize(spec.load(size))
    return None


_ARRAYS = ("mean_cells", "histograms", "colour_mean", "colour_std", "likeness")


def _paths(dataset: str, size: int, folder: Path) -> tuple[Path, Path]:
    return folder / f"{dataset}-{size}.json", folder / f"{dataset}-{size}.safetensors"


def _parts(images: np.ndarray | Rows, chosen: np.ndarray | None = None) -> Iterator[np.ndarray]:
    chosen = np.arange(len(images)) if chosen is None else chosen
    for start in range(0, len(chosen), CHUNK):
        yield images[chosen[start : start + CHUNK]]


def _smaller(cells: np.ndarray) -> np.ndarray:
    """Mean cells as uint8, averaged down to MEAN_SIDE at most."""
    from PIL import Image

    out = np.clip(cells + 0.5, 0, 255).astype(np.uint8)
    if out.shape[1] <= MEAN_SIDE:
        return out
    side = (MEAN_SIDE, MEAN_SIDE)
    return np.stack([np.asarray(Image.fromarray(cell).resize(side, Image.Resampling.BOX)) for cell in out])


def _from_middle(side: int) -> np.ndarray:
    """(side, side): how far each pixel is from the middle, in units of the side."""
    at = (np.arange(side) + 0.5) / side - 0.5
    return np.hypot(at[:, None], at[None, :])


def _rings(images: np.ndarray | Rows) -> np.ndarray:
    """Mean and deviation of each colour in rings around the middle, float32 (N, RINGS * 6)."""
    side = images.shape[1]
    ring = np.minimum((_from_middle(side) / 0.55 * RINGS).astype(int), RINGS - 1).ravel()
    member = (ring[:, None] == np.arange(RINGS)).astype(np.float32)
    member /= np.maximum(member.sum(0), 1)
    out = []
    for part in _parts(images):
        pixels = part.reshape(len(part), -1, 3).transpose(0, 2, 1).astype(np.float32) / 255
        mean = pixels @ member
        deviation = np.sqrt(np.maximum((pixels * pixels) @ member - mean * mean, 0))
        out.append(np.concatenate([mean, deviation], 1).reshape(len(part), -1))
    return np.concatenate(out)


def _likeness(loaded: LoadedDataset, classes: int) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    train, val = _rings(loaded["train"].images), _rings(loaded["val"].images)
    spread = train.std(0) + 1e-6
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(train / spread)
    index = nearest.kneighbors(val / spread, return_distance=False)[:, 0]
    table = np.zeros((classes, classes), np.float32)
    np.add.at(table, (loaded["val"].labels, loaded["train"].labels[index]), 1)
    return table / np.maximum(table.sum(1, keepdims=True), 1)


def _duplicates(loaded: LoadedDataset) -> dict[str, int]:
    groups = identical_images(loaded)
    return {
        "groups": len(groups),
        "across_splits": sum(len({member.split for member in members}) > 1 for members in groups),
        "labels_differ": sum(len({member.label for member in members}) > 1 for members in groups),
    }
