"""White cells, red cells and platelets on drawn fields, whatever the light, the tint and the size of the field."""

import numpy as np
import pytest

from core.images import cell_check, fields
from core.images.fields import measure_field, read_field, red_cell_diameters, red_cells_of
from tests.drawn_fields import draw_field

WHITES = [(100, 120), (420, 300), (560, 80)]
PLATELETS = [(300, 60), (200, 400)]


def is_near(cell, place, red_cell=60.0):
    return np.hypot(cell.x - place[0], cell.y - place[1]) < 0.3 * red_cell


def assert_found(found, places, red_cell=60.0):
    """Each place once, and nothing else."""
    assert len(found.cells) == len(places)
    for place in places:
        assert sum(is_near(cell, place, red_cell) for cell in found.cells) == 1


@pytest.mark.parametrize(
    "look",
    [{}, {"shade": 0.6}, {"tint": (0.9, 0.6, 0.65)}, {"tint": (0.5, 0.62, 0.55), "shade": 0.4}, {"red_cell": 40}],
    ids=str,
)
def test_every_white_cell_is_found_and_nothing_else(look):
    red_cell = look.get("red_cell", 60)
    found = read_field(draw_field(WHITES, platelets=PLATELETS, **look), red_cell)
    assert_found(found, WHITES, red_cell)
    for cell in found.cells:
        left, top, right, bottom = cell.box
        assert left < cell.x < right
        assert top < cell.y < bottom
        assert 0.8 * red_cell < right - left < 2.2 * red_cell
        assert 0.3 <= cell.confidence <= 1
    assert found.side == round(red_cell / 0.375)


def test_fields_without_a_white_cell_show_none():
    for seed in range(3):
        assert read_field(draw_field([], red_cells=80, shade=0.5, seed=seed), 60).cells == ()
    assert read_field(np.full((300, 400, 3), 220, np.uint8), 60).cells == ()
    assert read_field(np.zeros((30, 20, 3), np.uint8), 60).cells == ()


def test_a_large_platelet_is_no_white_cell():
    field = draw_field(WHITES, platelets=PLATELETS)
    y, x = np.mgrid[:480, :640]
    field[np.hypot(x - 250, y - 300) < 16] = (110, 60, 150)
    assert_found(read_field(field, 60), WHITES)


def test_cells_that_touch_are_two_and_lobes_are_one():
    places = [(200, 200), (310, 200), (450, 330), (80, 400), (560, 120)]  # the second has two lobes
    assert_found(read_field(draw_field(places), 60), places)


def test_a_cell_that_the_border_cuts_is_found():
    found = read_field(draw_field([(8, 200), (400, 240)]), 60)
    assert len(found.cells) == 2
    assert min(cell.box[0] for cell in found.cells) >= 0


def test_red_cells_and_platelets_are_counted():
    places = [(int(x), int(y)) for x in range(60, 1450, 120) for y in range(60, 950, 300)]
    few = read_field(draw_field(WHITES, shape=(1000, 1500), red_cells=60, platelets=PLATELETS), 60)
    many = read_field(draw_field(WHITES, shape=(1000, 1500), red_cells=600, platelets=places), 60)
    assert few.platelets == 2
    assert abs(many.platelets - len(places)) < 0.25 * len(places)
    assert few.red_cells == pytest.approx(42, rel=0.35)  # so many of 60 have room
    assert many.red_cells > 1.5 * few.red_cells


@pytest.mark.parametrize("red_cell", [32, 60, 90, 150])
def test_red_cells_are_measured(red_cell):
    shape = (480, 640) if red_cell < 100 else (1200, 1600)
    field = draw_field(WHITES, shape=shape, red_cell=red_cell, red_cells=120, shade=0.3)
    assert red_cells_of([measure_field(field)]).diameter == pytest.approx(red_cell, rel=0.12)


def test_large_red_cells_are_measured_on_larger_tiles():
    field = draw_field([(600, 500)], shape=(1400, 1800), red_cell=230, red_cells=60)
    assert red_cells_of([measure_field(field)]).diameter == pytest.approx(230, rel=0.12)


def test_where_no_circles_are_no_size_is_told():
    blank = measure_field(np.full((480, 640, 3), 230, np.uint8))
    assert red_cells_of([blank]) is None
    assert red_cell_diameters([blank]) == [None]
    assert red_cell_diameters([]) == []


def test_fields_of_one_laboratory_share_a_scale_but_not_with_another_magnification():
    alike = [measure_field(draw_field(WHITES, red_cells=60, seed=seed)) for seed in range(4)]
    blank = measure_field(np.full((480, 640, 3), 230, np.uint8))
    other = measure_field(draw_field(WHITES, shape=(900, 1200), red_cell=100, red_cells=90))
    *same, of_blank, of_other = red_cell_diameters([*alike, blank, other])
    assert len({*same, of_blank}) == 1
    assert same[0] == pytest.approx(60, rel=0.1)
    assert of_other == pytest.approx(100, rel=0.12)


def test_tiles_show_what_the_whole_shows_and_stay_small(monkeypatch):
    places = [(x, y) for x in range(120, 1400, 250) for y in range(120, 950, 250)]
    field = draw_field(places, shape=(1000, 1500), red_cells=150, platelets=[(240, 240)])
    whole = read_field(field, 60)
    assert_found(whole, places)
    sizes = []

    def stain(density):
        sizes.append(density.shape)
        return 2 * density[..., 1] - np.minimum(density[..., 0], density[..., 2])

    monkeypatch.setattr(fields, "nucleus_stain", stain)
    monkeypatch.setattr(fields, "_TILE", 180)
    tiled = read_field(field, 60)
    assert len(sizes) > 6
    assert max(max(size) for size in sizes) < 2 * (180 + 2 * fields._MARGIN)
    assert_found(tiled, places)
    assert tiled.platelets == whole.platelets
    assert tiled.red_cells == pytest.approx(whole.red_cells, rel=0.1)


def test_without_the_check_the_stain_tells_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(cell_check, "NETWORK_PATH", tmp_path / "none.onnx")
    assert_found(read_field(draw_field(WHITES), 60), WHITES)


def test_a_scale_that_is_none_is_refused():
    with pytest.raises(ValueError, match="red cell"):
        read_field(draw_field([]), 0)
