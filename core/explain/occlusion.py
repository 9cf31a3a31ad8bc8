"""Occlusion: how far an answer falls when one place after another is covered (Zeiler and Fergus 2014, arXiv:1311.2901).

It asks a classifier for nothing but its answers, so that it reads forests and combinations as well as networks.
It says what the answer needs, one place at a time: two places of which either suffices both look idle, and a
covered picture is one that the classifier has never met. Needs numpy only.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

GRID = 10


@dataclass(frozen=True)
class OcclusionMap:
    """Fall of a class's log-probability by covered place, ``values`` float32 (h, w) divided by their maximum, 0 to 1.

    ``minimum`` is the class's probability with the place covered that counts most, ``baseline`` with nothing covered.
    Where covering never lowers it, the map is all zero.
    """

    values: np.ndarray
    baseline: float
    minimum: float
    target: int

    @property
    def is_empty(self) -> bool:
        """True where no place alone lowers the probability."""
        return not self.values.any()


def occlusion(
    predict: Callable[[np.ndarray], np.ndarray], image: np.ndarray, target: int, grid: int = GRID
) -> OcclusionMap:
    """The occlusion map, ``grid`` a side, of class ``target`` for one picture uint8 (S, S, 3).

    ``predict`` gives probabilities (N, C) for pictures uint8 (N, S, S, 3); it is asked once, for all places
    and the picture as it is.
    """
    probabilities = predict(np.concatenate([image[None], occluded_images(image, grid)]))[:, target]
    logs = np.log(np.maximum(probabilities, 1e-12))
    drops = np.maximum(logs[0] - logs[1:], 0.0).reshape(grid, grid)
    peak = drops.max()
    # Falls below a thousandth are rounding, not evidence.
    values = drops / peak if peak > 1e-3 else np.zeros_like(drops)
    return OcclusionMap(values.astype(np.float32), float(probabilities[0]), float(probabilities[1:].min()), target)


def occluded_images(image: np.ndarray, grid: int = GRID) -> np.ndarray:
    """``image`` uint8 (S, S, 3) with one place after another covered, row by row: uint8 (places squared, S, S, 3).

    A cover reaches half a place beyond its own on every side, so that neighbours overlap and no edge of the
    grid stays unseen. Its colour is the median of the picture's rim, what lies around the cell.
    """
    side = image.shape[0]
    step = side / grid
    edges = [(max(0, round((i - 0.5) * step)), min(side, round((i + 1.5) * step))) for i in range(grid)]
    out = np.repeat(image[None], grid * grid, axis=0)
    colour = border_colour(image)
    for number, (rows, columns) in enumerate((r, c) for r in edges for c in edges):
        out[number, slice(*rows), slice(*columns)] = colour
    return out


def border_colour(image: np.ndarray) -> np.ndarray:
    """Median colour uint8 (3,) of the outermost pixels of ``image``, a sixteenth of its side deep."""
    depth = max(1, image.shape[0] // 16)
    inside = np.zeros(image.shape[:2], bool)
    inside[depth:-depth, depth:-depth] = True
    return np.median(image[~inside], axis=0).astype(np.uint8)
