"""The wall, the bars and the framed upload, without a browser."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from dashboard.classify.detail import probability_bars
from dashboard.classify.gallery import CELL, GAP, GalleryGroup, GalleryTile, gallery_figure
from dashboard.pictures import framed_upload
from dashboard.style import PRIMARY


def tiles(n, caption="", start=0):
    return [
        GalleryTile(f"id{start + i}", np.full((128, 128, 3), 10 * (start + i), np.uint8), "hover", caption)
        for i in range(n)
    ]


def sheet_of(figure):
    data = figure.layout.images[0].source.split(",")[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_every_cell_can_be_clicked_where_it_is_shown():
    figure = gallery_figure(
        [GalleryGroup("To check", "#777777", tiles(3, "NE 61 %")), GalleryGroup("BA", "#123456", tiles(8, start=3))],
        "id4",
    )
    points = figure.data[0]
    assert list(points.customdata) == [f"id{i}" for i in range(11)]
    picture, scale = sheet_of(figure), 128 / CELL
    for number, (x, y) in enumerate(zip(points.x, points.y, strict=True)):
        assert picture[round(y * scale), round(x * scale), 0] == pytest.approx(10 * number, abs=3)
    assert picture.shape[1] == pytest.approx(figure.layout.width * scale, abs=1)
    assert figure.layout.yaxis.range == (figure.layout.height, 0)


def test_cells_do_not_overlap_and_stay_inside():
    figure = gallery_figure(
        [GalleryGroup("a", "#777777", tiles(13, "x")), GalleryGroup("b", "#777777", tiles(1, start=13))], None
    )
    boxes = [(s.x0, s.y0, s.x1, s.y1) for s in figure.layout.shapes]
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        assert x0 >= 0
        assert x1 <= figure.layout.width
        assert y1 <= figure.layout.height
        for a0, b0, a1, b1 in boxes[:number]:
            assert x0 >= a1 + GAP or x1 + GAP <= a0 or y0 >= b1 or y1 <= b0


@pytest.mark.parametrize("dark", [False, True])
def test_the_chosen_cell_is_marked(dark):
    figure = gallery_figure([GalleryGroup("a", "#777777", tiles(3))], "id1", dark)
    assert [s.line.color for s in figure.layout.shapes] == ["#777777", PRIMARY[dark], "#777777"]


def test_bars_show_the_likeliest_classes_in_their_colours():
    codes = ["A", "B", "C", "D", "E"]
    colours = {c: f"#00000{i}" for i, c in enumerate(codes)}
    probabilities = np.array([0.002, 0.993, 0.003, 0.0015, 0.0005])
    bar = probability_bars(probabilities, codes, ["a", "b", "c", "d", "e"], colours, title="t").data[0]
    assert list(bar.y) == ["B  b", "C  c", "A  a", "D  d"]
    assert list(bar.text) == ["> 99 %", "< 1 %", "< 1 %", "< 1 %"]
    assert list(bar.marker.color) == [colours[c] for c in "BCAD"]


def test_the_frame_is_drawn_where_the_model_looked():
    pixels = np.zeros((363, 360, 3), np.uint8)
    shown = framed_upload(pixels, (80, 82, 280, 282), 726, "#ff0000")
    assert shown.shape == (726, 720, 3)
    assert tuple(shown[164, 300]) == (255, 0, 0)
    assert tuple(shown[300, 160]) == (255, 0, 0)
    assert tuple(shown[300, 300]) == (0, 0, 0)
    assert shown[10, 10, 0] > 100


@pytest.mark.parametrize(("height", "width"), [(16, 1600), (1600, 16), (28, 28)])
def test_extreme_uploads_are_fitted(height, width):
    side = min(height, width)
    shown = framed_upload(np.zeros((height, width, 3), np.uint8), (0, 0, side, side), 400, "#ff0000")
    assert max(shown.shape[:2]) == 400
