"""Brightness, texture and size of a data set's pictures, one number each: what tells classes apart without a model.

Texture is that of grey-level co-occurrence matrices (Haralick et al. 1973, doi:10.1109/TSMC.1973.4309314), the size
that of the part darker than Otsu's threshold (Otsu 1979, doi:10.1109/TSMC.1979.4310076).
`measure` takes the numbers from a seeded sample of the pictures, `save` and `load` keep them in one small file, so
that a page works without the pictures.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from core.datasets.base import SPLITS, LoadedDataset, Provenance
from core.progress import Progress

FOLDER = Path(__file__).parent / "summaries"
LEVELS = 16  # grey levels that are told apart in a matrix
STEPS = ((0, 1), (1, 1), (1, 0), (1, -1))  # (down, right): the neighbours at 0, 45, 90 and 135 degrees
MOST = 400  # pictures a class and split
FEWEST = 60  # of large pictures, for which the pixels set the limit
PIXELS = MOST * 64 * 64
CHUNK_PIXELS = 2**18  # measured together: what fits the processor's cache
FLAT = 1e-9  # variance of the levels below which a picture has one level only


@dataclass(frozen=True)
class Feature:
    """One number of a picture: ``key``, ``title``, ``unit`` ('' where it has none) and what it says in a sentence."""

    key: str
    title: str
    unit: str
    meaning: str

    @property
    def axis(self) -> str:
        """What stands at its axis."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


FEATURES = (
    Feature("brightness", "Mean intensity", "0 dark, 255 light", "How light the whole picture is."),
    Feature(
        "size", "Size of the dark part", "% of the picture", "How much of the picture is stained dark: mostly nuclei."
    ),
    Feature("contrast", "Contrast", "", "How far neighbouring pixels differ, large steps counting most."),
    Feature("dissimilarity", "Dissimilarity", "", "How far neighbouring pixels differ, every step counting alike."),
    Feature("homogeneity", "Homogeneity", "", "How often neighbouring pixels have about the same grey level."),
    Feature("energy", "Energy", "", "How few pairs of grey levels make up the picture: high where it is uniform."),
    Feature("correlation", "Correlation", "", "How well a pixel tells its neighbour: high where areas are smooth."),
)
KEYS = tuple(feature.key for feature in FEATURES)


@dataclass(frozen=True)
class TextureStatistics:
    """The features of a sample of N pictures of one build of a data set at one ``size``.

    ``values`` float32 (N, 7) in the order of `FEATURES`; ``labels`` int64 (N,) index ``codes``, ``splits`` int64
    (N,) index `core.datasets.base.SPLITS`.
    """

    dataset: str
    size: int
    codes: tuple[str, ...]
    provenance: Provenance
    values: np.ndarray
    labels: np.ndarray
    splits: np.ndarray

    def of(self, code: str, key: str, split: str) -> np.ndarray:
        """The values of one feature over the sampled pictures of a class in a split, float32 (n,)."""
        chosen = (self.labels == self.codes.index(code)) & (self.splits == SPLITS.index(split))
        return self.values[chosen, KEYS.index(key)]


def features(images: np.ndarray) -> np.ndarray:
    """The `FEATURES` float32 (N, 7) of ``images`` uint8 (N, S, S, 3), a bounded number of pixels at a time."""
    each = max(1, CHUNK_PIXELS // (images.shape[1] * images.shape[2]))
    parts = [_features(images[start : start + each]) for start in range(0, len(images), each)]
    return np.concatenate(parts) if parts else np.empty((0, len(FEATURES)), np.float32)


def measure(
    loaded: LoadedDataset, most: int | None = None, report: Callable[[Progress], None] | None = None
) -> TextureStatistics:
    """The features of up to ``most`` pictures a class and split, always the same ones (None: by the pictures' size).

    ``report`` is told after each class how many pictures are done.
    """
    most = most or min(MOST, max(FEWEST, PIXELS // loaded.size**2))
    rng = np.random.default_rng(0)
    chosen = [(s, c, _sample(loaded[split].labels == c, most, rng)) for s, split in enumerate(SPLITS)
              for c in range(len(loaded.spec.codes))]  # fmt: skip
    total, done = sum(len(rows) for *_, rows in chosen), 0
    values, labels, splits = [], [], []
    for split, label, rows in chosen:
        values.append(features(loaded[SPLITS[split]].images[rows]))
        labels.append(np.full(len(rows), label))
        splits.append(np.full(len(rows), split))
        done += len(rows)
        if report:
            report(Progress(done, total, unit="picture"))
    arrays = [np.concatenate(parts) for parts in (values, labels, splits)]
    for array in arrays:
        array.setflags(write=False)
    return TextureStatistics(loaded.spec.name, loaded.size, loaded.spec.codes, loaded.provenance, *arrays)


def save(statistics: TextureStatistics, folder: Path = FOLDER) -> Path:
    """Write <dataset>-<size>-texture.safetensors into ``folder`` (a thousandth of a value is rounded away)."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "dataset": statistics.dataset,
        "size": str(statistics.size),
        "codes": json.dumps(statistics.codes),
        "features": json.dumps(KEYS),
        "provenance": json.dumps(statistics.provenance.as_json()),
    }
    arrays = {
        "values": statistics.values.astype(np.float16),
        "labels": statistics.labels.astype(np.uint8),
        "splits": statistics.splits.astype(np.uint8),
    }
    path = _path(statistics.dataset, statistics.size, folder)
    save_file(arrays, path, facts)
    path.chmod(0o644)  # safetensors leaves the file readable by its owner alone
    return path


def load(dataset: str, size: int, folder: Path = FOLDER) -> TextureStatistics | None:
    """The stored statistics of a data set at ``size``; None where there are none, or not of today's features."""
    try:
        with safe_open(_path(dataset, size, folder), "numpy") as file:
            facts = file.metadata()
            if json.loads(facts["features"]) != list(KEYS):
                return None
            values = file.get_tensor("values").astype(np.float32)
            labels, splits = (file.get_tensor(name).astype(np.int64) for name in ("labels", "splits"))
        for array in (values, labels, splits):
            array.setflags(write=False)
        codes, provenance = tuple(json.loads(facts["codes"])), Provenance(**json.loads(facts["provenance"]))
        return TextureStatistics(facts["dataset"], int(facts["size"]), codes, provenance, values, labels, splits)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None


def _path(dataset: str, size: int, folder: Path) -> Path:
    return folder / f"{dataset}-{size}-texture.safetensors"


def _sample(members: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Up to ``most`` rows of those that ``members`` (N,) marks, in ascending order: so a file is read in order."""
    return np.sort(rng.permutation(np.flatnonzero(members))[:most])


def _features(images: np.ndarray) -> np.ndarray:
    grey = _grey(images)
    shares = _matrices(grey // (256 // LEVELS))
    level = np.arange(LEVELS)
    apart = np.abs(level[:, None] - level[None, :])
    contrast = (shares * apart**2).sum((2, 3))
    dissimilarity = (shares * apart).sum((2, 3))
    homogeneity = (shares / (1 + apart**2)).sum((2, 3))
    energy = np.sqrt((shares**2).sum((2, 3)))
    marginal = shares.sum(3)
    mean = (marginal * level).sum(2, keepdims=True)
    variance = (marginal * (level - mean) ** 2).sum(2)
    # In a symmetric matrix the mean of (i - j)**2 is 2 variance (1 - correlation).
    correlation = np.where(variance > FLAT, 1 - contrast / (2 * np.maximum(variance, FLAT)), 1.0)
    texture = (contrast, dissimilarity, homogeneity, energy, correlation)
    found = [grey.mean((1, 2)), 100 * _dark_share(grey), *(by_angle.mean(1) for by_angle in texture)]
    return np.stack(found, 1).astype(np.float32)


def _grey(images: np.ndarray) -> np.ndarray:
    """Grey values uint8 (N, S, S) with Pillow's weights (ITU-R 601 in 1/65536)."""
    return ((images.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32) + 32768) >> 16).astype(np.uint8)


def _matrices(levels: np.ndarray) -> np.ndarray:
    """Shares float64 (N, 4, L, L) of pairs of neighbouring ``levels`` (N, S, S), symmetric, for each of `STEPS`."""
    number, height, width = levels.shape
    codes = levels.astype(np.int32)
    offset = (np.arange(number, dtype=np.int32) * LEVELS**2)[:, None, None]
    found = []
    for down, right in STEPS:
        here = codes[:, : height - down, max(0, -right) : width - max(0, right)]
        there = codes[:, down:, max(0, right) : width - max(0, -right)]
        pairs = (offset + here * LEVELS + there).ravel()
        counts = np.bincount(pairs, minlength=number * LEVELS**2).reshape(number, LEVELS, LEVELS)
        found.append((counts + counts.transpose(0, 2, 1)) / (2 * here.shape[1] * here.shape[2]))
    return np.stack(found, 1)


def _dark_share(grey: np.ndarray) -> np.ndarray:
    """The share (N,) of each of ``grey`` uint8 (N, S, S) that lies at or below its own best threshold (Otsu)."""
    number, pixels = len(grey), grey[0].size
    offset = (np.arange(number, dtype=np.int32) * 256)[:, None, None]
    counted = np.bincount((offset + grey).ravel(), minlength=number * 256).reshape(number, 256)
    below = counted.cumsum(1)
    amount = (counted * np.arange(256)).cumsum(1)
    gap = amount[:, -1:] * (below / pixels) - amount
    between = gap**2 / np.maximum(below * (pixels - below), 1)
    threshold = np.maximum(between.argmax(1), (below == 0).sum(1))
    return below[np.arange(number), threshold] / pixels
