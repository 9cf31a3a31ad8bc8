"""Measures red cells, the ruler that lies in nearly every picture of a smear: 7 to 8 micrometres across.

Pictures of one laboratory share one physical scale, so one diameter is sought for all of them. Red cells are discs,
pale rings, dark outlines or blurs, touching and overlapping, and no threshold finds them everywhere; but their outer
border is always darker inside than outside. So each border point votes for the centre that it would have at each
radius, one radius from its place along the gradient (Kimme, Ballard and Sklansky 1975,
https://doi.org/10.1145/360666.360677). At the true radius the votes of a whole circle meet in one place; elsewhere
they scatter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from core.serving.nucleus import optical_density, reduce, stained_parts

WORKING_SIDE = 160
MOST_PICTURES = 64  # the median of so many is steady to 2 %

# Radii tried, in px of the working picture: a red cell is from .075 to .6 of the picture's side.
_RADII = np.geomspace(6, 48, 31)
_BIN = 0.22  # width of the places where votes meet, in radii: red cells are not quite round
_SHARPEST = 0.24  # share of the pixels that may be borders
_MARGIN = 0.5  # round the stained parts, in their radii: the white cell's own border is no red cell's
# The border lies where the gradient is steepest, a little inside of what an eye calls the red cell's rim, and the bins
# pull inwards too: measured against the 75 px of BloodMNIST's originals.
_CORRECTION = 75 / 71.0
_FAINTEST = 0.12
_LEAST_SHARE = 0.25


# Shares of the circles of `_RADII` that are seen, float (31,), and px of the picture per px of the working picture.
Circles = tuple[np.ndarray, float]


@dataclass(frozen=True)
class Ruler:
    """``diameter`` of a red cell in px, ``spread`` (standard error in px), ``pictures`` in which one was measured.

    ``sharpness``: how far the best diameter stands out, 0 to 1.
    """

    diameter: float
    spread: float
    pictures: int
    sharpness: float


def red_cell_diameter(pictures: Sequence[np.ndarray]) -> Ruler | None:
    """Diameter of the red cells in ``pictures``, each uint8 (H, W, 3) RGB, all of one physical scale.

    At most `MOST_PICTURES` are looked at, spread evenly over the batch. None where no size stands out.
    """
    chosen = np.unique(np.linspace(0, len(pictures) - 1, MOST_PICTURES).astype(int)) if len(pictures) else []
    return read([measure(pictures[i]) for i in chosen])


def measure(pixels: np.ndarray) -> Circles | None:
    """How much of a circle of each radius is seen in ``pixels`` uint8 (H, W, 3) at its best place; None if too small.

    `read` makes a diameter of the measures of several pictures.
    """
    small, factor = reduce(pixels, WORKING_SIDE)
    height, width = small.shape[:2]
    if min(height, width) < 3 * _RADII[0]:
        return None
    dark = ndimage.gaussian_filter(optical_density(small)[..., 1], 1.0)
    x, y, away_x, away_y = _borders(dark, _surroundings(pixels, height, width))
    best = []
    for radius in _RADII:
        # Optical density grows into the cell: its gradient points to the centre.
        centre_x, centre_y = x + radius * away_x, y + radius * away_y
        inside = (centre_x >= 0) & (centre_x < width) & (centre_y >= 0) & (centre_y < height)
        step = _BIN * radius
        columns, rows = int(width / step) + 2, int(height / step) + 2
        place = (centre_y[inside] / step).astype(int) * columns + (centre_x[inside] / step).astype(int)
        votes = np.bincount(place, minlength=columns * rows).reshape(rows, columns)
        best.append((votes[:-1, :-1] + votes[1:, :-1] + votes[:-1, 1:] + votes[1:, 1:]).max() / (2 * np.pi * radius))
    return np.array(best), factor


def _surroundings(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Where no white cell is, bool (height, width)."""
    parts = stained_parts(pixels)
    if parts is None:
        return np.ones((height, width), bool)
    stained = parts.labels > 0
    radius = np.sqrt(stained.sum() / np.pi)
    far = ndimage.distance_transform_edt(~stained) > _MARGIN * radius
    return np.asarray(Image.fromarray(far).resize((width, height)))


def _borders(dark: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Places x, y of the ridges of the gradient of ``dark`` (h, w), and its direction there as unit vectors."""
    down, across = np.gradient(dark)
    steep = np.hypot(across, down)
    across, down = across / (steep + 1e-9), down / (steep + 1e-9)
    faintest = np.quantile(steep, 1 - _SHARPEST)
    inner = (slice(1, -1), slice(1, -1))
    y, x = np.nonzero((steep > max(faintest, 1e-4))[inner] & allowed[inner])
    y, x = y + 1, x + 1
    dx, dy = across[y, x], down[y, x]
    step_x, step_y = np.rint(dx).astype(int), np.rint(dy).astype(int)
    here = steep[y, x]
    ridge = (here >= steep[y + step_y, x + step_x]) & (here > steep[y - step_y, x - step_x])
    return x[ridge].astype(float), y[ridge].astype(float), dx[ridge], dy[ridge]


def read(measures: Sequence[Circles | None]) -> Ruler | None:
    """The diameter at which the pictures' mean coverage is highest, against what scattered votes give.

    ``measures`` are those of `measure` for pictures of one physical scale. None where no size stands out.
    """
    measured = [m for m in measures if m is not None]
    if not measured:
        return None
    factors = np.array([factor for _, factor in measured])
    usual = float(np.median(factors))
    # Pictures of several sizes share the scale in their own px: shift their curves to the usual factor's radii.
    logs = np.log(_RADII)
    curves = np.array([np.interp(logs, logs + np.log(f / usual), c) for c, f in measured])
    excess = curves - _scattered(curves.mean(0))
    peak, sharpness = _peak(excess.mean(0), logs)
    if sharpness < _FAINTEST:
        return None
    own = np.array([_peak(c, logs)[0] for c in excess])
    near = np.abs(own - peak) < np.log(1.2)
    if near.mean() < _LEAST_SHARE:
        return None
    diameter = float(2 * np.exp(peak) * usual * _CORRECTION)
    spread = diameter * float(np.std(own[near]) / np.sqrt(near.sum()))
    return Ruler(diameter, spread, int(near.sum()), sharpness)


def _scattered(curve: np.ndarray) -> np.ndarray:
    """A straight line from the curve's first to its last value: small circles are completed by chance more often."""
    return np.linspace(curve[0], curve[-1], len(curve))


def _peak(curve: np.ndarray, places: np.ndarray) -> tuple[float, float]:
    """Place and height of the highest point of ``curve``, between its samples by a parabola."""
    k = int(np.clip(curve.argmax(), 1, len(curve) - 2))
    left, middle, right = curve[k - 1 : k + 2]
    bend = left - 2 * middle + right
    shift = float(np.clip(0.5 * (left - right) / bend, -1, 1)) if bend < 0 else 0.0
    return float(places[k] + shift * (places[1] - places[0])), float(curve[k])
