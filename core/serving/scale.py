"""How large a square of a laboratory's pictures the models should see: its side in px, for a whole batch.

A red cell spans the same share of a frame everywhere, so its diameter (`core.serving.ruler`) gives the side. Where red
cells can't be measured, the nuclei do nearly as well: how far they reach, median over a batch, is the same share of the
right frame in four laboratories, within 5 %. How well models agree on the frames may refine that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.datasets.base import DatasetSpec
from core.serving.nucleus import TIGHT_SIDE, Found
from core.serving.preprocess import parent_factor
from core.serving.ruler import Ruler

Source = Literal["official", "given", "red cells", "agreement", "nuclei", "whole"]

# A red cell is about 75 px across in the 360 px originals of BloodMNIST, whose frame is the central 200 px.
RED_CELL_SHARE = 75 / 200
# How far the nuclei reach (the longer side of the box of all lobes), median over a batch, as a share of the frame.
NUCLEUS_SHARE = 0.59
_FEWEST_NUCLEI = 5
_IMPLAUSIBLE = 1.45  # a ruler that differs by more from what the nuclei say has measured something else
_BLUNT = 0.4  # red cells that stand out less than this are averaged with what the nuclei say
# Crops shaped like the originals are cut otherwise only where the red cells say so beyond doubt.
_OTHER_SCALE = 0.12
_FEWEST_PICTURES = 8
_STANDARD_ERRORS = 4.0
_TIGHT = 0.15  # a crop cut out already is used whole where its side is that near to the right one
# Sides that are tried for agreement, as shares of what the nuclei say, and how much that is trusted.
_TRIED = np.geomspace(0.7, 1.43, 9)
_PRIOR_WIDTH = 0.15  # of the logarithm of the side
_PRIOR_WEIGHT = 0.05


@dataclass(frozen=True)
class Scale:
    """``side`` of the square in px of the pictures (None: each picture by its own shape), ``source`` of it, ``note``.

    ``note`` says it in a sentence for a person. ``aided``: whether nuclei had a say beside the red cells.
    """

    side: int | None
    source: Source
    note: str
    aided: bool = False


OFFICIAL = Scale(None, "official", "Shaped like the pictures that the models learnt from, and framed as they were.")


def given(side: float) -> Scale:
    """The scale that a person chose: ``side`` in px of the pictures."""
    side = max(1, round(side))
    return Scale(side, "given", f"{side} px of each picture were cut out round its cell, as you asked.")


def measured(shapes: Sequence[tuple[int, int]], found: Sequence[Found | None], ruler: Ruler | None) -> Scale:
    """The scale of pictures of ``shapes`` (height, width) from their red cells, else from the nuclei ``found``."""
    nuclei = nucleus_side(found)
    side = ruler.diameter / RED_CELL_SHARE if ruler else None
    if side and nuclei and abs(np.log(side / nuclei)) > np.log(_IMPLAUSIBLE):
        side = None
    if not (side or nuclei):
        return Scale(
            None,
            "whole",
            "The scale is not known: too few cells, and no red cells to measure. Each picture was framed by its shape.",
        )
    if _cut_out_already(shapes, side or nuclei):
        return Scale(None, "whole", "The cells are cut out already, at about the right scale: used whole.")
    if side:
        aided = bool(nuclei) and ruler.sharpness < _BLUNT
        side = float(np.sqrt(side * nuclei)) if aided else side
        also = " but stand out little, and nuclei have a size too" if aided else ""
        note = (
            f"Red cells are {ruler.diameter:.0f} px across here (measured in {ruler.pictures} pictures){also}, so "
            f"{side:.0f} px were cut out round each white cell: the scale that the models know."
        )
        return Scale(round(side), "red cells", note, aided)
    note = (
        f"The red cells can't be measured here. Nuclei are as large as usual when {nuclei:.0f} px are cut out round "
        "each cell: look whether the frames seem right."
    )
    return Scale(round(nuclei), "nuclei", note)


def agreed(usual: float, agreement: Callable[[int], float]) -> Scale:
    """The side near the ``usual`` one at which ``agreement(side)``, 0 to 1, is greatest."""
    sides = [max(1, round(usual * share)) for share in _TRIED]
    scores = [agreement(s) - _PRIOR_WEIGHT * (np.log(s / usual) / _PRIOR_WIDTH) ** 2 for s in sides]
    side = sides[int(np.argmax(scores))]
    note = (
        "The red cells can't be measured here. Of the sizes near what the nuclei suggest, the models agree best when "
        f"{side} px are cut out round each cell: look whether the frames seem right."
    )
    return Scale(side, "agreement", note)


def nucleus_side(found: Sequence[Found | None]) -> float | None:
    """The side in px at which the nuclei are as large as usual; None from fewer than 5 cells."""
    reach = [max(f.nucleus_box[2] - f.nucleus_box[0], f.nucleus_box[3] - f.nucleus_box[1]) for f in found if f]
    return float(np.median(reach)) / NUCLEUS_SHARE if len(reach) >= _FEWEST_NUCLEI else None


def has_official_shape(width: int, height: int, spec: DatasetSpec) -> bool:
    """Whether a picture is shaped like a crop of ``spec``'s parent set, or has one of the published sizes."""
    published = width == height and width in spec.sizes
    if spec.parent_side is None or spec.parent_crop is None:
        return published
    return published or parent_factor(width, height, spec.parent_side) is not None


def shape_is_proof(width: int, height: int) -> bool:
    """Whether an official shape needs no second witness: few crops but the parent set's are 3 px off the square."""
    return width != height


def contradicts(ruler: Ruler | None, side: int, spec: DatasetSpec) -> bool:
    """Whether the red cells prove that pictures of ``side`` px, of an official shape, have another scale."""
    if ruler is None or ruler.pictures < _FEWEST_PICTURES:
        return False
    factor = parent_factor(side, side, spec.parent_side) if spec.parent_side and spec.parent_crop else None
    home = RED_CELL_SHARE * (spec.parent_crop * factor if factor else side)
    off = abs(np.log(ruler.diameter / home))
    return bool(off > _OTHER_SCALE and off > _STANDARD_ERRORS * ruler.spread / ruler.diameter)


def _cut_out_already(shapes: Sequence[tuple[int, int]], side: float) -> bool:
    return all(
        max(shape) <= min(TIGHT_SIDE, 1.03 * min(shape)) and abs(np.log(min(shape) / side)) < _TIGHT for shape in shapes
    )
