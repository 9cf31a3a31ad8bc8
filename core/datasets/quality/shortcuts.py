"""Shortcuts: how far a small model gets on parts of a picture that show no cell, and on its colours alone.

A model that learns the slide's stain, the vignette or a burned-in scale bar is right on the same laboratory's test
pictures and wrong elsewhere (Geirhos et al. 2020, Shortcut learning in deep neural networks,
https://arxiv.org/abs/2004.07780). What a forest reaches on such a part is what a good figure may be made of.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.datasets.base import ImageRows
from core.datasets.quality.near_duplicates import thumbnails

SIDE = 20  # of the thumbnail whose rim is the border
RIM = 2
CORNER = 0.2  # of the side
CORNER_SIDE = 10
WHOLE_SIDE = 8
TREES = 120
MAX_TRAIN = 8000  # pictures that a forest learns from
MIN_VAL = 150  # val pictures below which folds of train and val are used instead
FOLDS = 5
CHUNK_PIXELS = 2**21


@dataclass(frozen=True)
class Part:
    """What a small model is shown: ``key``, ``title``, ``meaning`` (a sentence), ``whole``: nothing is hidden."""

    key: str
    title: str
    meaning: str
    whole: bool = False


PARTS = (
    Part("colour", "Six colour numbers", "Mean and deviation of red, green and blue over the picture; no shapes."),
    Part("border", "Border alone", f"A rim of {100 * RIM // SIDE} % of the side, averaged to coarse squares."),
    Part("corner", "Bottom right corner", f"The corner of {100 * CORNER:.0f} % of the side, where scale bars stand."),
    Part("whole", f"Whole picture at {WHOLE_SIDE} px", "For comparison: everything, but blurred.", whole=True),
)


@dataclass(frozen=True)
class Shortcut:
    """What a forest reached on one `Part`: ``right`` of ``n`` pictures it had not learnt from."""

    key: str
    right: int
    n: int

    @property
    def part(self) -> Part:
        return next(part for part in PARTS if part.key == self.key)

    @property
    def accuracy(self) -> float:
        return self.right / max(self.n, 1)


def part_features(images: np.ndarray | ImageRows) -> dict[str, np.ndarray]:
    """For each of `PARTS` the numbers that it shows of ``images`` uint8 (N, S, S, 3), float32 (N, D)."""
    step = max(1, CHUNK_PIXELS // (images.shape[1] * images.shape[2]))
    chunks = [_part_features(images[start : start + step]) for start in range(0, len(images), step)]
    return {part.key: np.concatenate([f[part.key] for f in chunks]) for part in PARTS}


def _part_features(images: np.ndarray) -> dict[str, np.ndarray]:
    number, size = images.shape[:2]
    rim = np.ones((SIDE, SIDE), bool)
    rim[RIM:-RIM, RIM:-RIM] = False
    edge = max(1, round(CORNER * size))
    corner = images[:, size - edge :, size - edge :]
    corner = thumbnails(corner, min(edge, CORNER_SIDE))
    return {
        "colour": colour_numbers(images),
        "border": thumbnails(images, SIDE)[:, rim].reshape(number, -1),
        "corner": corner.reshape(number, -1),
        "whole": thumbnails(images, WHOLE_SIDE).reshape(number, -1),
    }


def colour_numbers(images: np.ndarray) -> np.ndarray:
    """Mean and deviation of red, green, blue of each of ``images`` uint8 (n, S, S, 3): float32 (n, 6), 0 to 255."""
    flat = images.reshape(len(images), -1, 3)
    return np.concatenate([flat.mean(1, dtype=np.float32), flat.std(1, dtype=np.float32)], 1)


def find_shortcuts(
    features: dict[str, np.ndarray],
    labels: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    step: Callable[[int, int], None] | None = None,
) -> tuple[tuple[Shortcut, ...], str]:
    """What a forest reaches on each of `PARTS`, and on what it was scored: 'val' or 'folds'.

    ``features`` is of `part_features`; ``train`` and ``val`` are rows of it. Scored on val, or where val has few
    pictures over folds of train and val together. ``step`` is told (parts done, parts).
    """
    scored = "val" if len(val) >= MIN_VAL else "folds"
    results = []
    for number, part in enumerate(PARTS, 1):
        x = features[part.key]
        if scored == "val":
            right, n = _score(x, labels, train, val), len(val)
        else:
            right, n = _over_folds(x, labels, np.concatenate([train, val]))
        results.append(Shortcut(part.key, right, n))
        if step:
            step(number, len(PARTS))
    return tuple(results), scored


def _score(x: np.ndarray, labels: np.ndarray, train: np.ndarray, val: np.ndarray) -> int:
    from sklearn.ensemble import RandomForestClassifier

    train = np.sort(np.random.default_rng(0).permutation(train)[:MAX_TRAIN])
    forest = RandomForestClassifier(TREES, max_features="sqrt", min_samples_leaf=2, random_state=0)
    forest.fit(x[train], labels[train])
    return int((forest.predict(x[val]) == labels[val]).sum())


def _over_folds(x: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> tuple[int, int]:
    rows = np.random.default_rng(0).permutation(rows)
    parts = np.array_split(rows, min(FOLDS, len(rows)))
    if len(parts) < 2:
        return 0, 0
    right = 0
    for number, held in enumerate(parts):
        right += _score(x, labels, np.concatenate(parts[:number] + parts[number + 1 :]), held)
    return right, len(rows)
