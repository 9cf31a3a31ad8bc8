"""From a picture's pixels to exactly the pixels that a model sees: the crop.

The published BloodMNIST pixels are the central 200 x 200 px of the parent set's crops (mostly 360 x 363), resized
bilinearly, and at 28 px stored as JPEG afterwards. A cell cropped in any other way is a cell that the models have never
met, so what to cut is decided from the picture's shape, and said.
"""

import io
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from PIL import Image

CropMode = Literal["auto", "parent", "whole"]

# Parent crops are 359 to 369 px a side; the margin admits neighbours of the same microscope's scale.
_PARENT_RANGE = (340 / 360, 400 / 360)
# The parent's own shapes are at most 363:360; this admits a few pixels more.
NEARLY_SQUARE = 1.03
MAX_TIGHT_SIDE = 256  # px: nearly square pictures up to here are taken for cells cut out already
_ENLARGED_FACTOR = 4


class CropSpec(Protocol):
    """What must be known of a data set to cut pictures as its own were: `core.datasets.base.DatasetSpec` tells."""

    @property
    def title(self) -> str:
        """What a person calls it."""
        ...

    @property
    def unit(self) -> str:
        """'cell' or 'field': what one picture shows."""
        ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sides in px in which its pictures exist."""
        ...

    @property
    def parent_side(self) -> int | None:
        """The side in px of the parent set's crops, None where it has none."""
        ...

    @property
    def parent_crop(self) -> int | None:
        """The side in px of the central square of these that its pictures were made of."""
        ...

    @property
    def jpeg_sizes(self) -> tuple[int, ...]:
        """The sizes at which its pictures went through JPEG."""
        ...

    @property
    def stretched(self) -> bool:
        """Whether whole pictures were stretched to a square."""
        ...


@dataclass(frozen=True)
class Crop:
    """What a model sees: ``pixels`` uint8 (size, size, 3), ``box`` (left, top, right, bottom) of it in the upload.

    ``note`` says in one sentence what was cut out and why.
    """

    pixels: np.ndarray
    box: tuple[int, int, int, int]
    note: str


def crop_by_shape(pixels: np.ndarray, size: int, spec: CropSpec, mode: CropMode = "auto") -> Crop:
    """Cut and resize ``pixels`` uint8 (H, W, 3) as the training pictures of ``spec`` at ``size`` px were.

    ``mode`` 'auto' decides from the picture's shape, 'parent' takes the centre in the parent set's
    proportion, 'whole' the whole central square. The result is reproducible to the last grey level.
    """
    height, width = pixels.shape[:2]
    if spec.stretched:
        shape = "" if width == height else f", {width} x {height} px, squeezed to a square"
        note = f"The whole picture was used{shape}, as the training pictures were."
        return Crop(resize_crop(pixels, size, spec), (0, 0, width, height), note)
    side, note = _choose_side(width, height, spec, mode)
    box = centre_box(width, height, side)
    left, top, right, bottom = box
    if side * _ENLARGED_FACTOR <= size * 3:
        note += f" It has only {side} px a side: {size} px hold no more detail than that."
    return Crop(resize_crop(pixels[top:bottom, left:right], size, spec), box, note)


def resize_crop(window: np.ndarray, size: int, spec: CropSpec) -> np.ndarray:
    """``window`` uint8 (H, W, 3) as the training pictures of ``spec`` were made: uint8 (size, size, 3).

    It is square but where ``spec`` squeezes its pictures.
    """
    image = Image.fromarray(np.ascontiguousarray(window))
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
        if size in spec.jpeg_sizes:
            image = _through_jpeg(image)
    return np.array(image)


def centre_box(width: int, height: int, side: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the central square of ``side`` px, rounded as torchvision's CenterCrop does.

    ``round`` takes halves to the even number: in 360 x 363 a side of 200 gives left 80 and top 82.
    """
    left = round((width - side) / 2)
    top = round((height - side) / 2)
    return left, top, left + side, top + side


def _choose_side(width: int, height: int, spec: CropSpec, mode: CropMode) -> tuple[int, str]:
    """The side of the square to cut out and the sentence that says why."""
    shorter = min(width, height)
    nearly_square = max(width, height) <= NEARLY_SQUARE * shorter
    square = "The whole picture was used" if width == height else f"The central square of {shorter} px was used"
    if mode not in ("auto", "parent", "whole"):
        raise ValueError(f"unknown framing mode {mode!r}")
    if mode == "whole":
        return shorter, f"{square}, as you asked."
    if spec.parent_side is None or spec.parent_crop is None:
        return shorter, f"{square}: the pictures of this data set are not cut."
    if mode == "parent":
        factor = parent_factor(width, height, spec.parent_side)
        side = spec.parent_crop * factor if factor else max(1, round(shorter * spec.parent_crop / spec.parent_side))
        return side, f"The central {side} x {side} px were used, as you asked."
    if factor := parent_factor(width, height, spec.parent_side):
        side = spec.parent_crop * factor
        likeness_text = "shaped like" if factor == 1 else f"{factor} times as large as"
        return (
            side,
            f"The central {side} x {side} px were used: the picture is {likeness_text} the crops behind {spec.title}.",
        )
    if nearly_square and shorter <= MAX_TIGHT_SIDE:
        return shorter, f"{square}: a crop of {width} x {height} px is taken as one cell, cut out already."
    return shorter, (
        f"{square}. A picture of {width} x {height} px is not shaped like the crops that the model learnt from: "
        "check that one cell fills about half of the frame, or cut it so."
    )


def parent_factor(width: int, height: int, parent_side: int) -> int | None:
    """1 for a crop like the parent set's, 2 to 4 for one enlarged by that factor, None for anything else.

    The parent's scale is known for its own sizes only. A larger picture counts as an enlarged crop when
    both sides divide by the factor and give the parent's typical, not quite square shape; an exactly square
    one could come from anywhere.
    """
    low, high = (parent_side * r for r in _PARENT_RANGE)
    shorter, longer = sorted((width, height))
    if low <= shorter and longer <= high and longer <= NEARLY_SQUARE * shorter:
        return 1
    for factor in (2, 3, 4):
        if width % factor == height % factor == 0 and width != height:
            small = (shorter // factor, longer // factor)
            if parent_side <= small[0] and small[1] <= NEARLY_SQUARE * parent_side and small[1] - small[0] <= 3:
                return factor
    return None


def _through_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75, subsampling=2)
    return Image.open(buffer).convert("RGB")
