"""Finds every white cell of a whole microscope field, and estimates how many red cells and platelets it shows.

A field is seen at one physical scale, so many px a red cell (`core.images.red_cells`, measured on tiles), tile by tile,
so that it may be larger than what floats of it would fit into memory. Lamps light a field unevenly and tint its rim: a
place's optical density is taken against the brightest of its own surroundings. Where the stain of nuclei
(`core.images.nucleus`), smoothed to the size of a nucleus, peaks, a white cell may be. Whether one is, a logistic
function of a few numbers says: how far the peak stands out, how blue it is beside its green, and what the cell check
(`core.images.cell_check`) sees in the square that would be cut there. So few weights hardly know the laboratories they
were fitted on (``python -m benchmarks.fields --fit``): fitted on one, they find the other's cells nearly as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from core.images.cell_check import cell_probabilities
from core.images.framing import cut_box, spread_evenly
from core.images.nucleus import WhiteCell, find_white_cell, nucleus_stain, three_class_thresholds
from core.images.red_cells import RED_CELL_SHARE, CircleCoverage, RedCellSize, circle_coverage, red_cell_size

WORKING_RED_CELL = 27.0  # px across in the working picture of a field
_TILE, _MARGIN = 640, 96  # px of the working picture: of a tile, and of what is seen round it
# px of the tiles that red cells are measured on: of 21 to 215 px, and in large fields of up to 430.
_MEASURED_SIDES = (280, 360), (560, 720)
_PLAIN = 0.3  # sharpness from which small tiles are enough
_MOST_TOGETHER = 24  # fields
_MIN_ALONE, _OTHER_SCALE = 6, 0.3  # tiles; of the logarithm
_MEASURED_TILES = 5  # of each side and field
_BRIGHT_STEP, _BRIGHT_SPAN, _BRIGHT_PERCENTILE = 12, 3.5, 85  # px; red cells; of a channel in a place's surroundings
_NUCLEUS_SMOOTHING, _PLATELET_SMOOTHING = 8.0, 2.5  # px of the working picture
_PEAK_REACH = 0.8  # red cells: a lower peak this near to a higher one is none of its own
_MIN_STAIN = 0.15  # of a peak above its tile's median; the faintest of 620 white cells had .28
_MOST_PEAKS = 150  # a tile, of 24 x 24 red cells
_SEARCH_SIDE = 2.9  # red cells: the square in which the cell of a peak is outlined
_MAX_MOVE = 0.7  # red cells: a cell outlined farther from its peak is another
_BODY = 0.75  # red cells: half of the box round a cell that can't be outlined
_SAME_CELL, _SAME_NUCLEUS = 0.75, 1.05  # between the middles of one cell: red cells; mean reaches of the two nuclei
# Platelets: what a speck is, and the weights of its `Peak.numbers` with the constant.
_SPECK_REACH, _SPECK_RING, _MIN_SPECK = 9, 7.0, 0.03  # px of the working picture; optical density
_SPECK_WEIGHTS = 4.0, -1.9, -6.2, 5.7, 0.1
_WHITE_CELL_BODY = 1.0  # red cells from a white cell's middle: no speck here is a platelet
# Red cells: a pale middle is smaller than this, and so many a square diameter covered; they overlap and are cut.
_PALE_MIDDLE, _RED_CELLS_COVERED = 0.4, 0.74
_WEIGHTS = 1.8, 1.25, -1.75, 0.65, -0.3  # of `cell_numbers`, and the constant
_LEAST_CONFIDENCE, _WORTH_A_LOOK = 0.3, 0.05
# Square red cells: less is a platelet, unless the border cuts it. Of BloodMNIST's train cells 99 % of the erythroblasts
# have more, 65 % of the platelets too.
_LEAST_NUCLEUS = 0.30
_UNSEEN = 0.9  # probability of a cell where the check can't look


FieldMeasures = list[list[CircleCoverage]]  # of small tiles, of large ones


@dataclass(frozen=True)
class Field:
    """What a field shows: ``cells`` from the surest on, all in its px, and estimates of how many ``red_cells`` and
    ``platelets``; ``red_cell``: the diameter of one in px, by which it was read.
    """

    cells: tuple[WhiteCell, ...]
    red_cells: int
    platelets: int
    red_cell: float

    @property
    def side(self) -> int:
        """Of the square to cut out round each cell, in px."""
        return max(1, round(self.red_cell / RED_CELL_SHARE))


def measure_field(pixels: np.ndarray) -> FieldMeasures:
    """`circle_coverage` of tiles spread over the field ``pixels`` uint8 (H, W, 3); of large tiles only where the small
    ones show no circles that plainly stand out. `red_cells_of` makes a diameter of them.
    """
    found: list[list[CircleCoverage]] = [[] for _ in _MEASURED_SIDES]
    for coverages, sides in zip(found, _MEASURED_SIDES, strict=True):
        for side in sides:
            for top, left in spread_evenly(_grid(pixels, side), _MEASURED_TILES):
                tile = pixels[top : top + side, left : left + side]
                if (coverage := circle_coverage(tile, has_white_cell=False)) is not None:
                    coverages.append(coverage)
        size = red_cell_size(coverages)
        if (size and size.sharpness >= _PLAIN) or min(pixels.shape[:2]) < _MEASURED_SIDES[-1][0]:
            break
    return found


def red_cells_of(measures: Sequence[FieldMeasures]) -> RedCellSize | None:
    """The diameter of red cells in fields of one physical scale with these ``measures``, by the tiles in which circles
    stand out most; None where none do.
    """
    by_side = [[coverage for field in measures for coverage in field[k]] for k in range(len(_MEASURED_SIDES))]
    sizes = [size for coverages in by_side if (size := red_cell_size(coverages))]
    return max(sizes, key=lambda size: size.sharpness, default=None)


def red_cell_diameters(measures: Sequence[FieldMeasures]) -> list[float | None]:
    """The diameter in px of red cells in each of the fields of one laboratory with these ``measures``: the same in all,
    but where one plainly has another magnification; None where none can be told.
    """
    together = red_cells_of(spread_evenly(measures, _MOST_TOGETHER))
    diameters: list[float | None] = []
    for field in measures:
        alone = red_cells_of([field])
        is_other = (
            alone
            and together
            and alone.pictures >= _MIN_ALONE
            and abs(np.log(alone.diameter / together.diameter)) > _OTHER_SCALE
        )
        size = alone if is_other or not together else together
        diameters.append(size.diameter if size else None)
    return diameters


def read_field(pixels: np.ndarray, red_cell: float) -> Field:
    """What the field ``pixels`` uint8 (H, W, 3) RGB shows, its red cells being ``red_cell`` px across."""
    if red_cell <= 0:
        raise ValueError(f"a red cell of {red_cell} px")
    bright = _brightness(pixels, red_cell)
    peaks: list[Peak] = []
    specks: list[Peak] = []
    covered = 0.0
    for tile in _tiles(pixels, bright, red_cell):
        peaks += tile.nuclei()
        specks += tile.specks()
        covered += tile.covered()
    cells = _white_cells(pixels, red_cell, peaks)
    platelets = sum(_is_platelet(speck, cells, red_cell) for speck in specks)
    return Field(tuple(cells), _red_cells(covered, cells, red_cell), platelets, red_cell)


class Peak(NamedTuple):
    """Where the stain peaks, in px of the field, and what is measured there.

    Of a nucleus: log of the stain above the tile's median, log of it against the upper decile, density in blue against
    that in green. Of a speck: logs of how far it stands out and of its stain, blue and red against green.
    """

    x: float
    y: float
    numbers: tuple[float, ...]


def nucleus_peaks(pixels: np.ndarray, red_cell: float) -> list[Peak]:
    """Where white cells may be in the field ``pixels`` uint8 (H, W, 3), its red cells being ``red_cell`` px across."""
    return [peak for tile in _tiles(pixels, _brightness(pixels, red_cell), red_cell) for peak in tile.nuclei()]


@dataclass(frozen=True)
class _Tile:
    """A part of a field: its ``box`` (left, top, right, bottom) and the ``core`` of it that no other tile has, px of
    the field; ``density`` float32 (h, w, 3), optical density there, and ``stain`` (h, w), how nucleus-like.
    """

    box: tuple[int, int, int, int]
    core: tuple[int, int, int, int]
    density: np.ndarray
    stain: np.ndarray

    @property
    def _step(self) -> tuple[float, float]:
        """px of the field a px here, across and down."""
        left, top, right, bottom = self.box
        height, width = self.stain.shape
        return (right - left) / width, (bottom - top) / height

    def _peaks(self, smooth: np.ndarray, reach: float, least: float) -> list[tuple[int, int]]:
        """Rows and columns of the peaks of ``smooth`` (h, w) in the core, the highest first."""
        highest = ndimage.maximum_filter(smooth, size=2 * round(reach) + 1)
        rows, columns = np.nonzero((smooth == highest) & (smooth > least))
        x, y = self._place(rows, columns)
        left, top, right, bottom = self.core
        own = (x >= left) & (x < right) & (y >= top) & (y < bottom)
        rows, columns = rows[own], columns[own]
        order = np.argsort(-smooth[rows, columns], kind="stable")[:_MOST_PEAKS]
        return [(int(rows[i]), int(columns[i])) for i in order]

    def _place(self, row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x and y in the field."""
        across, down = self._step
        return self.box[0] + (column + 0.5) * across, self.box[1] + (row + 0.5) * down

    def _colour(self, row: int, column: int, reach: int) -> np.ndarray:
        """Mean optical density (3,) round a place."""
        here = self.density[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
        return here.mean((0, 1))

    def nuclei(self) -> list[Peak]:
        """Where a white cell may be."""
        smooth = ndimage.gaussian_filter(self.stain, _NUCLEUS_SMOOTHING, truncate=3)
        median, upper = np.quantile(smooth, (0.5, 0.9))
        found = []
        for row, column in self._peaks(smooth, _PEAK_REACH * WORKING_RED_CELL, median + _MIN_STAIN):
            _, green, blue = self._colour(row, column, round(_NUCLEUS_SMOOTHING))
            height = float(smooth[row, column])
            numbers = (
                float(np.log(height - median)),
                float(np.log(max(height, 0.02) / max(upper, 0.02))),
                float(blue / max(green, 0.05)),
            )
            x, y = self._place(np.array(row), np.array(column))
            found.append(Peak(float(x), float(y), numbers))
        return found

    def specks(self) -> list[Peak]:
        """Small places stained like a nucleus, of which some are platelets."""
        smooth = ndimage.gaussian_filter(self.stain, _PLATELET_SMOOTHING, truncate=3)
        outstanding = smooth - ndimage.gaussian_filter(self.stain, _SPECK_RING, truncate=3)
        found = []
        for row, column in self._peaks(np.where(outstanding > _MIN_SPECK, smooth, 0), _SPECK_REACH, 0.0):
            red, green, blue = self._colour(row, column, 2)
            numbers = (
                float(np.log(outstanding[row, column])),
                float(np.log(max(smooth[row, column], 0.02))),
                float(blue / max(green, 0.05)),
                float(red / max(green, 0.05)),
            )
            x, y = self._place(np.array(row), np.array(column))
            found.append(Peak(float(x), float(y), numbers))
        return found

    def covered(self) -> float:
        """The area of the core that cells cover, pale middles filled, in square red-cell diameters."""
        green = ndimage.gaussian_filter(self.density[..., 1], 1.0, truncate=3)
        whole = three_class_thresholds(green)
        # Without the darkest, which are nuclei or red cells on red cells, the first that stands out is a red cell.
        thresholds = three_class_thresholds(green[green <= whole[1]]) if whole else None
        if thresholds is None:
            return 0.0
        mask = green > thresholds[0]
        holes, count = ndimage.label(~mask)
        areas = np.bincount(holes.ravel(), minlength=count + 1)
        small = areas < _PALE_MIDDLE * WORKING_RED_CELL**2
        small[0] = False
        across, down = self._step
        left, top = (round((self.core[k] - self.box[k]) / (across, down)[k]) for k in (0, 1))
        right, bottom = (round((self.core[k + 2] - self.box[k]) / (across, down)[k]) for k in (0, 1))
        return float((mask | small[holes])[top:bottom, left:right].sum() / WORKING_RED_CELL**2)


def _grid(pixels: np.ndarray, side: int) -> list[tuple[int, int]]:
    """Tops and lefts of tiles of ``side`` px that nearly cover ``pixels`` (H, W, 3)."""
    height, width = pixels.shape[:2]
    tops, lefts = (
        np.linspace(0, max(0, length - side), max(1, round(length / side))).astype(int) for length in (height, width)
    )
    return [(int(top), int(left)) for top in tops for left in lefts]


def _brightness(pixels: np.ndarray, red_cell: float) -> np.ndarray:
    """How bright each place's surroundings are where no cell lies, float32 (h, w, 3), coarse."""
    height, width = pixels.shape[:2]
    step = _BRIGHT_STEP * red_cell / WORKING_RED_CELL
    rows = max(1, round(height / step))
    coarse = np.empty((rows, max(1, round(width / step)), 3), np.float32)
    strip = max(1, round(_TILE / _BRIGHT_STEP))
    for first in range(0, rows, strip):  # Pillow keeps a copy of what it reduces
        last = min(rows, first + strip)
        part = pixels[first * height // rows : max(first * height // rows + 1, last * height // rows)]
        coarse[first:last] = _reduced(part, (coarse.shape[1], last - first))
    reach = max(3, round(_BRIGHT_SPAN * WORKING_RED_CELL / _BRIGHT_STEP))
    for channel in range(3):
        bright = ndimage.percentile_filter(coarse[..., channel], _BRIGHT_PERCENTILE, size=reach, mode="nearest")
        coarse[..., channel] = ndimage.gaussian_filter(bright, reach / 3, mode="nearest")
    return coarse


def _reduced(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``pixels`` uint8 (H, W, 3) averaged to ``size`` (width, height): uint8."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BOX))


def _tiles(pixels: np.ndarray, bright: np.ndarray, red_cell: float) -> Iterator[_Tile]:
    """The field ``pixels`` (H, W, 3) tile by tile, its light made even by ``bright`` (h, w, 3)."""
    height, width = pixels.shape[:2]
    factor = red_cell / WORKING_RED_CELL
    side, margin = round(_TILE * factor), round(_MARGIN * factor)
    tops, lefts = (np.linspace(0, length, max(1, round(length / side)) + 1).astype(int) for length in (height, width))
    for top, bottom in zip(tops[:-1], tops[1:], strict=True):
        for left, right in zip(lefts[:-1], lefts[1:], strict=True):
            core = int(left), int(top), int(right), int(bottom)
            box = (
                max(0, core[0] - margin),
                max(0, core[1] - margin),
                min(width, core[2] + margin),
                min(height, core[3] + margin),
            )
            size = max(1, round((box[2] - box[0]) / factor)), max(1, round((box[3] - box[1]) / factor))
            small = _reduced(pixels[box[1] : box[3], box[0] : box[2]], size).astype(np.float32)
            light = _part(bright, (height, width), box, size)
            density = np.log((light + 4) / (small + 4))
            yield _Tile(box, core, density, nucleus_stain(density))


def _part(
    bright: np.ndarray, shape: tuple[int, int], box: tuple[int, int, int, int], size: tuple[int, int]
) -> np.ndarray:
    """``bright`` of the field of ``shape`` in ``box``, enlarged to ``size`` (width, height): float32."""
    rows, columns = bright.shape[:2]
    down, across = rows / shape[0], columns / shape[1]
    where = box[0] * across, box[1] * down, min(columns, box[2] * across), min(rows, box[3] * down)
    channels = (Image.fromarray(np.ascontiguousarray(bright[..., k])) for k in range(3))
    return np.stack([np.asarray(c.resize(size, Image.Resampling.BILINEAR, where)) for c in channels], axis=2)


def _white_cells(pixels: np.ndarray, red_cell: float, peaks: Sequence[Peak]) -> list[WhiteCell]:
    """The white cells among ``peaks``, the surest first, each once."""
    at_peaks = _log_odds(cell_numbers(pixels, red_cell, peaks))
    likely = [peak for peak, odds in zip(peaks, at_peaks, strict=True) if odds > _log(_WORTH_A_LOOK)]
    cells = [_outlined(pixels, red_cell, peak) for peak in likely]
    again = [peak._replace(x=cell.x, y=cell.y) for cell, peak in zip(cells, likely, strict=True)]
    odds = _log_odds(cell_numbers(pixels, red_cell, again))
    confident = [
        replace(cell, confidence=float(1 / (1 + np.exp(-value))))
        for cell, value in zip(cells, odds, strict=True)
        if value >= _log(_LEAST_CONFIDENCE) and not _is_small(cell, pixels.shape, red_cell)
    ]
    kept: list[WhiteCell] = []
    for cell in sorted(confident, key=lambda cell: -cell.confidence):
        if not any(_is_same(cell, other, red_cell) for other in kept):
            kept.append(cell)
    return kept


def _log(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def _log_odds(numbers: np.ndarray) -> np.ndarray:
    """How surely what has ``numbers`` (N, 4) is a white cell, float (N,)."""
    return numbers @ _WEIGHTS[:-1] + _WEIGHTS[-1]


def cell_numbers(pixels: np.ndarray, red_cell: float, peaks: Sequence[Peak]) -> np.ndarray:
    """What tells white cells among ``peaks`` of the field ``pixels``, float (N, 4): three numbers of the stain, as in
    `Peak`, and the log odds of the cell check.
    """
    if not peaks:
        return np.zeros((0, 4))
    side = max(1, round(red_cell / RED_CELL_SHARE))
    seen = cell_probabilities([_square(pixels, peak.x, peak.y, side) for peak in peaks])
    if seen is None:  # without the network the stain tells alone
        seen = np.full(len(peaks), _UNSEEN)
    seen = np.clip(seen, 1e-4, 1 - 1e-4)
    return np.column_stack([np.array([peak.numbers for peak in peaks]), np.log(seen / (1 - seen))])


def _square(pixels: np.ndarray, x: float, y: float, side: int) -> np.ndarray:
    left, top = round(x - side / 2), round(y - side / 2)
    return cut_box(pixels, (left, top, left + side, top + side))


def _outlined(pixels: np.ndarray, red_cell: float, peak: Peak) -> WhiteCell:
    """The cell at ``peak`` as it would be found in a picture of its own."""
    height, width = pixels.shape[:2]
    side = max(1, round(_SEARCH_SIDE * red_cell))
    left, top = max(0, round(peak.x - side / 2)), max(0, round(peak.y - side / 2))
    cell = find_white_cell(pixels[top : top + side, left : left + side], red_cell)
    if cell is None or np.hypot(left + cell.x - peak.x, top + cell.y - peak.y) > _MAX_MOVE * red_cell:
        body = _BODY * red_cell
        box = (
            max(0.0, peak.x - body),
            max(0.0, peak.y - body),
            min(float(width), peak.x + body),
            min(float(height), peak.y + body),
        )
        return WhiteCell(peak.x, peak.y, (peak.x, peak.y), box, box, np.pi * body**2, float(np.exp(peak.numbers[0])), 0)
    return replace(
        cell,
        x=left + cell.x,
        y=top + cell.y,
        nucleus=(left + cell.nucleus[0], top + cell.nucleus[1]),
        box=_moved(cell.box, left, top),
        nucleus_box=_moved(cell.nucleus_box, left, top),
    )


def _moved(box: tuple[float, float, float, float], left: int, top: int) -> tuple[float, float, float, float]:
    return box[0] + left, box[1] + top, box[2] + left, box[3] + top


def _is_small(cell: WhiteCell, shape: tuple[int, ...], red_cell: float) -> bool:
    """Whether the whole of ``cell`` lies in a field of ``shape`` and is too small for a white one."""
    left, top, right, bottom = cell.box
    is_whole = left > 0 and top > 0 and right < shape[1] and bottom < shape[0]
    return is_whole and cell.area < _LEAST_NUCLEUS * red_cell**2


def _is_same(one: WhiteCell, other: WhiteCell, red_cell: float) -> bool:
    """Whether two finds are one cell: nearer to each other than two nuclei that reach so far can be."""
    away = float(np.hypot(one.x - other.x, one.y - other.y))
    reaches = [
        max(cell.nucleus_box[2] - cell.nucleus_box[0], cell.nucleus_box[3] - cell.nucleus_box[1])
        for cell in (one, other)
    ]
    return away < max(_SAME_CELL * red_cell, _SAME_NUCLEUS * sum(reaches) / 2)


def _is_platelet(speck: Peak, cells: Sequence[WhiteCell], red_cell: float) -> bool:
    if float(np.dot(speck.numbers, _SPECK_WEIGHTS[:-1])) + _SPECK_WEIGHTS[-1] < 0:
        return False
    return all(np.hypot(speck.x - cell.x, speck.y - cell.y) > _WHITE_CELL_BODY * red_cell for cell in cells)


def _red_cells(covered: float, cells: Sequence[WhiteCell], red_cell: float) -> int:
    """How many red cells cover ``covered`` square diameters, less what the white ``cells`` do."""
    white = sum(np.pi / 4 * (right - left) * (bottom - top) for left, top, right, bottom in (c.box for c in cells))
    return max(0, round(_RED_CELLS_COVERED * (covered - white / red_cell**2)))
