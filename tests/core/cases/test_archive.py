"""A case given away as one file, and taken over from one that may come from anywhere."""

import json
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from core.cases import rows
from core.cases.archive import MANIFEST, InvalidArchive
from core.cases.case import CaseAltered, CaseError, UnknownCase
from core.cases.files import content_hash
from core.cases.sprites import TILE, sheet_bytes
from core.cases.store import CaseStore
from tests.drawn_cases import ANNA, png
from tests.stored_cases import Stored


@pytest.fixture
def url(tmp_path):
    """SQLite only: what is refused is so before a database is asked."""
    return f"sqlite:///{tmp_path / 'cases.sqlite3'}"


@pytest.fixture
def exported(stored, tmp_path):
    """A signed and amended case with a cell added, and the file that it was written to."""
    stored.go_through_all()
    return stored, stored.store.export(stored.id, tmp_path)


@pytest.fixture
def elsewhere(tmp_path):
    """Another computer's store."""
    return CaseStore(f"sqlite:///{tmp_path / 'elsewhere.sqlite3'}", tmp_path / "elsewhere")


def test_a_case_that_is_here_or_was_deleted_comes_as_a_copy_only(exported, tmp_path):
    stored, path = exported
    store = stored.store
    with pytest.raises(CaseError, match="is here already"):
        store.load(path, ANNA)
    copy = store.load(path, ANNA, as_copy=True)
    assert copy != stored.id
    assert store.case(copy).origin == stored.id
    assert store.case(copy).decisions == stored.case.decisions
    assert store.verify(copy, files=True) is None
    store.delete(stored.id, ANNA, even_if_signed=True)
    assert store.verify(copy, files=True) is None
    with pytest.raises(CaseError, match="was deleted here"):
        store.load(path, ANNA)
    again = store.export(copy, tmp_path / "again.zip")
    assert store.load(again, ANNA, as_copy=True)


def test_an_altered_case_is_not_given_away(stored, tmp_path):
    path = stored.store.files.path(stored.case.pictures[2].sha256)
    path.write_bytes(b"another picture")
    with pytest.raises(CaseAltered, match="pictures, row 3"):
        stored.store.export(stored.id, tmp_path / "case.zip")
    assert not (tmp_path / "case.zip").exists()
    with pytest.raises(UnknownCase):
        stored.store.export("0" * 32, tmp_path / "case.zip")


def test_a_place_that_can_not_be_written_is_told(stored, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CaseError, match="can't be written"):
        stored.store.export(stored.id, tmp_path / "file" / "case.zip")


def repacked(path, change=None, files=None):
    """The archive with its manifest changed, and files put into the place of others (None: left out)."""
    target, files = path.with_name("changed.zip"), files or {}
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == MANIFEST and change:
                manifest = json.loads(content)
                content = json.dumps(change(manifest) or manifest)
            if files.get(name, content) is not None:
                new.writestr(name, files.get(name, content))
    return target


def seal(manifest):
    """Make all hashes fit again, as somebody would who knows how."""
    for table, digest in (("pictures", rows.row_digest), ("cells", rows.row_digest)):
        for row in manifest[table]:
            row["hash"] = digest(row)
    added = {row["number"]: row["hash"] for row in manifest["cells"] if row["added_by"]}
    first = [row["hash"] for row in manifest["cells"] if not row["added_by"]]
    pictures, sheets = [row["hash"] for row in manifest["pictures"]], [row["sha256"] for row in manifest["sheets"]]
    previous = ""
    for row in manifest["decisions"]:
        if row["action"] == "open":
            row["digest"] = rows.facts_digest(manifest["case"], pictures, first, sheets)
        if row["action"] == "add":
            row["digest"] = added[row["cell"]]
        row["previous"] = previous
        row["hash"] = previous = rows.decision_digest(row)
    manifest["head"][0] |= {"head": previous, "count": len(manifest["decisions"])}


def refused(elsewhere, path):
    """What is told of an archive; nothing of it is kept."""
    with pytest.raises(InvalidArchive) as told:
        elsewhere.load(path, ANNA)
    assert elsewhere.list() == []
    assert not [path for path in (elsewhere.folder / "pictures").rglob("*") if path.is_file()]
    return str(told.value)


def change_first(table, **values):
    def change(manifest):
        manifest[table][0] |= values

    return change


UNSEALED = {
    "a decision": change_first("decisions", reader_name="Eve"),
    "a cell": change_first("cells", left=3),
    "a picture": change_first("pictures", name="another.png"),
    "the case": lambda m: m["case"].update(sample="another"),
    "the head": change_first("head", state="open"),
    "a sheet": lambda m: m["sheets"].clear(),
    "the tail": lambda m: m["decisions"].pop(),
}


@pytest.mark.parametrize("change", UNSEALED.values(), ids=UNSEALED)
def test_what_was_altered_is_refused(exported, elsewhere, change):
    assert "altered" in refused(elsewhere, repacked(exported[1], change))


def without(action):
    def change(manifest):
        kept = [row for row in manifest["decisions"] if row["action"] != action]
        for seq, row in enumerate(kept, 1):
            row["seq"] = seq
        manifest["decisions"] = kept

    return change


def of(manifest, action):
    return next(row for row in manifest["decisions"] if row["action"] == action)


def date_all(manifest, at):
    for row in manifest["decisions"]:
        row["at"] = at
    manifest["head"][0]["changed"] = at


SEALED = {
    "signed without a look": without("assign"),
    "amended without a signature": without("sign"),
    "a class that is none": lambda m: next(r for r in m["decisions"] if r["action"] == "assign").update(new="XX"),
    "another class before": lambda m: next(r for r in m["decisions"] if r["action"] == "assign").update(old="BA"),
    "an unknown action": change_first("decisions", action="approve"),
    "a verified reader of 2": change_first("decisions", reader_verified=2),
    "a text for a number": change_first("decisions", seq="1"),
    "a number for a text": change_first("decisions", at=7),
    "true for a number": change_first("cells", left=True),
    "a column too much": change_first("cells", more=1),
    "a column too few": lambda m: m["cells"][0].pop("tile"),
    "a number out of range": change_first("cells", left=2**40),
    "a cell without a box": change_first("cells", left=500),
    "a cell of no picture": change_first("cells", picture=99),
    "a prediction that is none": change_first("cells", prediction="{}"),
    "a prediction that is no JSON": change_first("cells", prediction="{"),
    "a probability of 2": lambda m: m["cells"][0].update(prediction=m["cells"][0]["prediction"].replace("0.986", "2")),
    "a picture of no kind": change_first("pictures", kind="film"),
    "a picture without a size": change_first("pictures", width=0),
    "a file by its path": change_first("pictures", sha256="../../etc/passwd"),
    "notes that are none": change_first("pictures", notes='{"a": 1}'),
    "errors that don't fit": lambda m: m["case"].update(errors='{"codes": ["A"], "cells": [1, 2]}'),
    "no id": lambda m: m["case"].update(id="../x"),
    "a cell far to the left": change_first("cells", left=-65),
    "a cell far below": change_first("cells", bottom=129),
    "a cell as large as memory": change_first("cells", left=-900_000, right=900_000),
    "a picture of another size": change_first("pictures", width=63),
    "a picture of another kind of size": change_first("pictures", width=64, height=65),
    "no sample": lambda m: m["case"].update(sample=" "),
    "no known specimen": lambda m: m["case"].update(specimen="milk"),
    "made at no time": lambda m: m["case"].update(created="yesterday"),
    "decided at no time": lambda m: date_all(m, "soon"),
    "decided at a day only": lambda m: date_all(m, "2026-11-30"),
    "decided elsewhere": lambda m: date_all(m, "2026-11-30T20:00:00.000+02:00"),
    "decided at a time with markup": lambda m: date_all(m, "2026-11-30T20:00:00.000+00:00<b>"),
    "opened from nothing": change_first("decisions", old="signed"),
    "signed to another state": lambda m: of(m, "sign").update(new="open"),
    "signed from another state": lambda m: of(m, "sign").update(old="reviewed"),
    "amended to another state": lambda m: of(m, "amend").update(new="signed"),
    "added as another class": lambda m: of(m, "add").update(new="EO"),
    "no sheet": lambda m: m["sheets"].clear(),
    "decided in the year 9999": lambda m: date_all(m, "9999-11-30T20:00:00.000+00:00"),
    "decided by nobody": lambda m: of(m, "assign").update(reader_name=" "),
    "decided by a name without end": lambda m: of(m, "assign").update(reader_name="x" * 10_000),
    "amended without a reason": lambda m: of(m, "amend").update(text=" "),
    "about another model's answers": lambda m: of(m, "assign").update(model="another"),
    "about another profile's answers": lambda m: of(m, "assign").update(profile="another"),
    "signed by limits that are none": lambda m: of(m, "sign").update(digest="zz"),
    "with two ends": lambda m: m["head"].append(dict(m["head"][0])),
    "with no end": lambda m: m["head"].clear() or m["head"].extend([]),
    "no origin": lambda m: m["case"].update(origin="x"),
    "another format": lambda m: {**m, "format": "x"},
    "another version": lambda m: {**m, "version": 2},
    "a list": lambda m: [m],
    "no decisions": lambda m: {**m, "decisions": []},
    "no head": lambda m: {**m, "head": []},
    "no cells": lambda m: {key: value for key, value in m.items() if key != "cells"},
    "rows that are none": lambda m: {**m, "cells": ["x"]},
    "half a letter": lambda m: m["case"].update(note="\ud800"),
}


@pytest.mark.parametrize("change", SEALED.values(), ids=SEALED)
def test_what_could_not_be_written_here_is_refused_even_if_its_hashes_fit(exported, elsewhere, change):
    def and_seal(manifest):
        changed = change(manifest) or manifest
        with suppress(Exception):  # what has no rows can't be sealed
            seal(changed)
        return changed

    assert refused(elsewhere, repacked(exported[1], and_seal))


def test_what_was_sealed_anew_without_a_fault_is_taken(exported, elsewhere):
    """So that the tests above fail for the reason that they name."""
    assert elsewhere.load(repacked(exported[1], lambda m: seal(m)), ANNA)


def test_files_that_are_missing_or_others_are_refused(exported, elsewhere):
    stored, path = exported
    picture, sheet = (
        stored.case.pictures[0].sha256,
        json.loads(zipfile.ZipFile(path).read(MANIFEST))["sheets"][0]["sha256"],
    )
    for sha256 in (picture, sheet):
        assert "is not in it" in refused(elsewhere, repacked(path, files={f"files/{sha256}": None}))
        assert "was altered" in refused(elsewhere, repacked(path, files={f"files/{sha256}": b"another"}))


def with_file(path, table, content):
    """The archive with another file for the first row of ``table``, all sealed anew."""

    def change(manifest):
        manifest[table][0]["sha256"] = content_hash(content)
        seal(manifest)

    changed = repacked(path, change)
    with zipfile.ZipFile(changed, "a") as archive:
        archive.writestr(f"files/{content_hash(content)}", content)
    return changed


def test_a_sheet_that_is_no_picture_of_the_cells_is_refused(exported, elsewhere):
    sheet = sheet_bytes([np.zeros((TILE, TILE, 3), np.uint8)] * 30)
    for content in (b"<svg onload='alert(1)'/>", sheet, sheet[: len(sheet) // 2]):
        assert "no picture of cells" in refused(elsewhere, with_file(exported[1], "sheets", content))


def test_a_picture_that_is_none_or_of_another_size_is_refused(exported, elsewhere):
    assert "can't be read" in refused(elsewhere, with_file(exported[1], "pictures", b"<svg onload='alert(1)'/>"))
    another = png(np.zeros((65, 64, 3), np.uint8))
    assert "64 x 65 px" in refused(elsewhere, with_file(exported[1], "pictures", another))
    equal = with_file(exported[1], "pictures", png(np.zeros((64, 64, 3), np.uint8)))
    assert elsewhere.load(equal, ANNA)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 half of one"])
def test_what_is_no_archive_is_told(elsewhere, tmp_path, content):
    (tmp_path / "case.zip").write_bytes(content)
    assert "case.zip" in refused(elsewhere, tmp_path / "case.zip")
    assert "none.zip" in refused(elsewhere, tmp_path / "none.zip")


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=str)
def test_a_manifest_that_can_not_be_unpacked_is_told(elsewhere, tmp_path, packing):
    with zipfile.ZipFile(tmp_path / "case.zip", "w", packing) as archive:
        archive.writestr(MANIFEST, b"{" * 1_000)
    content = bytearray((tmp_path / "case.zip").read_bytes())
    for place in range(30 + len(MANIFEST), content.index(b"PK\x01\x02")):
        spoilt = tmp_path / "spoilt.zip"
        spoilt.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        assert MANIFEST in refused(elsewhere, spoilt)


def test_an_archive_without_a_manifest_is_told(exported, elsewhere):
    assert MANIFEST in refused(elsewhere, repacked(exported[1], files={MANIFEST: None}))
    assert "can't be read" in refused(elsewhere, repacked(exported[1], files={MANIFEST: b"{"}))
    assert "can't be read" in refused(elsewhere, repacked(exported[1], files={MANIFEST: b"[" * 100_000}))
    assert "NaN" in refused(elsewhere, repacked(exported[1], files={MANIFEST: b'{"format": NaN}'}))


def test_a_case_without_field_or_doubt_goes_through_as_well(store, tmp_path, elsewhere):
    from tests.drawn_cases import said

    one = Stored(store, answers=(said("NE"),))
    one.confirm_all()
    assert elsewhere.case(elsewhere.load(store.export(one.id, tmp_path / "x.zip"), ANNA)).cells == one.case.cells
