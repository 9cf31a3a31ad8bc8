"""Drawn cells of a foreign laboratory: another stain, a natural mixture."""

import numpy as np

from core.datasets.synthetic import draw_cells, stain_shift_cells, stain_shift_labels


def test_labels_are_a_differential_with_every_kind():
    labels = stain_shift_labels(100)
    assert np.bincount(labels).tolist() == [5, 9, 4, 6, 24, 11, 36, 5]
    assert set(stain_shift_labels(25)) == set(range(8))
    assert (stain_shift_labels(100) == labels).all()


def test_cells_are_the_drawn_ones_in_another_stain_with_more_around_them():
    labels = np.array([4, 6])
    cells, drawn = stain_shift_cells(labels, 64, seed=3), draw_cells(labels, 64, 3)
    assert cells.shape == (2, 80, 80, 3)
    inside = cells[:, 8:-8, 8:-8]
    assert np.corrcoef(inside[0, ..., 1].ravel(), drawn[0, ..., 1].ravel())[0, 1] > 0.9
    assert np.abs(inside.astype(float) - drawn).mean() > 15
