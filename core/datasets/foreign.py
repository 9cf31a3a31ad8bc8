"""Drawn cells as another laboratory would show them: other stain, other magnification, more around each cell."""

import numpy as np

from core.datasets.drawing import draw

# Of optical density: how much of red, green and blue each of red, green and blue of the usual stain becomes. Bluer
# nuclei, duller reds, as with more azure B, less eosin and a buffer that is not acid enough.
_STAIN = np.array([[1.25, 0.10, 0.00], [0.12, 0.72, 0.10], [0.18, 0.05, 0.62]])
_DENSER = 1.1
_LAMP = np.array([0.02, 0.10, 0.16])  # optical density of an empty field: a yellowish lamp
_AROUND = 0.12  # of a drawing's side, on each side of it
# BA, EO, ERB, IG, LY, MO, NE, PLT, of a hundred: a differential with a few of each rare kind.
SHARES = np.array([5, 9, 4, 6, 24, 11, 36, 5])


def foreign_labels(count: int, seed: int = 0) -> np.ndarray:
    """Classes int (count,) of cells as a smear shows them, mixed, with at least one of each from 25 cells on."""
    rank = (np.arange(count) + 0.5) * SHARES.sum() / count
    return np.random.default_rng(seed).permutation(np.searchsorted(np.cumsum(SHARES), rank, side="right"))


def foreign_cells(labels: np.ndarray, side: int = 190, seed: int = 0) -> np.ndarray:
    """Drawn cells of class indexes ``labels`` (N,) in a foreign stain, uint8 (N, S, S, 3).

    ``side`` px is the drawing's side, the square that models know; S is a quarter more, mirrored at the border.
    """
    cells = draw(labels, side, seed)
    density = -np.log((np.arange(256) + 1) / 256)[cells]
    tinted = 256 * np.exp(-_DENSER * (density @ _STAIN.T) - _LAMP) - 1
    more = round(_AROUND * side)
    cells = np.clip(tinted + 0.5, 0, 255).astype(np.uint8)
    return np.pad(cells, ((0, 0), (more, more), (more, more), (0, 0)), mode="symmetric")
