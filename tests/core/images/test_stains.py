"""Two stains in one batch, on drawn cells dyed otherwise."""

import numpy as np

from core.datasets.synthetic import draw_cells
from core.images.stains import stain_groups


def dyed(cells: np.ndarray) -> np.ndarray:
    """``cells`` as another dye would show them: bluer nuclei, a greenish lamp."""
    density = -np.log((cells.astype(float) + 4) / 259)
    mixed = density @ np.array([[1.6, 0.1, 0.0], [0.3, 0.5, 0.0], [0.0, 0.1, 0.5]])
    return np.clip(np.exp(-mixed) * 259 * np.array([0.6, 0.8, 0.6]) - 4, 0, 255).astype(np.uint8)


def test_two_stains_are_told_apart_and_one_is_not():
    cells = draw_cells(np.arange(40) % 7, 64, 3)
    assert stain_groups(cells) is None
    assert stain_groups(dyed(cells)) is None
    two = np.concatenate([cells[:28], dyed(cells[28:])])
    found = stain_groups(two)
    assert found is not None
    assert found.second.tolist() == [False] * 28 + [True] * 12
    assert "28 have one, 12 another" in found.note


def test_a_few_crops_are_never_parted():
    cells = draw_cells(np.arange(30) % 7, 64, 3)
    assert stain_groups(np.concatenate([cells, dyed(cells[:3])])) is None
    assert stain_groups(np.concatenate([cells[:4], dyed(cells[:5])])) is None
    assert stain_groups(cells[:0]) is None
