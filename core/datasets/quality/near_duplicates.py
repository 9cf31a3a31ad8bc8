"""Pictures that show the same: exact duplicates, and near duplicates (shifted a little, stored anew, seen twice).

Three steps, each on what the step before left over. Equal pixels are found by their hash. Then every remaining picture
gets a perceptual hash, 64 signs of its coarsest cosine coefficients (Zauner 2010,
https://www.phash.org/docs/pubs/thesis_zauner.pdf) taken after each coefficient is standardised over the data set, so
that what all cells have in common (a dark disc on a pale ground) counts for nothing; pictures that stand near each
other in one of several sorted tables of that hash, its bits in another order each time (Charikar 2002,
https://doi.org/10.1145/509907.509965), become candidates. At last each candidate is compared as a colour thumbnail,
each of its pixels standardised over the data set, at the best of some small shifts.

How alike two different pictures may look depends on the data set (cells look alike, fields of many cells do not). So
the threshold rises with the likeness of the data set's ordinary nearest neighbours: 0.73 for fields of leukaemia
(0.22), 0.93 for single cells of BloodMNIST (0.62); both were set by looking at the pairs.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from core.datasets.base import SPLITS, LoadedDataset
from core.progress import Report, batches, silent


def thumbnails(images: np.ndarray, side: int) -> np.ndarray:
    """``images`` uint8 (n, S, S, 3) averaged over areas to float32 (n, side, side, 3), 0 to 255."""
    weight = _weights(images.shape[1], side)
    rows = np.tensordot(images.astype(np.float32), weight, (1, 1))  # (n, S, 3, side)
    return np.tensordot(rows, weight, (1, 1)).transpose(0, 2, 3, 1)


def _weights(size: int, side: int) -> np.ndarray:
    """(side, size): how much of each of ``size`` pixels goes into each of ``side``; rows add up to 1."""
    edge, pixel = np.linspace(0, size, side + 1), np.arange(size)
    covered = np.minimum(edge[1:, None], pixel + 1) - np.maximum(edge[:-1, None], pixel)
    return (np.maximum(covered, 0) * side / size).astype(np.float32)


class Images(Protocol):
    """Pictures uint8 (N, S, S, 3), in memory or on disk, taken by slices and index arrays."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, S, S, 3)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...


CHUNK = 512
CHUNK_PIXELS = CHUNK * 64 * 64  # fewer pictures at a time where they are large
THUMBNAIL_SIDE = 24
MAX_SHIFT = 3  # pixels of a thumbnail, to each side
BRIGHT, TINT = 16, 8  # cosine coefficients a side: of brightness, of each of two colour differences
COEFFICIENTS = BRIGHT**2 + 2 * TINT**2 - 3
BITS = 64
TABLES, WINDOW = 24, 6
MAX_BIT_DISTANCE = 24  # bits of two hashes that may differ; unrelated ones differ in about 32
MIN_COEFFICIENT_SIMILARITY = 0.35  # likeness of coefficients from which a candidate is worth comparing
PRIOR = 32  # blank pictures that stand in for those a small data set lacks when means and spreads are taken
NEIGHBOURS = 5
THRESHOLD_BASE, THRESHOLD_SLOPE = 0.62, 0.5  # threshold = BASE + SLOPE * likeness of ordinary neighbours ...
MIN_THRESHOLD, MAX_THRESHOLD = 0.7, 0.97  # ... within these
MIN_TYPICAL, MAX_TYPICAL = 0.1, 0.9  # between these the likeness of ordinary nearest neighbours is believed
SAMPLE_SIZE, MAX_SEARCHED = 200, 12_000  # pictures asked for their ordinary neighbours, and pictures searched


@dataclass(frozen=True)
class DuplicatePairs:
    """P pairs of pictures: ``first`` < ``second`` int64 (P,), ``similarity`` float32 (P,), ``identical`` bool (P,).

    Similarity is 1 for identical pictures, else the correlation of thumbnails. Of several identical pictures each is
    paired with the first, of near copies any two that are alike. ``threshold`` is the least of a pair.
    """

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray
    identical: np.ndarray
    threshold: float

    def __len__(self) -> int:
        return len(self.first)

    def groups(self, number: int, *, identical_only: bool = False) -> np.ndarray:
        """Number of the group of each of ``number`` pictures, int64, 0 to G - 1 in the order of first members."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        used = self.identical if identical_only else slice(None)
        first, second = self.first[used], self.second[used]
        graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(number, number))
        labels = connected_components(graph, directed=False)[1]
        _, first, member = np.unique(labels, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first)).astype(np.int64)[member]


def near_duplicate_groups(images: Images, report: Report = silent) -> np.ndarray:
    """Number of the group of each picture, int64 (N,), 0 to G - 1 in the order of first members.

    ``images`` uint8 (N, S, S, 3), read in chunks. Most groups hold one picture. See `near_duplicate_pairs`.
    """
    return near_duplicate_pairs(images, report).groups(len(images))


def near_duplicate_pairs(images: Images, report: Report = silent) -> DuplicatePairs:
    """All identical pairs and the near copies among ``images``, uint8 (N, S, S, 3).

    Time grows as N log N, memory by about 1 kB a picture.
    """
    digests, coefficients, mean, deviation = _read(images, report)
    _, unique_rows, copy_of = np.unique(digests, return_index=True, return_inverse=True)
    original = unique_rows[copy_of]
    exact_copies = np.flatnonzero(original != np.arange(len(images)))
    unique_rows = np.sort(unique_rows)

    _standardise(coefficients := coefficients[unique_rows])
    left, right = _candidates(coefficients)
    left, right = unique_rows[left], unique_rows[right]

    def similarity_of(left: np.ndarray, right: np.ndarray, report: Report = silent) -> np.ndarray:
        """Correlation of each pair of rows, float32 (P,), -1 to 1."""
        out = np.empty(len(left), np.float32)
        for part in batches(len(left), _step(images), report, "comparing", "pair"):
            standard = ((_thumbnails(images[ends[part]]) - mean) / deviation for ends in (left, right))
            out[part] = _shifted(*standard)
        return out

    typical = _typical_similarity(unique_rows, coefficients, similarity_of)
    threshold = min(max(THRESHOLD_BASE + THRESHOLD_SLOPE * typical, MIN_THRESHOLD), MAX_THRESHOLD)
    similarity = similarity_of(left, right, report)
    near = similarity >= threshold
    return DuplicatePairs(
        first=np.concatenate([original[exact_copies], left[near]]),
        second=np.concatenate([exact_copies, right[near]]),
        similarity=np.concatenate([np.ones(len(exact_copies), np.float32), similarity[near]]),
        identical=np.arange(len(exact_copies) + near.sum()) < len(exact_copies),
        threshold=float(threshold),
    )


def _step(images: Images) -> int:
    return max(1, min(CHUNK, CHUNK_PIXELS // max(images.shape[1] * images.shape[2], 1)))


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def _read(images: Images, report: Report) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Digests V16 (N,), cosine coefficients float16 (N, K), and the thumbnails' mean and deviation by pixel."""
    digests, coefficients = np.empty(len(images), "V16"), np.empty((len(images), COEFFICIENTS), np.float16)
    first, second = np.zeros((2, THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3))
    for part in batches(len(images), _step(images), report, "reading", "image"):
        pixels = images[part]
        digests[part] = [_digest(image) for image in pixels]
        small = _thumbnails(pixels)
        coefficients[part] = _cosine_coefficients(small)
        first += small.sum(0)
        second += (small**2).sum(0)
    mean = first / (len(images) + PRIOR)
    variance = np.maximum(second / (len(images) + PRIOR) - mean**2, 0)
    variance += variance.mean() * PRIOR / (len(images) + PRIOR) + 1e-3
    return digests, coefficients, mean.astype(np.float32), np.sqrt(variance).astype(np.float32)


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """``images`` as float32 (n, THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3), each colour's mean taken away."""
    small = thumbnails(images, THUMBNAIL_SIDE)
    return small - small.mean((1, 2), keepdims=True)


def _cosine_coefficients(small: np.ndarray) -> np.ndarray:
    """The coarsest cosine coefficients of thumbnails' brightness and of two colour differences, without means."""
    from scipy.fft import dctn

    red, green, blue = np.moveaxis(small, -1, 0)
    planes = ((red + green + blue) / 3, BRIGHT), (red - green, TINT), (blue - (red + green) / 2, TINT)
    planes_coefficients = [
        dctn(plane, axes=(1, 2), norm="ortho")[:, :most, :most].reshape(len(plane), -1) for plane, most in planes
    ]
    return np.concatenate([part[:, 1:] for part in planes_coefficients], 1) / THUMBNAIL_SIDE


def _standardise(coefficients: np.ndarray) -> None:
    """In place: each coefficient to mean 0 and deviation 1 over the data set, then each picture to length 1."""
    parts, number = list(batches(len(coefficients), CHUNK)), len(coefficients) + PRIOR
    mean, variance = np.zeros((2, coefficients.shape[1]))
    for part in parts:
        mean += coefficients[part].sum(0, dtype=np.float64)
    mean /= number
    for part in parts:
        variance += ((coefficients[part] - mean) ** 2).sum(0)
    spread = np.sqrt(variance / number) + 1e-3
    for part in parts:
        values = (coefficients[part] - mean) / spread
        coefficients[part] = values / (np.linalg.norm(values, axis=1, keepdims=True) + 1e-6)


def _hashes(coefficients: np.ndarray) -> np.ndarray:
    """Signs of the BITS coarsest coefficients, bool (N, BITS): half of brightness, a quarter of each tint."""
    bits_by_plane = (BRIGHT, BITS // 2), (TINT, BITS // 4), (TINT, BITS // 4)
    columns, start = [], 0
    for side, most in bits_by_plane:
        row, column = np.divmod(np.arange(1, side * side), side)
        columns.append(start + np.argsort(row + column, kind="stable")[:most])
        start += side * side - 1
    return coefficients[:, np.concatenate(columns)] > 0


def _candidates(coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (left < right) that are worth comparing, by position in ``coefficients`` (N, K)."""
    number = len(coefficients)
    bits, orders = _hashes(coefficients), np.random.default_rng(0)
    words = _word(bits)
    pair_keys = []
    for _ in range(TABLES):
        order = np.argsort(_word(bits[:, orders.permutation(BITS)]), kind="stable")
        for step in range(1, min(WINDOW, number - 1) + 1):
            ends = np.sort(np.stack([order[:-step], order[step:]]), axis=0)
            low, high = ends[:, np.bitwise_count(words[ends[0]] ^ words[ends[1]]) <= MAX_BIT_DISTANCE]
            pair_keys.append(low * number + high)
    pairs = np.unique(np.concatenate(pair_keys)) if pair_keys else np.zeros(0, np.int64)
    left, right = np.divmod(pairs, max(number, 1))
    similar = np.zeros(len(left), bool)
    for part in batches(len(left), 4096):
        a, b = (coefficients[ends[part]].astype(np.float32) for ends in (left, right))
        similar[part] = np.einsum("nk,nk->n", a, b) > MIN_COEFFICIENT_SIMILARITY
    return left[similar], right[similar]


def _word(bits: np.ndarray) -> np.ndarray:
    """Bool (N, 64) as uint64 (N,)."""
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(">u8")[:, 0].astype(np.uint64)


def _shifted(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The best correlation of the overlap of thumbnails (n, S, S, 3) over small shifts."""
    areas = [_integral_image(side**2) for side in (left, right)]
    best = np.full(len(left), -1, np.float32)
    for down in range(-MAX_SHIFT, MAX_SHIFT + 1):
        for aside in range(-MAX_SHIFT, MAX_SHIFT + 1):
            one = _window(down, aside)
            other = _window(-down, -aside)
            product = np.einsum("nijc,nijc->n", left[:, *one], right[:, *other])
            energy = _window_sum(areas[0], one) * _window_sum(areas[1], other)
            best = np.maximum(best, product / np.sqrt(np.maximum(energy, 1e-6)))
    return best


def _window(down: int, aside: int) -> tuple[slice, slice]:
    """Rows and columns of a thumbnail that overlap with another one moved so far."""
    return slice(max(down, 0), THUMBNAIL_SIDE + min(down, 0)), slice(max(aside, 0), THUMBNAIL_SIDE + min(aside, 0))


def _integral_image(values: np.ndarray) -> np.ndarray:
    """Sums of ``values`` (n, S, S, 3) above and left of each corner, (n, S + 1, S + 1)."""
    return np.pad(values.sum(-1, dtype=np.float64).cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))


def _window_sum(areas: np.ndarray, window: tuple[slice, slice]) -> np.ndarray:
    (top, bottom), (start, end) = ((part.start, part.stop) for part in window)
    return areas[:, bottom, end] - areas[:, top, end] - areas[:, bottom, start] + areas[:, top, start]


def _typical_similarity(
    unique_rows: np.ndarray, coefficients: np.ndarray, similarity_of: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> float:
    """How like a picture is to the nearest other one of the data set, at the median of a sample."""
    if len(unique_rows) < 3:
        return MAX_TYPICAL
    draw = np.random.default_rng(1)
    searched = np.sort(draw.permutation(len(unique_rows))[:MAX_SEARCHED])
    sample = draw.permutation(len(searched))[:SAMPLE_SIZE]
    best = np.empty(len(sample), np.float32)
    pool = coefficients[searched].astype(np.float32)
    for rows in batches(len(sample), 100):
        part = sample[rows]
        like = pool[part] @ pool.T
        like[np.arange(len(part)), part] = -2
        nearest = np.argpartition(-like, min(NEIGHBOURS, len(searched) - 1) - 1, axis=1)[:, :NEIGHBOURS]
        pairs = np.repeat(part, nearest.shape[1]), nearest.ravel()
        similarity = similarity_of(*(unique_rows[searched[ends]] for ends in pairs))
        best[rows] = similarity.reshape(nearest.shape).max(1)
    return float(np.clip(np.median(best), MIN_TYPICAL, MAX_TYPICAL))


class ImageRef(NamedTuple):
    """One of several identical images: its split, its id there, and its label (class index)."""

    split: str
    id: str
    label: int


def identical_images(loaded: LoadedDataset) -> list[tuple[ImageRef, ...]]:
    """Groups of two or more images of any splits that are the same to the pixel."""
    by_digest: dict[bytes, list[ImageRef]] = defaultdict(list)
    for split in SPLITS:
        part = loaded[split]
        for image, identity, label in zip(part.images, part.ids, part.labels, strict=True):
            by_digest[_digest(image)].append(ImageRef(split, str(identity), int(label)))
    return [tuple(members) for members in by_digest.values() if len(members) > 1]
