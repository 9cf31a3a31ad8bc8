"""The physical scale of a laboratory's pictures: the size of its red cells, 7 to 8 micrometres across, and from it the
side of the square to cut out.

Pictures of one laboratory share one scale, so one diameter is sought for all of them. Red cells are discs, pale rings,
dark outlines or blurs, touching and overlapping, and no threshold finds them everywhere; but their outer border is
always darker inside than outside. So each border point votes for the centre that it would have at each radius, one
radius from its place along the gradient (Kimme, Ballard and Sklansky 1975, https://doi.org/10.1145/360666.360677). At
the true radius the votes of a whole circle meet in one place; elsewhere they scatter.

A red cell spans the same share of a crop everywhere, so its diameter gives the side. Where red cells can't be measured,
the nuclei do nearly as well: how far they reach, median over a batch, is the same share of the right crop in four
laboratories, within 5 %. In a few pictures circles of another size may stand out by chance, half a red cell or two
side by side: there the nuclei say which size is likely.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from core.errors import HemaLensError
from core.formatting import counted
from core.images.crop import MAX_TIGHT_SIDE, NEARLY_SQUARE, CropSpec, parent_factor
from core.images.decode import PIXEL_SIZES
from core.images.nucleus import WhiteCell, optical_density, reduce, stained_parts

WORKING_SIDE = 160
MAX_MEASURED = 64  # the median of so many is steady to 2 %

# Radii tried, in px of the working picture: a red cell is from .075 to .6 of the picture's side.
_RADII = np.geomspace(6, 48, 31)
_BIN = 0.22  # width of the places where votes meet, in radii: red cells are not quite round
_EDGE_SHARE = 0.24  # share of the pixels that may be borders
_MARGIN = 0.5  # round the stained parts, in their radii: the white cell's own border is no red cell's
# The border lies where the gradient is steepest, a little inside of what an eye calls the red cell's rim, and the bins
# pull inwards too: measured against the 75 px of BloodMNIST's originals.
_CORRECTION = 75 / 71.0
_MIN_SHARPNESS = 0.12
_MIN_AGREEING_SHARE = 0.25


# Shares of the circles of `_RADII` that are seen, float (31,), and px of the picture per px of the working picture.
CircleCoverage = tuple[np.ndarray, float]


@dataclass(frozen=True)
class RedCellSize:
    """``diameter`` of a red cell in px, ``standard_error`` (standard error in px), ``pictures`` in which one was
    measured.

    ``sharpness``: how far the best diameter stands out, 0 to 1.
    """

    diameter: float
    standard_error: float
    pictures: int
    sharpness: float


def measure_red_cells(pictures: Sequence[np.ndarray]) -> RedCellSize | None:
    """Diameter of the red cells in ``pictures``, each uint8 (H, W, 3) RGB, all of one physical scale.

    At most `MAX_MEASURED` are looked at, spread evenly over the batch. None where no size stands out.
    """
    chosen = np.unique(np.linspace(0, len(pictures) - 1, MAX_MEASURED).astype(int)) if len(pictures) else ()
    return red_cell_size([circle_coverage(pictures[i]) for i in chosen])


def circle_coverage(pixels: np.ndarray, has_white_cell: bool = True) -> CircleCoverage | None:
    """How much of a circle of each radius is seen in ``pixels`` uint8 (H, W, 3) at its best place; None if too small.

    `red_cell_size` makes a diameter of the measures of several pictures. Borders round what is stained like a nucleus
    don't count, but where the picture ``has_white_cell`` for certain only: else red cells pass for it.
    """
    small, factor = reduce(pixels, WORKING_SIDE)
    height, width = small.shape[:2]
    if min(height, width) < 3 * _RADII[0]:
        return None
    dark = ndimage.gaussian_filter(optical_density(small)[..., 1], 1.0)
    allowed = _surroundings(pixels, height, width) if has_white_cell else np.ones((height, width), bool)
    x, y, gradient_x, gradient_y = _borders(dark, allowed)
    best = []
    for radius in _RADII:
        # Optical density grows into the cell: its gradient points to the centre.
        centre_x, centre_y = x + radius * gradient_x, y + radius * gradient_y
        inside = (centre_x >= 0) & (centre_x < width) & (centre_y >= 0) & (centre_y < height)
        step = _BIN * radius
        columns, rows = int(width / step) + 2, int(height / step) + 2
        bins = (centre_y[inside] / step).astype(int) * columns + (centre_x[inside] / step).astype(int)
        votes = np.bincount(bins, minlength=columns * rows).reshape(rows, columns)
        best.append((votes[:-1, :-1] + votes[1:, :-1] + votes[:-1, 1:] + votes[1:, 1:]).max() / (2 * np.pi * radius))
    return np.array(best), factor


def _surroundings(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Where no white cell is, bool (height, width)."""
    parts = stained_parts(pixels)
    if parts is None:
        return np.ones((height, width), bool)
    stained = parts.labels > 0
    radius = np.sqrt(stained.sum() / np.pi)
    is_far = ndimage.distance_transform_edt(~stained) > _MARGIN * radius
    return np.asarray(Image.fromarray(is_far).resize((width, height)))


def _borders(dark: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Places x, y of the ridges of the gradient of ``dark`` (h, w), and its direction there as unit vectors."""
    down, across = np.gradient(dark)
    steep = np.hypot(across, down)
    across, down = across / (steep + 1e-9), down / (steep + 1e-9)
    faintest = np.quantile(steep, 1 - _EDGE_SHARE)
    inner = (slice(1, -1), slice(1, -1))
    y, x = np.nonzero((steep > max(faintest, 1e-4))[inner] & allowed[inner])
    y, x = y + 1, x + 1
    dx, dy = across[y, x], down[y, x]
    step_x, step_y = np.rint(dx).astype(int), np.rint(dy).astype(int)
    steepness = steep[y, x]
    ridge = (steepness >= steep[y + step_y, x + step_x]) & (steepness > steep[y - step_y, x - step_x])
    return x[ridge].astype(float), y[ridge].astype(float), dx[ridge], dy[ridge]


def red_cell_size(
    measures: Sequence[CircleCoverage | None], nuclei: Sequence[WhiteCell | None] = ()
) -> RedCellSize | None:
    """The diameter at which the pictures' mean coverage is highest, against what scattered votes give.

    ``measures`` are those of `circle_coverage` for pictures of one physical scale; ``nuclei``: their white cells, whose
    size says where red cells of few pictures are likely to be. None where no size stands out.
    """
    measured = [m for m in measures if m is not None]
    if not measured:
        return None
    factors = np.array([factor for _, factor in measured])
    median_factor = float(np.median(factors))
    # Pictures of several sizes share the scale in their own px: shift their curves to the usual factor's radii.
    logs = np.log(_RADII)
    curves = np.array([np.interp(logs, logs + np.log(f / median_factor), c) for c, f in measured])
    # Small circles are completed by chance more often: by a straight line from a curve's first value to its last.
    mean = curves.mean(0)
    excess = curves - np.linspace(mean[0], mean[-1], len(mean))
    unlikely = _unlikeliness(logs + np.log(2 * median_factor * _CORRECTION / RED_CELL_SHARE), nuclei)
    excess_if_likely = excess - unlikely / (_COVERAGE_WEIGHT * len(measured))
    peak, _ = _peak(excess_if_likely.mean(0), logs)
    sharpness = float(np.interp(peak, logs, excess.mean(0)))
    if sharpness < _MIN_SHARPNESS:
        return None
    picture_peaks = np.array([_peak(c, logs)[0] for c in excess_if_likely])
    agrees = np.abs(picture_peaks - peak) < np.log(1.2)
    if agrees.mean() < _MIN_AGREEING_SHARE:
        return None
    diameter = float(2 * np.exp(peak) * median_factor * _CORRECTION)
    spread = diameter * float(np.std(picture_peaks[agrees]) / np.sqrt(agrees.sum()))
    return RedCellSize(diameter, spread, int(agrees.sum()), sharpness)


def _unlikeliness(sides: np.ndarray, nuclei: Sequence[WhiteCell | None]) -> np.ndarray:
    """By how much the ``nuclei`` speak against each of ``sides`` (logarithms of px) of the square to cut out, as a
    negative log-likelihood without its constant.
    """
    reach = [_reach(cell) for cell in nuclei if cell]
    if not reach:
        return np.zeros(len(sides))
    spread = np.hypot(_NUCLEUS_SPREAD / np.sqrt(len(reach)), _KIND_SPREAD)
    away = (sides - np.log(np.median(reach) / NUCLEUS_SHARE)) / spread
    return 0.5 * np.minimum(away**2, _MOST_UNLIKELY)


def _reach(cell: WhiteCell) -> float:
    left, top, right, bottom = cell.nucleus_box
    return max(right - left, bottom - top)


def best_diameter(coverage: CircleCoverage) -> float:
    """The diameter in px at which one picture's ``coverage`` is highest, by the rule of `red_cell_size`."""
    curve, factor = coverage
    radius, _ = _peak(curve - np.linspace(curve[0], curve[-1], len(curve)), np.log(_RADII))
    return float(2 * np.exp(radius) * factor * _CORRECTION)


def _peak(curve: np.ndarray, positions: np.ndarray) -> tuple[float, float]:
    """Place and height of the highest point of ``curve``, between its samples by a parabola."""
    k = int(np.clip(curve.argmax(), 1, len(curve) - 2))
    left, middle, right = curve[k - 1 : k + 2]
    bend = left - 2 * middle + right
    shift = float(np.clip(0.5 * (left - right) / bend, -1, 1)) if bend < 0 else 0.0
    return float(positions[k] + shift * (positions[1] - positions[0])), float(curve[k])


ScaleSource = Literal["official", "given", "stated", "red cells", "nuclei", "whole"]

# A red cell is about 75 px across in the 360 px originals of BloodMNIST, whose frame is the central 200 px.
RED_CELL_SHARE = 75 / 200
RED_CELL_MICROMETRES = 7.5
SIDE_MICROMETRES = RED_CELL_MICROMETRES / RED_CELL_SHARE  # of the square
# How far the nuclei reach (the longer side of the box of all lobes), median over a batch, as a share of the frame.
NUCLEUS_SHARE = 0.59
_MIN_NUCLEI = 5
# Deviation of the logarithm of a nucleus's reach from cell to cell, and of the median of many of one kind; and how much
# a full circle in one picture counts beside that, by single pictures of three laboratories.
_NUCLEUS_SPREAD, _KIND_SPREAD, _MOST_UNLIKELY, _COVERAGE_WEIGHT = 0.25, 0.15, 9.0, 12.0
_NUCLEI_SHARE = 0.35  # of the say that nuclei have beside red cells that stand out little
_MAX_DISAGREEMENT = 1.45  # red cells whose size differs by more from what the nuclei say has measured something else
_LOW_SHARPNESS = 0.4  # beside red cells that stand out less than this the nuclei have a say
# Crops shaped like the originals are cut otherwise only where the red cells say so beyond doubt.
_MIN_SCALE_DIFFERENCE, _MIN_SCALE_DIFFERENCE_OF_FEW = 0.12, 0.14
_MIN_PICTURES = 8
_STANDARD_ERRORS = 4.0
_MAX_MISSTATEMENT = 4 / 3  # red cells that differ by more from what the files say are told
_TIGHT_TOLERANCE = 0.15  # a crop cut out already is used whole where its side is that near to the right one


@dataclass(frozen=True)
class Scale:
    """``side`` of the square in px of the pictures (None: each picture by its own shape), ``source`` of it, ``note``.

    ``note`` says it in a sentence for a person. ``used_nuclei``: whether nuclei had a say beside the red cells.
    ``pixel_size``: what the files say that a pixel spans, in µm, where that gave the side.
    """

    side: int | None
    source: ScaleSource
    note: str
    used_nuclei: bool = False
    pixel_size: float | None = None


OFFICIAL = Scale(None, "official", "Shaped like the pictures that the models learnt from, and framed as they were.")


def given_scale(side: float, whose: str = "as you asked") -> Scale:
    """The scale that is known: ``side`` in px of the pictures; ``whose`` it is, in words."""
    side = max(1, round(side))
    return Scale(side, "given", f"{side} px of each picture were cut out round its cell, {whose}.")


def side_of_pixel_size(pixel_size: float) -> float:
    """The square's side in px where a pixel spans ``pixel_size`` µm. Raises `HemaLensError` for what is no pixel of a
    light microscope's camera.
    """
    low, high = PIXEL_SIZES
    if not low <= pixel_size <= high:
        raise HemaLensError(f"{pixel_size:g} µm a pixel is no light microscope's: give a number from {low} to {high:g}")
    return SIDE_MICROMETRES / pixel_size


def stated_scale(pixel_size: float, pictures: int, measured: RedCellSize | None) -> Scale:
    """The scale of ``pictures`` whose files say that a pixel spans ``pixel_size`` µm; its note tells where their red
    cells say something else.
    """
    side = round(SIDE_MICROMETRES / pixel_size)
    who = "the file says" if pictures == 1 else "the files say"
    note = f"{pixel_size:.3g} µm a pixel, as {who}, so {side} px were cut out round each cell."
    expected = RED_CELL_MICROMETRES / pixel_size
    if measured and abs(np.log(measured.diameter / expected)) > np.log(_MAX_MISSTATEMENT):
        note += (
            f" But red cells seem {measured.diameter:.0f} px across here, not {expected:.0f}: look whether the frames "
            "seem right."
        )
    return Scale(max(1, side), "stated", note, pixel_size=pixel_size)


def measured_scale(
    shapes: Sequence[tuple[int, int]], cells: Sequence[WhiteCell | None], red_cell_size: RedCellSize | None
) -> Scale:
    """The scale of pictures of ``shapes`` (height, width) from their red cells, else from the nuclei ``cells``."""
    nuclei, few_nuclei = nucleus_side(cells), nucleus_side(cells, least=1)
    side = red_cell_size.diameter / RED_CELL_SHARE if red_cell_size else None
    if side and nuclei and abs(np.log(side / nuclei)) > np.log(_MAX_DISAGREEMENT):
        side = None
    found = side or few_nuclei
    if not found:
        return Scale(
            None,
            "whole",
            "The scale is not known: no nucleus and no red cells to measure. Each picture was framed by its shape.",
        )
    if _cut_out_already(shapes, found):
        return Scale(None, "whole", "The cells are cut out already, at about the right scale: used whole.")
    if side and red_cell_size:
        aided = bool(few_nuclei) and red_cell_size.sharpness < _LOW_SHARPNESS
        if few_nuclei and aided:
            side = float(side ** (1 - _NUCLEI_SHARE) * few_nuclei**_NUCLEI_SHARE)
        nuclei_text = " but stand out little, and nuclei have a size too" if aided else ""
        note = (
            f"Red cells are {red_cell_size.diameter:.0f} px across here (measured in "
            f"{counted(red_cell_size.pictures, 'picture')}){nuclei_text}, so {side:.0f} px were "
            "cut out round each white cell: the scale that the models know."
        )
        return Scale(round(side), "red cells", note, aided)
    many = f"Nuclei are as large as usual when {found:.0f} px are cut out round each cell"
    one = f"The nucleus is as large as most when {found:.0f} px are cut out round it, but nuclei differ"
    note = f"The red cells can't be measured here. {many if nuclei else one}: look whether the frames seem right."
    return Scale(round(found), "nuclei", note)


def nucleus_side(cells: Sequence[WhiteCell | None], least: int = _MIN_NUCLEI) -> float | None:
    """The side in px at which the nuclei are as large as usual; None from fewer than ``least`` cells."""
    reach = [_reach(cell) for cell in cells if cell]
    return float(np.median(reach)) / NUCLEUS_SHARE if len(reach) >= least else None


def has_official_shape(width: int, height: int, spec: CropSpec) -> bool:
    """Whether a picture is shaped like a crop of ``spec``'s parent set, or has one of the published sizes."""
    published = width == height and width in spec.sizes
    if spec.parent_side is None or spec.parent_crop is None:
        return published
    return published or parent_factor(width, height, spec.parent_side) is not None


def is_official(width: int, height: int, red_cell_size: RedCellSize | None, spec: CropSpec) -> bool:
    """Whether a picture has an official shape, and the red cells don't prove that it has another scale all the same.

    A shape off the square needs no second witness: few crops but the parent set's are 3 px off it. Against a published
    size it takes several pictures; a square as large as the parent set's crops may come from anywhere.
    """
    if not has_official_shape(width, height, spec):
        return False
    if width != height or red_cell_size is None:
        return True
    few = red_cell_size.pictures < _MIN_PICTURES
    if few and width in spec.sizes:
        return True
    factor = parent_factor(width, height, spec.parent_side) if spec.parent_side else None
    expected_diameter = RED_CELL_SHARE * (spec.parent_crop * factor if spec.parent_crop and factor else height)
    log_ratio = abs(np.log(red_cell_size.diameter / expected_diameter))
    relative_error = red_cell_size.standard_error / red_cell_size.diameter
    if few:
        return bool(log_ratio <= _MIN_SCALE_DIFFERENCE_OF_FEW)
    return bool(log_ratio <= max(_MIN_SCALE_DIFFERENCE, _STANDARD_ERRORS * relative_error))


def _cut_out_already(shapes: Sequence[tuple[int, int]], side: float) -> bool:
    return all(
        max(shape) <= min(MAX_TIGHT_SIDE, NEARLY_SQUARE * min(shape))
        and abs(np.log(min(shape) / side)) < _TIGHT_TOLERANCE
        for shape in shapes
    )
