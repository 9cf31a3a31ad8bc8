"""Frames the white cells of a batch of pictures from one laboratory, all at one physical scale.

Size tells classes apart, so a crop must never be scaled by its own cell: a lab's pictures share one scale, and one
square of one size in px is cut for all of them (`core.serving.scale`), centred on each cell (`core.serving.nucleus`).
Crops of the shape and scale that the models learnt from are framed as ever (`core.serving.preprocess`), to the last
grey level. What the pictures say together is found first (`survey`), from a sample of them; then each can be placed
and framed by itself, so that a batch may be larger than memory or still be on its way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from core.datasets.base import DatasetSpec
from core.serving import preprocess, ruler, scale
from core.serving.domain import looks_like
from core.serving.nucleus import Found, find_cell
from core.serving.preprocess import Framed, Mode
from core.serving.ruler import Circles, Ruler
from core.serving.scale import Scale

Agreement = Callable[[np.ndarray], float]
T = TypeVar("T")

MOST_SURVEYED = 128  # so many cells tell as much as all
_PALEST = 0.3  # of the batch's usual contrast: the palest of 1,400 nuclei in four laboratories had .4
_FEWEST = 8


class Picture:
    """``pixels`` uint8 (H, W, 3) RGB with what was measured in them, each once."""

    def __init__(self, pixels: np.ndarray):
        self.pixels = pixels
        self._cell: tuple[float | None, Found | None] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[:2]

    @cached_property
    def circles(self) -> Circles | None:
        return ruler.measure(self.pixels)

    def cell(self, red_cell: float | None) -> Found | None:
        """`find_cell`, kept until another ``red_cell`` is asked about."""
        if self._cell is None or self._cell[0] != red_cell:
            self._cell = red_cell, find_cell(self.pixels, red_cell)
        return self._cell[1]


@dataclass(frozen=True)
class Place:
    """Where in a picture the frame lies: a square of ``side`` px round the cell ``found``, else round the middle.

    Without a ``side`` it lies as ``mode`` of `preprocess.frame` says. ``sought``: whether a cell was looked for.
    """

    side: int | None = None
    found: Found | None = None
    mode: Mode = "auto"
    sought: bool = False

    @property
    def missing(self) -> bool:
        """True where a cell was looked for and none found."""
        return self.sought and self.found is None

    def frame(self, pixels: np.ndarray, size: int, spec: DatasetSpec) -> Framed:
        """What a model of ``spec`` at ``size`` px sees of ``pixels`` uint8 (H, W, 3)."""
        if self.side is None:
            framed = preprocess.frame(pixels, size, spec, self.mode)
        else:
            framed = cut(pixels, self.found, self.side, size, spec)
        if not self.missing:
            return framed
        note = framed.note.replace("round the cell", "in the middle")
        return replace(framed, note=f"No white cell was found here. {note}")


@dataclass(frozen=True)
class Survey:
    """What the pictures of one laboratory say together: their ``scale``, red cells, and least contrast of a nucleus.

    ``seeks``: whether cells are looked for at all; not where models take whole fields. ``alike``: whether all pictures
    have the shapes of one domain; a whole field among crops has another scale and is left to its shape.
    """

    spec: DatasetSpec
    scale: Scale
    ruler: Ruler | None
    least_contrast: float
    seeks: bool = True
    alike: bool = False

    def place(self, picture: Picture) -> Place:
        """Where in ``picture``, of the same laboratory, the frame lies."""
        if not self.seeks or (not self.alike and _is_strange(picture.shape, self.spec)):
            return Place()
        found = picture.cell(_red_cell(self.ruler))
        if found and found.contrast < self.least_contrast:
            found = None
        by_shape = self.scale.source != "given" and _is_official(picture.shape, self.ruler, self.spec)
        return Place(None if by_shape else self.scale.side, found, sought=True)


@dataclass(frozen=True)
class FramedBatch:
    """``frames``: one `Framed` a picture; ``found``: its cell, or None where none is (the middle was framed then).

    ``scale``: of the pictures that are not of the official shape, or `scale.OFFICIAL`; ``ruler``: their red cells.
    """

    frames: tuple[Framed, ...]
    found: tuple[Found | None, ...]
    scale: Scale
    ruler: Ruler | None

    @property
    def pixels(self) -> np.ndarray:
        """All frames, uint8 (N, size, size, 3)."""
        return np.stack([f.pixels for f in self.frames])

    @property
    def missing(self) -> tuple[int, ...]:
        """Numbers of the pictures in which no cell was found."""
        return tuple(i for i, found in enumerate(self.found) if found is None)


def frame_batch(
    pictures: Sequence[np.ndarray],
    spec: DatasetSpec,
    size: int,
    side: float | None = None,
    agreement: Agreement | None = None,
) -> FramedBatch:
    """Frame each of ``pictures``, uint8 (H, W, 3) RGB of one physical scale, for models of ``spec`` at ``size`` px.

    ``side`` and ``agreement`` as for `survey`.
    """
    looked = [Picture(p) for p in pictures]
    known = survey(looked, spec, side, size, agreement)
    places = [known.place(p) for p in looked]
    frames = tuple(place.frame(p.pixels, size, spec) for place, p in zip(places, looked, strict=True))
    return FramedBatch(frames, tuple(place.found for place in places), known.scale, known.ruler)


def survey(
    pictures: Sequence[Picture],
    spec: DatasetSpec,
    side: float | None = None,
    size: int | None = None,
    agreement: Agreement | None = None,
) -> Survey:
    """What ``pictures``, all of one laboratory, say together; so many as tell enough are looked at, evenly spread.

    ``side`` fixes the square's side, in px of the pictures: then even official crops are cut so. ``agreement`` is asked
    where the red cells can't be measured: it takes frames uint8 (N, size, size, 3) and says how well models agree on
    them, 0 to 1.
    """
    if spec.squeezed or spec.unit != "cell":
        return Survey(spec, scale.OFFICIAL, None, 0.0, seeks=False)
    akin = [p for p in pictures if not _is_strange(p.shape, spec)]
    pictures, alike = (akin, len(akin) == len(pictures)) if akin else (pictures, True)
    measured = _ruler([p for p in pictures if side is not None or not _is_proof(p.shape, spec)])
    red_cell = _red_cell(measured)
    least = _least_contrast([p.cell(red_cell) for p in spread_evenly(pictures, MOST_SURVEYED)])
    known = Survey(spec, scale.OFFICIAL, measured, least, alike=alike)
    if side is not None:
        return replace(known, scale=scale.given(side))
    others = [p for p in pictures if not _is_official(p.shape, measured, spec)]
    if not others:
        return known
    some = [(p.pixels, known.place(p).found) for p in spread_evenly(others, MOST_SURVEYED)]
    chosen = scale.measured([p.shape for p in others], [cell for _, cell in some], measured)
    if chosen.source == "nuclei" and agreement and size:
        chosen = _agreed(chosen.side, [(p, cell) for p, cell in some if cell], spec, size, agreement)
    return replace(known, scale=chosen)


def cut(pixels: np.ndarray, found: Found | None, side: int, size: int, spec: DatasetSpec) -> Framed:
    """The square of ``side`` px round the cell ``found`` in ``pixels`` (H, W, 3), resized to ``size`` px.

    Where it reaches over the picture's border the picture is mirrored there, and ``box`` lies partly outside.
    Without a cell it is the square in the middle.
    """
    height, width = pixels.shape[:2]
    x, y = (found.x, found.y) if found else (width / 2, height / 2)
    left, top = round(x - side / 2), round(y - side / 2)
    box = left, top, left + side, top + side
    note = f"{side} x {side} px round the cell were used."
    if left < 0 or top < 0 or left + side > width or top + side > height:
        note += " They reach over the picture's border, which was mirrored there."
    return Framed(preprocess.resized(piece(pixels, box), size, spec), box, note)


def piece(pixels: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """What lies in ``box`` (left, top, right, bottom) of ``pixels`` (H, W, 3), mirrored where it reaches outside."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = box
    rows, columns = (max(0, -top), max(0, bottom - height)), (max(0, -left), max(0, right - width))
    inside = pixels[max(0, top) : bottom, max(0, left) : right]
    return np.pad(inside, (rows, columns, (0, 0)), mode="symmetric") if any(rows + columns) else inside


def spread_evenly(things: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of ``things``, evenly spread over them, in their order."""
    return [things[i] for i in np.unique(np.linspace(0, len(things) - 1, most).astype(int))] if len(things) else []


def _ruler(pictures: Sequence[Picture]) -> Ruler | None:
    return ruler.read([p.circles for p in spread_evenly(pictures, ruler.MOST_PICTURES)])


def _red_cell(measured: Ruler | None) -> float | None:
    return measured.diameter if measured else None


def _is_strange(shape: tuple[int, int], spec: DatasetSpec) -> bool:
    height, width = shape
    return looks_like(width, height, spec) != spec.unit


def _is_proof(shape: tuple[int, int], spec: DatasetSpec) -> bool:
    height, width = shape
    return scale.has_official_shape(width, height, spec) and scale.shape_is_proof(width, height)


def _is_official(shape: tuple[int, int], measured: Ruler | None, spec: DatasetSpec) -> bool:
    height, width = shape
    return scale.has_official_shape(width, height, spec) and (
        scale.shape_is_proof(width, height) or not scale.contradicts(measured, height, spec)
    )


def _agreed(
    side: int, cells: Sequence[tuple[np.ndarray, Found]], spec: DatasetSpec, size: int, agreement: Agreement
) -> Scale:
    def agreement_at(side: int) -> float:
        return agreement(np.stack([cut(pixels, cell, side, size, spec).pixels for pixels, cell in cells]))

    return scale.agreed(side, agreement_at)


def _least_contrast(found: Sequence[Found | None]) -> float:
    """What is far paler than the batch's nuclei is a red cell or a smudge, where no white cell lies."""
    contrasts = [f.contrast for f in found if f]
    return _PALEST * float(np.median(contrasts)) if len(contrasts) >= _FEWEST else 0.0
