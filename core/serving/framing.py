"""Frames the white cells of a batch of pictures from one laboratory, all at one physical scale.

Size tells classes apart, so a crop must never be scaled by its own cell: a lab's pictures share one scale, and one
square of one size in px is cut for all of them (`core.serving.scale`), centred on each cell (`core.serving.nucleus`).
Crops of the shape and scale that the models learnt from are framed as ever (`core.serving.preprocess`), to the last
grey level.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.datasets.base import DatasetSpec
from core.serving import preprocess, scale
from core.serving.nucleus import Found, find_cell
from core.serving.preprocess import Framed
from core.serving.ruler import Ruler, red_cell_diameter
from core.serving.scale import Scale

Agreement = Callable[[np.ndarray], float]

_PALEST = 0.3  # of the batch's usual contrast: the palest of 1,400 nuclei in four laboratories had .4
_FEWEST = 8
_AGREEMENT_ON = 128  # so many cells tell as much as all


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

    ``side`` fixes the square's side, in px of the pictures: then even official crops are cut so. ``agreement`` is asked
    where the red cells can't be measured: it takes frames uint8 (N, size, size, 3) and says how well models agree on
    them, 0 to 1.
    """
    pictures = list(pictures)
    if spec.squeezed or spec.unit != "cell":
        found: tuple[Found | None, ...] = (None,) * len(pictures)
        return FramedBatch(tuple(preprocess.frame(p, size, spec) for p in pictures), found, scale.OFFICIAL, None)
    official = [side is None and scale.has_official_shape(p.shape[1], p.shape[0], spec) for p in pictures]
    doubtful = [i for i, p in enumerate(pictures) if not (official[i] and scale.shape_is_proof(*p.shape[1::-1]))]
    ruler = red_cell_diameter([pictures[i] for i in doubtful])
    for i in doubtful:
        official[i] = official[i] and not scale.contradicts(ruler, pictures[i].shape[0], spec)
    found = _plausible([find_cell(p, ruler.diameter if ruler else None) for p in pictures])
    chosen = _choose(pictures, found, official, spec, size, side, ruler, agreement)
    frames = tuple(
        preprocess.frame(p, size, spec) if known or chosen.side is None else cut(p, cell, chosen.side, size, spec)
        for p, cell, known in zip(pictures, found, official, strict=True)
    )
    return FramedBatch(tuple(_noted(f, cell) for f, cell in zip(frames, found, strict=True)), found, chosen, ruler)


def cut(pixels: np.ndarray, found: Found | None, side: int, size: int, spec: DatasetSpec) -> Framed:
    """The square of ``side`` px round the cell ``found`` in ``pixels`` (H, W, 3), resized to ``size`` px.

    Where it reaches over the picture's border the picture is mirrored there, and ``box`` lies partly outside.
    Without a cell it is the square in the middle.
    """
    height, width = pixels.shape[:2]
    x, y = (found.x, found.y) if found else (width / 2, height / 2)
    left, top = round(x - side / 2), round(y - side / 2)
    right, bottom = left + side, top + side
    rows, columns = (max(0, -top), max(0, bottom - height)), (max(0, -left), max(0, right - width))
    piece = pixels[max(0, top) : bottom, max(0, left) : right]
    note = f"{side} x {side} px round the cell were used."
    if any(rows + columns):
        piece = np.pad(piece, (rows, columns, (0, 0)), mode="symmetric")
        note += " They reach over the picture's border, which was mirrored there."
    return Framed(preprocess.resized(piece, size, spec), (left, top, right, bottom), note)


def _choose(pictures, found, official, spec, size, side, ruler, agreement) -> Scale:
    if side is not None:
        return scale.given(side)
    others = [i for i, known in enumerate(official) if not known]
    if not others:
        return scale.OFFICIAL
    cells = [found[i] for i in others]
    chosen = scale.measured([pictures[i].shape[:2] for i in others], cells, ruler)
    if chosen.source != "nuclei" or agreement is None:
        return chosen
    with_cell = [i for i in others if found[i]]
    some = [with_cell[k] for k in np.unique(np.linspace(0, len(with_cell) - 1, _AGREEMENT_ON).astype(int))]

    def agreement_at(side: int) -> float:
        return agreement(np.stack([cut(pictures[i], found[i], side, size, spec).pixels for i in some]))

    return scale.agreed(chosen.side, agreement_at)


def _plausible(found: Sequence[Found | None]) -> tuple[Found | None, ...]:
    """``found`` without what is far paler than the batch's nuclei: a red cell or a smudge, where no white cell lies."""
    contrasts = [f.contrast for f in found if f]
    if len(contrasts) < _FEWEST:
        return tuple(found)
    least = _PALEST * float(np.median(contrasts))
    return tuple(f if f and f.contrast >= least else None for f in found)


def _noted(framed: Framed, found: Found | None) -> Framed:
    if found:
        return framed
    return replace(
        framed, note=f"No white cell was found here. {framed.note.replace('round the cell', 'in the middle')}"
    )
