"""Pictures of several white cells at a laboratory's own scale, and of one with its neighbours cut off: cut out of
fields by the boxes drawn on them, or laid together from pictures of single cells with their surroundings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import ndimage

from core.datasets.tables import read_rows
from core.images.decode import decode

SIDE = 96  # px of a picture that is laid together
FEWEST, MOST = 2, 4
_SEAM = 0.03  # frames: how gradually one cell's surroundings turn into the other's
_APART = (0.68, 2.0)  # frames from one cell's centre to the next
_RIM = (0.22, 0.75)  # frames from the outermost centres to the border: cells that are whole, or nearly
_LONE_SIDE = (0.8, 2.1)  # frames that a picture of one cell with neighbours shows
_OUTSIDE = (0.02, 0.5)  # frames from its border to the neighbours' centres
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class CellPictures:
    """Pictures of single cells of one laboratory: ``pixels`` uint8 (N, S, S, 3) and ``places`` (N, 3), where in each
    the cell lies (x, y, 0 to 1) and which share of the side its frame spans.
    """

    pixels: np.ndarray
    places: np.ndarray


def several(cells: CellPictures, rng: np.random.Generator, count: int, side: int = SIDE) -> np.ndarray:
    """Two to four whole ``cells`` near one another in each picture: uint8 (count, side, side, 3)."""
    pictures = np.empty((count, side, side, 3), np.uint8)
    for picture in pictures:
        centres = [np.zeros(2)]
        wanted = int(rng.choice([2, 2, 2, 3, MOST]))
        while len(centres) < wanted:
            angle, apart = rng.uniform(0, 2 * np.pi), rng.uniform(*_APART)
            centre = centres[rng.integers(len(centres))] + apart * np.array([np.cos(angle), np.sin(angle)])
            if min(np.hypot(*(centre - other)) for other in centres) >= _APART[0]:
                centres.append(centre)
        low, high = np.min(centres, axis=0), np.max(centres, axis=0)
        rims = rng.uniform(*_RIM, (2, 2))
        low, high = low - rims[0], high + rims[1]
        if rng.random() < 0.6:  # a square; else a rectangle, which will be squeezed
            longest = (high - low).max()
            spare = longest - (high - low)
            low = low - spare * rng.uniform(0, 1, 2)
            high = low + longest
        picture[:] = _laid(cells, centres, low, high, rng, side)
    return pictures


def alone(cells: CellPictures, rng: np.random.Generator, count: int, side: int = SIDE) -> np.ndarray:
    """One whole cell of ``cells`` near the middle, one or two neighbours cut off at the border: uint8 (count, side,
    side, 3).
    """
    pictures = np.empty((count, side, side, 3), np.uint8)
    for picture in pictures:
        half = rng.uniform(*_LONE_SIDE) / 2
        middle = rng.uniform(-0.12, 0.12, 2)
        centres = [np.zeros(2)]
        for _ in range(rng.integers(1, 3)):
            away = np.array([half + rng.uniform(*_OUTSIDE), rng.uniform(-half, half)])
            away[0] = max(away[0], _APART[0])
            centres.append(middle + (away if rng.random() < 0.5 else away[::-1]) * rng.choice([-1, 1], 2))
        picture[:] = _laid(cells, centres, middle - half, middle + half, rng, side)
    return pictures


def _laid(
    cells: CellPictures,
    centres: Sequence[np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
    rng: np.random.Generator,
    side: int,
) -> np.ndarray:
    """Cells at ``centres`` (x, y in frames), each with its surroundings up to half way to the next, turned and mirrored
    at random and under one light: what lies between ``low`` and ``high``, float (side, side, 3).
    """
    steps = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(low[0] + steps * (high[0] - low[0]), low[1] + steps * (high[1] - low[1]))
    away = np.stack([np.hypot(x - centre[0], y - centre[1]) for centre in centres])
    shares = np.exp(-(away - away.min(0)) / _SEAM)
    shares /= shares.sum(0)
    picture, light = np.zeros((side, side, 3)), None
    # Neighbours in the file are of one slide where a set has slides: alike in stain and focus.
    first = int(rng.integers(len(cells.pixels)))
    for centre, share in zip(centres, shares, strict=True):
        number = (first + int(rng.integers(0, 20))) % len(cells.pixels)
        pixels, (cell_x, cell_y, frame) = cells.pixels[number], cells.places[number]
        across, down = (x - centre[0]) * rng.choice([-1, 1]), (y - centre[1]) * rng.choice([-1, 1])
        if rng.random() < 0.5:
            across, down = down, across
        size = pixels.shape[0]
        rows, columns = (size * (at + away * frame) - 0.5 for at, away in ((cell_y, down), (cell_x, across)))
        shown = np.stack(
            [ndimage.map_coordinates(pixels[..., k], (rows, columns), float, order=1, mode="mirror") for k in range(3)],
            axis=-1,
        )
        bright = np.maximum(np.percentile(pixels.reshape(-1, 3), 90, axis=0), 1)
        light = bright if light is None else light
        picture += share[..., None] * shown * (light / bright)
    return np.clip(picture, 0, 255).round()


def white_cell_boxes(folder: Path) -> dict[str, list[Box]]:
    """The boxes (left, top, right, bottom) of the white cells on each field of ``folder``/boxes.csv, by file."""
    boxes: dict[str, list[Box]] = {}
    for row in read_rows(folder / "boxes.csv"):
        if row["kind"] == "white cell":
            left, top, right, bottom = (float(row[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
            boxes.setdefault(row["file"], []).append((left, top, right, bottom))
    return boxes


def pairs_on_fields(folder: Path, rims: Sequence[float] = (0.1, 0.3, 0.6), most: float = 3.2) -> list[np.ndarray]:
    """Rectangles of the fields in ``folder`` that hold two whole white cells, so many ``rims`` (of a cell's size) round
    the two: pictures uint8 (H, W, 3). Cells more than ``most`` sizes apart make a field, not a crop.
    """
    pictures = []
    for file, boxes in white_cell_boxes(folder).items():
        if len(boxes) < FEWEST:
            continue
        pixels = decode((folder / file).read_bytes(), file).pixels
        height, width = pixels.shape[:2]
        for pair in combinations([np.array(box) for box in boxes], 2):
            sizes = [np.sqrt(np.prod(box[2:] - box[:2])) for box in pair]
            size, apart = max(sizes), np.hypot(*((pair[0] - pair[1])[:2] + (pair[0] - pair[1])[2:]) / 2)
            if min(sizes) < 0.6 * size or not 0.7 * size <= apart <= most * size:
                continue
            for rim in rims:
                left, top = np.maximum(np.minimum(*pair)[:2] - rim * size, 0).astype(int)
                right, bottom = np.minimum(np.maximum(*pair)[2:] + rim * size, (width, height)).astype(int)
                pictures.append(pixels[top:bottom, left:right])
    return pictures


def lone_on_fields(folder: Path, shares: Sequence[float] = (1.0, 1.3, 1.7, 2.2)) -> list[list[np.ndarray]]:
    """For each of ``shares`` the squares of so many cell's sizes round the white cell of each field in ``folder`` that
    has one, where they lie within the field: pictures uint8 (H, W, 3).
    """
    by_share: list[list[np.ndarray]] = [[] for _ in shares]
    for file, boxes in white_cell_boxes(folder).items():
        if len(boxes) != 1:
            continue
        pixels = decode((folder / file).read_bytes(), file).pixels
        height, width = pixels.shape[:2]
        left, top, right, bottom = boxes[0]
        if left < 2 or top < 2 or right > width - 2 or bottom > height - 2:
            continue
        for share, pictures in zip(shares, by_share, strict=True):
            side = round(share * max(right - left, bottom - top))
            x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
            if x >= 0 and y >= 0 and x + side <= width and y + side <= height:
                pictures.append(pixels[y : y + side, x : x + side])
    return by_share
