"""What is a cell and what is none, on drawn pictures."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from core.datasets import get_dataset
from core.datasets.synthetic import draw_cells
from core.images import cell_check
from core.images.cell_check import NETWORK_PATH, CellCheck, check_crops, check_pictures
from core.images.framing import CropWindow, MeasuredPicture


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


@pytest.fixture(params=["missing", "broken", "of another kind"])
def without_network(request, tmp_path, monkeypatch):
    path = tmp_path / "cell_check.onnx"
    if request.param == "broken":
        path.write_bytes(b"no graph")
    elif request.param == "of another kind":
        path.write_bytes(NETWORK_PATH.read_bytes().replace(b'"red_cells"', b'"red_wines"'))
    monkeypatch.setattr(cell_check, "NETWORK_PATH", path)


def test_without_the_network_the_rules_answer_alone(without_network):
    cells = draw_cells(np.arange(8), 64, 5)
    assert all(check.is_cell for check in check_crops(cells))
    assert [check.kind for check in check_crops(np.full((1, 64, 64, 3), 230, np.uint8))] == ["blank"]
    assert cell_check._see(cell_check._at_one_size(cells)) == [None] * 8


def page() -> np.ndarray:
    image = Image.new("RGB", (500, 400), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for line in range(5, 400, 22):
        draw.text((10, line), "Total white cells 7.4, platelets 210, red cells 4.6 " * 2, fill=(20, 20, 20))
    return np.asarray(image)


def several() -> np.ndarray:
    rows = draw_cells(np.arange(9) % 7, 96, 5).reshape(3, 3, 96, 96, 3)
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])


def checked(*pictures: np.ndarray, dataset: str = "bloodmnist") -> list[CellCheck]:
    spec = get_dataset(dataset)
    measured = [MeasuredPicture(pixels) for pixels in pictures]
    crops = [CropWindow().crop(pixels, 64, spec) for pixels in pictures]
    return check_pictures(measured, crops, spec)


def test_what_is_no_cell_is_said_with_its_reason():
    assert not any(check.is_cell for check in checked(page(), several()))
    assert checked(page())[0].kind in ("photograph", "noise")
    assert checked(several())[0].kind in ("several_cells", "field")
    assert "photograph" in CellCheck("photograph", 0.0).sentence
    assert checked() == []


def in_a_row(*labels: int) -> np.ndarray:
    """Drawn cells side by side on one ground, 128 px each."""
    return np.concatenate(list(draw_cells(np.array(labels), 128, 5)), axis=1)


@pytest.mark.parametrize("labels", [(6, 4), (3, 6), (1, 5), (0, 4)])
def test_two_whole_cells_are_several_and_one_with_a_piece_of_another_is_a_cell(labels):
    both = in_a_row(*labels)
    kinds = [check.kind for check in checked(both, both.transpose(1, 0, 2))]
    assert "several_cells" in kinds
    assert "cell" not in kinds
    assert checked(both[:, : 128 + 40])[0].is_cell
    assert checked(both[:, 128 - 40 :])[0].is_cell


@pytest.mark.parametrize("fill", [(110, 60, 150), (190, 120, 120), (40, 90, 200)])
@pytest.mark.parametrize("ground", [(255, 255, 255), (240, 222, 214)])
def test_a_plain_form_is_no_cell(fill, ground):
    pictures = []
    for draw_form in (ImageDraw.ImageDraw.ellipse, ImageDraw.ImageDraw.rectangle):
        for options in ({"fill": fill}, {"outline": fill, "width": 24}):
            image = Image.new("RGB", (200, 200), ground)
            draw_form(ImageDraw.Draw(image), (55, 50, 145, 140), **options)
            pictures.append(np.asarray(image))
    assert not any(check.is_cell for check in checked(*pictures))
    assert not any(check.is_cell for check in check_crops(np.stack(pictures)))


def test_a_drawn_cell_with_a_little_noise_is_none():
    rng, pictures = np.random.default_rng(0), []
    for nucleus in ((100, 50, 150), (120, 60, 160), (80, 40, 130)):
        image = Image.new("RGB", (200, 200), (235, 220, 215))
        draw = ImageDraw.Draw(image)
        draw.ellipse((30, 30, 170, 170), fill=(205, 180, 215))
        draw.ellipse((50, 50, 150, 150), fill=nucleus)
        pictures.append(np.clip(image + rng.normal(0, 2, (200, 200, 3)), 0, 255).astype(np.uint8))
    assert not any(check.is_cell for check in checked(*pictures))


def test_the_answer_is_the_same_for_models_of_all_sizes():
    cells = draw_cells(np.arange(8), 200, 5)
    spec = get_dataset("bloodmnist")
    pictures = [MeasuredPicture(pixels) for pixels in [*cells, page()]]
    crops = {size: [CropWindow().crop(p.pixels, size, spec) for p in pictures] for size in (28, 64, 128)}
    answers = [check_pictures(pictures, crops[size], spec) for size in crops]
    assert answers[0] == answers[1] == answers[2]
    assert all(check.is_cell for check in answers[0][:8])


def test_a_picture_of_a_few_pixels_is_unclear():
    tiny = draw_cells(np.arange(1), 12, 5)[0]
    assert checked(tiny)[0].kind == "unclear"
    assert check_crops(tiny[None])[0].kind == "unclear"


def test_fields_are_wanted_where_fields_are_taught():
    field = several()
    assert checked(field, dataset="all4")[0].is_cell
    assert not checked(np.full((224, 224, 3), 240, np.uint8), dataset="all4")[0].is_cell
    assert not checked(page(), dataset="all4")[0].is_cell
