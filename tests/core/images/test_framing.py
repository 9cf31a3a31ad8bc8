"""Framing on drawn smears: one drawn white cell among drawn red cells, tinted, shifted, scaled as a lab would."""

from functools import cache

import numpy as np
import pytest
from PIL import Image

from core.datasets.base import get_dataset
from core.datasets.synthetic import draw_cells
from core.images import crop, framing, red_cells
from core.images.nucleus import find_white_cell
from core.images.red_cells import measure_red_cells

SPEC = get_dataset("bloodmnist")
SIDE = 300
PAPER, RED = np.array([238.0, 216, 205]), np.array([214.0, 178, 172])
TINTS = {"home": (1, 1, 1), "pink": (0.9, 0.6, 0.65), "green": (0.5, 0.62, 0.55), "blue": (0.45, 0.6, 0.85)}


@cache
def _cells() -> np.ndarray:
    """Drawn white cells of 200 px a side, of all eight kinds but platelets."""
    return draw_cells(np.arange(21) % 7, 200, 5)


def smear(
    number: int, red_cell: float = 72, at=(150, 150), tint=(1, 1, 1), ring: float = 0.5, white: bool = True, side=SIDE
) -> np.ndarray:
    """A picture of ``side`` px: red cells of ``red_cell`` px, pale in the middle by ``ring``, and one white cell."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:side, :side].astype(float)
    picture = np.ones((side, side, 3)) * PAPER
    placed = [(*at, 1.0 * red_cell)] if white else []
    for _ in range(120):
        cx, cy = rng.uniform(-20, side + 20, 2)
        if any(np.hypot(cx - a, cy - b) < 0.52 * red_cell + r for a, b, r in placed):
            continue
        radius = red_cell / 2 * rng.uniform(0.94, 1.06)
        placed.append((cx, cy, radius))
        rows, columns = (slice(max(0, int(c - red_cell)), max(0, int(c + red_cell))) for c in (cy, cx))
        far = np.hypot(x[rows, columns] - cx, y[rows, columns] - cy)
        inside = 1 / (1 + np.exp(far - radius))
        pale = ring * np.exp(-((far / (0.45 * radius)) ** 2))
        picture[rows, columns] += (inside * (1 - pale))[..., None] * (RED - PAPER)
    if white:
        span = round(red_cell / red_cells.RED_CELL_SHARE)  # the drawn frame at this scale
        cell = np.asarray(Image.fromarray(_cells()[number % len(_cells())]).resize((span, span)), dtype=float)
        left, top = round(at[0] - span / 2), round(at[1] - span / 2)
        here = np.hypot(x - at[0], y - at[1])
        blend = np.clip((0.95 * red_cell - here) / 6, 0, 1)[..., None]
        rows = np.clip(np.arange(side) - top, 0, span - 1)
        columns = np.clip(np.arange(side) - left, 0, span - 1)
        picture = picture * (1 - blend) + cell[rows][:, columns] * blend
    noisy = picture * np.array(tint) + rng.normal(0, 2, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("tint", TINTS.values(), ids=TINTS)
def test_the_cell_is_found_whatever_the_tint(tint):
    off = []
    for number in range(14):
        at = 110 + 80 * np.random.default_rng(number + 50).random(2)
        found = find_white_cell(smear(number, at=at, tint=tint), red_cell=72)
        assert found is not None
        off.append(np.hypot(found.x - at[0], found.y - at[1]))
    assert np.max(off) < 0.25 * 72  # the drawn cell itself strays from the middle of its drawing


def test_a_cell_without_surroundings_is_found():
    for picture in _cells()[:7]:
        found = find_white_cell(picture)
        assert found is not None
        assert max(abs(found.x - 100), abs(found.y - 100)) < 25
        left, top, right, bottom = found.box
        assert left <= found.nucleus_box[0]
        assert right >= found.nucleus_box[2]
        assert top <= found.nucleus_box[1]
        assert bottom >= found.nucleus_box[3]


def test_the_lobes_of_one_nucleus_belong_together_and_two_cells_do_not():
    eosinophils = draw_cells(np.ones(8, int), 200, 2)
    for picture in eosinophils:
        found = find_white_cell(picture, red_cell=75)
        assert abs(found.x - 100) < 26
        assert abs(found.y - 100) < 26
    lymphocyte = draw_cells(np.array([4]), 200, 3)[0][30:170, 30:170]
    two = np.full((300, 300, 3), lymphocyte[0, 0], np.uint8)
    two[80:220, 80:220] = lymphocyte
    two[80:220, 160:300] = lymphocyte
    two[80:220, 80:220][:, :110] = lymphocyte[:, :110]
    found = find_white_cell(two, red_cell=75)
    assert abs(found.x - 150) < 20 or abs(found.x - 230) < 20


@pytest.mark.parametrize(
    "picture",
    [
        np.full((200, 200, 3), 230, np.uint8),
        np.zeros((200, 200, 3), np.uint8),
        np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8),
        np.clip(np.random.default_rng(1).normal(220, 4, (200, 200, 3)), 0, 255).astype(np.uint8),
        smear(3, white=False, ring=0.0),
        smear(4, white=False, ring=0.6),
    ],
    ids=["blank", "black", "noise", "grain", "red discs", "red rings"],
)
def test_where_no_white_cell_is_none_is_found(picture):
    assert find_white_cell(picture) is None


@pytest.mark.parametrize("tint", TINTS.values(), ids=TINTS)
def test_a_dark_red_cell_is_no_nucleus(tint):
    y, x = np.mgrid[:200, :200]
    here = (np.hypot(x - 100, y - 100) < 38)[..., None]

    def disc(colour) -> np.ndarray:
        return np.uint8(np.where(here, colour, PAPER) * np.array(tint))

    assert find_white_cell(disc((170, 70, 60))) is None
    assert find_white_cell(disc((90, 50, 140))) is not None


@pytest.mark.parametrize("red_cell", [50, 72, 95])
@pytest.mark.parametrize("ring", [0.0, 0.9], ids=["discs", "rings"])
def test_red_cells_are_measured(red_cell, ring):
    tints = list(TINTS.values())
    ruler = measure_red_cells([smear(n, red_cell, tint=tints[n % 4], ring=ring) for n in range(8)])
    assert ruler is not None
    assert ruler.diameter == pytest.approx(red_cell, rel=0.1)
    assert ruler.pictures >= 4
    assert ruler.standard_error < 0.1 * red_cell


def test_what_holds_no_red_cells_is_not_measured():
    rng = np.random.default_rng(2)
    assert measure_red_cells([]) is None
    assert measure_red_cells([np.full((200, 200, 3), 220, np.uint8)] * 6) is None
    assert measure_red_cells([rng.integers(0, 255, (200, 200, 3)).astype(np.uint8) for _ in range(6)]) is None


def test_a_strange_lab_is_cut_at_one_scale_round_each_cell():
    places = 120 + 60 * np.random.default_rng(8).random((10, 2))
    pictures = [smear(n, 60, at, tint=TINTS["pink"]) for n, at in enumerate(places)]
    batch = framing.crop_batch(pictures, SPEC, 64)
    assert batch.scale.source == "red cells"
    assert batch.scale.side == pytest.approx(60 / red_cells.RED_CELL_SHARE, rel=0.1)
    assert batch.pixels.shape == (10, 64, 64, 3)
    assert not batch.missing
    for framed, at in zip(batch.crops, places, strict=True):
        left, top, right, bottom = framed.box
        assert right - left == bottom - top == batch.scale.side
        assert np.hypot((left + right) / 2 - at[0], (top + bottom) / 2 - at[1]) < 15


def test_official_crops_are_framed_as_ever():
    pictures = [
        np.asarray(Image.fromarray(smear(n, 75, (180, 180), side=363)).crop((0, 0, 360, 363))) for n in range(4)
    ]
    batch = framing.crop_batch(pictures, SPEC, 64)
    assert batch.scale == red_cells.OFFICIAL
    assert batch.red_cells is None
    for picture, framed in zip(pictures, batch.crops, strict=True):
        expected = crop.crop_by_shape(picture, 64, SPEC)
        assert framed.box == expected.box
        assert (framed.pixels == expected.pixels).all()


def test_a_square_crop_of_the_official_size_at_another_scale_is_cut_by_its_red_cells():
    pictures = [smear(n, 100, (180, 180), side=360) for n in range(12)]
    batch = framing.crop_batch(pictures, SPEC, 64)
    assert batch.scale.source == "red cells"
    assert batch.scale.side == pytest.approx(267, rel=0.1)
    at_home = framing.crop_batch([smear(n, 75, (180, 180), side=360) for n in range(12)], SPEC, 64)
    assert at_home.scale == red_cells.OFFICIAL


def test_crops_cut_out_already_are_used_whole():
    pictures = [np.asarray(Image.fromarray(c).resize((210, 210))) for c in _cells()[:10]]
    batch = framing.crop_batch(pictures, SPEC, 64)
    assert batch.scale.side is None
    assert all(f.box == (0, 0, 210, 210) for f in batch.crops)


def test_a_side_given_by_hand_counts_and_the_border_is_mirrored():
    picture = smear(1, at=(60, 150))
    framed = framing.crop_batch([picture], SPEC, 64, side=200).crops[0]
    assert framed.box[2] - framed.box[0] == 200
    assert framed.box[0] < 0
    assert "mirrored" in framed.note
    found = find_white_cell(picture)
    whole = framing.crop_window(picture, found, 200, 200, SPEC).pixels
    beyond = -framed.box[0]
    assert (whole[:, :beyond] == whole[:, beyond : 2 * beyond][:, ::-1]).all()


def test_without_red_cells_the_nuclei_give_the_scale():
    canvas = np.full((12, 300, 300, 3), (235, 214, 204), np.uint8)
    canvas[:, 50:250, 50:250] = draw_cells(np.array([0, 1, 3, 4, 5, 6] * 2), 200, 4)
    y, x = np.mgrid[:300, :300]
    canvas[:, np.hypot(x - 150, y - 150) > 72] = (235, 214, 204)
    by_nuclei = framing.crop_batch(canvas, SPEC, 64)
    assert by_nuclei.scale.source == "nuclei"
    assert by_nuclei.scale.side == pytest.approx(200, rel=0.3)  # drawn nuclei are not real ones


def test_one_cell_is_cut_about_as_among_its_like():
    pictures = [smear(n, 60, tint=TINTS["blue"]) for n in range(16)]
    together = framing.crop_batch(pictures, SPEC, 64).scale
    alone = [framing.crop_batch([picture], SPEC, 64).scale for picture in pictures]
    assert {scale.source for scale in alone} <= {"red cells", "nuclei"}
    assert np.mean([abs(np.log(scale.side / together.side)) < 0.25 for scale in alone]) > 0.9


def test_where_circles_of_two_sizes_stand_out_the_nucleus_says_which_are_red_cells():
    """Half a red cell, or two side by side, may complete a circle as well as the red cell itself."""
    (picture,) = (framing.as_picture(smear(3, 72)),)
    cell = picture.cell(None)
    true = np.log(red_cells.nucleus_side([cell], least=1) * red_cells.RED_CELL_SHARE / (2 * red_cells._CORRECTION))
    logs = np.log(red_cells._RADII)
    curve = 0.2 + 0.30 * np.exp(-(((logs - true) / 0.1) ** 2)) + 0.34 * np.exp(-(((logs - true + 0.69) / 0.1) ** 2))
    measure = (curve, 1.0)
    blind, seeing = red_cells.red_cell_size([measure]), red_cells.red_cell_size([measure], [cell])
    assert blind.diameter == pytest.approx(seeing.diameter / 2, rel=0.1)
    assert np.log(seeing.diameter / (2 * red_cells._CORRECTION)) == pytest.approx(true, abs=0.05)
    many = red_cells.red_cell_size([measure] * 60, [cell])  # what so many pictures show is believed
    assert many.diameter == pytest.approx(blind.diameter, rel=0.05)


def test_one_square_picture_as_large_as_the_originals_may_come_from_anywhere():
    (scale,) = {framing.crop_batch([smear(2, 100, (180, 180), side=360)], SPEC, 64).scale}
    assert scale.source == "red cells"
    assert scale.side == pytest.approx(267, rel=0.2)
    published = np.asarray(Image.fromarray(smear(2, 100, (180, 180), side=360)).resize((224, 224)))
    assert framing.crop_batch([published], SPEC, 64).scale == red_cells.OFFICIAL


def test_a_picture_without_a_cell_says_so_and_is_framed_in_the_middle():
    pictures = [smear(n, 60) for n in range(8)] + [np.full((300, 300, 3), 220, np.uint8)]
    batch = framing.crop_batch(pictures, SPEC, 64)
    assert batch.missing == (8,)
    assert batch.crops[8].note.startswith("No white cell was found here.")
    assert sum(batch.crops[8].box) == pytest.approx(600, abs=4)


def test_fields_and_no_pictures_are_left_alone():
    assert framing.crop_batch([], SPEC, 64).crops == ()
    fields = get_dataset("all4")
    picture = smear(1)
    batch = framing.crop_batch([picture], fields, 64)
    assert (batch.crops[0].pixels == crop.crop_by_shape(picture, 64, fields).pixels).all()


def taken(pictures: list[np.ndarray], name: str) -> list[framing.MeasuredPicture]:
    return [framing.MeasuredPicture(pixels, f"{name}-{n}") for n, pixels in enumerate(pictures)]


def test_two_magnifications_in_one_batch_are_taken_apart():
    near = taken([smear(n, 90, (200, 200), side=400) for n in range(10)], "near")
    far = taken([smear(n, 50, (130, 130), side=260, tint=TINTS["blue"]) for n in range(10, 22)], "far")
    together = framing.measure_batch([*near, *far], SPEC)
    assert [len(scale.groups) for scale in (together,)] == [2]
    assert together.note.startswith("These pictures have 2 scales")
    for pictures in (near, far):
        alone = framing.measure_batch(pictures, SPEC)
        assert {together.window(p).side for p in pictures} == {alone.scale.side}
    # A picture of a shape not seen before is taken for one of the nearest shape's.
    beside = framing.MeasuredPicture(smear(40, 50, (135, 135), side=270))
    assert together.window(beside).side == framing.measure_batch(far, SPEC).scale.side


def test_two_magnifications_of_one_shape_are_taken_apart():
    near = taken([smear(n, 96, (150, 150)) for n in range(14)], "near")
    far = taken([smear(n, 48, (150, 150)) for n in range(14, 28)], "far")
    together = framing.measure_batch([*near, *far], SPEC)
    assert len(together.groups) == 2
    sides = [np.median([together.window(p).side for p in pictures]) for pictures in (near, far)]
    assert sides[0] == pytest.approx(96 / red_cells.RED_CELL_SHARE, rel=0.15)
    assert sides[1] == pytest.approx(48 / red_cells.RED_CELL_SHARE, rel=0.15)


def test_one_laboratory_is_one_batch_whatever_its_shapes():
    sizes = (240, 270, 300, 330)
    many = taken([smear(n, 60, (s / 2, s / 2), side=s) for n in range(12) for s in sizes], "many")
    assert framing.measure_batch(many, SPEC).groups == ()
    few = taken([smear(n, 60) for n in range(10)] + [smear(n, 100, (200, 200), side=400) for n in range(3)], "few")
    assert framing.measure_batch(few, SPEC).groups == ()
    assert framing.measure_batch([*many, *few], SPEC, side=170).groups == ()


def test_squares_as_large_as_the_originals_are_no_originals_because_of_others_beside_them():
    squares = taken([smear(n, 88, (180, 180), side=360) for n in range(12)], "squares")
    others = taken([smear(n, 78, (150, 150), side=300) for n in range(12, 24)], "others")
    together = framing.measure_batch([*squares, *others], SPEC)
    assert together.groups == ()
    assert red_cells.is_official(360, 360, together.red_cells, SPEC)  # by what all of them show together
    assert {together.window(p).side for p in squares} == {together.scale.side}
    originals = taken([smear(n, 75, (180, 180), side=360) for n in range(12)], "originals")
    assert {framing.measure_batch([*originals, *others], SPEC).window(p).side for p in originals} == {None}


def test_whole_fields_among_crops_are_said_and_left_alone():
    crops = taken([smear(n, 60) for n in range(8)], "crop")
    field = framing.MeasuredPicture(np.ascontiguousarray(smear(1, 60, (300, 300), side=640)[:480]), "field")
    batch = framing.measure_batch([*crops, field], SPEC)
    assert "1 picture among them is shaped like a whole field" in batch.note
    assert batch.window(field) == framing.CropWindow()
    assert batch.window(crops[0]) == framing.measure_batch(crops, SPEC).window(crops[0])


def stating(pictures: list[np.ndarray], pixel_size: float | None, name: str = "") -> list[framing.MeasuredPicture]:
    return [framing.MeasuredPicture(pixels, f"{name}{n}", pixel_size=pixel_size) for n, pixels in enumerate(pictures)]


def test_the_scale_that_all_files_say_is_taken():
    pictures = stating([smear(n, 60, (150, 150)) for n in range(6)], 0.125)
    batch = framing.measure_batch(pictures, SPEC)
    assert (batch.scale.side, batch.scale.source) == (160, "stated")
    assert batch.note == "0.125 µm a pixel, as the files say, so 160 px were cut out round each cell."
    assert {batch.window(p).side for p in pictures} == {160}
    assert framing.measure_batch(pictures, SPEC, side=200).scale.side == 200
    alone = framing.measure_batch(pictures[:1], SPEC)
    assert alone.scale.side == 160
    assert "as the file says" in alone.note


def test_a_file_that_says_its_scale_overrules_the_official_shape_and_the_red_cells():
    pictures = [np.ascontiguousarray(smear(n, 75, (180, 180), side=363)[:360]) for n in range(6)]
    said = framing.measure_batch(stating(pictures, 0.05), SPEC)
    assert said.scale.side == 400
    assert said.window(stating(pictures, 0.05)[0]).side == 400
    assert framing.measure_batch(stating(pictures, None), SPEC).scale == red_cells.OFFICIAL
    strange = framing.measure_batch(stating([smear(n, 60, (150, 150)) for n in range(10)], 0.25), SPEC)
    assert strange.scale.side == 80
    assert "But red cells seem" in strange.note
    assert ", not 30: look whether the frames seem right." in strange.note


def test_where_only_some_files_say_their_scale_all_are_measured():
    pixels = [smear(n, 60, (150, 150)) for n in range(8)]
    some = [*stating(pixels[:5], 0.05, "a"), *stating(pixels[5:], None, "b")]
    measured, plain = framing.measure_batch(some, SPEC), framing.measure_batch(stating(pixels, None), SPEC)
    assert measured.scale == plain.scale
    assert measured.scale.source == "red cells"
    assert {measured.window(p).side for p in some} == {plain.scale.side}


def test_each_picture_of_a_batch_is_cut_by_what_its_own_file_says():
    near = stating([smear(n, 100, (200, 200), side=400) for n in range(3)], 0.075, "near")
    far = stating([smear(n, 50, (200, 200), side=400) for n in range(2)], 0.15, "far")
    together = framing.measure_batch([*far, *near], SPEC)
    assert {together.window(p).side for p in near} == {267}
    assert {together.window(p).side for p in far} == {133}
    assert together.note.startswith("These pictures have 2 scales")
    assert "3 pictures: 0.075 µm a pixel" in together.note


def test_one_part_of_a_batch_may_say_its_scale_and_another_be_measured():
    near = stating([smear(n, 90, (200, 200), side=400) for n in range(10)], 0.1, "near")
    far = taken([smear(n, 50, (130, 130), side=260) for n in range(10, 22)], "far")
    together = framing.measure_batch([*near, *far], SPEC)
    assert {together.window(p).side for p in near} == {200}
    assert {together.window(p).side for p in far} == {framing.measure_batch(far, SPEC).scale.side}


def test_the_scale_is_read_from_the_header_alone(tmp_path, monkeypatch):
    file = tmp_path / "cell.png"
    Image.fromarray(smear(1)).save(file, dpi=(254_000, 254_000))
    unread = framing.MeasuredPicture(file)
    monkeypatch.setattr(framing, "decode", None)  # it would fail
    assert unread.pixel_size == pytest.approx(0.1, rel=1e-3)
    assert unread.shape == (SIDE, SIDE)
