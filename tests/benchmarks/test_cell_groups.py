"""Pictures of several cells, and of one with its neighbours cut off, from dark discs whose places are known."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from benchmarks import cell_groups
from benchmarks.cell_groups import CellPictures


@pytest.fixture
def discs() -> CellPictures:
    """Twelve pictures of a dark disc off the middle; its frame spans .36 of the side, the disc .6 of the frame."""
    y, x = np.mgrid[:100, :100] + 0.5
    inside = np.hypot(x - 52, y - 48) < 11
    pixels = np.where(inside[..., None], [90, 40, 140], [240, 220, 210]).astype(np.uint8)
    return CellPictures(np.stack([pixels] * 12), np.tile([0.52, 0.48, 0.36], (12, 1)))


def areas(picture: np.ndarray) -> np.ndarray:
    """Pixels of each dark part, those that the border cuts among them."""
    labels, count = ndimage.label(picture[..., 1] < 130)
    return ndimage.sum_labels(np.ones(labels.shape), labels, range(1, count + 1))


def test_several_cells_lie_whole_in_the_picture(discs):
    pictures = cell_groups.several(discs, np.random.default_rng(0), 20, 90)
    assert pictures.shape == (20, 90, 90, 3)
    assert pictures.dtype == np.uint8
    for picture in pictures:
        sizes = areas(picture)
        assert 2 <= len(sizes) <= 4
        assert sizes.min() > 0.75 * sizes.max()


def test_of_a_lone_cell_neighbours_only_a_part_is_seen(discs):
    for picture in cell_groups.alone(discs, np.random.default_rng(0), 20, 90):
        sizes = np.sort(areas(picture))
        assert sizes[-1] > 0.01 * 90**2
        assert all(sizes[:-1] < 0.6 * sizes[-1])


def test_the_same_seed_lays_the_same_pictures(discs):
    first, again = (cell_groups.several(discs, np.random.default_rng(3), 2) for _ in range(2))
    assert (first == again).all()


@pytest.fixture
def fields(tmp_path):
    """Fields whose pixels tell their place: two cells, a single one, two far apart, one cut off."""
    x = np.broadcast_to(np.arange(200, dtype=np.uint8), (100, 200))
    pixels = np.stack([x, np.broadcast_to(np.arange(100, dtype=np.uint8)[:, None], (100, 200)), x], axis=-1)
    lines = ["file,slide,kind,class,xmin,ymin,xmax,ymax"]
    for name, boxes in {
        "two.png": [(50, 40, 70, 60), (80, 40, 100, 60)],
        "one.png": [(90, 40, 110, 60)],
        "far.png": [(10, 40, 30, 60), (150, 40, 170, 60)],
        "cut.png": [(0, 40, 20, 60)],
    }.items():
        Image.fromarray(pixels).save(tmp_path / name)
        lines += [f"{name},,white cell,,{','.join(map(str, box))}" for box in boxes]
        lines.append(f"{name},,red cell,,1,1,15,15")
    (tmp_path / "boxes.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_two_cells_near_each_other_are_cut_out_together(fields):
    small, large = cell_groups.pairs_on_fields(fields, rims=(0.1, 0.5))
    assert (small[0, 0, 0], small[0, 0, 1]) == (48, 38)
    assert small.shape[:2] == (24, 54)
    assert large.shape[:2] == (40, 70)


def test_a_lone_cell_is_cut_out_as_large_as_asked_where_the_field_allows(fields):
    once, thrice, too_large = cell_groups.lone_on_fields(fields, shares=(1.0, 3.0, 6.0))
    assert [picture.shape for picture in once] == [(20, 20, 3)]
    assert (once[0][0, 0, 0], once[0][0, 0, 1]) == (90, 40)
    assert [picture.shape for picture in thrice] == [(60, 60, 3)]
    assert too_large == []
