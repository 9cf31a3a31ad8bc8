"""``python -m core cells``: every field answered or told, its cells in one batch."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from core.cli import main
from core.images.framing import CropWindow
from core.inference.laboratory import Laboratory
from core.inference.predictor import Predictor
from tests.drawn_fields import draw_field
from tests.fake_datasets import added, fake_spec

pytestmark = pytest.mark.usefixtures("any_picture_is_a_cell")

WHITES = [(100, 120), (420, 300)]


@pytest.fixture
def smears(tmp_path):
    folder = tmp_path / "fields"
    folder.mkdir()
    for name, whites in (("one.png", WHITES), ("two.tif", WHITES[:1]), ("none.png", [])):
        Image.fromarray(draw_field(whites, red_cells=80)).save(folder / name)
    return folder


def cells(*words):
    return main(["cells", *map(str, words)])


def test_cells_are_told_field_by_field(run, smears, capsys):
    assert cells(smears / "one.png", smears / "none.png") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert run.name in out
    assert "Research use only" in out
    assert "one.png: 2 white cells, about" in out
    assert "none.png: 0 white cells, about" in out
    assert "red cells are" in out


def test_json_tells_where_each_cell_lies_and_what_it_is(run, smears, capsys):
    assert cells(smears / "one.png", smears / "two.tif", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["models"][0]["run"] == run.name
    assert found["laboratory"]["known"] is None
    one, two = found["fields"]
    assert (one["width"], one["height"]) == (640, 480)
    assert one["red_cell"] == two["red_cell"] == pytest.approx(60, rel=0.1)
    assert one["red_cells"] > 5
    assert (len(one["cells"]), len(two["cells"])) == (2, 1)
    for cell in one["cells"]:
        x, y = cell["middle"]
        assert min(np.hypot(x - a, y - b) for a, b in WHITES) < 15
        left, top, right, bottom = cell["box"]
        assert left < x < right
        assert top < y < bottom
        assert cell["class"] == "BA"  # pale and reddish
        assert cell["verdict"] in ("sure", "unsure")
        assert cell["alarm"] == {"score": None, "raised": False}
        assert cell["set"]
        low, high = cell["crop"]["box"][::2]
        assert high - low == round(one["red_cell"] / 0.375)
        assert abs((low + high) / 2 - x) <= 1


def test_a_cell_is_answered_as_its_square_would_be(run, smears, tmp_path, capsys):
    out = tmp_path / "out"
    assert cells(smears / "one.png", "--out", out, "--json") == 0
    told = json.loads(capsys.readouterr().out)["fields"][0]["cells"]
    field = np.asarray(Image.open(smears / "one.png"))
    with (out / "cells.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["picture"] for row in rows] == ["one-001.png", "one-002.png"]
    for row, cell in zip(rows, told, strict=True):
        left, top, right, bottom = cell["crop"]["box"]
        square = np.asarray(Image.open(out / row["picture"]))
        inside = (slice(max(0, -top), None), slice(max(0, -left), None))
        beside = field[max(0, top) : bottom, max(0, left) : right]
        assert (square[inside][: beside.shape[0], : beside.shape[1]] == beside).all()
        (alone,) = Predictor(run).stream([square], CropWindow(right - left), Laboratory())
        assert alone.probabilities == pytest.approx(list(cell["probabilities"].values()), abs=1e-5)
        assert row["class"] == cell["class"]
        assert row["file"] == str(smears / "one.png")
        assert [int(row[side]) for side in ("left", "top", "right", "bottom")] == cell["box"]
        assert float(row["confidence"]) == pytest.approx(cell["confidence"], abs=1e-3)


def test_squares_of_fields_named_alike_lie_beside_each_other(run, smears, tmp_path):
    (smears / "below").mkdir()
    (smears / "below" / "one.png").write_bytes((smears / "one.png").read_bytes())
    assert cells(smears / "one.png", smears / "below" / "one.png", "--out", tmp_path / "out") == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 4


def test_a_bad_file_has_its_own_line_and_the_others_are_answered(run, smears, capsys):
    (smears / "notes.txt").write_text("no field")
    Image.new("RGB", (640, 480), (230, 220, 215)).save(smears / "blank.png")
    bad = [smears / "missing.png", smears / "notes.txt", smears / "blank.png"]
    assert cells(*bad[:2], smears / "one.png") == 1
    out, err = capsys.readouterr()
    assert "one.png: 2 white cells" in out
    assert "missing.png: there is no such file" in err
    assert "notes.txt: this is text" in err
    assert cells(bad[2], "--json") == 1
    (told,) = json.loads(capsys.readouterr().out)["fields"]
    assert "no red cells" in told["error"]
    assert "--um-per-px" in told["advice"]


def test_a_typed_or_stated_pixel_size_is_the_scale(run, smears, capsys):
    assert cells(smears / "one.png", "--um-per-px", 0.15, "--json") == 0
    assert json.loads(capsys.readouterr().out)["fields"][0]["red_cell"] == 50
    stated = smears / "stated.png"
    Image.open(smears / "one.png").save(stated, dpi=(25_400 / 0.125, 25_400 / 0.125))
    assert cells(stated, smears / "one.png", "--json") == 0
    by_file, measured = (f["red_cell"] for f in json.loads(capsys.readouterr().out)["fields"])
    assert by_file == pytest.approx(60, abs=0.1)
    assert measured != by_file
    assert cells(smears / "one.png", "--um-per-px", 5) == 1
    assert "no light microscope's" in capsys.readouterr().err


def test_a_model_of_whole_fields_is_refused(make_run, smears, monkeypatch, capsys):
    added(monkeypatch, fake_spec("whole_fields", unit="field"))
    run = make_run("fields", dataset="whole_fields", codes=("AAA", "BBB", "CCC"))
    assert cells(smears / "one.png", "--model", run.path) == 1
    assert "use `predict`" in capsys.readouterr().err
