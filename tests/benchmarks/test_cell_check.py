"""The figures of the check for cells, and its fit, on drawn pictures."""

import numpy as np
import pytest

from benchmarks import cell_check as benchmark
from benchmarks import non_cells
from core.datasets.synthetic import draw_cells
from core.images import cell_check


@pytest.mark.parametrize("name", non_cells.FAMILIES)
def test_a_family_is_drawn_the_same_each_time(name):
    drawn = non_cells.draw_family(name, 3, 64)
    assert drawn.shape == (3, 64, 64, 3)
    assert drawn.dtype == np.uint8
    assert (drawn == non_cells.draw_family(name, 3, 64)).all()
    assert not (drawn[0] == drawn[1]).all()


def test_a_row_tells_what_pictures_are_called():
    row = benchmark.of_crops("blank", np.full((4, 64, 64, 3), 200, np.uint8))
    assert (row["n"], row["called a cell %"], row["called"]) == (4, 0, "blank 4")


def test_the_network_is_fitted_alike_from_one_seed_and_read_where_it_was_written(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    from benchmarks import cell_check_fit as fitting

    sources = {
        "cells": fitting._source("cell", draw_cells(np.arange(24) % 8, 64, 1), 2, stained=True),
        "screens": fitting._source("photograph", non_cells.draw_family("screens", 24, 64), 1),
    }
    torch.set_num_threads(1)
    networks = [fitting.fit(sources, seed=0, steps=6, count=320) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*(n.state_dict().values() for n in networks), strict=True))
    path = tmp_path / "network.onnx"
    fitting.write(networks[:1], path, sources)
    monkeypatch.setattr(cell_check, "NETWORK_PATH", path)
    crops = cell_check._at_one_size(draw_cells(np.arange(3), 64, 2))
    with torch.no_grad():
        expected = torch.softmax(networks[0](torch.from_numpy(crops).permute(0, 3, 1, 2).float()), 1).numpy()
    assert np.allclose(cell_check._see(crops), expected, atol=1e-3)
