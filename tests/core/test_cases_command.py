"""``python -m core cases``: from a drop to a signed case, and what is told on the way."""

import json

import numpy as np
import pytest

from core.cli import main
from tests.drawn_cases import png

pytestmark = pytest.mark.usefixtures("any_picture_is_a_cell")

COLOURS = {"ba.png": (255, 0, 0), "eo.png": (0, 255, 0), "erb.png": (0, 0, 255)}


@pytest.fixture(autouse=True)
def home(make_run, monkeypatch, tmp_path):
    made = make_run()
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(made.path.parent.parent))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEMALENS_CASES", str(tmp_path / "cases"))
    monkeypatch.delenv("HEMALENS_DATABASE", raising=False)
    return made


@pytest.fixture
def smears(tmp_path):
    folder = tmp_path / "smears"
    folder.mkdir()
    for name, colour in COLOURS.items():
        (folder / name).write_bytes(png(np.tile(np.uint8(colour), (64, 64, 1))))
    return folder


def cases(*words):
    return main(["cases", *map(str, words)])


@pytest.fixture
def case_id(smears, capsys):
    assert cases("add", smears, "--sample", "S-1", "--reader", "Ann") == 0
    return capsys.readouterr().out.strip()


@pytest.fixture
def numbers(case_id, capsys):
    """The number of each cell by the class that the model named."""
    assert cases("show", case_id, "--cells", "--json") == 0
    return {cell["class"]: cell["number"] for cell in json.loads(capsys.readouterr().out)["cells"]}


def test_a_case_goes_from_a_folder_to_a_signature(case_id, numbers, capsys):
    ba, eo, erb = (numbers[code] for code in ("BA", "EO", "ERB"))
    assert len(case_id) == 32
    assert cases("sign", "S-1", "--reader", "Ann") == 1
    err = capsys.readouterr().err
    assert f"must be seen: {erb}" in err
    assert "unsure: " in err  # no white cell was found in plain colours
    assert cases("decide", "S-1", "--confirm", "--cells", ba, eo, "--reader", "Bob") == 0
    assert cases("decide", "S-1", "--confirm", "--cells", erb, "--reader", "Bob", "--reason", "nucleus") == 0
    assert f"Bob (identity not verified): assign cell {erb} ERB -> ERB (nucleus)" in capsys.readouterr().out
    assert cases("sign", case_id[:8], "--reader", "Ann", "--text", "seen") == 0
    assert cases("decide", "S-1", "--class", "LY", "--cells", 1) == 1
    assert "is signed and can't be changed" in capsys.readouterr().err
    assert cases("amend", "S-1", "--reason", "slip", "--reader", "Ann") == 0
    assert cases("decide", "S-1", "--class", "none", "--cells", 1, 2, "--reader", "Ann") == 0
    capsys.readouterr()
    assert cases("show", "S-1", "--cells", "--log") == 0
    out = capsys.readouterr().out
    assert "S-1: open, version 2" in out
    assert "no cells: 2" in out
    assert "     1  none  reviewed by Ann" in out
    assert "amend (slip)" in out


def test_decisions_are_taken_back_and_cells_put_back_or_skipped(numbers, capsys):
    assert cases("decide", "S-1", "--class", "EO", "--cells", numbers["BA"], "--json") == 0
    seq = json.loads(capsys.readouterr().out)[0]["seq"]
    assert cases("decide", "S-1", "--undo", seq, "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["new"] == "BA"
    assert cases("decide", "S-1", "--unidentified", "--cells", numbers["BA"]) == 0
    assert cases("decide", "S-1", "--skip", "--cells", numbers["BA"]) == 0
    assert cases("decide", "S-1", "--note", "looked at") == 0
    assert cases("decide", "S-1", "--review") == 1
    assert "before 3 cells are looked at" in capsys.readouterr().err
    assert cases("decide", "S-1", "--confirm", "--cells", 1, 2, 3) == 0
    assert cases("decide", "S-1", "--review") == 0
    assert cases("decide", "S-1", "--reopen") == 0


def test_the_same_client_id_is_written_once(case_id, capsys):
    for _ in range(2):
        assert cases("decide", "S-1", "--class", "EO", "--cells", 1, 2, "--client", "k", "--json") == 0
    assert cases("show", "S-1", "--log", "--json") == 0
    text = capsys.readouterr().out
    assert text.count('"client": "k/0"') == 3


def test_a_case_is_shown_in_the_form_that_reports_have(case_id, tmp_path, capsys):
    """In JSON that every reader takes: without infinities, where nothing was counted too."""
    assert cases("decide", "S-1", "--class", "none", "--cells", 1, 2, 3) == 0
    assert cases("report", "S-1", "--out", tmp_path, "--json") == 0
    capsys.readouterr()
    assert cases("show", "S-1", "--cells", "--log", "--json") == 0
    shown = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    (path,) = tmp_path.glob("*.json")
    written = json.loads(path.read_text())
    assert shown | {"printed_at": ""} == written | {"printed_at": ""}
    assert cases("show", "S-1", "--json") == 0
    assert not {"cells", "decisions"} & json.loads(capsys.readouterr().out).keys()


def test_what_is_wrong_is_told(case_id, capsys):
    for words in (
        ("decide", "S-1", "--class", "XX", "--cells", 1),
        ("decide", "S-1", "--class", "LY", "--cells", 99),
        ("decide", "S-1", "--class", "LY"),
        ("decide", "S-1", "--review", "--cells", 1),
        ("decide", "S-1", "--undo", 99),
        ("show", "nothing"),
        ("amend", "S-1", "--reason", "x"),
        ("import", "nothing.zip"),
    ):
        assert cases(*words) == 1, words
        assert capsys.readouterr().err.startswith("error: ")


def test_files_that_are_not_used_are_told_and_make_it_1(smears, capsys):
    (smears / "notes.txt").write_text("some words")
    (smears / "Thumbs.db").write_text("x")
    assert cases("add", smears, "--sample", "S-2", "--json") == 1
    out, err = capsys.readouterr()
    assert "not used: smears/notes.txt: this is text" in err
    assert "Thumbs.db" not in err
    facts = json.loads(out)
    assert [file["name"] for file in facts["unused"]] == ["smears/notes.txt"]
    assert facts["case"]["specimen"] == "blood"
    assert cases("add", smears / "notes.txt", "--sample", "S-3") == 1
    assert "None of the files is a picture" in capsys.readouterr().err


def test_another_specimen_may_be_said(smears, capsys):
    assert cases("add", smears, "--sample", "S-2", "--json", "--specimen", "marrow", "--kind", "crop") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["case"]["specimen"] == "marrow"


def test_the_list_and_its_json(case_id, capsys):
    assert cases("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["id", "sample", "slides"]
    assert lines[1].split()[:2] == [case_id[:8], "S-1"]
    assert cases("list", "--json") == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert (facts["id"], facts["cells"], facts["unidentified"]) == (case_id, 3, 3)


def test_no_cases_yet(capsys):
    assert cases("list") == 0
    assert "no cases yet" in capsys.readouterr().out
    assert cases("verify") == 0


def test_a_case_is_given_away_deleted_and_taken_over(case_id, capsys, tmp_path):
    assert cases("export", "S-1", tmp_path, "--json") == 0
    path = json.loads(capsys.readouterr().out)["file"]
    assert cases("import", path) == 1
    assert cases("delete", "S-1", "--json") == 0
    capsys.readouterr()
    assert cases("import", path, "--as-copy") == 0
    copy = capsys.readouterr().out.strip()
    assert copy != case_id
    assert cases("verify", copy) == 0
    assert "as it was written down" in capsys.readouterr().out
    assert cases("show", copy) == 0
    assert "imported" in capsys.readouterr().out


def test_a_signed_case_is_deleted_only_where_that_is_said(case_id, capsys):
    assert cases("decide", "S-1", "--confirm", "--cells", 1, 2, 3) == 0
    assert cases("sign", "S-1") == 0
    assert cases("delete", "S-1") == 1
    assert cases("delete", "S-1", "--even-if-signed") == 0


def test_verify_names_the_first_altered_row(case_id, capsys, tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "cases" / "cases.sqlite3") as connection:
        connection.execute("DROP TRIGGER cells_update")
        connection.execute('UPDATE cells SET "left" = 1 WHERE number = 2')
    assert cases("verify") == 1
    assert "cells, row 2: its content is not what its hash says." in capsys.readouterr().out
    assert cases("verify", "--json") == 1
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["altered"] == {"table": "cells", "number": 2, "reason": "its content is not what its hash says"}
