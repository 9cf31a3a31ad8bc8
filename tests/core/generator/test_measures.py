"""What tells a copy from a new cell, and good cells from bad ones."""

import numpy as np
import pytest

from core.generator import BadGenerator
from core.generator.training import QUANTILES, check_memorisation, frechet, nearest_embedded, nearest_pixels


@pytest.fixture
def cells() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)


def test_a_turned_copy_is_found_where_it_lies(cells, monkeypatch):
    monkeypatch.setattr("core.generator.training.BLOCK", 7)  # more blocks than one
    copies = np.stack([np.rot90(cells[3]), cells[38][:, ::-1], np.rot90(cells[20][:, ::-1], 3)])
    found = nearest_pixels(copies, cells)
    assert found.row.tolist() == [3, 38, 20]
    assert found.distance.max() < 0.05
    assert found.ratio.max() < 0.01


def test_pixel_distance_is_the_root_mean_square_in_grey_levels(cells):
    shifted = np.clip(cells[:1].astype(int) // 2 + 6, 0, 255).astype(np.uint8)
    found = nearest_pixels(shifted, cells[:1].repeat(2, 0) // 2)
    assert found.distance[0] == pytest.approx(6, abs=1e-2)
    assert found.ratio[0] == pytest.approx(1)


def test_embeddings_are_compared_by_direction():
    known = np.eye(4, dtype=np.float32)
    found = nearest_embedded(np.array([[0, 3, 0, 0], [1, 0, 1, 0]], np.float32), known)
    assert found.row[0] == 1
    assert found.distance == pytest.approx([0, 1 - 0.5**0.5], abs=1e-6)
    assert found.ratio == pytest.approx([0, 1], abs=1e-6)


def test_frechet_distance_of_bells():
    rng = np.random.default_rng(0)
    first = rng.standard_normal((20000, 3))
    assert frechet(first, first) == pytest.approx(0, abs=1e-6)
    assert frechet(first, first + (3, 0, 4)) == pytest.approx(25, rel=1e-6)
    assert frechet(first, 2 * first) == pytest.approx(3, rel=0.05)  # (2 - 1) ** 2 a direction


def test_a_generator_that_comes_nearer_than_held_out_cells_is_refused():
    far, near = [5.0] * len(QUANTILES), [5.0, 4.0, *[5.0] * (len(QUANTILES) - 2)]
    neighbours = {"quantiles": list(QUANTILES), "pixels": {"generated": far, "val": far}}
    check_memorisation({"figures": {"neighbours": {**neighbours, "pixel_ratio": {"generated": far, "val": near}}}})
    for measure in ("pixels", "pixel_ratio"):
        broken = {"pixel_ratio": {"generated": far, "val": far}, **neighbours, measure: {"generated": near, "val": far}}
        with pytest.raises(BadGenerator, match="1% quantile"):
            check_memorisation({"figures": {"neighbours": broken}})
