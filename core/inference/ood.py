"""Out-of-distribution detection: does a crop look like the cells that the model was trained on?

A crop is out of distribution when it lies far from the training cells, in what the network sees of it and in what it
plainly looks like: the squared distance to the nearest class's mean, measured by the spread within the classes
(Mahalanobis distance: Lee et al. 2018, arXiv:1807.03888), of the embedding and of image statistics (colour, scale,
texture), each against its usual size. A network may squash what it never met into something familiar (a blank picture
becomes a platelet); image statistics can't, and they say in words what is unusual. A cell of a kind that was never
taught looks like a cell all the same: `UnknownClass` tells it. The threshold keeps a share of the val cells, 99 % by
default. All of it is one `OODDetector`, a file of less than 60 kB; it can be fitted from any arrays,
so that a laboratory's profile can have one of its own. Runs without an embedding (trees, combinations) have the image
statistics alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.datasets import LoadedDataset, Split
from core.datasets.base import ImageRows
from core.errors import HemaLensError, plain_reason
from core.inference import engine
from core.inference.engine import has_embedding
from core.inference.scope import training_data
from core.progress import Progress, Report, batches, silent
from core.runs import OOD, DamagedRun, Run, replace_sealed
from core.schema import check_numbers, check_shape, parse_json
from core.storage import cached_file, read_tensors, save_tensors

STATISTIC_GROUPS = ("colour", "scale", "texture")

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_MIN_BAND_SIDE = 4  # px: bands of detail are taken down to pictures of this side
_FINE_BANDS = 2  # bands of detail that count as texture; coarser ones tell the size of things
_EPSILON = 0.002  # of the range of a channel: less is below one grey level
_CHUNK = 256


def statistic_groups(size: int) -> np.ndarray:
    """Which of `STATISTIC_GROUPS` each number of `image_statistics` tells of, for frames of ``size`` px: str (F,)."""
    bands, side = 0, size
    while side >= _MIN_BAND_SIDE:
        bands, side = bands + 1, side // 2
    coarse = max(0, bands - _FINE_BANDS)
    return np.repeat(STATISTIC_GROUPS, [3 * len(_QUANTILES) + 8, 4 + coarse, bands - coarse + 4])


def image_statistics(crops: np.ndarray | ImageRows) -> np.ndarray:
    """Numbers float32 (N, F) of ``crops`` uint8 (N, S, S, 3), in the order of `statistic_groups`.

    Colour: quantiles of each channel, mean, spread and quantiles of red and of blue against green. Scale: how large,
    how spread and how far from the middle the dark part of the picture is, how much of the border it takes, and the
    contrast of coarse detail. Texture: contrast of fine detail, steepness of edges.
    """
    parts = [np.zeros((0, len(statistic_groups(crops.shape[1]))), np.float32)]
    for start in range(0, len(crops), _CHUNK):
        chunk = crops[start : start + _CHUNK]
        pictures = chunk.astype(np.float32) / 255
        coarse, fine = _detail_bands(pictures[..., 1])
        dark = _dark_part_statistics(chunk[..., 1])
        parts.append(
            np.concatenate([_colour_statistics(chunk), dark, coarse, fine, _edge_statistics(pictures)], axis=1)
        )
    return np.concatenate(parts)


def _colour_statistics(crops: np.ndarray) -> np.ndarray:
    channels = crops.reshape(len(crops), -1, 3).transpose(0, 2, 1)
    against_green = channels[:, (0, 2)].astype(np.int16) - channels[:, 1:2]
    spread = np.log(against_green.std(axis=2) / 255 + 0.01)
    numbers = (
        _quantiles(channels, _QUANTILES).reshape(len(crops), -1),
        against_green.mean(axis=2) / 255,
        spread,
        _quantiles(against_green, (0.05, 0.95)).reshape(len(crops), -1),
    )
    return np.concatenate(numbers, axis=1, dtype=np.float32)


def _quantiles(values: np.ndarray, probabilities: tuple[float, ...]) -> np.ndarray:
    """Of integers (N, c, n), along the last axis and in 0 to 1: (N, c, shares). Whole numbers sort fast."""
    ranked = np.sort(np.ascontiguousarray(values), axis=-1, kind="stable")
    ranks = np.rint(np.array(probabilities) * (values.shape[-1] - 1)).astype(int)
    return ranked[..., ranks] / 255


def _dark_part_statistics(green: np.ndarray) -> np.ndarray:
    """Area, spread, distance from the middle, and share of the border of what is darker than halfway: (N, 4)."""
    size = green.shape[1]
    low, high = np.moveaxis(_quantiles(green.reshape(len(green), 1, -1), (0.02, 0.98))[:, 0], -1, 0) * 255
    dark = (green < ((low + high) / 2)[:, None, None]).astype(np.float32)
    at = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    inverse_area = 1 / np.maximum(dark.sum((1, 2)), 1)
    rows, columns = dark.sum(2), dark.sum(1)
    y, x = (rows @ at) * inverse_area, (columns @ at) * inverse_area
    spread = np.sqrt(np.maximum((rows @ at**2 + columns @ at**2) * inverse_area - x**2 - y**2, 0))
    border = np.concatenate([dark[:, 0], dark[:, -1], dark[:, :, 0], dark[:, :, -1]], axis=1).mean(1)
    return np.stack([dark.mean((1, 2)), spread, np.hypot(x, y), border], axis=1)


def _detail_bands(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log contrast of the detail lost at each halving of ``grey`` (N, S, S): the coarse ones, the fine ones."""
    bands = []
    while grey.shape[1] >= _MIN_BAND_SIDE:
        half = grey.shape[1] // 2
        whole = grey[:, : 2 * half, : 2 * half]
        smaller = whole.reshape(len(grey), half, 2, half, 2).mean((2, 4))
        lost = whole - smaller.repeat(2, axis=1).repeat(2, axis=2)
        bands.append(np.log(lost.std((1, 2)) + _EPSILON))
        grey = smaller
    logs = np.stack(bands, axis=1)
    return logs[:, _FINE_BANDS:], logs[:, :_FINE_BANDS]


def _edge_statistics(pictures: np.ndarray) -> np.ndarray:
    """Log steepness down, across, at the steepest twentieth, and of the second difference: (N, 4)."""
    green = pictures[..., 1]
    down, across = np.abs(np.diff(green, axis=1)), np.abs(np.diff(green, axis=2))
    flat = down.reshape(len(down), -1)
    rank = round(0.95 * (flat.shape[1] - 1))
    steep = np.partition(flat, rank, axis=1)[:, rank]
    second = np.abs(np.diff(pictures, axis=1, n=2)).mean((1, 2, 3))
    return np.log(np.stack([down.mean((1, 2)), across.mean((1, 2)), steep, second], axis=1) + _EPSILON)


_MAX_DIRECTION_VALUES = 21_000  # numbers that the directions may take: 42 kB in float16
_MIN_SPREAD = 1e-6
_MAX_MEAN = 60_000.0  # spreads; float16 ends a little beyond


@dataclass(frozen=True)
class ClassGaussians:
    """Where vectors of K numbers of c classes lie, and how they spread: Gaussians of one covariance.

    ``origin`` and ``scale`` float32 (K,): what is taken off each number, and the spread it is measured by; ``means``
    float16 (c, K) of the classes in these terms; ``directions`` float16 (K, r) orthonormal, ``gains`` float32 (r,) one
    over the spread along each, ``residual_precision`` one over the variance in all others. ``unit_distance``: the
    squared distance that counts as 1.
    """

    origin: np.ndarray
    scale: np.ndarray
    means: np.ndarray
    directions: np.ndarray
    gains: np.ndarray
    residual_precision: float
    unit_distance: float = 1.0

    def displacement(self, vectors: np.ndarray) -> np.ndarray:
        """By how much ``vectors`` (N, K) together lie beside the means of the classes nearest to them: (K,)."""
        nearest = self.squared_distances(vectors).argmin(1)
        means = self.means.astype(np.float32)[nearest] * self.scale + self.origin
        return np.median(vectors - means, axis=0)

    def squared_distances(self, vectors: np.ndarray) -> np.ndarray:
        """Squared distance of ``vectors`` (N, K) to the mean of each class, in units of ``unit_distance``: float64 (N,
        c). Numbers after the K-th, such as what `core.inference.engine.encode` adds, say nothing.
        """
        centred = ((vectors[:, : len(self.origin)] - self.origin) / self.scale).astype(np.float32)
        directions, distances = self.directions.astype(np.float32), []
        for mean in self.means.astype(np.float32):
            differences = centred - mean
            along = differences @ directions
            residual = np.maximum((differences**2).sum(1) - (along**2).sum(1), 0)
            distances.append(((along * self.gains) ** 2).sum(1) + self.residual_precision * residual)
        return np.stack(distances, axis=1).astype(np.float64) / self.unit_distance

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Means float64 (c, K) and the covariance float64 (K, K) in the vectors' own units."""
        scale, axes = self.scale.astype(np.float64), self.directions.astype(np.float64)
        variances = 1 / self.gains.astype(np.float64) ** 2
        residual = 1 / self.residual_precision if axes.shape[1] < axes.shape[0] else 0.0
        correlation = axes * (variances - residual) @ axes.T + residual * np.eye(len(axes))
        return self.origin + self.means.astype(np.float64) * scale, correlation * np.outer(scale, scale)


def fit_class_gaussians(vectors: np.ndarray, labels: np.ndarray, shrinkage: float) -> ClassGaussians:
    """The cloud of ``vectors`` (M, K) with ``labels`` int (M,), ``usual`` left at 1.

    The correlation within the classes is drawn towards independence by ``shrinkage`` (0 to 1), or further where there
    are few vectors for K numbers. Where K is large only the directions of the largest spread are kept, and all
    others share one variance (Tipping and Bishop 1999, doi:10.1111/1467-9868.00196).
    """
    present, class_index = np.unique(labels, return_inverse=True)
    vectors = vectors.astype(np.float64)
    count, numbers = vectors.shape
    centres = np.stack([vectors[class_index == k].mean(0) for k in range(len(present))])
    within = vectors - centres[class_index]
    # A number that never varies has no spread to measure by: a small part of the others' stands in for it.
    spread = within.std(0)
    scale = np.maximum(spread, max(0.01 * spread.mean(), _MIN_SPREAD)).astype(np.float32)
    within /= scale
    shrinkage = max(shrinkage, numbers / (numbers + count))
    correlation = (1 - shrinkage) * within.T @ within / count + shrinkage * np.eye(numbers)
    return _gaussians(centres, vectors.mean(0), scale, correlation)


def class_gaussians(means: np.ndarray, covariance: np.ndarray) -> ClassGaussians:
    """Those of classes with ``means`` (c, K) and one ``covariance`` (K, K), positive definite; ``unit_distance`` 1."""
    scale = np.sqrt(np.diag(covariance)).astype(np.float32)
    return _gaussians(means, means.mean(0), scale, covariance / np.outer(scale, scale))


def _gaussians(means: np.ndarray, origin: np.ndarray, scale: np.ndarray, correlation: np.ndarray) -> ClassGaussians:
    numbers = len(correlation)
    variances, axes = np.linalg.eigh(correlation)
    direction_count = min(numbers, max(1, _MAX_DIRECTION_VALUES // numbers))
    residual_variance = float(variances[: numbers - direction_count].mean()) if direction_count < numbers else 1.0
    origin = origin.astype(np.float32)
    return ClassGaussians(
        origin,
        scale,
        np.clip((means - origin) / scale, -_MAX_MEAN, _MAX_MEAN).astype(np.float16),
        np.ascontiguousarray(axes[:, numbers - direction_count :].astype(np.float16)),
        (1 / np.sqrt(variances[numbers - direction_count :])).astype(np.float32),
        1 / residual_variance,
    )


def energy(logits: np.ndarray) -> np.ndarray:
    """The negative logarithm of the sum of exponential ``logits`` (N, C), float64 (N,): high where they speak for no
    class (Liu et al. 2020, arXiv:2010.03759).
    """
    return -np.logaddexp.reduce(logits.astype(np.float64), axis=1)


@dataclass(frozen=True)
class UnknownClass:
    """How much a cell looks like none of the known classes, be it that it looks like no cell at all.

    Added up, each in units of its spread on val: its relative distance, how much further it lies from the nearest class
    than from all cells together (Ren et al. 2021, arXiv:2106.09022), so that what makes any cell unusual is taken off;
    its `energy`; and, at half its weight, its plain distance. ``everything``: one Gaussian round all cells, whatever
    their class. The sum counts 0 at its ``median`` on val, 1 from ``threshold`` above that on.
    """

    everything: ClassGaussians
    relative_unit: float
    energy_unit: float
    distance_unit: float
    median: float = 0.0
    threshold: float = 1.0

    def score(
        self, classes: ClassGaussians, embeddings: np.ndarray, energies: np.ndarray, distances: np.ndarray
    ) -> np.ndarray:
        """Float64 (N,), 1 or more is unknown: ``classes`` of ``embeddings`` (N, K), their ``energies`` and plain
        ``distances`` (N,).
        """
        relative = relative_distances(classes, self.everything, embeddings) / self.relative_unit
        total = relative + energies / self.energy_unit + 0.5 * distances / self.distance_unit
        return (total - self.median) / self.threshold


def relative_distances(classes: ClassGaussians, everything: ClassGaussians, embeddings: np.ndarray) -> np.ndarray:
    """Squared distance to the nearest of ``classes`` less that to the one of ``everything``: float64 (N,)."""
    nearest = classes.squared_distances(embeddings).min(1) * classes.unit_distance
    return nearest - everything.squared_distances(embeddings)[:, 0] * everything.unit_distance


IN_DISTRIBUTION_SHARE = 0.99  # share of val that is in distribution

_MAX_BYTES = 16 * 2**20
_FILE_VERSION = 4  # the third knows no unknown classes, the second has no `usual`, the first other names
_EVERYTHING = "everything"
_FIRST_KEYS = {  # what the first version calls them
    "gaussians": "clouds",
    "threshold": "limit",
    "residual_precision": "rest",
    "unit_distance": "usual",
}
_FIELDS = ("origin", "scale", "means", "directions", "gains")
_UNKNOWN_CLASS_NUMBERS = ("relative_unit", "energy_unit", "distance_unit", "median", "threshold")
# How far covariances are drawn towards independence at least, chosen on val and on spoilt copies of it: less, and
# a home cell that was saved as a JPEG again counts as out of distribution; more, and coarse damage passes.
_EMBEDDING_SHRINKAGE, _STATISTICS_SHRINKAGE = 0.01, 0.05


class InvalidDetector(HemaLensError):
    """A detector's file can't be read; the message says what to do."""


@dataclass(frozen=True)
class OODDetector:
    """What tells known cells from others.

    ``embedding_gaussians``: where embeddings lie; ``statistics_gaussians``: all of `image_statistics` (first) and each
    of `STATISTIC_GROUPS`, {} where it was fitted without pictures; one of both is there. A picture whose distance is
    ``threshold`` or more is out of distribution. ``usual_score``: the median score of known cells. ``unknown_class``:
    what tells cells of other kinds, None where nothing does. ``weights_hash``: of the run whose embeddings they are
    (`core.runs.Run.weights_hash`), '' where nobody wrote it down.
    """

    embedding_gaussians: ClassGaussians | None
    statistics_gaussians: dict[str, ClassGaussians]
    threshold: float
    usual_score: float = 0.55
    unknown_class: UnknownClass | None = None
    weights_hash: str = ""

    def own_part(self, embeddings: np.ndarray) -> np.ndarray:
        """The first numbers of ``embeddings`` (N, K or more), those that it was fitted on: (N, K), 0 for none."""
        return embeddings[:, : len(self.embedding_gaussians.origin) if self.embedding_gaussians else 0]

    def ood_score(self, embeddings: np.ndarray | None, crops: np.ndarray | None = None) -> np.ndarray:
        """How far from the known cells pictures lie, float64 (N,): 1 or more is out of distribution.

        ``embeddings`` (N, K), not needed without ``embedding_gaussians``; ``crops`` uint8 (N, S, S, 3) of the size it
        was fitted on, not needed without ``statistics_gaussians``.
        """
        statistics = image_statistics(crops) if crops is not None and self.statistics_gaussians else None
        return self.ood_score_of(embeddings, statistics)

    def ood_score_of(
        self, embeddings: np.ndarray | None, statistics: np.ndarray | None, energies: np.ndarray | None = None
    ) -> np.ndarray:
        """As `ood_score`, from what `image_statistics` gives of the crops, None without ``statistics_gaussians``.

        With their ``energies`` float (N,) cells that look like cells, but like none of the known classes, are told as
        well. That holds at home: elsewhere the laboratory itself changes what a network gives.
        """
        parts = []
        if self.embedding_gaussians:
            if embeddings is None:
                raise ValueError("this detector measures embeddings too: hand them over")
            parts.append(self.embedding_gaussians.squared_distances(embeddings).min(1))
        if self.statistics_gaussians:
            if statistics is None:
                raise ValueError("this detector measures pictures too: hand their crops over")
            parts.append(self.statistics_gaussians["all"].squared_distances(statistics).min(1))
        scores = np.sqrt(np.sum(parts, axis=0)) / self.threshold
        if not (self.unknown_class and self.embedding_gaussians) or embeddings is None or energies is None:
            return scores
        unknown = self.unknown_class.score(self.embedding_gaussians, embeddings, energies, scores)
        return np.maximum(0, self.usual_score + (1 - self.usual_score) * unknown)  # on the scale of the plain distance

    def to_tensors(self) -> tuple[dict[str, np.ndarray], str]:
        """All that it consists of, for a file that may hold more: arrays by name, and the rest as JSON."""
        arrays: dict[str, np.ndarray] = {}
        gaussians = {}
        own = {"embedding": self.embedding_gaussians} if self.embedding_gaussians else {}
        if self.unknown_class:
            own[_EVERYTHING] = self.unknown_class.everything
        for name, part in {**own, **self.statistics_gaussians}.items():
            arrays |= {f"{name}.{field}": np.ascontiguousarray(getattr(part, field)) for field in _FIELDS}
            gaussians[name] = {"residual_precision": part.residual_precision, "unit_distance": part.unit_distance}
        facts = {
            "version": _FILE_VERSION,
            "threshold": self.threshold,
            "usual": self.usual_score,
            "weights": self.weights_hash,
        }
        if self.unknown_class:
            facts["unknown_class"] = {name: getattr(self.unknown_class, name) for name in _UNKNOWN_CLASS_NUMBERS}
        return arrays, json.dumps(facts | {"gaussians": gaussians})

    @staticmethod
    def from_tensors(arrays: Mapping[str, np.ndarray], text: str) -> "OODDetector":
        """What `to_tensors` gave, of this version or an earlier one. Raises what broken parts raise: ValueError,
        KeyError, TypeError.
        """
        facts = parse_json(text)
        if facts["version"] not in range(1, _FILE_VERSION + 1):
            raise ValueError(f"version {facts['version']}")
        names = _FIRST_KEYS if facts["version"] == 1 else {key: key for key in _FIRST_KEYS}
        gaussians = {
            name: ClassGaussians(
                **{field: arrays[f"{name}.{field}"] for field in _FIELDS},
                residual_precision=float(numbers[names["residual_precision"]]),
                unit_distance=float(numbers[names["unit_distance"]]),
            )
            for name, numbers in facts[names["gaussians"]].items()
        }
        embedding, everything = gaussians.pop("embedding", None), gaussians.pop(_EVERYTHING, None)
        if embedding is None and not gaussians:
            raise ValueError("it measures nothing")
        unknown = None
        if everything:
            numbers = {name: float(facts["unknown_class"][name]) for name in _UNKNOWN_CLASS_NUMBERS}
            if not np.isfinite(list(numbers.values())).all() or numbers["threshold"] <= 0:
                raise ValueError("what tells unknown classes has a number that is none")
            unknown = UnknownClass(everything, **numbers)
        for name, part in {"embedding": embedding, _EVERYTHING: everything, **gaussians}.items():
            if part is not None:
                _check_gaussians(name, part)
        threshold, usual = float(facts[names["threshold"]]), float(facts.get("usual", OODDetector.usual_score))
        if not (threshold > 0 and usual >= 0 and np.isfinite([threshold, usual]).all()):
            raise ValueError("its threshold is no number above 0")
        if gaussians and set(gaussians) != {"all", *STATISTIC_GROUPS}:
            raise ValueError("it lacks some of the image statistics")
        if gaussians and sum(len(gaussians[name].origin) for name in STATISTIC_GROUPS) != len(gaussians["all"].origin):
            raise ValueError("its image statistics don't add up")
        return OODDetector(embedding, gaussians, threshold, usual, unknown, str(facts.get("weights", "")))

    def save(self, path: Path) -> None:
        """Write it as one safetensors file, whole or not at all."""
        arrays, text = self.to_tensors()
        save_tensors(path, arrays, {"detector": text})

    @staticmethod
    def load(path: Path) -> "OODDetector":
        """Read what `save` wrote. Raises `InvalidDetector`."""
        try:
            arrays, metadata = read_tensors(path, _MAX_BYTES)
            return OODDetector.from_tensors(arrays, metadata.get("detector") or metadata["guard"])
        except Exception as error:  # whatever a damaged file may bring about
            raise InvalidDetector(
                f"{path} can't be read ({plain_reason(error)}). Make it anew: python -m core ood RUN"
            ) from error


def _check_gaussians(name: str, part: ClassGaussians) -> None:
    """Raises ValueError where the numbers of ``part``, called ``name``, don't fit together or say nothing."""
    arrays = {field: getattr(part, field) for field in _FIELDS}
    check_numbers(arrays)
    if part.origin.ndim != 1 or part.means.ndim != 2 or part.directions.ndim != 2 or not part.means.size:
        raise ValueError(f"{name} has no classes")
    numbers = len(part.origin)
    check_shape(f"{name}.scale", part.scale, numbers)
    check_shape(f"{name}.means", part.means, len(part.means), numbers)
    check_shape(f"{name}.directions", part.directions, numbers, len(part.gains))
    scales = [part.residual_precision, part.unit_distance]
    if not (part.scale.min() > 0 and np.isfinite(scales).all() and min(scales) > 0):
        raise ValueError(f"{name} measures by nothing")


def unusual_groups(detector: OODDetector, statistics: np.ndarray, size: int) -> tuple[str, ...]:
    """The groups in which ``statistics`` (1, F) of a crop of ``size`` px are unusual by themselves, most first."""
    groups = statistic_groups(size)
    far = {
        name: float(detector.statistics_gaussians[name].squared_distances(statistics[:, groups == name]).min())
        for name in STATISTIC_GROUPS
    }
    return tuple(sorted((name for name in STATISTIC_GROUPS if far[name] >= 1), key=lambda name: -far[name]))


def fit_detector(
    embeddings: np.ndarray | None,
    labels: np.ndarray,
    val_embeddings: np.ndarray | None,
    crops: np.ndarray | ImageRows | None = None,
    val_crops: np.ndarray | ImageRows | None = None,
    *,
    val_logits: np.ndarray | None = None,
    in_distribution_share: float = IN_DISTRIBUTION_SHARE,
) -> OODDetector:
    """The detector of known cells: ``embeddings`` (M, K), ``labels`` int (M,), ``crops`` uint8 (M, S, S, 3) as framed.

    Val, cells that nothing was fitted on, sets the threshold: ``in_distribution_share`` of them are in distribution.
    Without ``crops`` (of both or of none) the score rests on the embedding alone, without ``embeddings`` (of both) on
    the pictures; one of both must be there. With ``val_logits`` (N, C) cells of unknown classes are told too. Classes
    may lack cells among ``labels``.
    """
    embedding: ClassGaussians | None = None
    total: np.ndarray | float = 0.0
    if embeddings is not None and val_embeddings is not None:
        embedding = _fit_scaled(embeddings, labels, val_embeddings, _EMBEDDING_SHRINKAGE, in_distribution_share)
        total = embedding.squared_distances(val_embeddings).min(1)
    gaussians: dict[str, ClassGaussians] = {}
    if crops is not None and val_crops is not None:
        statistics, val_statistics, groups = (
            image_statistics(crops),
            image_statistics(val_crops),
            statistic_groups(crops.shape[1]),
        )
        for name, part in {
            "all": np.full(len(groups), True),
            **{kind: groups == kind for kind in STATISTIC_GROUPS},
        }.items():
            gaussians[name] = _fit_scaled(
                statistics[:, part], labels, val_statistics[:, part], _STATISTICS_SHRINKAGE, in_distribution_share
            )
        total = total + gaussians["all"].squared_distances(val_statistics).min(1)
    threshold = _conformal_quantile(np.sqrt(total), in_distribution_share)
    distances, unknown = np.sqrt(total) / threshold, None
    if embedding and embeddings is not None and val_embeddings is not None and val_logits is not None:
        everything = fit_class_gaussians(embeddings, np.zeros(len(embeddings), int), _EMBEDDING_SHRINKAGE)
        relative, energies = relative_distances(embedding, everything, val_embeddings), energy(val_logits)
        unknown = UnknownClass(everything, *(max(float(v.std()), _MIN_SPREAD) for v in (relative, energies, distances)))
        sums = unknown.score(embedding, val_embeddings, energies, distances)
        median = float(np.median(sums))
        unknown = replace(unknown, median=median, threshold=_conformal_quantile(sums, in_distribution_share) - median)
    return OODDetector(embedding, gaussians, threshold, float(np.median(distances)), unknown)


def _fit_scaled(
    vectors: np.ndarray, labels: np.ndarray, val: np.ndarray, shrink: float, in_distribution_share: float
) -> ClassGaussians:
    gaussians = fit_class_gaussians(vectors, labels, shrink)
    return replace(
        gaussians, unit_distance=_conformal_quantile(gaussians.squared_distances(val).min(1), in_distribution_share)
    )


def _conformal_quantile(values: np.ndarray, share: float) -> float:
    """The limit that ``share`` of ``values`` (N,), and of as many more like them, stay under: a conformal quantile."""
    ranked = np.sort(values)
    rank = int(np.ceil(share * (len(ranked) + 1) - 1e-9))  # from 1
    return float(np.nextafter(ranked[min(rank, len(ranked)) - 1], np.inf))


MAX_TRAIN_CELLS = 4000  # of the train split: more tell where the classes lie no better, and take longer


def detector_of(run: Run) -> OODDetector | None:
    """The detector of ``run``, read once; None for one without, such as runs of older versions.

    Raises `InvalidDetector` where the file is broken.
    """
    try:
        run.check_file(OOD)
        return _load_detector(run.ood_path)
    except DamagedRun as error:
        raise InvalidDetector(str(error)) from error
    except FileNotFoundError:
        return None


@cached_file(maxsize=32)
def _load_detector(path: Path) -> OODDetector:
    return OODDetector.load(path)


def make_detector(run: Run, data: LoadedDataset | None = None, report: Report = silent) -> OODDetector:
    """The detector of ``run`` from its train and val cells, stored in its folder.

    ``data`` is the data set that it was trained on, loaded where it isn't given. Raises `DatasetUnavailable` where the
    very cells are not on this computer.
    """
    data = data or training_data(run)
    train, val = _evenly_spaced(data["train"], MAX_TRAIN_CELLS), data["val"]
    total, done = len(train) + len(val), 0

    def look(images: np.ndarray | ImageRows) -> tuple[np.ndarray | None, np.ndarray | None]:
        nonlocal done
        if not has_embedding(run):
            return None, None
        logits, parts = [], []
        for rows in batches(len(images), engine.BATCH):
            scores, vectors = engine.logits_and_embeddings(run, images[rows])
            if vectors is None:  # a network that has no map of features
                return None, None
            logits.append(scores)
            parts.append(vectors)
            done += len(vectors)
            report(Progress(done, total, "looking at known cells", "image"))
        return np.concatenate(logits), np.concatenate(parts)

    (_, embeddings), (val_logits, val_embeddings) = look(train.images), look(val.images)
    detector = fit_detector(embeddings, train.labels, val_embeddings, train.images, val.images, val_logits=val_logits)
    detector = replace(detector, weights_hash=run.weights_hash if detector.embedding_gaussians else "")
    replace_sealed(run, OOD, detector.save)
    return detector


def _evenly_spaced(part: Split, most: int) -> Split:
    """At most ``most`` cells of ``part``, spread evenly over it: its order says nothing of the class."""
    chosen = np.unique(np.linspace(0, len(part) - 1, most).astype(int)) if len(part) > most else np.arange(len(part))
    return Split(np.asarray(part.images[chosen]), np.asarray(part.labels)[chosen], part.ids[chosen])
