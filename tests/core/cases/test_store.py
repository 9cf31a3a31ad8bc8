"""A store of cases: what is written down stays, on SQLite and on PostgreSQL."""

import os
import sqlite3
import threading
import time
from dataclasses import replace

import pytest
import sqlalchemy as sa

from core.cases import migrations
from core.cases.case import (
    CaseAltered,
    CaseChanged,
    CaseError,
    CaseIsSigned,
    NewDecision,
    NotReviewed,
    Reader,
    StoreUnavailable,
    UnknownCase,
    UnknownCell,
)
from core.cases.documents import file_name
from core.cases.limits import LimitsError, current_limits, limits_path
from core.cases.report import limits_note
from core.cases.sprites import place
from core.cases.store import CaseStore, open_store
from core.cases.tables import Base
from tests.drawn_cases import ANNA, CODES, LUKASZ, said
from tests.stored_cases import ANSWERS, Stored

MUST_BE_SEEN = (6, 7, 8, 11)  # unsure, must be seen, alarm; in the field another alarm


def test_a_case_is_read_as_it_was_made(stored, other):
    case = other.case(stored.id)
    assert case == stored.case
    assert (case.sample, case.note, case.state, case.version, case.specimen) == ("S-1", "drawn", "open", 1, "blood")
    assert [cell.prediction for cell in case.cells[:9]] == list(ANSWERS)
    assert [picture.kind for picture in case.pictures] == ["crop"] * 9 + ["field"]
    assert case.unused == stored.case.unused
    assert case.errors.codes == CODES
    assert case.errors.cells.tolist() == stored.case.errors.cells.tolist()
    assert [decision.action for decision in case.decisions] == ["open"]
    assert other.verify(stored.id, files=True) is None


def test_pictures_are_kept_and_each_content_once(stored, tmp_path):
    case = stored.case
    for picture in case.pictures:
        assert stored.store.picture_bytes(picture.sha256)
    before = list((tmp_path / "cases").rglob("*"))
    Stored(stored.store, sample="S-2")
    assert list((tmp_path / "cases").rglob("*")) == before


def test_the_list_tells_what_is_open(stored):
    Stored(stored.store, LUKASZ, "S-2")
    stored.decide("assign", 8, "BLA")
    first, second = stored.store.list()
    assert (first.sample, first.cells, first.state, first.slides) == ("S-1", 12, "open", ("A-1", "A-2"))
    assert (first.open_alarms, first.unidentified, first.decisions) == (1, 2, 2)
    assert (second.sample, second.reader) == ("S-2", LUKASZ.text)
    assert (second.open_alarms, second.unidentified) == (2, 2)
    assert first.changed >= second.changed


def test_a_case_is_found_by_its_beginning_or_sample(stored):
    assert stored.store.full_id(stored.id) == stored.store.full_id(stored.id[:6]) == stored.store.full_id("S-1")
    Stored(stored.store)
    with pytest.raises(UnknownCase, match="2 cases are called 'S-1'"):
        stored.store.full_id("S-1")
    with pytest.raises(UnknownCase, match="No case is called 'x'"):
        stored.store.full_id("x")
    with pytest.raises(UnknownCase):
        stored.store.case("0" * 32)
    with pytest.raises(UnknownCase):
        stored.store.decisions("0" * 32)


def test_a_case_needs_a_sample_and_a_reader(store):
    with pytest.raises(CaseError, match="an id, not a name"):
        Stored(store, sample="  ")
    with pytest.raises(CaseError, match="reader's name"):
        Stored(store, Reader(" "))
    assert store.list() == []


def test_decisions_are_told_with_what_was_before(stored, other):
    row = stored.decide("assign", 1, "EO", reason="size", text="it is large")
    assert (row.seq, row.action, row.cell, row.old, row.new) == (2, "assign", 1, "NE", "EO")
    assert (row.reason, row.text, row.reader) == ("size", "it is large", ANNA)
    assert row.model.startswith("cnn_se-64-ca0bf2 ca0bf2")
    assert row.previous == stored.case.decisions[0].hash
    assert other.case(stored.id).readings[1].code == "EO"
    assert stored.decide("unidentified", 1).new == "NE"
    assert stored.decide("assign", 1, "").old == "NE"
    assert [d.seq for d in other.decisions(stored.id, after=2)] == [3, 4]
    assert other.verify(stored.id) is None


def test_the_same_client_id_is_written_once(stored, other):
    first = stored.decide("assign", 1, "EO", client="key-1")
    again = other.decide(stored.id, ANNA, [NewDecision("assign", 1, "EO", client=" key-1\0")])
    assert again == [first]
    both = other.decide(
        stored.id,
        ANNA,
        [NewDecision("assign", 2, "MO", client="key-2"), NewDecision("assign", 2, "MO", client="key-2")],
    )
    assert both[0] == both[1]
    assert len(other.decisions(stored.id)) == 3


def test_several_decisions_are_written_all_or_none(stored):
    with pytest.raises(UnknownCell, match="no cell 99"):
        stored.store.decide(stored.id, ANNA, [NewDecision("assign", 1, "EO"), NewDecision("assign", 99, "EO")])
    assert len(stored.store.decisions(stored.id)) == 1
    assert stored.case.readings[1].code == "NE"


@pytest.mark.parametrize(
    ("decision", "error"),
    [
        (NewDecision("assign", 1, "XX"), "'XX' is no class here"),
        (NewDecision("assign", None, "LY"), "no cell None"),
        (NewDecision("undo", undoes=77), "isn't there"),
        (NewDecision("undo", undoes=1), "none about a cell"),
        (NewDecision("undo", undoes_client="never"), "isn't there"),
        (NewDecision("sign"), "nothing that can be decided so"),
        (NewDecision("open"), "nothing that can be decided so"),
        (NewDecision("add", 1), "nothing that can be decided so"),
        (NewDecision("amend"), "nothing that can be decided so"),
    ],
)
def test_what_can_not_be_decided_is_refused(stored, decision, error):
    with pytest.raises(CaseError, match=error):
        stored.store.decide(stored.id, ANNA, [decision])
    assert len(stored.store.decisions(stored.id)) == 1


def test_undo_is_a_decision_and_can_be_taken_back(stored, other):
    stored.decide("assign", 1, "EO", client="a")
    undone = stored.decide("undo", undoes_client="a", client="b")
    assert (undone.cell, undone.undoes, undone.old, undone.new) == (1, 2, "EO", "NE")
    with pytest.raises(CaseChanged, match="taken back already"):
        stored.decide("undo", undoes=2)
    again = other.decide(stored.id, ANNA, [NewDecision("undo", undoes=3)])[0]
    assert (again.undoes, again.old, again.new) == (3, "NE", "EO")
    with pytest.raises(CaseChanged):
        stored.decide("undo", undoes=3)
    assert other.verify(stored.id) is None


def test_an_undo_may_come_with_what_it_takes_back(stored):
    new = [NewDecision("assign", 1, "EO", client="a"), NewDecision("undo", undoes_client="a")]
    assert [row.new for row in stored.store.decide(stored.id, ANNA, new)] == ["EO", "NE"]


def test_another_readers_decision_in_between_is_told_where_asked(stored):
    seen = len(stored.case.decisions)
    stored.decide("assign", 1, "EO", reader=LUKASZ)
    with pytest.raises(CaseChanged, match="Łukasz Żak decided about cell 1 in between"):
        stored.decide("assign", 1, "BA", seen=seen)
    assert stored.decide("assign", 2, "BA", seen=seen).new == "BA"
    assert stored.decide("assign", 1, "BA").old == "EO"


def test_strange_letters_are_kept_or_spelt(stored):
    row = stored.decide("note", text="a\0b \ud800 Łódź 🩸" + "x" * 9_000)
    assert row.text.startswith("ab \\ud800 Łódź 🩸")
    assert len(row.text) == 4_000
    assert stored.store.verify(stored.id) is None


def test_a_case_is_signed_only_when_all_that_ask_for_a_look_were_looked_at(stored):
    store = stored.store
    remaining = list(MUST_BE_SEEN)
    while remaining:
        for attempt in (lambda: store.sign(stored.id, ANNA), lambda: stored.decide("review")):
            with pytest.raises(NotReviewed) as refused:
                attempt()
            assert refused.value.cells == tuple(remaining)
            assert str(remaining[0]) in str(refused.value)
        stored.decide("skip", remaining[0])  # is no decision
        stored.decide("assign", remaining.pop(0), "LY")
    row = stored.decide("unidentified", 1)  # a sure one, put back
    with pytest.raises(NotReviewed, match="put back: 1"):
        store.sign(stored.id, ANNA)
    stored.decide("undo", undoes=row.seq)
    stored.decide("undo", undoes=3)
    with pytest.raises(NotReviewed, match="unsure: 6"):
        store.sign(stored.id, ANNA)
    stored.decide("assign", 6, "")
    stored.add_cell()
    with pytest.raises(NotReviewed, match="unsure: 13"):
        store.sign(stored.id, ANNA)
    stored.decide("assign", 13, "LY")
    stored.decide("review")
    assert stored.case.state == "reviewed"
    assert store.sign(stored.id, LUKASZ, "seen by both").new == "signed"
    assert store.list()[0].state == "signed"
    assert store.verify(stored.id) is None


def test_an_altered_case_is_not_signed(stored, monkeypatch):
    stored.confirm_all()
    monkeypatch.setattr("core.cases.store.first_altered_row", lambda *_: _Altered())
    with pytest.raises(CaseAltered, match="can't be signed: row 2"):
        stored.store.sign(stored.id, ANNA)


class _Altered:
    text = "row 2"


def test_a_signed_case_is_read_only_for_every_call(signed):
    store, before = signed.store, signed.case
    attempts = [
        *(lambda new=new: store.decide(signed.id, ANNA, [new]) for new in (
            NewDecision("assign", 1, "LY"), NewDecision("unidentified", 1), NewDecision("skip", 1),
            NewDecision("undo", undoes=2), NewDecision("note", text="x"), NewDecision("review"), NewDecision("reopen"),
        )),
        lambda: store.sign(signed.id, LUKASZ),
        lambda: signed.add_cell(),
        lambda: store.delete(signed.id, ANNA),
    ]  # fmt: skip
    for attempt in attempts:
        with pytest.raises(CaseIsSigned):
            attempt()
    assert store.case(signed.id) == before
    assert store.verify(signed.id, files=True) is None


def test_a_decision_that_was_written_before_the_signature_is_still_acknowledged(stored):
    written = stored.decide("assign", 1, "EO", client="late")
    stored.confirm_all()
    stored.store.sign(stored.id, ANNA, client="s")
    assert stored.decide("assign", 1, "EO", client="late") == written
    assert stored.store.sign(stored.id, ANNA, client="s").action == "sign"


def test_a_signed_case_says_where_its_limits_were_changed_since(stored, tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    stored.confirm_all()
    stored.store.sign(stored.id, ANNA)
    other = [replace(limit, high=1.5) if limit.code == "IG" else limit for limit in current_limits()]
    assert not limits_note(stored.case, current_limits())
    assert "changed after the case was signed" in limits_note(stored.case, other)
    elsewhere = [limit for limit in current_limits() if limit.specimen == stored.case.specimen]
    assert not limits_note(stored.case, elsewhere)  # those of other specimens say nothing of it
    limits_path().parent.mkdir(parents=True)
    limits_path().write_text("no table")
    stored.store.amend(stored.id, ANNA, "a slip")
    with pytest.raises(LimitsError, match="can't be read"):
        stored.store.sign(stored.id, ANNA)


def test_nothing_is_signed_without_its_pictures(stored):
    stored.confirm_all()
    stored.store.files.path(stored.case.pictures[0].sha256).unlink()
    with pytest.raises(CaseAltered, match="pictures, row 1"):
        stored.store.sign(stored.id, ANNA)
    empty = stored.store.create(ANNA, sample="S-9", pictures=[], cells=[], codes=CODES, run="r", sheets=[], draft="d")
    with pytest.raises(CaseError, match="nothing to sign"):
        stored.store.sign(empty, ANNA)


def test_a_sample_that_begins_as_another_id_does_is_never_taken_for_it(stored):
    other = Stored(stored.store, sample=stored.id[:6])
    with pytest.raises(UnknownCase, match="2 cases"):
        stored.store.full_id(stored.id[:6])
    assert stored.store.full_id(stored.id) == stored.id
    assert stored.store.full_id(other.id) == other.id


def test_a_cell_that_is_sent_twice_leaves_nothing_waiting(stored):
    first = stored.add_cell(client="once")
    assert stored.add_cell(client="once") == first
    with sa.create_engine(stored.store._url).connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM pending")).scalar() == 0
    assert stored.store.verify(stored.id, files=True) is None


def test_an_amendment_opens_a_new_version(signed):
    store = signed.store
    for nothing in (" ", "\0", " \0 "):
        with pytest.raises(CaseError, match="Say why"):
            store.amend(signed.id, ANNA, nothing)
    store.amend(signed.id, LUKASZ, "a slip")
    case = signed.case
    assert (case.state, case.version) == ("open", 2)
    assert case.decisions[-1].text == "a slip"
    with pytest.raises(CaseError, match="not signed"):
        store.amend(signed.id, LUKASZ, "again")
    signed.decide("assign", 1, "EO")
    store.sign(signed.id, LUKASZ)
    assert store.list()[0].version == 2
    assert store.verify(signed.id) is None


def test_a_cell_can_be_added_to_a_field_and_taken_away_again(stored, other):
    cell = stored.add_cell(client="click")
    assert (cell.number, cell.added_by, cell.box) == (13, ANNA.name, (10, 10, 100, 100))
    assert stored.add_cell(client="click") == cell
    case = other.case(stored.id)
    assert case.readings[13].open_reason == "unsure"
    assert place(case, 13) == (1, 0)
    assert place(case, 12) == (0, 11)
    assert other.sheet(stored.id, 1)[:4] == b"RIFF"
    assert len(case.counted) == 13
    stored.decide("undo", undoes=2)
    assert len(other.case(stored.id).counted) == 12
    assert other.case(stored.id).readings[13].withdrawn
    with pytest.raises(UnknownCell):
        stored.decide("assign", 13, "LY")
    assert stored.add_cell().number == 14
    assert other.verify(stored.id, files=True) is None
    with pytest.raises(UnknownCell, match="is no field"):
        stored.store.add_cell(stored.id, ANNA, 1, (0, 0, 9, 9), said("LY"), b"")
    with pytest.raises(UnknownCell, match="no sheet 2"):
        other.sheet(stored.id, 2)


def test_two_writers_at_once_lose_nothing(stored, url, tmp_path):
    """Each with a store of its own, on the same cells."""
    errors = []

    def write(number):
        try:
            store = CaseStore(url, tmp_path / "cases")
            for k in range(15):
                new = NewDecision("assign", 1 + k % 4, CODES[(k + number) % 8], client=f"{number}-{k}")
                store.decide(stored.id, Reader(f"reader {number}"), [new])
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    log = stored.store.decisions(stored.id)
    assert [row.seq for row in log] == list(range(1, 62))
    assert {row.client for row in log[1:]} == {f"{number}-{k}" for number in range(4) for k in range(15)}
    assert stored.store.verify(stored.id) is None
    assert stored.case == CaseStore(url, tmp_path / "cases").case(stored.id)


def test_a_deleted_case_goes_with_its_pictures_but_not_with_those_of_others(stored, tmp_path):
    store = stored.store
    more = Stored(store, sample="S-2", answers=(*ANSWERS, said("EO")))
    own = more.case.pictures[-2].sha256
    shared = more.case.pictures[0].sha256
    store.delete(more.id, LUKASZ)
    assert [summary.id for summary in store.list()] == [stored.id]
    assert store.picture_bytes(shared)
    with pytest.raises(CaseError, match="can't be read"):
        store.picture_bytes(own)
    with pytest.raises(UnknownCase):
        store.case(more.id)
    with pytest.raises(UnknownCase):
        store.decide(more.id, ANNA, [NewDecision("assign", 1, "LY")])
    assert store.verify(stored.id, files=True) is None
    stored.add_cell()
    store.delete(stored.id, LUKASZ)
    assert not [path for path in (tmp_path / "cases" / "pictures").rglob("*") if path.is_file()]
    with pytest.raises(UnknownCase):
        store.delete(stored.id, LUKASZ)


def test_a_signed_case_is_deleted_only_where_that_is_said(signed):
    signed.store.delete(signed.id, ANNA, even_if_signed=True)
    assert signed.store.list() == []


def test_pictures_that_an_intake_is_about_to_use_outlive_a_deletion(stored):
    content = stored.store.picture_bytes(stored.case.pictures[0].sha256)
    (sha256,) = stored.store.keep_files([content], "under way")
    stored.store.delete(stored.id, ANNA)
    assert stored.store.picture_bytes(sha256) == content
    stored.store.discard("under way")
    with pytest.raises(CaseError):
        stored.store.picture_bytes(sha256)


def test_what_a_killed_intake_left_behind_goes_when_it_is_old(stored, url, tmp_path):
    (old,) = stored.store.keep_files([b"of an intake that was killed"], "killed")
    (new,) = stored.store.keep_files([b"of one that is under way"], "under way")
    shared = stored.case.pictures[0].sha256
    stored.store.keep_files([stored.store.picture_bytes(shared)], "killed")
    with stored.store._engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.text("UPDATE pending SET at = '2020-01-01T00:00:00.000+00:00' WHERE draft = 'killed'"))
    store = CaseStore(url, tmp_path / "cases")
    assert store.picture_bytes(new)
    assert store.picture_bytes(shared)
    with pytest.raises(CaseError):
        store.picture_bytes(old)


def test_a_newer_state_is_never_forgotten_for_an_older_one(stored, other):
    before = stored.case
    stored.decide("assign", 1, "EO")
    stored.store._remember(before)
    assert stored.case.readings[1].code == "EO"
    other.decide(stored.id, ANNA, [NewDecision("assign", 2, "EO")])
    assert stored.case.readings[2].code == "EO"


def test_a_picture_that_was_changed_on_disk_is_not_shown(stored):
    path = stored.store.files.path(stored.case.pictures[0].sha256)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CaseAltered, match="content was changed"):
        stored.store.picture_bytes(stored.case.pictures[0].sha256)
    found = stored.store.verify(stored.id, files=True)
    assert (found.table, found.number) == ("pictures", 1)
    path.unlink()
    assert stored.store.verify(stored.id, files=True).number == 1
    with pytest.raises(CaseError, match="names no file"):
        stored.store.picture_bytes("../../etc/passwd")


def test_a_case_comes_back_as_it_was_given_away(stored, tmp_path):
    """From either database to SQLite elsewhere, and back as a copy."""
    stored.go_through_all()
    path, here = stored.store.export(stored.id, tmp_path), stored.case
    assert path.name == f"S-1-{stored.id[:8]}.zip"
    elsewhere = CaseStore(f"sqlite:///{tmp_path / 'elsewhere.sqlite3'}", tmp_path / "elsewhere")
    copy = stored.store.load(path, LUKASZ, as_copy=True)
    assert elsewhere.load(path, LUKASZ) == stored.id
    for store, case_id in ((elsewhere, stored.id), (stored.store, copy)):
        there = store.case(case_id)
        assert there.imported.endswith(f"by {LUKASZ.text}")
        assert there.origin == stored.id
        assert (there.decisions, there.cells, there.pictures) == (here.decisions, here.cells, here.pictures)
        assert there.readings == here.readings
        assert (there.state, there.version, there.head) == ("signed", 2, here.head)
        for sheet in (0, 1):
            assert store.sheet(case_id, sheet) == stored.store.sheet(stored.id, sheet)
        assert store.verify(case_id, files=True) is None
        assert store.list()[0].changed == here.decisions[-1].at
    assert here.imported == ""


def test_no_sql_of_the_stores_connection_changes_what_was_written_down(signed):
    """Whatever is tried with the connection that the store itself uses."""
    store, before = signed.store, signed.case
    statements = [
        "UPDATE decisions SET new = 'EO'",
        "UPDATE decisions SET reader_name = 'Eve' WHERE seq = 1",
        "DELETE FROM decisions",
        "DELETE FROM decisions WHERE seq = 3",
        "UPDATE cells SET prediction = '{}' WHERE number = 1",
        "DELETE FROM cells WHERE number = 12",
        "UPDATE pictures SET name = 'another.png'",
        "DELETE FROM pictures",
        "UPDATE sheets SET sha256 = 'x'",
        "DELETE FROM sheets",
        "UPDATE cases SET sample = 'S-9'",
        "DELETE FROM cases",
        "UPDATE heads SET state = 'open'",
        "UPDATE heads SET count = count - 1",
        "DELETE FROM heads",
        "INSERT INTO deletions (case_id, at, reader, was_signed, head) SELECT case_id, '', '', 0, '' FROM heads",
        "INSERT INTO decisions SELECT case_id, seq + 1, at, reader_name, reader_verified, reader_subject, 'note', "
        "NULL, old, new, reason, text, model, profile, 'c', undoes, digest, hash, 'h' FROM decisions WHERE seq = "
        "(SELECT MAX(seq) FROM decisions)",
        "INSERT INTO decisions SELECT case_id, seq, at, reader_name, reader_verified, reader_subject, action, cell, "
        "old, 'EO', reason, text, model, profile, 'c', undoes, digest, previous, hash FROM decisions WHERE seq = 2",
        "INSERT INTO decisions SELECT case_id, seq + 1, at, reader_name, reader_verified, reader_subject, 'amend', "
        "NULL, old, new, reason, text, model, profile, 'c', undoes, digest, previous, 'h' FROM decisions WHERE seq = "
        "(SELECT MAX(seq) FROM decisions)",
        'INSERT INTO cells SELECT case_id, 99, picture, "left", top, "right", bottom, prediction, added_by, tile, hash '
        "FROM cells WHERE number = 1",
        "INSERT INTO pictures SELECT case_id, 99, name, slide, sha256, kind, width, height, notes, pixel_size, hash "
        "FROM pictures WHERE number = 1",
    ]
    if store.location.startswith("sqlite"):
        statements += [s.replace("INSERT INTO", "INSERT OR REPLACE INTO") for s in statements if s.startswith("INSERT")]
        statements += [
            "INSERT OR REPLACE INTO decisions SELECT * FROM decisions WHERE seq = 2",
            "INSERT OR REPLACE INTO cases SELECT * FROM cases",
            "INSERT OR REPLACE INTO heads SELECT case_id, head, count, 'open', version, cells, open_alarms, "
            "unidentified, reader, changed FROM heads",
            "UPDATE OR REPLACE decisions SET seq = 2 WHERE seq = 3",
            "DROP TRIGGER decisions_update",
            "DROP TABLE decisions",
            "ALTER TABLE decisions RENAME TO others",
            "PRAGMA writable_schema = ON",
            "PRAGMA recursive_triggers = OFF",
            "CREATE TEMP TABLE decisions AS SELECT * FROM main.decisions",
            "CREATE TRIGGER mine AFTER INSERT ON pending BEGIN SELECT 1; END",
        ]
    else:
        statements += ["TRUNCATE decisions CASCADE", "TRUNCATE cells"]
        statements.append(
            "INSERT INTO decisions SELECT * FROM decisions WHERE seq = 2 "
            "ON CONFLICT (case_id, seq) DO UPDATE SET new = 'EO'"
        )
    for statement in statements:
        with pytest.raises(sa.exc.DatabaseError), store._engine.begin() as connection:
            connection.execute(sa.text(statement))
    assert CaseStore(str(store._url.render_as_string(False)), store.folder).case(signed.id) == before
    assert store.verify(signed.id, files=True) is None


def test_an_open_cases_log_and_pictures_can_not_be_changed_either(stored):
    stored.decide("assign", 1, "EO")
    for statement in (
        "UPDATE decisions SET new = 'LY' WHERE seq = 2",
        "DELETE FROM decisions WHERE seq = 2",
        "UPDATE cells SET picture = 2 WHERE number = 1",
        "UPDATE pictures SET name = 'b.png' WHERE number = 1",
        "UPDATE cases SET note = ''",
    ):
        with pytest.raises(sa.exc.DatabaseError), stored.store._engine.begin() as connection:
            connection.execute(sa.text(statement))
    assert stored.store.verify(stored.id) is None


def test_the_database_is_as_the_models_say(store):
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        assert migrations.is_current(connection)
    assert ScriptDirectory(str(migrations.FOLDER)).get_heads() == [migrations.LATEST]


def test_a_database_of_a_newer_version_is_left_alone(store, url, tmp_path):
    with store._engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'cases_9999'"))
    with pytest.raises(CaseError, match="newer version of HemaLens"):
        CaseStore(url, tmp_path / "cases")


def test_several_may_open_a_new_database_at_once(url, tmp_path):
    errors = []

    def open_it():
        try:
            CaseStore(url, tmp_path / "cases").list()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_the_settings_say_where_cases_lie(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_CASES", str(tmp_path / "mine"))
    monkeypatch.delenv("HEMALENS_DATABASE", raising=False)
    store = open_store()
    assert store is open_store()
    assert (tmp_path / "mine" / "cases.sqlite3").exists()
    with store._engine.connect() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]
    monkeypatch.setenv("HEMALENS_DATABASE", f"sqlite:///{tmp_path / 'other.sqlite3'}")
    assert open_store().location.endswith("other.sqlite3")
    assert "secret" not in str(_problem("postgresql+psycopg://ann:secret@127.0.0.1:9/none", tmp_path))


@pytest.mark.parametrize("url", ["mysql://localhost/x", "nonsense", "sqlite:////proc/none/x.sqlite3"])
def test_what_is_no_database_is_told(url, tmp_path):
    assert _problem(url, tmp_path)


def _problem(url, tmp_path):
    with pytest.raises(CaseError) as told:
        CaseStore(url, tmp_path / "cases")
    return told.value


def test_a_store_reads_on_while_another_writes(stored, url, tmp_path):
    """A reader is not kept out by an open write."""
    other = CaseStore(url, tmp_path / "cases")
    with other._sessions(bind=other._engine.execution_options(writes=True)) as session, session.begin():
        session.execute(sa.text("INSERT INTO pending (draft, sha256, at) VALUES ('a', 'b', 'c')"))
        started = time.monotonic()
        assert stored.case.sample == "S-1"
        assert stored.store.list()
        assert time.monotonic() - started < 20  # it would wait for 30 s


def test_a_store_in_a_folder_that_can_not_be_written_is_told(tmp_path):
    if os.geteuid() == 0:
        (tmp_path / "file").write_text("")
        folder = tmp_path / "file" / "cases"
    else:
        folder = tmp_path / "locked"
        folder.mkdir(mode=0o500)
        folder /= "cases"
    with pytest.raises(CaseError, match="folder of cases"):
        CaseStore(f"sqlite:///{tmp_path / 'a.sqlite3'}", folder)


def test_a_sheet_that_the_intake_made_is_read(stored):
    assert stored.store.sheet(stored.id, 0)[:4] == b"RIFF"


def test_a_database_that_is_full_or_gone_is_told_from_a_decision_that_is_refused(store, monkeypatch, tmp_path):
    stored = Stored(store)

    def full(*_):
        raise sa.exc.OperationalError("INSERT", {}, Exception("database or disk is full"))

    monkeypatch.setattr(store, "_append", full)
    monkeypatch.setattr("core.cases.store.time.sleep", lambda _: None)
    with pytest.raises(StoreUnavailable, match="disk is full"):
        stored.decide("assign", 1, "EO")
    with pytest.raises(UnknownCell) as refused:
        stored.decide("assign", 99, "EO")
    assert not isinstance(refused.value, StoreUnavailable)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreUnavailable):
        CaseStore(f"sqlite:///{tmp_path / 'gone' / 'cases.sqlite3'}", tmp_path / "file")


def test_what_the_reader_has_not_seen_is_not_signed(stored, other):
    stored.confirm_all()
    seen = len(stored.case.decisions)
    other.decide(stored.id, LUKASZ, [NewDecision("assign", 1, "EO")])
    with pytest.raises(CaseChanged, match="decided about cell 1"):
        stored.store.sign(stored.id, ANNA, seen=seen)
    assert stored.case.state == "open"
    other.decide(stored.id, LUKASZ, [NewDecision("note", text="stop, another sample")])
    with pytest.raises(CaseChanged, match="wrote a note"):
        stored.store.sign(stored.id, ANNA, seen=seen + 1)
    stored.decide("assign", 2, "MO")  # her own, which she knows
    signed = stored.store.sign(stored.id, ANNA, seen=seen + 2, client="once")
    assert stored.store.sign(stored.id, ANNA, seen=0, client="once") == signed


@pytest.mark.parametrize(
    "new",
    [
        NewDecision("assign", 1, "LY"),
        NewDecision("assign", 2, "EO"),
        NewDecision("assign", 1, "EO", text="another"),
        NewDecision("assign", 1, "EO", reason="size"),
        NewDecision("skip", 1),
        NewDecision("undo", undoes=2),
        NewDecision("note", text="x"),
    ],
    ids=lambda new: f"{new.action} {new.cell} {new.new}{new.text}{new.reason}",
)
def test_an_id_is_of_one_decision_only(stored, new):
    stored.decide("assign", 1, "EO", client="one")
    stored.decide("undo", undoes=2, client="two")
    before = stored.case
    for client in ("one", " one "):
        with pytest.raises(CaseError, match="Row 2 of the log"):
            stored.store.decide(stored.id, ANNA, [replace(new, client=client)])
    with pytest.raises(CaseError, match="one id is of one decision"):
        stored.store.decide(stored.id, ANNA, [NewDecision("undo", undoes=1, client="two")])
    assert stored.case == before


def test_an_id_of_another_kind_of_decision_signs_and_adds_nothing(stored):
    stored.decide("assign", 1, "EO", client="one")
    stored.confirm_all()
    cell = stored.add_cell(client="click")
    stored.confirm_all()
    before = stored.case
    with pytest.raises(CaseError, match="Row 2"):
        stored.store.sign(stored.id, ANNA, client="one")
    with pytest.raises(CaseError, match="Row 2"):
        stored.add_cell(client="one")
    with pytest.raises(CaseError, match="of the log .add"):
        stored.decide("assign", cell.number, "EO", client="click")
    assert stored.add_cell(client="click ") == cell
    assert stored.case == before
    stored.store.sign(stored.id, ANNA, client="s")
    with pytest.raises(CaseError, match="of the log .sign"):
        stored.store.amend(stored.id, ANNA, "why", client="s")
    assert stored.case.state == "signed"


def test_an_id_that_is_too_long_is_refused_not_cut(stored):
    for act in (
        lambda client: stored.decide("assign", 1, "EO", client=client),
        lambda client: stored.add_cell(client=client),
        lambda client: stored.store.sign(stored.id, ANNA, client=client),
    ):
        with pytest.raises(CaseError, match="at most 200 letters"):
            act("x" * 201)
    assert stored.decide("assign", 1, "EO", client="x" * 200).client == "x" * 200


@pytest.mark.parametrize("cell", [True, 1.0, "1", [1]], ids=repr)
def test_what_is_no_number_is_no_cell(stored, cell):
    with pytest.raises(UnknownCell):
        stored.decide("assign", cell, "EO")
    with pytest.raises(UnknownCell):
        stored.decide("undo", undoes=cell)
    assert len(stored.case.decisions) == 1


def test_pictures_go_only_after_the_case_has_gone(store, monkeypatch):
    stored = Stored(store)
    pictures = [store.files.path(picture.sha256) for picture in stored.case.pictures]
    with monkeypatch.context() as broken:

        def commit(_session):
            raise sa.exc.DatabaseError("COMMIT", {}, Exception("disk I/O error"))

        broken.setattr("sqlalchemy.orm.SessionTransaction.commit", lambda self, **_: commit(self))
        with pytest.raises(StoreUnavailable):
            store.delete(stored.id, ANNA)
    assert all(path.exists() for path in pictures)
    assert store.verify(stored.id, files=True) is None
    with monkeypatch.context() as broken:
        broken.setattr(type(store.files), "remove", lambda *_: (_ for _ in ()).throw(StoreUnavailable("no permission")))
        with pytest.raises(StoreUnavailable, match="is deleted, but not yet its pictures"):
            store.delete(stored.id, ANNA)
    assert store.list() == []
    assert all(path.exists() for path in pictures)
    monkeypatch.setattr("core.cases.store._STALE", -10)
    CaseStore(str(store._url.render_as_string(hide_password=False)), store.folder)
    assert not any(path.exists() for path in pictures)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://anna:geheim@host:port/x",
        "postgresql+psycopg:/anna:geheim@host/x",
        "sqlite:////tmp/f.sqlite3?timeout=abc",
        "sqlite:///:memory:",
        "sqlite://",
        "mysql://anna:geheim@host/x",
        "geheim",
        "",
    ],
)
def test_what_names_no_database_is_refused_and_no_password_shown(url, tmp_path):
    with pytest.raises(CaseError) as refused:
        CaseStore(url, tmp_path)
    assert "geheim" not in str(refused.value)


def test_an_altered_row_of_one_case_stops_no_other(tmp_path):
    store = CaseStore(f"sqlite:///{tmp_path / 'cases.sqlite3'}", tmp_path)
    first, second = Stored(store, sample="S-1"), Stored(store, sample="S-2")
    with sqlite3.connect(tmp_path / "cases.sqlite3") as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute("UPDATE cases SET slides = 'no list' WHERE id = ?", (first.id,))
        columns = [row[1] for row in database.execute("PRAGMA table_info(decisions)")]
        others = ", ".join(column for column in columns if column != "case_id")
        database.execute(f"INSERT INTO decisions (case_id, {others}) SELECT x'00ff', {others} FROM decisions LIMIT 1")
    assert store.full_id("S-2") == second.id
    assert store.verify(second.id) is None
    assert store.verify(first.id).table == "cases"
    found = {case_id: store.verify(case_id) for case_id in store.ids()}
    assert [altered.text for case_id, altered in found.items() if not isinstance(case_id, str)] == [
        "cases: its id is no text."
    ]


def test_long_names_of_letters_of_four_bytes_are_cut_for_files(tmp_path):
    store = CaseStore(f"sqlite:///{tmp_path / 'cases.sqlite3'}", tmp_path)
    case = Stored(store, sample="\U00020000" * 200)
    assert len(store.export(case.id, tmp_path).name.encode()) < 200
    assert len(file_name(case.case, "fhir").encode()) < 200
