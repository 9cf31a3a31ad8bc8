"""Is this a cell? What a picture shows is told from the picture alone, before any model is asked, so that the answer is
the same for every run and every laboratory's profile.

Rules tell what holds nothing (blank, noise, too small); a small network (``pretrained/cell_check.onnx``, made by
``python -m benchmarks.cell_check --fit``) tells one cell from red cells without a white one, several cells, a whole
field, and what is no smear at all. It looks twice: at the crop that a model would see, and at the picture as it came
where the crop is only a part of it. Without the file, or where it is broken, the rules answer alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from core.images.crop import Crop, CropSpec
from core.images.framing import MeasuredPicture

CellKind = Literal["cell", "blank", "noise", "red_cells", "several_cells", "field", "photograph", "unclear"]

_SENTENCES: dict[str, str] = {
    "cell": "One cell.",
    "blank": "Nothing is to be seen here: no cell.",
    "noise": "Only noise is to be seen here: no cell.",
    "red_cells": "Only red cells or background are to be seen here: no white cell and no platelet.",
    "several_cells": "Several cells are to be seen here: cut them out, one a picture.",
    "field": "This is a whole microscope field: cut its cells out, one a picture.",
    "photograph": "This does not look like a smear under a microscope: a photograph, drawing, text or the like.",
    "unclear": "Too blurred or too small to tell what it is.",
}
# What is wanted of a data set whose pictures are fields; what is wanted of any other is one cell.
_FIELD_KINDS = frozenset({"cell", "several_cells", "field"})

_SIDE = 64  # px: what is looked at
_MIN_SIDE = 20  # px of a picture or crop: less tells nothing
_MIN_RANGE = 10.0  # grey levels between the 1st and the 99th percentile of a smoothed channel: less is blank
_MAX_ROUGHNESS = 0.8  # of the variance that lies between neighbouring pixels; white noise has 1


@dataclass(frozen=True)
class CellCheck:
    """What a picture shows: ``kind``, and ``score`` 0 to 1, how surely it is what is wanted.

    ``unit``: what is wanted, 'cell' (a platelet is one) or, for data sets of whole fields, 'field'.
    """

    kind: CellKind
    score: float
    unit: str = "cell"

    @property
    def is_cell(self) -> bool:
        """Whether it shows what is wanted: one cell, or blood cells where whole fields are wanted."""
        return self.kind in _FIELD_KINDS if self.unit == "field" else self.kind == "cell"

    @property
    def sentence(self) -> str:
        """What it shows, for a person."""
        if self.is_cell and self.unit == "field":
            return "Blood cells."
        return _SENTENCES[self.kind]


def check_crops(crops: np.ndarray, unit: str = "cell") -> list[CellCheck]:
    """What each of ``crops`` uint8 (N, S, S, 3) shows, as a model would see it; any S from 20 on, such as 28, 64, 128.

    ``unit`` 'cell' or 'field': what is wanted (`DatasetSpec.unit`).
    """
    return [_by_rules(crop, unit) or CellCheck("field" if unit == "field" else "cell", 1.0, unit) for crop in crops]


def check_pictures(pictures: Sequence[MeasuredPicture], crops: Sequence[Crop], spec: CropSpec) -> list[CellCheck]:
    """What each of ``pictures`` shows, cut out as ``crops`` (their boxes count, not their size) for models of ``spec``.

    Raises `DecodeError` for one whose pixels can't be read.
    """
    shown = [CellCheck("unclear", 0.0, spec.unit) if min(picture.shape) < _MIN_SIDE else None for picture in pictures]
    at_one_size = [_resize(crop.pixels, _SIDE) for crop in crops]
    checks = check_crops(np.stack(at_one_size), spec.unit) if at_one_size else []
    return [tiny or check for tiny, check in zip(shown, checks, strict=True)]


def _by_rules(crop: np.ndarray, unit: str) -> CellCheck | None:
    """What plainly holds nothing; None for any other."""
    if crop.shape[0] < _MIN_SIDE:
        return CellCheck("unclear", 0.0, unit)
    values = crop.astype(np.float32)
    smooth = (values[:-1, :-1] + values[1:, :-1] + values[:-1, 1:] + values[1:, 1:]) / 4
    low, high = np.quantile(smooth.reshape(-1, 3), (0.01, 0.99), axis=0)
    if float((high - low).max()) < _MIN_RANGE:
        return CellCheck("blank", 0.0, unit)
    variance = float(values.var(axis=(0, 1)).sum())
    between = float((np.diff(values, axis=0).var(axis=(0, 1)) + np.diff(values, axis=1).var(axis=(0, 1))).sum()) / 4
    if between > _MAX_ROUGHNESS * variance:
        return CellCheck("noise", 0.0, unit)
    return None


def _resize(pixels: np.ndarray, side: int) -> np.ndarray:
    if pixels.shape[:2] == (side, side):
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0))
