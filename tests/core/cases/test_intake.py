"""From a drop to a case: every picture kept, every cell answered and drawn, nothing lost or merged."""

import io

import numpy as np
import pytest
from PIL import Image

from core.cases import intake
from core.cases.case import CaseError, NewDecision
from core.cases.drop import DroppedFile
from core.cases.intake import add_cell, picture_of, predictor_of, profile_hash, run_hash, take_in
from core.cases.sprites import TILE, TILES_A_ROW, TILES_A_SHEET, place
from core.cases.store import CaseStore
from core.images.cell_check import CellCheck
from core.inference.predictor import Predictor
from core.inference.specimen import ADULT_BLOOD
from tests.drawn_cases import ANNA, LUKASZ, png
from tests.drawn_fields import draw_field

pytestmark = pytest.mark.usefixtures("any_picture_is_a_cell")

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
WHITES = [(100, 120), (420, 300)]


@pytest.fixture
def predictor(run):
    return Predictor(run, specimen=ADULT_BLOOD)


@pytest.fixture
def store(tmp_path):
    return CaseStore(f"sqlite:///{tmp_path / 'cases.sqlite3'}", tmp_path / "cases")


def plain(colour, side=64):
    return png(np.tile(np.uint8(colour), (side, side, 1)))


def case_of(store, predictor, files, **facts):
    facts = {"sample": "S-1", "reader": ANNA} | facts
    case_id = take_in(store, predictor, [DroppedFile(*file) for file in files], **facts)
    assert store.verify(case_id, files=True) is None
    return store.case(case_id)


def files_on_disk(store):
    return sorted(path.name for path in (store.folder / "pictures").rglob("*") if path.is_file())


def test_crops_become_cells_in_the_order_of_their_names(store, predictor):
    case = case_of(store, predictor, [("c10.png", plain(GREEN)), ("c9.png", plain(RED))], slide="A", note="twice")
    assert [(p.number, p.name, p.slide, p.kind, p.width, p.height) for p in case.pictures] == [
        (1, "c9.png", "A", "crop", 64, 64),
        (2, "c10.png", "A", "crop", 64, 64),
    ]
    assert {(cell.picture, cell.prediction.code) for cell in case.cells} == {(1, "BA"), (2, "EO")}
    assert [cell.number for cell in case.cells] == [1, 2]
    said = next(cell.prediction for cell in case.cells if cell.picture == 1)
    assert (said.kind, len(said.probabilities), said.prediction_set[0]) == ("unsure", 8, "BA")
    assert said.text.startswith("Basophil, > 99 %, unsure")
    assert (case.run, case.run_hash, case.specimen, case.note) == (
        predictor.run.name,
        run_hash(predictor.run),
        "blood",
        "twice",
    )
    assert len(case.run_hash) == 16
    assert case.scale
    assert case.decisions[0].reader == ANNA


def test_copies_and_equal_names_are_all_kept(store, predictor):
    same = plain(RED)
    case = case_of(store, predictor, [("a/x.png", same), ("b/x.png", same), ("b/x.png", plain(GREEN)), ("c.png", same)])
    assert [p.name for p in case.pictures] == ["a/x.png", "b/x.png", "b/x.png", "c.png"]
    assert len({p.sha256 for p in case.pictures}) == 2
    by_picture = {cell.picture: cell.prediction for cell in case.cells}
    assert [by_picture[number].code for number in range(1, 5)] == ["BA", "BA", "EO", "BA"]
    assert case.pictures[1].notes == case.pictures[3].notes == ("the same picture as a/x.png",)
    assert "the same picture as a/x.png" in by_picture[2].notes
    assert len(files_on_disk(store)) == 3  # with the sheet


def test_folders_tell_slides_apart(store, predictor):
    case = case_of(
        store, predictor, [("drop/S1/a.png", plain(RED)), ("drop/S2/a.png", plain(GREEN)), ("drop/b.png", plain(BLUE))]
    )
    assert [p.slide for p in case.pictures] == ["drop", "S1", "S2"]
    assert case_of(store, predictor, [("S9.zip/a.png", plain(RED))]).slides == ("S9",)
    assert case_of(store, predictor, [("a.png", plain(RED))]).slides == ()


def test_files_of_no_use_are_told_with_a_reason(store, predictor):
    case = case_of(
        store,
        predictor,
        [("a.png", plain(RED)), ("b.txt", b"hello there"), ("c.png", plain(RED)[:60]), ("d.gif", b"GIF89a")],
    )
    assert [(file.name, bool(file.reason), bool(file.way_out)) for file in case.unused] == [
        ("b.txt", True, True),
        ("c.png", True, True),
        ("d.gif", True, True),
    ]
    with pytest.raises(CaseError, match="b.txt: this is text"):
        case_of(store, predictor, [("b.txt", b"hello there")])
    with pytest.raises(CaseError, match="no file"):
        case_of(store, predictor, [])
    assert len(store.list()) == 1


def test_pictures_whose_pixels_are_broken_are_told(store, predictor):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    jpeg = io.BytesIO()
    Image.fromarray(noise).save(jpeg, "JPEG")
    case = case_of(
        store, predictor, [("a.png", plain(RED)), ("b.png", png(noise)[:4_000]), ("c.jpg", jpeg.getvalue()[:4_000])]
    )
    assert {file.name for file in case.unused} == {"b.png", "c.jpg"}
    assert len(case.cells) == 1


def test_fields_give_their_cells_with_their_places(store, predictor):
    field = draw_field(WHITES, red_cells=80)
    case = case_of(store, predictor, [("f/field.png", png(field)), ("f/crop.png", plain(RED))])
    assert [(p.name, p.kind) for p in case.pictures] == [("f/crop.png", "crop"), ("f/field.png", "field")]
    of_field = [cell for cell in case.cells if cell.picture == 2]
    assert len(of_field) == 2
    middles = sorted(((cell.box[0] + cell.box[2]) / 2, (cell.box[1] + cell.box[3]) / 2) for cell in of_field)
    assert np.abs(np.array(middles) - WHITES).max() < 20
    assert picture_of(store, case.pictures[1]).pixels.shape == field.shape
    assert "Red cells of fields are" in case.scale


def test_a_person_may_say_what_pictures_show(store, predictor):
    field = png(draw_field(WHITES, red_cells=80))
    assert case_of(store, predictor, [("a.png", field)], kind="crop").pictures[0].kind == "crop"
    square = png(draw_field([(150, 150)], shape=(300, 300), red_cells=30))
    assert case_of(store, predictor, [("a.png", square)]).pictures[0].kind == "crop"
    case = case_of(store, predictor, [("a.png", square)], kind="field", pixel_size=0.125)
    assert (case.pictures[0].kind, case.pictures[0].pixel_size) == ("field", 0.125)


def test_a_large_square_picture_in_which_many_cells_are_seen_is_a_field(store, predictor, monkeypatch):
    square = png(draw_field([(150, 150), (350, 300)], shape=(480, 480), red_cells=80))
    seen = lambda pictures, _crops, spec: [CellCheck("field", 1.0, spec.unit) for _ in pictures]  # noqa: E731
    monkeypatch.setattr("core.inference.predictor.check_pictures", seen)
    case = case_of(store, predictor, [("a.png", square)])
    assert case.pictures[0].kind == "field"
    assert len(case.cells) == 2
    small = png(draw_field([(150, 150)], shape=(300, 300), red_cells=30))
    assert case_of(store, predictor, [("a.png", small)]).pictures[0].kind == "crop"


def test_a_picture_without_a_cell_has_no_class(store, predictor, monkeypatch):
    seen = lambda pictures, _crops, spec: [CellCheck("blank", 1.0, spec.unit) for _ in pictures]  # noqa: E731
    monkeypatch.setattr("core.inference.predictor.check_pictures", seen)
    said = case_of(store, predictor, [("a.png", plain(RED))]).cells[0].prediction
    assert (said.code, said.kind, said.check, said.probabilities) == ("", "not_a_cell", "blank", ())
    assert said.text.startswith("No cell: Nothing is to be seen here")


def tile_at(store, case, number):
    sheet, tile = place(case, number)
    pixels = np.asarray(Image.open(io.BytesIO(store.sheet(case.id, sheet))).convert("RGB"), int)
    row, column = divmod(tile, TILES_A_ROW)
    return pixels[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]


def test_each_cell_has_its_tile_on_a_sheet(store, predictor):
    colours = [RED, GREEN, BLUE] * 40
    files = [(f"{number:04d}.png", plain(colour)) for number, colour in enumerate(colours)]
    case = case_of(store, predictor, files)
    assert case.sheets == -(-len(colours) // TILES_A_SHEET) > 1
    for cell in case.cells[::37]:
        colour = colours[cell.picture - 1]
        assert np.abs(tile_at(store, case, cell.number).mean((0, 1)) - colour).max() < 12, cell.number
    assert place(case, TILES_A_SHEET + 1) == (1, 0)


def test_a_reader_adds_a_cell_by_a_click(store, predictor):
    field = draw_field(WHITES, red_cells=80)
    field[60:100, 500:540] = RED
    case = case_of(store, predictor, [("field.png", png(field))])
    side = case.cells[0].box[2] - case.cells[0].box[0]
    cell = add_cell(store, predictor_of(case), case, LUKASZ, 1, (520, 80), client="click")
    assert cell.box == (520 - side // 2, 80 - side // 2, 520 - side // 2 + side, 80 - side // 2 + side)
    assert cell.added_by == LUKASZ.name
    assert cell.prediction.kind == "unsure"
    assert f"added by {LUKASZ.name}" in cell.prediction.text
    after = store.case(case.id)
    assert after.readings[cell.number].open_reason == "unsure"
    middle = tile_at(store, after, cell.number)[TILE // 2 - 4 : TILE // 2 + 4, TILE // 2 - 4 : TILE // 2 + 4]
    assert middle.mean((0, 1))[0] > 200
    assert store.verify(case.id, files=True) is None
    with pytest.raises(CaseError, match="must lie in the field"):
        add_cell(store, predictor, case, LUKASZ, 1, (-4, 80))


def test_a_click_in_a_field_without_cells_is_measured(store, predictor):
    case = case_of(store, predictor, [("field.png", png(draw_field([], red_cells=80))), ("crop.png", plain(RED))])
    cell = add_cell(store, predictor, case, LUKASZ, 2, (300, 200))
    assert 60 / 0.42 < cell.box[2] - cell.box[0] < 60 / 0.2


def test_the_predictor_of_a_case_is_found_again_or_refused(store, predictor, run):
    case = case_of(store, predictor, [("a.png", plain(RED))])
    found = predictor_of(case)
    assert (found.run.name, found.specimen) == (run.name, ADULT_BLOOD)
    assert profile_hash("") == ""
    other = run.onnx_path.read_bytes()
    run.onnx_path.write_bytes(other[:-1] + bytes([other[-1] ^ 1]))
    with pytest.raises(CaseError, match="has changed since"):
        predictor_of(case)


def test_work_that_is_stopped_leaves_nothing(store, predictor):
    for stop_at in ("files read", "of 3 cells", "drawing"):

        def stop(step, stop_at=stop_at):
            if stop_at in step.message:
                raise KeyboardInterrupt

        files = [(f"{k}.png", plain(colour)) for k, colour in enumerate((RED, GREEN, BLUE))]
        with pytest.raises(KeyboardInterrupt):
            case_of(store, predictor, files, report=stop)
        assert store.list() == []
        assert files_on_disk(store) == []


def test_progress_only_goes_forward(store, predictor):
    steps = []
    files = [(f"{k}.png", plain(RED, 64 + k)) for k in range(5)]
    case_of(store, predictor, files, report=steps.append)
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert done[-1] == steps[-1].total


def test_identical_pictures_are_answered_once(store, predictor, monkeypatch):
    seen = []
    whole = intake.MeasuredPicture
    monkeypatch.setattr(intake, "MeasuredPicture", lambda *words: seen.append(words) or whole(*words))
    case = case_of(store, predictor, [(f"{k}.png", plain(RED)) for k in range(6)])
    assert len(case.cells) == 6
    assert len(seen) == 1


def test_decisions_about_the_cells_of_an_intake_are_kept(store, predictor):
    case = case_of(store, predictor, [("a.png", plain(BLUE))])
    assert case.open_cells == {1}  # an erythroblast in blood must be seen
    store.decide(case.id, ANNA, [NewDecision("assign", 1, "ERB")])
    assert store.sign(case.id, ANNA).new == "signed"
