"""``python -m core cases report``: every kind of file of a stored case, the same bytes whoever opens the store."""

import json
from datetime import UTC, datetime

import pytest

from core.cases.case import NewDecision, Reader
from core.cases.documents import DOCUMENTS, document, file_name
from core.cases.store import CaseStore, open_store
from core.cli import main
from tests.drawn_cases import CODES, DrawnCase, said

AT = "2026-11-30T21:05:00+00:00"
ANNA = Reader("Łukasz Żak")


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A case of three cells in a store of its own: its id."""
    monkeypatch.setenv("HEMALENS_CASES", str(tmp_path / "cases"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HEMALENS_DATABASE", raising=False)
    drawn = DrawnCase([said("NE"), said("LY"), said("LY", kind="unsure", alarm=True)], field=False)
    store, case = open_store(), drawn.case
    store.keep_files([drawn.picture_bytes(picture.sha256) for picture in case.pictures], "draft")
    return store.create(
        ANNA, sample="S/1 é", pictures=case.pictures, cells=case.cells, codes=CODES, run="cnn_se-64", draft="draft"
    )


def written(case_id, out, *kinds):
    assert main(["cases", "report", case_id, "--out", str(out), "--printed-at", AT, *kinds]) == 0
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_a_draft_and_then_the_signed_report(stored, tmp_path, capsys):
    files = written(stored, tmp_path / "draft")
    assert sorted(files) == [f"S-1-é-{stored[:8]}-v1-draft.html", f"S-1-é-{stored[:8]}-v1-draft.pdf"]
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "draft" / name) for name in sorted(files)]
    assert b"Must be looked at" in files[f"S-1-\u00e9-{stored[:8]}-v1-draft.html"]
    open_store().decide(stored, ANNA, [NewDecision("assign", 3, "BLA")])
    open_store().sign(stored, ANNA)
    files = written(stored, tmp_path / "signed", *(f"--{key}" for key in DOCUMENTS))
    assert set(files) == {f"S-1-é-{stored[:8]}-v1{kind.suffix}" for kind in DOCUMENTS.values()}
    fhir = json.loads(next(content for name, content in files.items() if name.endswith(".fhir.json")))
    assert fhir["status"] == "final"


def test_whoever_replays_the_log_has_the_same_bytes(stored, tmp_path):
    open_store().decide(stored, ANNA, [NewDecision("assign", 3, "BLA", reason="nucleus")])
    files = written(stored, tmp_path / "out", *(f"--{key}" for key in DOCUMENTS))
    other = CaseStore(f"sqlite:///{tmp_path / 'cases' / 'cases.sqlite3'}", tmp_path / "cases")
    case, at = other.case(stored), datetime(2026, 11, 30, 21, 5, tzinfo=UTC)
    for key in DOCUMENTS:
        assert files[file_name(case, key)] == document(case, key, other.picture_bytes, at), key


def test_what_is_asked_for_wrongly_is_told(stored, tmp_path, capsys):
    assert main(["cases", "report", "nothing"]) == 1
    assert "error: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["cases", "report", stored, "--printed-at", "tomorrow"])
