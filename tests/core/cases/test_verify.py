"""Whatever is changed in what was written down is found, and the first altered row named.

The one who changes it has the whole database in hand: no triggers, no foreign keys stand in the way.
"""

import random
import sqlite3

import pytest
import sqlalchemy as sa

from core.cases import rows
from core.cases.case import CaseAltered, NewDecision
from core.cases.store import CaseStore
from core.cases.tables import CaseRow, CellRow, DecisionRow, HeadRow, PictureRow, SheetRow
from core.cases.verify import first_altered_row
from tests.drawn_cases import ANNA, LUKASZ
from tests.stored_cases import Stored


@pytest.fixture
def log(stored):
    """A case with a log of every kind of row, and another one beside it."""
    other = Stored(stored.store, LUKASZ, "S-2")
    other.decide("assign", 1, "EO")
    stored.decide("assign", 1, "EO", reason="size")
    stored.decide("assign", 2, "LY", text="like a lymphocyte")
    stored.decide("undo", undoes=2)
    stored.decide("skip", 6)
    stored.add_cell()
    stored.confirm_all()
    stored.decide("note", text="looked at twice")
    stored.decide("review", reader=LUKASZ)
    stored.store.sign(stored.id, ANNA)
    stored.store.amend(stored.id, LUKASZ, "a slip")
    stored.decide("assign", 3, "MO")
    return stored


class Tampering:
    """A transaction in which everything can be changed and that comes to nothing."""

    def __init__(self, case):
        self.case_id, url = case.id, case.store._url
        self._engine = sa.create_engine(url, poolclass=sa.NullPool)

    def __enter__(self):
        self._connection = self._engine.connect()
        if self._engine.dialect.name == "sqlite":
            self._connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            names = self._connection.exec_driver_sql(triggers).scalars().all()
            self._connection.exec_driver_sql("BEGIN")
            for name in names:
                self._connection.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            self._connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        return self

    def __exit__(self, *_):
        self._connection.rollback()
        self._connection.close()

    def run(self, statement, **values):
        """Change something."""
        return self._connection.execute(sa.text(statement) if isinstance(statement, str) else statement, values)

    def found(self):
        """The first altered row."""
        from sqlalchemy.orm import Session

        return first_altered_row(Session(self._connection), self.case_id)


def test_what_was_written_down_is_as_it_was(log):
    assert log.store.verify(log.id, files=True) is None
    with Tampering(log) as at:
        assert at.found() is None


def _others(value, rng):
    """Values near ``value``, and far from it."""
    if isinstance(value, str):
        place = rng.randrange(len(value)) if value else 0
        flipped = value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :] if value else "x"
        return [
            flipped,
            value + " ",
            value[:-1] if value else "y",
            value.swapcase() if value.swapcase() != value else "z",
        ]
    if value is None:
        return [0, 1]
    return [value + 1_000, -value - 1, None]


TABLES = (DecisionRow, PictureRow, CellRow, SheetRow, CaseRow, HeadRow)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__tablename__)
def test_any_column_of_any_row_that_is_changed_is_found(log, table):
    """Each column of several rows, those of the log all."""
    rng = random.Random(table.__tablename__)
    key = "id" if table is CaseRow else "case_id"
    order = next((c.name for c in table.__table__.c if c.name in ("seq", "number")), key)
    with Tampering(log) as at:
        query = sa.select(table.__table__).where(sa.column(key) == log.id).order_by(sa.column(order))
        there = [dict(row) for row in at.run(query).mappings()]
    chosen = there if table is DecisionRow else rng.sample(there, min(3, len(there)))
    tried = 0
    for row in chosen:
        for column in table.__table__.c:
            if column.name == "imported":
                continue
            other = rng.choice([v for v in _others(row[column.name], rng) if v is not None or column.nullable])
            with Tampering(log) as at:
                where = {"k": log.id, "o": row[order], "v": other}
                sql = f'UPDATE {table.__tablename__} SET "{column.name}" = :v WHERE {key} = :k AND "{order}" = :o'
                assert at.run(sql, **where).rowcount == 1
                found = at.found()
                assert found, (column.name, row[column.name], other)
                if table is DecisionRow and column.name not in ("case_id", "seq"):
                    assert (found.table, found.number) == ("decisions", row["seq"])
            tried += 1
    assert tried == len(chosen) * len([c for c in table.__table__.c if c.name != "imported"])


def test_a_tail_that_was_cut_off_is_found(log):
    count = len(log.case.decisions)
    for kept in range(count):
        with Tampering(log) as at:
            at.run("DELETE FROM decisions WHERE case_id = :k AND seq > :s", k=log.id, s=kept)
            found = at.found()
            assert (found.table, found.number) == ("decisions", kept + 1)
            assert "it is missing" in found.text


def test_rows_that_were_swapped_taken_out_or_doubled_are_found(log):
    count, rng = len(log.case.decisions), random.Random(5)
    for _ in range(12):
        a, b = sorted(rng.sample(range(1, count + 1), 2))
        with Tampering(log) as at:
            for old, new in ((a, -1), (b, a), (-1, b)):
                at.run("UPDATE decisions SET seq = :n WHERE case_id = :k AND seq = :o", k=log.id, o=old, n=new)
            assert (at.found().table, at.found().number) == ("decisions", a)
        with Tampering(log) as at:
            at.run("DELETE FROM decisions WHERE case_id = :k AND seq = :o", k=log.id, o=a)
            at.run("UPDATE decisions SET seq = seq - 1000 WHERE case_id = :k AND seq > :o", k=log.id, o=a)
            at.run("UPDATE decisions SET seq = seq + 999 WHERE case_id = :k AND seq < 0", k=log.id)
            assert at.found().number == a


def test_rows_of_another_case_are_found(log):
    other = next(summary.id for summary in log.store.list() if summary.id != log.id)
    with Tampering(log) as at:
        at.run("DELETE FROM decisions WHERE case_id = :k AND seq = 2", k=log.id)
        at.run("UPDATE decisions SET case_id = :k WHERE case_id = :o AND seq = 2", k=log.id, o=other)
        assert (at.found().table, at.found().number) == ("decisions", 2)


def test_pictures_cells_and_sheets_that_were_added_or_taken_away_are_found(log):
    for table, order in (("pictures", "number"), ("cells", "number"), ("sheets", "number")):
        last = f"(SELECT MAX({order}) FROM {table} WHERE case_id = :k)"
        with Tampering(log) as at:
            at.run(f"DELETE FROM {table} WHERE case_id = :k AND {order} = {last}", k=log.id)
            assert at.found(), table
    with Tampering(log) as at:
        at.run("DELETE FROM cells WHERE case_id = :k AND number = 13", k=log.id)
        assert (at.found().table, at.found().number) == ("cells", 13)
    with Tampering(log) as at:
        at.run("UPDATE cells SET added_by = '' WHERE case_id = :k AND number = 13", k=log.id)
        assert (at.found().table, at.found().number) == ("cells", 13)
    for table in ("heads", "cases"):
        with Tampering(log) as at:
            key = "id" if table == "cases" else "case_id"
            at.run(f"DELETE FROM {table} WHERE {key} = :k", k=log.id)
            assert at.found().table == table
    with Tampering(log) as at:
        at.run("INSERT INTO deletions (case_id, at, reader, was_signed, head) VALUES (:k, '', '', 1, '')", k=log.id)
        assert at.found().table == "deletions"


def test_a_row_with_a_hash_made_to_fit_is_found_by_the_next(log):
    """Who changes a row and its hash must change every row after it, and where the log ends."""
    with Tampering(log) as at:
        table = DecisionRow.__table__
        row = dict(at.run(sa.select(table).where(table.c.case_id == log.id, table.c.seq == 2)).mappings().one())
        row["reason"] = "another"
        row["hash"] = rows.decision_digest(row)
        at.run(
            sa.update(table)
            .where(table.c.case_id == log.id, table.c.seq == 2)
            .values(reason="another", hash=row["hash"])
        )
        assert (at.found().table, at.found().number) == ("decisions", 3)


def test_a_log_made_to_fit_whole_but_for_what_could_be_decided_is_found(log):
    """All hashes fit; yet it says that cells were signed which nobody had looked at."""
    with Tampering(log) as at:
        table = DecisionRow.__table__
        query = sa.select(table).where(table.c.case_id == log.id).order_by(table.c.seq)
        there = [dict(row) for row in at.run(query).mappings()]
        sign = next(row["seq"] for row in there if row["action"] == "sign")
        kept, previous = [row for row in there if row["action"] not in ("assign", "review", "undo", "skip")], ""
        for seq, row in enumerate(kept, 1):
            row |= {"seq": seq, "previous": previous}
            row["hash"] = previous = rows.decision_digest(row)
        assert sign != len(kept)
        at.run("DELETE FROM decisions WHERE case_id = :k", k=log.id)
        for row in kept:
            at.run(sa.insert(table).values(**row))
        at.run("UPDATE heads SET head = :h, count = :n WHERE case_id = :k", k=log.id, h=previous, n=len(kept))
        found = at.found()
        assert found.table == "decisions"
        assert found.reason == "nothing like it could have been decided then"


def spoilt(log, url, tmp_path, trigger, *statements):
    """What a store that knows nothing of the case yet sees once its file was changed by hand."""
    if not url.startswith("sqlite"):
        pytest.skip("the file is spoilt by hand")
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.execute(statement.format(id=log.id))
    return CaseStore(url, tmp_path / "cases")


@pytest.mark.parametrize(
    "change",
    [
        "hash = 'x' WHERE seq = (SELECT MAX(seq) FROM decisions WHERE case_id = '{id}')",
        "new = 'BA' WHERE seq = 3",
        "reader_name = 'Eve' WHERE seq = 2",
        "cell = 4 WHERE seq = 3",
        "cell = 4711 WHERE seq = 3",
        "previous = 'x' WHERE seq = 4",
        "digest = 'x' WHERE action = 'add'",
        "reader_verified = 'x' WHERE seq = 1",
    ],
)
def test_a_store_speaks_of_no_altered_log(log, url, tmp_path, change):
    """Not only its end: each row that is replayed is what its hash says."""
    store = spoilt(log, url, tmp_path, "decisions_update", f"UPDATE decisions SET {change} AND case_id = '{{id}}'")
    with pytest.raises(CaseAltered, match="verify"):
        store.case(log.id)
    with pytest.raises(CaseAltered, match="verify"):
        store.decide(log.id, ANNA, [NewDecision("note", text="x")])
    with pytest.raises(CaseAltered):
        store.decisions(log.id)


def test_a_row_that_nobody_could_have_written_is_told(log, url, tmp_path):
    with pytest.raises(CaseAltered, match="verify"):
        spoilt(log, url, tmp_path, "cells_update", "UPDATE cells SET prediction = '{{' WHERE number = 1").case(log.id)


def test_what_leaves_the_house_is_as_the_database_has_it(log, url, tmp_path):
    """Though the store remembers the case as it was."""
    change = "UPDATE cells SET prediction = replace(prediction, 'NE', 'EO') WHERE case_id = '{id}' AND number = 2"
    spoilt(log, url, tmp_path, "cells_update", change)
    assert log.store.case(log.id).cells[1].prediction.code == "NE"
    with pytest.raises(CaseAltered, match="cells, row 2"):
        log.store.case(log.id, verified=True)
