"""Cells as pictures: enlarged without smoothing, framed, composed into one sheet, encoded for the browser."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw

_INCH = 25_400.0  # µm


def enlarge(image: np.ndarray, side: int) -> np.ndarray:
    """``image`` uint8 (H, W, 3) enlarged to at least ``side`` pixels by whole factors, nearest neighbour.

    Whole factors keep every pixel a square of one size; an image already that large is returned as is.
    """
    factor = -(-side // max(image.shape[:2]))
    return image if factor <= 1 else image.repeat(factor, axis=0).repeat(factor, axis=1)


def sheet(
    images: Sequence[np.ndarray] | np.ndarray,
    columns: int,
    cell_side: int = 96,
    *,
    gap: int = 6,
    background: str = "#ffffff",
    borders: Sequence[str] | None = None,
    border: int = 3,
) -> np.ndarray:
    """One picture uint8 (H, W, 3) of many: far faster in a browser than many small ones.

    ``images`` uint8 (h, w, 3) each, shown ``cell_side`` pixels a side, nearest neighbour, in rows of
    ``columns``; ``borders`` gives each a frame's colour (hex). No images give one empty cell's height.
    """
    columns = max(1, columns)
    rows = max(1, -(-len(images) // columns))
    step = cell_side + gap
    canvas = np.empty((rows * step - gap, columns * step - gap, 3), np.uint8)
    canvas[:] = ImageColor.getrgb(background)
    for number, image in enumerate(images):
        top, left = number // columns * step, number % columns * step
        inner = cell_side - (2 * border if borders else 0)
        tile = np.asarray(Image.fromarray(np.asarray(image)).resize((inner, inner), Image.Resampling.NEAREST))
        if borders:
            canvas[top : top + cell_side, left : left + cell_side] = ImageColor.getrgb(borders[number])
            top, left = top + border, left + border
        canvas[top : top + inner, left : left + inner] = tile
    return canvas


def framed_tile(image: np.ndarray, colour: str | None, side: int, border: int = 5) -> np.ndarray:
    """``image`` uint8 (H, W, 3) as a tile of twice ``side`` px, with a border of ``colour`` (hex) or none."""
    tile = np.array(Image.fromarray(np.ascontiguousarray(image)).resize((2 * side, 2 * side), Image.Resampling.BICUBIC))
    if colour:
        wide = 2 * border
        inner = tile[wide:-wide, wide:-wide].copy()
        tile[:] = ImageColor.getrgb(colour)
        tile[wide:-wide, wide:-wide] = inner
    return tile


def as_png(image: np.ndarray, pixel_size: float | None = None) -> bytes:
    """``image`` uint8 (H, W, 3) or (H, W, 4) as the bytes of a PNG file, which says what a pixel spans where that is
    known: ``pixel_size`` in µm.
    """
    buffer = io.BytesIO()
    dots = {"dpi": (_INCH / pixel_size,) * 2} if pixel_size else {}
    Image.fromarray(np.asarray(image)).save(buffer, "PNG", **dots)
    return buffer.getvalue()


def data_url(image: np.ndarray) -> str:
    """``image`` as a ``data:`` URL, for image columns of tables."""
    return "data:image/png;base64," + base64.b64encode(as_png(image)).decode("ascii")


def framed_upload(pixels: np.ndarray, box: tuple[int, int, int, int], side: int, colour: str) -> np.ndarray:
    """The upload uint8 (h, w, 3), fitted into ``side`` px, the frame ``box`` drawn, what lies outside it paler.

    A frame that reaches over the picture's border is drawn along it.
    """
    height, width = pixels.shape[:2]
    scale = side / max(width, height)
    kind = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), kind)
    left, top, right, bottom = (round(v * scale) for v in box)
    shown = np.array(image)
    left, top, right, bottom = max(0, left), max(0, top), min(shown.shape[1], right), min(shown.shape[0], bottom)
    inside = shown[top:bottom, left:right].copy()
    shown = (shown * 0.55 + 255 * 0.45).astype(np.uint8)
    shown[top:bottom, left:right] = inside
    image = Image.fromarray(shown)
    line = max(2, side // 120)
    ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), outline=colour, width=line)
    return np.asarray(image)
