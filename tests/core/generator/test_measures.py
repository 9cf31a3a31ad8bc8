"""What tells a copy from a new cell, and good cells from bad ones."""

import numpy as np
import pytest

from core.generator import BadGenerator
from core.generator.training import QUANTILES, check_memorisation, nearest_pixels


@pytest.fixture
def cells() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)


def test_a_turned_copy_is_found(cells, monkeypatch):
    monkeypatch.setattr("core.generator.training.BLOCK", 7)  # more blocks than one
    copies = np.stack([np.rot90(cells[3]), cells[38][:, ::-1], np.rot90(cells[20][:, ::-1], 3)])
    distance, ratio = nearest_pixels(copies, cells)
    assert distance.max() < 0.05
    assert ratio.max() < 0.01
    elsewhere, _ = nearest_pixels(copies, np.delete(cells, [3, 38, 20], 0))
    assert elsewhere.min() > 20


def test_pixel_distance_is_the_root_mean_square_in_grey_levels(cells):
    shifted = np.clip(cells[:1].astype(int) // 2 + 6, 0, 255).astype(np.uint8)
    distance, ratio = nearest_pixels(shifted, cells[:1].repeat(2, 0) // 2)
    assert distance[0] == pytest.approx(6, abs=1e-2)
    assert ratio[0] == pytest.approx(1)


def test_a_generator_that_comes_nearer_than_held_out_cells_is_refused():
    far, near = [5.0] * len(QUANTILES), [5.0, 4.0, *[5.0] * (len(QUANTILES) - 2)]
    neighbours = {"quantiles": list(QUANTILES), "pixels": {"generated": far, "val": far}}
    check_memorisation({"figures": {"neighbours": {**neighbours, "pixel_ratio": {"generated": far, "val": near}}}})
    for measure in ("pixels", "pixel_ratio"):
        broken = {"pixel_ratio": {"generated": far, "val": far}, **neighbours, measure: {"generated": near, "val": far}}
        with pytest.raises(BadGenerator, match="1% quantile"):
            check_memorisation({"figures": {"neighbours": broken}})
