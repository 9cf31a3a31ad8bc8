"""What a data set is like, in numbers small enough to ship: counts, mean cells, colours, likeness and duplicates
(`Summary`); brightness, texture and size of its pictures (`TextureStatistics`); what its imbalance means for accuracy
(`Imbalance`).

Texture is that of grey-level co-occurrence matrices (Haralick et al. 1973, doi:10.1109/TSMC.1973.4309314), the size
that of the part darker than Otsu's threshold (Otsu 1979, doi:10.1109/TSMC.1979.4310076). The files ship in the folder
``summaries`` beside this module, so that a page works without the pictures.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from core.datasets.base import SPLITS, ImageRows, LoadedDataset, Provenance, get_dataset
from core.datasets.quality.near_duplicates import identical_images
from core.progress import Progress, Report, batches, silent
from core.storage import save_tensors, write_json

SUMMARIES = Path(__file__).parent / "summaries"
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
    red, green, blue (each adds up to 1), over bins of 8 levels. ``colour_mean``
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
    middle = _distance_from_middle(loaded.size) < DISC / 2
    for label in range(classes):
        members = np.flatnonzero(train.labels == label)
        for part in batches(len(members), CHUNK):
            pixels = train.images[members[part]]
            sums[label] += pixels.sum(0, dtype=np.float64)
            bins[label] += [np.bincount(pixels[..., c][:, middle].ravel(), minlength=256) for c in range(3)]
    frequencies = bins / np.maximum(bins.sum(-1, keepdims=True), 1)
    cells = sums / np.maximum(counts["train"], 1)[:, None, None, None]
    return Summary(
        dataset=loaded.spec.name,
        size=loaded.size,
        codes=loaded.spec.codes,
        provenance=loaded.provenance,
        counts=counts,
        mean_cells=_shrink(cells),
        histograms=frequencies.reshape(classes, 3, BINS, -1).sum(-1).astype(np.float32),
        colour_mean=(frequencies @ np.arange(256)).astype(np.float32),
        likeness=_nearest_class_shares(loaded, classes),
        duplicates=_duplicates(loaded),
    )


def save_summary(summary: Summary, folder: Path = SUMMARIES) -> tuple[Path, Path]:
    """Write <dataset>-<size>.json and .safetensors into ``folder``; returns both paths."""
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
    write_json(as_json, facts)
    save_tensors(as_arrays, arrays)
    return as_json, as_arrays


def load_summary(dataset: str, size: int, folder: Path = SUMMARIES) -> Summary | None:
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


_ARRAYS = ("mean_cells", "histograms", "colour_mean", "likeness")


def _paths(dataset: str, size: int, folder: Path) -> tuple[Path, Path]:
    return folder / f"{dataset}-{size}.json", folder / f"{dataset}-{size}.safetensors"


def _shrink(cells: np.ndarray) -> np.ndarray:
    """Mean cells as uint8, averaged down to MEAN_SIDE at most."""
    from PIL import Image

    out = np.clip(cells + 0.5, 0, 255).astype(np.uint8)
    if out.shape[1] <= MEAN_SIDE:
        return out
    side = (MEAN_SIDE, MEAN_SIDE)
    return np.stack([np.asarray(Image.fromarray(cell).resize(side, Image.Resampling.BOX)) for cell in out])


def _distance_from_middle(side: int) -> np.ndarray:
    """(side, side): how far each pixel is from the middle, in units of the side."""
    at = (np.arange(side) + 0.5) / side - 0.5
    return np.hypot(at[:, None], at[None, :])


def _ring_features(images: np.ndarray | ImageRows) -> np.ndarray:
    """Mean and deviation of each colour in rings around the middle, float32 (N, RINGS * 6)."""
    side = images.shape[1]
    ring = np.minimum((_distance_from_middle(side) / 0.55 * RINGS).astype(int), RINGS - 1).ravel()
    member = (ring[:, None] == np.arange(RINGS)).astype(np.float32)
    member /= np.maximum(member.sum(0), 1)
    out = []
    for part in batches(len(images), CHUNK):
        pixels = images[part]
        pixels = pixels.reshape(len(pixels), -1, 3).transpose(0, 2, 1).astype(np.float32) / 255
        mean = pixels @ member
        deviation = np.sqrt(np.maximum((pixels * pixels) @ member - mean * mean, 0))
        out.append(np.concatenate([mean, deviation], 1).reshape(len(pixels), -1))
    return np.concatenate(out)


def _nearest_class_shares(loaded: LoadedDataset, classes: int) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    train, val = _ring_features(loaded["train"].images), _ring_features(loaded["val"].images)
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


LEVELS = 16  # grey levels that are told apart in a matrix
NEIGHBOUR_STEPS = ((0, 1), (1, 1), (1, 0), (1, -1))  # (down, right): the neighbours at 0, 45, 90 and 135 degrees
MAX_PER_CLASS = 400  # pictures a class and split
MIN_PER_CLASS = 60  # of large pictures, for which the pixels set the limit
PIXELS = MAX_PER_CLASS * 64 * 64
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

    def values_of(self, code: str, key: str, split: str) -> np.ndarray:
        """The values of one feature over the sampled pictures of a class in a split, float32 (n,)."""
        chosen = (self.labels == self.codes.index(code)) & (self.splits == SPLITS.index(split))
        return self.values[chosen, KEYS.index(key)]


def texture_features(images: np.ndarray) -> np.ndarray:
    """The `FEATURES` float32 (N, 7) of ``images`` uint8 (N, S, S, 3), a bounded number of pixels at a time."""
    each = max(1, CHUNK_PIXELS // (images.shape[1] * images.shape[2]))
    parts = [_texture_features(images[part]) for part in batches(len(images), each, at_least_one=True)]
    return np.concatenate(parts)


def measure_texture(loaded: LoadedDataset, most: int | None = None, report: Report = silent) -> TextureStatistics:
    """The features of up to ``most`` pictures a class and split, always the same ones (None: by the pictures' size).

    ``report`` is told after each class how many pictures are done.
    """
    most = most or min(MAX_PER_CLASS, max(MIN_PER_CLASS, PIXELS // loaded.size**2))
    rng = np.random.default_rng(0)
    chosen = [
        (s, c, np.sort(rng.permutation(np.flatnonzero(loaded[split].labels == c))[:most]))  # so a file is read in order
        for s, split in enumerate(SPLITS)
        for c in range(len(loaded.spec.codes))
    ]
    total, done = sum(len(rows) for *_, rows in chosen), 0
    values, labels, splits = [], [], []
    for split, label, rows in chosen:
        values.append(texture_features(loaded[SPLITS[split]].images[rows]))
        labels.append(np.full(len(rows), label))
        splits.append(np.full(len(rows), split))
        done += len(rows)
        report(Progress(done, total, unit="picture"))
    arrays = [np.concatenate(parts) for parts in (values, labels, splits)]
    for array in arrays:
        array.setflags(write=False)
    return TextureStatistics(loaded.spec.name, loaded.size, loaded.spec.codes, loaded.provenance, *arrays)


def save_texture(statistics: TextureStatistics, folder: Path = SUMMARIES) -> Path:
    """Write <dataset>-<size>-texture.safetensors into ``folder`` (a thousandth of a value is rounded away)."""
    facts = {
        "dataset": statistics.dataset,
        "size": str(statistics.size),
        "codes": json.dumps(statistics.codes),
        "features": json.dumps(KEYS),
        "provenance": json.dumps(statistics.provenance.as_json()),
    }
    arrays: dict[str, np.ndarray] = {
        "values": statistics.values.astype(np.float16),
        "labels": statistics.labels.astype(np.uint8),
        "splits": statistics.splits.astype(np.uint8),
    }
    path = _texture_path(statistics.dataset, statistics.size, folder)
    save_tensors(path, arrays, facts)
    return path


def load_texture(dataset: str, size: int, folder: Path = SUMMARIES) -> TextureStatistics | None:
    """The stored statistics of a data set at ``size``; None where there are none, or not of today's features."""
    try:
        with safe_open(_texture_path(dataset, size, folder), "numpy") as file:
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


def _texture_path(dataset: str, size: int, folder: Path) -> Path:
    return folder / f"{dataset}-{size}-texture.safetensors"


def _texture_features(images: np.ndarray) -> np.ndarray:
    weights = np.array([19595, 38470, 7471], np.uint32)  # Pillow's (ITU-R 601), in 1/65536
    grey = ((images.astype(np.uint32) @ weights + 32768) >> 16).astype(np.uint8)
    matrices = _cooccurrence(grey // (256 // LEVELS))
    level = np.arange(LEVELS)
    level_difference = np.abs(level[:, None] - level[None, :])
    contrast = (matrices * level_difference**2).sum((2, 3))
    dissimilarity = (matrices * level_difference).sum((2, 3))
    homogeneity = (matrices / (1 + level_difference**2)).sum((2, 3))
    energy = np.sqrt((matrices**2).sum((2, 3)))
    marginal = matrices.sum(3)
    mean = (marginal * level).sum(2, keepdims=True)
    variance = (marginal * (level - mean) ** 2).sum(2)
    # In a symmetric matrix the mean of (i - j)**2 is 2 variance (1 - correlation).
    correlation = np.where(variance > FLAT, 1 - contrast / (2 * np.maximum(variance, FLAT)), 1.0)
    texture = (contrast, dissimilarity, homogeneity, energy, correlation)
    columns = [grey.mean((1, 2)), 100 * _dark_share(grey), *(by_angle.mean(1) for by_angle in texture)]
    return np.stack(columns, 1).astype(np.float32)


def _cooccurrence(levels: np.ndarray) -> np.ndarray:
    """Shares float64 (N, 4, L, L) of pairs of neighbouring ``levels`` (N, S, S), symmetric, by `NEIGHBOUR_STEPS`."""
    number, height, width = levels.shape
    codes = levels.astype(np.int32)
    offset = (np.arange(number, dtype=np.int32) * LEVELS**2)[:, None, None]
    matrices = []
    for down, right in NEIGHBOUR_STEPS:
        first = codes[:, : height - down, max(0, -right) : width - max(0, right)]
        second = codes[:, down:, max(0, right) : width - max(0, -right)]
        pairs = (offset + first * LEVELS + second).ravel()
        counts = np.bincount(pairs, minlength=number * LEVELS**2).reshape(number, LEVELS, LEVELS)
        matrices.append((counts + counts.transpose(0, 2, 1)) / (2 * first.shape[1] * first.shape[2]))
    return np.stack(matrices, 1)


def _dark_share(grey: np.ndarray) -> np.ndarray:
    """The share (N,) of each of ``grey`` uint8 (N, S, S) that lies at or below its own best threshold (Otsu)."""
    number, pixels = len(grey), grey.shape[1] * grey.shape[2]
    offset = (np.arange(number, dtype=np.int32) * 256)[:, None, None]
    counted = np.bincount((offset + grey).ravel(), minlength=number * 256).reshape(number, 256)
    below = counted.cumsum(1)
    amount = (counted * np.arange(256)).cumsum(1)
    gap = amount[:, -1:] * (below / pixels) - amount
    between = gap**2 / np.maximum(below * (pixels - below), 1)
    threshold = np.maximum(between.argmax(1), (below == 0).sum(1))
    return below[np.arange(number), threshold] / pixels


@dataclass(frozen=True)
class Imbalance:
    """Of the pictures of one split: which class is the commonest, which the rarest, and what follows.

    ``shares`` float (C,) of the classes that are there. ``majority`` and ``rarest`` are codes. ``majority_accuracy``:
    accuracy of always naming the commonest class; ``majority_balanced_accuracy``: its balanced accuracy, 1 / C.
    ``accuracy_without_rarest`` and ``balanced_accuracy_without_rarest``: both for a model that is right on all but the
    rarest class, which it never finds.
    """

    codes: tuple[str, ...]
    shares: np.ndarray
    majority: str
    rarest: str
    majority_accuracy: float
    majority_balanced_accuracy: float
    accuracy_without_rarest: float
    balanced_accuracy_without_rarest: float

    @property
    def ratio(self) -> float:
        """The commonest class's share over the rarest's, 1 or more."""
        return self.majority_accuracy / (1 - self.accuracy_without_rarest)

    @property
    def is_balanced(self) -> bool:
        """Whether the classes are about equally common, so that the two accuracies say the same."""
        return self.ratio < 1.05


def measure_imbalance(codes: Sequence[str], counts: np.ndarray) -> Imbalance | None:
    """The `Imbalance` of a split with ``counts`` (C,) pictures of the classes ``codes``; None for fewer than two.

    Classes without any picture are left out.
    """
    present = np.flatnonzero(counts)
    if len(present) < 2:
        return None
    present_codes, counts = tuple(codes[int(i)] for i in present), np.asarray(counts, float)[present]
    shares = counts / counts.sum()
    majority, rarest = int(shares.argmax()), int(shares.argmin())
    classes = len(present_codes)
    return Imbalance(
        codes=present_codes,
        shares=shares,
        majority=present_codes[majority],
        rarest=present_codes[rarest],
        majority_accuracy=float(shares[majority]),
        majority_balanced_accuracy=1 / classes,
        accuracy_without_rarest=1 - float(shares[rarest]),
        balanced_accuracy_without_rarest=1 - 1 / classes,
    )
