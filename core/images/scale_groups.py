"""Pictures of two scales in one batch: two laboratories, two magnifications. Which picture belongs to which.

One laboratory's pictures share one scale in px whatever their shapes, so a batch is taken apart only where it plainly
has two: where pictures of different shapes, or two heaps of single pictures, differ in the size of their red cells by
far more than it is uncertain, and their nuclei differ with them. A few pictures are never taken apart, and neither are
small differences: one scale for all is right then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from core.images import red_cells
from core.images.nucleus import WhiteCell
from core.images.red_cells import CircleCoverage, RedCellSize

MIN_PICTURES = 8  # of a group; fewer may be the odd ones of another
_MIN_SHARE = 0.12  # of the pictures measured, in the smaller of two heaps of equal shape
_MAX_MEASURED = 32  # pictures of a shape
# How far two scales are apart at least, by their logarithms: of pictures of two shapes, of pictures of one shape, and
# where only nuclei can be measured, whose size tells of the kinds of cells too.
_MIN_BY_SHAPE, _MIN_BY_SIZE, _MIN_BY_NUCLEI = np.log([1.15, 1.4, 1.6])
_STANDARD_ERRORS = 4.0
_DIAMETER_SPREAD = 0.13  # deviation of the log diameter that single pictures of one laboratory show
_MAX_SPREAD = 0.2  # robust deviation of the red cells' log diameter within a heap
_MAX_BETWEEN = 0.15  # share of the pictures that lie in the middle third between two heaps
_NUCLEUS_SPREAD = 0.25  # deviation of log reach of nuclei within a laboratory: the kinds of cells differ
_SHARED_MOVE = 0.5  # nuclei must differ by this part of what red cells do


class Measured(Protocol):
    """What must be known of a picture: `core.images.framing.MeasuredPicture` tells."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        ...

    @property
    def circle_coverage(self) -> CircleCoverage | None:
        """`red_cells.circle_coverage` of it."""
        ...

    def cell(self, red_cell: float | None) -> WhiteCell | None:
        """Its white cell."""
        ...


M = TypeVar("M", bound=Measured)


@dataclass(frozen=True)
class GroupSize:
    """How large things are in one group of pictures: ``shapes`` that it has (height, width), log ``red_cell`` diameter
    and log ``nucleus`` reach in px with their standard errors; None where not measured.
    """

    shapes: frozenset[tuple[int, int]]
    red_cell: tuple[float, float] | None
    nucleus: tuple[float, float] | None


def split(pictures: Sequence[M]) -> list[list[M]]:
    """``pictures`` of crops of cells, taken apart where they plainly have several scales; else [all of them]."""
    parts: list[list[M]] = []
    for part in _by_shape(pictures):
        parts += _by_size(part)
    return sorted(parts, key=len, reverse=True)


def size_of(pictures: Sequence[Measured]) -> GroupSize:
    """How large things are in ``pictures``, of which a sample is measured."""
    sample = _sample(pictures)
    measured = red_cells.red_cell_size([p.circle_coverage for p in sample])
    reach = np.array([v for p in sample if (v := _reach(p)) is not None])
    return GroupSize(
        frozenset(p.shape for p in pictures),
        _log_size(measured),
        (float(np.median(reach)), 1.25 * _NUCLEUS_SPREAD / len(reach) ** 0.5) if len(reach) >= 5 else None,
    )


def nearest(picture: Measured, groups: Sequence[GroupSize]) -> int:
    """Number of the one of ``groups`` that ``picture`` is of: by its shape, where that leaves doubt by its sizes."""
    of_shape = [k for k, group in enumerate(groups) if picture.shape in group.shapes]
    if not of_shape:
        side = np.log(min(picture.shape))
        away = [min(abs(np.log(min(shape)) - side) for shape in group.shapes) for group in groups]
        of_shape = [k for k in range(len(groups)) if away[k] == min(away)]
    if len(of_shape) == 1:
        return of_shape[0]
    diameter, reach = _diameter(picture), _reach(picture)

    def misfit(k: int) -> float:
        group, total = groups[k], 0.0
        if diameter is not None and group.red_cell:
            total += min(((diameter - group.red_cell[0]) / _DIAMETER_SPREAD) ** 2, 9.0)
        if reach is not None and group.nucleus:
            total += ((reach - group.nucleus[0]) / _NUCLEUS_SPREAD) ** 2
        return total

    return min(of_shape, key=misfit)


def _by_shape(pictures: Sequence[M]) -> list[list[M]]:
    """Parts of different shapes, those of like scale put together again."""
    shapes, counts = np.unique([p.shape for p in pictures] or np.zeros((0, 2), int), axis=0, return_counts=True)
    major = shapes[counts >= MIN_PICTURES]
    if len(major) < 2:
        return [list(pictures)]
    sides = np.log(np.sqrt(major.prod(1)))
    parts: list[list[M]] = [[] for _ in major]
    for picture in pictures:
        parts[int(np.abs(sides - np.log(picture.shape[0] * picture.shape[1]) / 2).argmin())].append(picture)
    parts = [part for part in parts if part]
    sizes = [size_of(part) for part in parts]
    while len(parts) > 1:
        likeness = {
            (i, j): _apart(sizes[i], sizes[j], float(_MIN_BY_SHAPE)) for i in range(len(parts)) for j in range(i)
        }
        i, j = min(likeness, key=likeness.__getitem__)
        if likeness[i, j] >= 1:
            break
        parts[j] += parts.pop(i)
        sizes.pop(i)
        sizes[j] = size_of(parts[j])
    return parts


def _by_size(pictures: Sequence[M]) -> list[list[M]]:
    """Two parts where the single pictures' sizes make two heaps; else all in one."""
    sample = [p for p in _sample(pictures, 2 * _MAX_MEASURED) if p.circle_coverage is not None]
    least = max(MIN_PICTURES, round(_MIN_SHARE * len(sample)))
    if len(sample) < 2 * least:
        return [list(pictures)]
    diameters = np.array([_diameter(p) for p in sample], float)
    order = np.argsort(diameters)
    ranked = diameters[order]
    cuts = np.arange(least, len(ranked) - least + 1)
    within = [len(a) * a.var() + len(b) * b.var() for a, b in ((ranked[:k], ranked[k:]) for k in cuts)]
    cut = int(cuts[int(np.argmin(within))])
    heaps = [ranked[:cut], ranked[cut:]]
    middles = [float(np.median(heap)) for heap in heaps]
    gap = middles[1] - middles[0]
    spread = max(1.48 * float(np.median(np.abs(heap - m))) for heap, m in zip(heaps, middles, strict=True))
    between = float((np.abs(ranked - np.mean(middles)) < gap / 6).mean())
    if gap < _MIN_BY_SIZE or spread > _MAX_SPREAD or between > _MAX_BETWEEN:
        return [list(pictures)]
    sizes = [size_of([sample[i] for i in part]) for part in (order[:cut], order[cut:])]
    if _apart(sizes[0], sizes[1], float(_MIN_BY_SIZE)) < 1:
        return [list(pictures)]
    parts: list[list[M]] = [[], []]
    for picture in pictures:
        parts[nearest(picture, sizes)].append(picture)
    return parts if min(map(len, parts)) >= MIN_PICTURES else [list(pictures)]


def _apart(one: GroupSize, other: GroupSize, least: float) -> float:
    """How far two scales are apart, 1 being plainly: by red cells, borne out by nuclei; by nuclei alone if need be."""
    nuclei = None
    if one.nucleus and other.nucleus:
        nuclei = other.nucleus[0] - one.nucleus[0], float(np.hypot(one.nucleus[1], other.nucleus[1]))
    if one.red_cell and other.red_cell:
        move, error = other.red_cell[0] - one.red_cell[0], float(np.hypot(one.red_cell[1], other.red_cell[1]))
        apart = abs(move) / max(least, _STANDARD_ERRORS * error)
        if nuclei is None:
            return min(apart, 0.99)
        borne_out = nuclei[0] * np.sign(move) / (_SHARED_MOVE * abs(move)) if move else 0.0
        return float(min(apart, borne_out)) if borne_out < 1 else apart
    if nuclei is None:
        return 0.0
    return float(abs(nuclei[0]) / max(_MIN_BY_NUCLEI, _STANDARD_ERRORS * nuclei[1]))


def _sample(pictures: Sequence[M], most: int = _MAX_MEASURED) -> list[M]:
    return [pictures[i] for i in np.unique(np.linspace(0, len(pictures) - 1, most).astype(int))] if pictures else []


def _log_size(measured: RedCellSize | None) -> tuple[float, float] | None:
    return (float(np.log(measured.diameter)), measured.standard_error / measured.diameter) if measured else None


def _diameter(picture: Measured) -> float | None:
    """Log diameter in px of the circles that ``picture`` alone shows best."""
    coverage = picture.circle_coverage
    return None if coverage is None else float(np.log(red_cells.best_diameter(coverage)))


def _reach(picture: Measured) -> float | None:
    """Log of how far the nucleus of ``picture`` reaches, in px."""
    cell = picture.cell(None)
    if cell is None:
        return None
    left, top, right, bottom = cell.nucleus_box
    return float(np.log(max(right - left, bottom - top)))
