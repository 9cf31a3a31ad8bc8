"""What is a cell and what is none, on drawn pictures."""

import numpy as np
import pytest

from core.datasets.synthetic import draw_cells
from core.images.cell_check import check_crops


@pytest.mark.parametrize("size", [28, 64, 128])
def test_drawn_cells_of_all_kinds_are_cells(size):
    assert all(check.is_cell for check in check_crops(draw_cells(np.arange(16) % 8, size, 5)))


@pytest.mark.parametrize("size", [28, 64, 128])
def test_nothing_and_noise_are_no_cells(size):
    rng = np.random.default_rng(0)
    flat = np.full((3, size, size, 3), [[[[230]]], [[[0]]], [[[120]]]], np.uint8)
    assert [check.kind for check in check_crops(flat)] == ["blank"] * 3
    noise = rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    noise[1] = noise[1, ..., :1]
    assert [check.kind for check in check_crops(noise)] == ["noise"] * 2
    assert not any(check.is_cell for check in check_crops(np.concatenate([flat, noise]), unit="field"))
