"""The wall, the bars and the framed upload, without a browser."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from dashboard.classify.detail import probability_bars
from dashboard.classify.gallery import TILE, GalleryGroup, GalleryTile, wall_data
from dashboard.pictures import framed_upload


def tiles(n, caption="", start=0):
    return [
        GalleryTile(f"id{start + i}", np.full((TILE, TILE, 3), 10 * (start + i), np.uint8), "text", caption)
        for i in range(n)
    ]


def test_every_cell_of_the_wall_has_its_square_of_the_sheet_and_its_texts():
    groups = [
        GalleryGroup("To check", "#777777", tiles(3, "NE 61 %")),
        GalleryGroup("BA", "#123456", tiles(17, start=3)),
    ]
    data = wall_data(groups, "id4", "All cells")
    cells = [cell for group in data["groups"] for cell in group["cells"]]
    assert [cell["id"] for cell in cells] == [f"id{i}" for i in range(20)]
    assert [cell["caption"] for cell in cells[:4]] == ["NE 61 %"] * 3 + [""]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(data["sheet"].split(",")[1]))))
    columns = data["columns"]
    assert sheet.shape == (2 * TILE, columns * TILE, 3)
    for number in range(20):
        square = sheet[number // columns * TILE :, number % columns * TILE :][:TILE, :TILE]
        assert square.mean() == pytest.approx(10 * number, abs=3)
    assert (data["chosen"], data["label"]) == ("id4", "All cells")


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
