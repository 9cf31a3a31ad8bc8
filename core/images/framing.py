"""Crops the white cells of a batch of pictures from one laboratory, all at one physical scale.

Size tells classes apart, so a crop must never be scaled by its own cell: a laboratory's pictures share one scale, and
one square of one size in px is cut for all of them (`core.images.red_cells`), centred on each cell
(`core.images.nucleus`). Pictures of the shape and scale that the models learnt from are cropped as ever
(`core.images.crop`), to the last grey level. What the pictures say together is measured first (`measure_batch`), from a
sample of them; then the window of each can be placed by itself, so that a batch may be larger than memory or still be
on its way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from core.formatting import counted, natural_key
from core.images import crop, red_cells, scale_groups
from core.images.crop import NEARLY_SQUARE, Crop, CropMode, CropSpec
from core.images.decode import DecodedPicture, DecodeError, PictureHeader, decode, read_file, read_header
from core.images.nucleus import WhiteCell, find_white_cell
from core.images.red_cells import CircleCoverage, RedCellSize, Scale
from core.images.scale_groups import GroupSize

T = TypeVar("T")

MAX_SAMPLED = 128  # so many cells tell as much as all
_MIN_CONTRAST_SHARE = 0.3  # of the batch's usual contrast: the palest of 1,400 nuclei in four laboratories had .4
_MIN_CELLS = 8
_ENOUGH_RED_CELLS = 24  # pictures
_SAME_PIXEL_SIZE = 0.02  # of the logarithm


class MeasuredPicture:
    """A picture with what was measured in it, each once: ``source`` is the file's bytes, its path, or its pixels uint8
    (H, W, 3) RGB. It is decoded when its pixels are asked for, its shape is read from the file's header before.

    ``name`` stands in messages, ``notes`` and ``pixel_size`` are those of pixels that were decoded elsewhere, ``cell``
    the one that was found there. What can't be read raises `DecodeError`.
    """

    def __init__(
        self,
        source: np.ndarray | bytes | Path,
        name: str = "",
        notes: tuple[str, ...] = (),
        pixel_size: float | None = None,
        cell: WhiteCell | None = None,
    ):
        self.name = name or (str(source) if isinstance(source, Path) else "")
        self._notes, self._pixel_size = notes, pixel_size
        self._source = source
        self._decoded: DecodedPicture | None = None
        self._error: DecodeError | None = None
        self._cell: tuple[float | None, WhiteCell | None] | None = (None, cell) if cell else None

    def _read(self) -> bytes:
        if self._error:
            raise self._error
        if not isinstance(self._source, Path):
            return bytes(self._source)
        content = read_file(self._source)
        if not self._source.is_file():  # a pipe can be read once
            self._source = content
        return content

    def _picture(self) -> DecodedPicture:
        if isinstance(self._source, np.ndarray):
            return DecodedPicture(self._source, "", self._notes, self._pixel_size)
        if self._decoded is None:
            try:
                self._decoded = decode(self._read(), self.name)
            except DecodeError as error:
                self._error = error
                raise
        return self._decoded

    @property
    def pixels(self) -> np.ndarray:
        """uint8 (H, W, 3) RGB."""
        return self._picture().pixels

    @property
    def notes(self) -> tuple[str, ...]:
        """What decoding did to it, for a person."""
        return self._picture().notes

    @cached_property
    def _header(self) -> PictureHeader:
        if isinstance(self._source, np.ndarray) or self._decoded:
            picture = self._picture()
            height, width = picture.pixels.shape[:2]
            return PictureHeader((height, width), picture.pixel_size, picture.reduction)
        try:
            return read_header(self._read(), self.name)
        except DecodeError as error:
            self._error = error
            raise

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self._header.shape

    @property
    def pixel_size(self) -> float | None:
        """What a pixel spans in µm, as the file says; None where it doesn't."""
        return self._header.pixel_size

    @property
    def reduction(self) -> int:
        """The whole factor by which the file's picture is reduced; 1 for pixels that were decoded elsewhere."""
        return self._header.reduction

    @property
    def readable(self) -> bool:
        """False where it can't be read, as far as the header and what was decoded so far tell."""
        try:
            return bool(self.shape) and self._error is None
        except DecodeError:
            return False

    def release(self) -> None:
        """Let pixels go that can be decoded again; what was measured stays."""
        self._decoded = None

    @cached_property
    def circle_coverage(self) -> CircleCoverage | None:
        """`red_cells.circle_coverage` of its pixels; None where it is too small."""
        return red_cells.circle_coverage(self.pixels)

    @property
    def found_cell(self) -> WhiteCell | None:
        """The cell found when one was looked for last; None where none was, or it was not looked for."""
        return self._cell[1] if self._cell else None

    def cell(self, red_cell: float | None) -> WhiteCell | None:
        """`find_white_cell`, kept until another ``red_cell`` is asked about."""
        if self._cell is None or self._cell[0] != red_cell:
            self._cell = red_cell, find_white_cell(self.pixels, red_cell)
        return self._cell[1]


Picture = MeasuredPicture | np.ndarray | bytes | Path


def as_picture(picture: Picture) -> MeasuredPicture:
    """``picture`` (bytes, a file's path, or pixels uint8 (H, W, 3)), ready to be measured, not decoded yet."""
    return picture if isinstance(picture, MeasuredPicture) else MeasuredPicture(picture)


@dataclass(frozen=True)
class CropWindow:
    """Where in a picture the frame lies: a square of ``side`` px round the cell ``cell``, else round the middle.

    Without a ``side`` it lies as ``mode`` of `preprocess.frame` says. ``searched``: whether a cell was looked for.
    """

    side: int | None = None
    cell: WhiteCell | None = None
    mode: CropMode = "auto"
    searched: bool = False

    @property
    def cell_missing(self) -> bool:
        """True where a cell was looked for and none found."""
        return self.searched and self.cell is None

    def crop(self, pixels: np.ndarray, size: int, spec: CropSpec) -> Crop:
        """What a model of ``spec`` at ``size`` px sees of ``pixels`` uint8 (H, W, 3)."""
        if self.side is None:
            result = crop.crop_by_shape(pixels, size, spec, self.mode)
        else:
            result = crop_window(pixels, self.cell, self.side, size, spec)
        if not self.cell_missing:
            return result
        note = result.note.replace("round the cell", "in the middle")
        return replace(result, note=f"No white cell was found here. {note}")


@dataclass(frozen=True)
class BatchScale:
    """What the pictures of one laboratory say together: their ``scale``, red cells, and least contrast of a nucleus.

    ``searches``: whether cells are looked for at all; not where models take whole fields. ``same_domain``: whether all
    pictures have the shapes of one domain; a whole field among crops has another scale and is left to its shape.
    ``groups``: where the pictures plainly have several scales, what each part of them says and how large things are in
    it, the largest part first; ``scale`` and ``red_cells`` are then those of the largest part, and the note tells of
    all. ``odd_squares``: shapes (height, width) like the data set's own whose red cells, measured by themselves among
    pictures of other shapes, have another size. ``in_file_pixels``: whether the scale's side is in px of the files as
    they came; else as they are read, which of large ones is less.
    """

    spec: CropSpec
    scale: Scale
    red_cells: RedCellSize | None
    min_contrast: float
    searches: bool = True
    same_domain: bool = False
    groups: tuple[tuple[GroupSize, "BatchScale"], ...] = ()
    odd_squares: frozenset[tuple[int, int]] = frozenset()
    in_file_pixels: bool = False

    @property
    def note(self) -> str:
        """At which scale, or scales, the pictures are cut, in words for a person."""
        return self.scale.note

    def window(self, picture: MeasuredPicture) -> CropWindow:
        """Where in ``picture``, of the same laboratory, the frame lies."""
        height, width = picture.shape
        if not self.searches or (not self.same_domain and unit_by_shape(width, height, self.spec) != self.spec.unit):
            return CropWindow()
        if group := self._group_of(picture):
            return group.window(picture)
        cell = picture.cell(self._red_cell)
        if cell and cell.contrast < self.min_contrast:
            cell = None
        is_known = self.scale.source in ("given", "stated")
        if not is_known and self._is_official(picture.shape):
            return CropWindow(None, cell, searched=True)
        side = self.scale.side
        if side and self.in_file_pixels:  # what is read of a large file is smaller than the file
            side = max(1, round(side / picture.reduction))
        return CropWindow(side, cell, searched=True)

    def _is_official(self, shape: tuple[int, int]) -> bool:
        """Whether pictures of ``shape`` (height, width) are framed as the data set's own."""
        return shape not in self.odd_squares and red_cells.is_official(*shape[::-1], self.red_cells, self.spec)

    @property
    def _red_cell(self) -> float | None:
        """Diameter of a red cell in px: known, or measured."""
        if self.scale.pixel_size:
            return red_cells.RED_CELL_MICROMETRES / self.scale.pixel_size
        return self.red_cells.diameter if self.red_cells else None

    def _group_of(self, picture: MeasuredPicture) -> "BatchScale | None":
        """The one of ``groups`` that ``picture`` is of: by what its file says, else by its shape and sizes; None where
        there are none, or its shape tells its scale.
        """
        for _, scale in self.groups:
            if _alike(picture.pixel_size, scale.scale.pixel_size):
                return scale
        if not self.groups or not _shape_leaves_doubt(picture, self.spec):
            return None
        return self.groups[scale_groups.nearest(picture, [sizes for sizes, _ in self.groups])][1]


@dataclass(frozen=True)
class CropBatch:
    """``crops``: one `Crop` a picture; ``cells``: its cell, or None where none is (the middle was framed then).

    ``scale``: of the pictures that are not of the official shape, or `scale.OFFICIAL`; ``red_cells``: their red cells.
    """

    crops: tuple[Crop, ...]
    cells: tuple[WhiteCell | None, ...]
    scale: Scale
    red_cells: RedCellSize | None

    @property
    def pixels(self) -> np.ndarray:
        """All frames, uint8 (N, size, size, 3)."""
        return np.stack([f.pixels for f in self.crops])

    @property
    def missing(self) -> tuple[int, ...]:
        """Numbers of the pictures in which no cell was found."""
        return tuple(i for i, cell in enumerate(self.cells) if cell is None)


def crop_batch(
    pictures: Sequence[Picture],
    spec: CropSpec,
    size: int,
    side: float | None = None,
) -> CropBatch:
    """Frame each of ``pictures`` of one physical scale, for models of ``spec`` at ``size`` px.

    ``side`` as for `measure_batch`.
    """
    measured_pictures = [as_picture(p) for p in pictures]
    batch_scale = measure_batch(measured_pictures, spec, side)
    windows = [batch_scale.window(p) for p in measured_pictures]
    crops = tuple(window.crop(p.pixels, size, spec) for window, p in zip(windows, measured_pictures, strict=True))
    return CropBatch(crops, tuple(window.cell for window in windows), batch_scale.scale, batch_scale.red_cells)


def measure_batch(
    pictures: Sequence[MeasuredPicture],
    spec: CropSpec,
    side: float | None = None,
    whose: str = "as you asked",
) -> BatchScale:
    """What ``pictures``, all of one laboratory, say together; so many as tell enough are looked at, evenly spread over
    the natural order of their names, so that it doesn't matter how they came.

    ``side`` fixes the square's side, in px of the pictures: then even official crops are cut so. Where all files say
    what a pixel spans, that is their scale, whatever was measured; ``side`` overrules it. ``whose`` it is, in words.
    """
    if spec.stretched or spec.unit != "cell":
        return BatchScale(spec, red_cells.OFFICIAL, None, 0.0, searches=False)
    pictures, asked = sorted(pictures, key=lambda picture: natural_key(picture.name)), len(pictures)
    same_domain = [p for p in pictures if unit_by_shape(p.shape[1], p.shape[0], spec) == spec.unit]
    pictures, alike = (same_domain, len(same_domain) == len(pictures)) if same_domain else (pictures, True)
    known = None if side is None else red_cells.given_scale(side, whose)
    together = _measure_together(pictures, spec, known, alike)
    parts = _parts(pictures, spec) if side is None else []
    if len(parts) > 1:
        scales = [_measure_together(part, spec, None, True) for part in parts]
        together = replace(
            together,
            scale=replace(scales[0].scale, note=_groups_note(parts, scales)),
            red_cells=scales[0].red_cells,
            groups=tuple((scale_groups.size_of(part), scale) for part, scale in zip(parts, scales, strict=True)),
        )
    if aside := asked - len(pictures):
        together = replace(together, scale=replace(together.scale, note=f"{together.note} {_fields_note(aside)}"))
    return together


def _parts(pictures: Sequence[MeasuredPicture], spec: CropSpec) -> list[list[MeasuredPicture]]:
    """``pictures`` whose scale is not that of their shape, by scale, the largest part first: as their files say where
    they do, else as they plainly measure.
    """
    if all(p.pixel_size for p in pictures):
        return _by_pixel_size(pictures)
    measured = scale_groups.split([p for p in pictures if _shape_leaves_doubt(p, spec)])
    return sorted((part for some in measured for part in _by_pixel_size(some)), key=len, reverse=True)


def _by_pixel_size(pictures: Sequence[MeasuredPicture]) -> list[list[MeasuredPicture]]:
    """Parts of like pixel size, the largest first; all in one where not every file says its own."""
    if not all(p.pixel_size for p in pictures):
        return [list(pictures)]
    parts: list[list[MeasuredPicture]] = []
    for picture in pictures:
        part = next((part for part in parts if _alike(part[0].pixel_size, picture.pixel_size)), None)
        if part is None:
            parts.append([picture])
        else:
            part.append(picture)
    return sorted(parts, key=len, reverse=True)


def _alike(one: float | None, other: float | None) -> bool:
    """Whether two pixel sizes in µm are one laboratory's; not where one of them is unknown."""
    return one is not None and other is not None and bool(abs(np.log(one / other)) < _SAME_PIXEL_SIZE)


def _stated_pixel_size(pictures: Sequence[MeasuredPicture]) -> float | None:
    """The one pixel size in µm that all files of ``pictures`` say; None where they don't."""
    first = pictures[0].pixel_size if pictures else None
    return first if all(_alike(p.pixel_size, first) for p in pictures) else None


def _odd_squares(pictures: Sequence[MeasuredPicture], spec: CropSpec) -> frozenset[tuple[int, int]]:
    """The squares among the shapes of ``pictures`` that only seem to be the data set's: what pictures of other shapes
    measure is no witness for them.
    """
    of_shape: dict[tuple[int, int], list[MeasuredPicture]] = {}
    for picture in pictures:
        of_shape.setdefault(picture.shape, []).append(picture)
    odd = set()
    for shape, some in of_shape.items():
        if (
            len(of_shape) < 2
            or len(some) < scale_groups.MIN_PICTURES
            or not red_cells.has_official_shape(*shape[::-1], spec)
        ):
            continue
        own = red_cells.red_cell_size([p.circle_coverage for p in some])
        if own and not red_cells.is_official(*shape[::-1], own, spec):
            odd.add(shape)
    return frozenset(odd)


def _shape_leaves_doubt(picture: MeasuredPicture, spec: CropSpec) -> bool:
    """Whether the scale of ``picture`` is to be measured: not where few but the parent set's crops have its shape."""
    height, width = picture.shape
    return height == width or not red_cells.has_official_shape(width, height, spec)


def _groups_note(parts: Sequence[Sequence[MeasuredPicture]], scales: Sequence[BatchScale]) -> str:
    told = [f"{counted(len(part), 'picture')}: {scale.note}" for part, scale in zip(parts, scales, strict=True)]
    return f"These pictures have {len(parts)} scales, as of {len(parts)} laboratories or magnifications. " + " ".join(
        told
    )


def _fields_note(number: int) -> str:
    verb = "is shaped like a whole field" if number == 1 else "are shaped like whole fields"
    return f"{counted(number, 'picture')} among them {verb}: not looked for cells, cut these out one a picture."


def _measure_together(
    pictures: Sequence[MeasuredPicture], spec: CropSpec, known: Scale | None, alike: bool
) -> BatchScale:
    """What ``pictures`` of crops, sorted, say at one scale, the ``known`` one if there is one; ``alike``: whether none
    but these are in the batch.
    """
    doubtful = [p for p in pictures if known or _shape_leaves_doubt(p, spec)]
    sample = spread_evenly(doubtful, red_cells.MAX_MEASURED)
    few = sample if len(sample) < _ENOUGH_RED_CELLS else []  # of more pictures the red cells are beyond doubt
    measured = red_cells.red_cell_size([p.circle_coverage for p in sample], [p.cell(None) for p in few])
    odd_squares = _odd_squares(sample, spec)
    batch_scale = BatchScale(spec, red_cells.OFFICIAL, measured, 0.0, same_domain=alike, odd_squares=odd_squares)
    if not known and (pixel_size := _stated_pixel_size(pictures)):
        known = red_cells.stated_scale(pixel_size, len(pictures), measured)
    if known:
        batch_scale = replace(batch_scale, scale=known)
    found = [p.cell(batch_scale._red_cell) for p in spread_evenly(pictures, MAX_SAMPLED)]
    contrasts = [cell.contrast for cell in found if cell]
    # What is far paler than the batch's nuclei is a red cell or a smudge, where no white cell lies.
    least = _MIN_CONTRAST_SHARE * float(np.median(contrasts)) if len(contrasts) >= _MIN_CELLS else 0.0
    batch_scale = replace(batch_scale, min_contrast=least)
    if known:
        return batch_scale
    unofficial = [p for p in pictures if not batch_scale._is_official(p.shape)]
    if not unofficial:
        return batch_scale
    cells = [batch_scale.window(p).cell for p in spread_evenly(unofficial, MAX_SAMPLED)]
    return replace(batch_scale, scale=red_cells.measured_scale([p.shape for p in unofficial], cells, measured))


def crop_window(pixels: np.ndarray, cell: WhiteCell | None, side: int, size: int, spec: CropSpec) -> Crop:
    """The square of ``side`` px round the cell ``cell`` in ``pixels`` (H, W, 3), resized to ``size`` px.

    Where it reaches over the picture's border the picture is mirrored there, and ``box`` lies partly outside.
    Without a cell it is the square in the middle.
    """
    height, width = pixels.shape[:2]
    x, y = (cell.x, cell.y) if cell else (width / 2, height / 2)
    left, top = round(x - side / 2), round(y - side / 2)
    box = left, top, left + side, top + side
    note = f"{side} x {side} px round the cell were used."
    if left < 0 or top < 0 or left + side > width or top + side > height:
        note += " They reach over the picture's border, which was mirrored there."
    return Crop(crop.resize_crop(cut_box(pixels, box), size, spec), box, note)


def cut_box(pixels: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """What lies in ``box`` (left, top, right, bottom) of ``pixels`` (H, W, 3), mirrored where it reaches outside."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = box
    rows, columns = (max(0, -top), max(0, bottom - height)), (max(0, -left), max(0, right - width))
    inside = pixels[max(0, top) : bottom, max(0, left) : right]
    return np.pad(inside, (rows, columns, (0, 0)), mode="symmetric") if any(rows + columns) else inside


def spread_evenly(things: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of ``things``, evenly spread over them, in their order."""
    return [things[i] for i in np.unique(np.linspace(0, len(things) - 1, most).astype(int))] if len(things) else []


# Fields come in the camera's own shape, 4:3 or 5:4, and larger than any crop of one cell.
_OBLONG = 1.2
_FIELD_SIDE = 400
_CROP_SIDE = 450  # crops of one cell: 360 x 363 px from a CellaVision DM96, 250 x 250 from bone marrow


def unit_by_shape(width: int, height: int, spec: CropSpec) -> str:
    """'cell' or 'field': what a picture of this shape shows, as far as that is plain; else what ``spec``'s do."""
    shorter, longer = sorted((width, height))
    if spec.unit == "cell" and shorter >= _FIELD_SIDE and longer >= _OBLONG * shorter:
        return "field"
    has_dataset_size = width == height and width in spec.sizes
    if spec.unit == "field" and not has_dataset_size and shorter <= _CROP_SIDE and longer <= NEARLY_SQUARE * shorter:
        return "cell"
    return spec.unit


def shape_warning(width: int, height: int, spec: CropSpec) -> str | None:
    """The sentence for a picture whose shape is plainly of another domain than ``spec``'s; None for any other."""
    shown_unit = unit_by_shape(width, height, spec)
    if shown_unit == spec.unit:
        return None
    if shown_unit == "field":
        return (
            f"A picture of {width} x {height} px is shaped like a whole microscope field, but {spec.title} teaches "
            "single cells: cut the cells out, or choose a data set of fields."
        )
    return (
        f"A picture of {width} x {height} px is shaped like the crop of one cell, but {spec.title} teaches whole "
        "microscope fields: choose a data set of cells."
    )
