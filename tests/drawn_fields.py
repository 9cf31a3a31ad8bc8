"""Microscope fields that are drawn: red cells and platelets by discs, white cells as the drawn data set has them,
under a lamp that lights them unevenly. No real data.
"""

from functools import cache

import numpy as np
from PIL import Image

from core.datasets.synthetic import draw_cells
from core.images.red_cells import RED_CELL_SHARE

PAPER, RED, PLATELET = np.array([238.0, 216, 205]), np.array([214.0, 178, 172]), np.array([150.0, 95, 170])
KINDS = 5  # of the classes drawn, the first ones


@cache
def _cells() -> np.ndarray:
    return draw_cells(np.arange(20) % KINDS, 200, 5)


def draw_field(
    whites: list[tuple[float, float]],
    *,
    shape: tuple[int, int] = (480, 640),
    red_cell: float = 60,
    red_cells: int = 40,
    platelets: list[tuple[float, float]] | None = None,
    shade: float = 0.0,
    tint: tuple[float, float, float] = (1, 1, 1),
    seed: int = 0,
) -> np.ndarray:
    """A field uint8 (H, W, 3) of ``shape`` with white cells and platelets in the places (x, y) named, and up to
    ``red_cells`` elsewhere. ``shade``: how much darker, and redder, its rim is; ``tint``: gains of the channels.
    """
    rng = np.random.default_rng(seed)
    height, width = shape
    picture = np.ones((height, width, 3)) * PAPER
    placed = [(*at, 1.0 * red_cell) for at in whites] + [(*at, 0.3 * red_cell) for at in platelets or ()]
    for _ in range(red_cells):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), red_cell / 2 * rng.uniform(0.94, 1.06)
        if all(np.hypot(x - a, y - b) > radius + r for a, b, r in placed):
            placed.append((x, y, radius))
            _add_disc(picture, x, y, radius, RED, pale=0.5)
    for x, y in platelets or ():
        _add_disc(picture, x, y, 0.16 * red_cell, PLATELET)
    span = round(red_cell / RED_CELL_SHARE)
    for number, (x, y) in enumerate(whites):
        cell = np.asarray(Image.fromarray(_cells()[number % len(_cells())]).resize((span, span)), float)
        _add_cell(picture, x, y, cell, red_cell)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = 1 - shade * (rows**2 + columns**2)[..., None] / 2 * (0.4, 1.0, 0.8)
    noisy = picture * light * np.array(tint) + rng.normal(0, 2, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _window(picture: np.ndarray, x: float, y: float, reach: float) -> tuple[slice, slice, np.ndarray, np.ndarray]:
    """Rows and columns round a place, and how far each lies from it."""
    rows = slice(max(0, int(y - reach)), max(0, min(picture.shape[0], int(y + reach) + 1)))
    columns = slice(max(0, int(x - reach)), max(0, min(picture.shape[1], int(x + reach) + 1)))
    down, across = np.mgrid[rows, columns]
    return rows, columns, down - y, across - x


def _add_disc(picture: np.ndarray, x: float, y: float, radius: float, colour: np.ndarray, pale: float = 0.0) -> None:
    rows, columns, down, across = _window(picture, x, y, 1.6 * radius + 4)
    far = np.hypot(down, across)
    inside = 1 / (1 + np.exp(np.clip(far - radius, -50, 50)))
    inside *= 1 - pale * np.exp(-((far / (0.45 * radius)) ** 2))
    picture[rows, columns] += inside[..., None] * (colour - PAPER)


def _add_cell(picture: np.ndarray, x: float, y: float, cell: np.ndarray, red_cell: float) -> None:
    rows, columns, down, across = _window(picture, x, y, 1.2 * red_cell)
    blend = np.clip((0.95 * red_cell - np.hypot(down, across)) / 6, 0, 1)[..., None]
    span = len(cell)
    from_cell = cell[
        np.clip(np.rint(down + span / 2).astype(int), 0, span - 1),
        np.clip(np.rint(across + span / 2).astype(int), 0, span - 1),
    ]
    picture[rows, columns] = picture[rows, columns] * (1 - blend) + from_cell * blend
