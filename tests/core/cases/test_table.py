"""A case as CSV and JSON: a row a cell as the screen shows it, the whole log, and no formula from a name."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core.cases.case import Reader
from core.cases.limits import shipped_limits
from core.cases.table import to_csv, to_json
from core.csv_text import guarded
from tests.drawn_cases import ANNA, DrawnCase, drawn_case, said, signed_case

AT = datetime(2026, 11, 30, 21, 5, tzinfo=UTC)


def rows(case):
    content = to_csv(case)
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_each_cell_has_a_row_equal_to_its_reading():
    case = signed_case().case
    table = rows(case)
    assert len(table) == len(case.counted) == 203
    for row, reading in zip(table, case.counted, strict=True):
        picture = case.picture(reading.cell.picture)
        assert int(row["cell"]) == reading.cell.number
        assert (row["file"], row["slide"], row["sha256"]) == (picture.name, picture.slide, picture.sha256)
        assert tuple(int(row[side]) for side in ("left", "top", "right", "bottom")) == reading.cell.box
        assert (row["model_class"], row["verdict"]) == (reading.cell.prediction.code, reading.cell.prediction.kind)
        assert (row["class"], row["status"], row["at"]) == (reading.code, reading.status, reading.at)
        assert row["reader"] == reading.by
        assert row["corrected"] == ("yes" if reading.corrected else "no")
        assert (row["version"], row["state"], row["model"]) == ("1", "signed", case.run)
    assert table[0]["file"] == "slide 1/cell001.png"
    assert table[202]["file"] == "slide 2/field.png"


def test_a_row_names_its_decision_and_whether_its_reader_is_known():
    drawn = drawn_case().decide(ANNA, "assign", 3, "LY", reason="size", text="large")
    drawn.decide(Reader("Ben"), "assign", 4, "NE").decide(Reader("Ben"), "skip", 195)
    table = rows(drawn.case)
    assert (table[2]["decision"], table[2]["verified"], table[2]["reason"], table[2]["text"]) == (
        "1",
        "yes",
        "size",
        "large",
    )
    assert (table[3]["decision"], table[3]["verified"], table[3]["corrected"]) == ("2", "no", "no")
    assert (table[194]["skipped"], table[194]["status"], table[194]["decision"]) == ("yes", "unidentified", "")
    drawn.decide(ANNA, "undo", 3, undoes=1)
    assert rows(drawn.case)[2]["decision"] == ""


@pytest.mark.parametrize(
    "name",
    ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1+1", "\u3000=1"],
)
def test_no_name_becomes_a_formula(name):
    drawn = DrawnCase([said("NE")], field=False, folder=name, sample=name, profile=name)
    drawn.decide(Reader(name), "assign", 1, "LY", reason=name, text=name)
    (row,) = rows(drawn.case)
    for column in ("file", "sample", "profile", "reader", "reason", "text"):
        assert row[column].startswith("'"), column
    assert row["text"][1:] == name


def test_plain_names_stay_as_they_are():
    for name in ("cell 1.png", "a=b", "Łukasz Żak", "1-2", ""):
        assert guarded(name) == name
    assert guarded("a\0b") == "ab"


def test_the_document_has_the_differential_the_flags_and_the_whole_log():
    case = signed_case().case
    told = json.loads(to_json(case, shipped_limits(), AT))
    assert told["schema_version"] == 1
    assert told["case"]["state"] == "signed"
    assert told["case"]["signed"]["reader"]["name"] == "Łukasz Żak"
    differential = case.differential()
    assert told["differential"]["white_cells"] == differential.white
    assert {of["code"]: of["count"] for of in told["differential"]["classes"]} == {
        of.code: of.count for of in differential.classes
    }
    assert [flag["code"] for flag in told["flags"]] == ["BLA"]
    assert [decision["hash"] for decision in told["decisions"]] == [decision.hash for decision in case.decisions]
    assert told["case"]["head"] == case.head
    assert len(told["cells"]) == 203
    assert told["unused"][0]["name"] == "slide 1/notes.txt"
    assert to_json(case, shipped_limits(), AT) == to_json(signed_case().case, shipped_limits(), AT)


def test_what_stops_a_signature_is_in_the_document():
    told = json.loads(to_json(drawn_case().case, shipped_limits(), AT))
    assert {entry["reason"] for entry in told["unreviewed"]} == {"may be abnormal", "must be seen", "unsure"}
    assert told["case"]["signed"] is None


def test_a_case_without_white_cells_is_a_document_too():
    told = json.loads(to_json(DrawnCase([said("ERB")], field=False).case, shipped_limits(), AT))
    told = told["differential"]["erythroblasts"]
    assert told["count"] == 1
    assert told["per_100_white_cells"] is told["exact_95"] is None  # there is no white cell


def test_an_imported_case_says_so():
    case = signed_case().case
    assert {row["imported"] for row in rows(case)} == {""}
    assert json.loads(to_json(case, [], AT))["case"]["imported"] is None
    came = replace(case, imported="2026-11-30T20:00:00.000+00:00 by Ben")
    assert {row["imported"] for row in rows(came)} == {came.imported}
    assert json.loads(to_json(came, [], AT))["case"]["imported"] == came.imported
