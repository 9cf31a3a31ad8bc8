"""Sheets of the cells' pictures, so that a wall of thousands comes in a few files: tiles of 96 px, 10 x 10 a sheet, in
the order of the cells' numbers, each cut from the original pixels at the cell's box.
"""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from core.cases.case import Case
from core.images.framing import cut_box

TILE, TILES_A_ROW = 96, 10
TILES_A_SHEET = TILES_A_ROW**2
_QUALITY = 88  # of WebP
_WHITE = 255


def place(case: Case, number: int) -> tuple[int, int]:
    """Where the tile of cell ``number`` is: its sheet from 0 on, and its place there, row by row, from 0 on."""
    taken_in = sum(not cell.added_by for cell in case.cells) if case.cells[-1].added_by else len(case.cells)
    if number <= taken_in:
        return divmod(number - 1, TILES_A_SHEET)
    sheet, tile = divmod(number - taken_in - 1, TILES_A_SHEET)
    return case.sheets + sheet, tile


def sheet_size(cells: int, sheet: int) -> tuple[int, int]:
    """Width and height in px of the ``sheet`` from 0 on of so many ``cells``."""
    on_it = min(cells - sheet * TILES_A_SHEET, TILES_A_SHEET)
    return TILES_A_ROW * TILE, max(1, -(-on_it // TILES_A_ROW)) * TILE


def cut_tile(pixels: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """The square round ``box`` of ``pixels`` uint8 (H, W, 3), mirrored where it reaches outside: (96, 96, 3)."""
    left, top, right, bottom = box
    side = max(right - left, bottom - top, 1)
    left, top = left - (side - (right - left)) // 2, top - (side - (bottom - top)) // 2
    square = cut_box(pixels, (left, top, left + side, top + side))
    return np.asarray(Image.fromarray(square).resize((TILE, TILE), Image.Resampling.LANCZOS))


def tile_bytes(tile: np.ndarray) -> bytes:
    """A ``tile`` (96, 96, 3) as it is kept alone: WebP without loss."""
    file = io.BytesIO()
    Image.fromarray(tile).save(file, "WEBP", lossless=True)
    return file.getvalue()


def sheet_bytes(tiles: Sequence[np.ndarray]) -> bytes:
    """At most `TILES_A_SHEET` ``tiles`` as one WebP of 960 px a side, white where there is none."""
    sheet = np.full((TILES_A_ROW * TILE, TILES_A_ROW * TILE, 3), _WHITE, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, TILES_A_ROW)
        sheet[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] = tile
    rows = -(-len(tiles) // TILES_A_ROW)
    file = io.BytesIO()
    Image.fromarray(sheet[: max(1, rows) * TILE]).save(file, "WEBP", quality=_QUALITY, method=2)
    return file.getvalue()


def sheet_of_tiles(tiles: Sequence[bytes]) -> bytes:
    """A sheet of ``tiles`` that were kept alone (`tile_bytes`)."""
    return sheet_bytes([np.asarray(Image.open(io.BytesIO(tile)).convert("RGB")) for tile in tiles])
