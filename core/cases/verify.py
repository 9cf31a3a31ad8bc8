"""Is a case still what was written down? Every row is sealed by a hash, the log's rows one by another, the row of the
head says where the log ends, and no row says what could not have been decided.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.cases import rows
from core.cases.case import CASE_ACTIONS, CELL_ACTIONS, STATE_AFTER, Case, CaseError, Decision, Replay, UnknownCase
from core.cases.files import CaseFiles
from core.cases.rows import Row
from core.cases.tables import CaseRow, CellRow, DecisionRow, DeletionRow, HeadRow, PictureRow, SheetRow


@dataclass(frozen=True)
class AlteredRow:
    """A row of ``table`` ('decisions', 'cells' ...) that is not as it was written down: its ``number`` there, None for
    the case's one row; ``reason``: how that shows.
    """

    table: str
    number: int | None
    reason: str

    @property
    def text(self) -> str:
        """'decisions, row 7: its content is not what its hash says.'"""
        row = "" if self.number is None else f", row {self.number}"
        return f"{self.table}{row}: {self.reason}."


@dataclass(frozen=True)
class StoredCase:
    """All rows of a case, each table in the order of its numbers; ``head`` () where it is missing."""

    case: Row
    pictures: tuple[Row, ...]
    cells: tuple[Row, ...]
    sheets: tuple[Row, ...]
    decisions: tuple[Row, ...]
    head: tuple[Row, ...]

    @property
    def taken_in(self) -> int:
        """How many cells there were before readers added any."""
        return sum(not row["added_by"] for row in self.cells)

    @property
    def files(self) -> list[tuple[str, int, str]]:
        """Table, number and SHA-256 of every file that the case needs."""
        named = [("pictures", row["number"], row["sha256"]) for row in self.pictures]
        named += [("sheets", row["number"], row["sha256"]) for row in self.sheets]
        return named + [("cells", row["number"], row["tile"]) for row in self.cells if row["tile"]]


def stored_case(session: Session, case_id: str) -> StoredCase | None:
    """The rows of a case; None where there is no row of it at all but perhaps of its log."""

    def every(table: Any, order: Any) -> tuple[Row, ...]:
        query = sa.select(table.__table__).where(table.case_id == case_id).order_by(order)
        return tuple(rows.read(session, query))

    case = session.execute(sa.select(CaseRow.__table__).where(CaseRow.id == case_id)).mappings().first()
    if case is None:
        return None
    return StoredCase(
        dict(case),
        every(PictureRow, PictureRow.number),
        every(CellRow, CellRow.number),
        every(SheetRow, SheetRow.number),
        every(DecisionRow, DecisionRow.seq),
        every(HeadRow, HeadRow.case_id),
    )


def first_altered_row(session: Session, case_id: str, files: CaseFiles | None = None) -> AlteredRow | None:
    """The first of the rows of a case, log first, that is altered, missing or too much; with ``files`` also the first
    file that is gone or another. Raises `UnknownCase`.
    """
    if not isinstance(case_id, str):
        return AlteredRow("cases", None, "its id is no text")
    stored = stored_case(session, case_id)
    if stored is None:
        if session.execute(sa.select(DecisionRow.seq).where(DecisionRow.case_id == case_id).limit(1)).first():
            return AlteredRow("cases", None, "it is missing")
        raise UnknownCase(f"There is no case {case_id}.")
    if session.get(DeletionRow, case_id):
        return AlteredRow("deletions", None, "the case is marked as deleted, but is there")
    return altered_row(stored) or (_altered_file(stored, files) if files else None)


def altered_row(stored: StoredCase) -> AlteredRow | None:
    """The first of the rows of a case that is not what was written down."""
    if not stored.head:
        return AlteredRow("heads", None, "it is missing")
    try:
        return _log(stored) or _taken_in(stored) or _what_it_comes_to(stored)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        return AlteredRow("cases", None, f"its content can't be read ({error})")


def _log(stored: StoredCase) -> AlteredRow | None:
    previous, log, head = "", stored.decisions, stored.head[0]
    for number, row in enumerate(log, 1):
        if row["seq"] != number:
            return AlteredRow("decisions", number, "it is missing")
        if not rows.is_sealed(row, rows.decision_digest):
            return AlteredRow("decisions", number, "its content is not what its hash says")
        if row["previous"] != previous:
            return AlteredRow("decisions", number, "it doesn't follow the row before it")
        previous = row["hash"]
    if not log or log[0]["action"] != "open":
        return AlteredRow("decisions", 1, "it is missing")
    if len(log) < head["count"]:
        return AlteredRow("decisions", len(log) + 1, f"it is missing: there were {head['count']}")
    if len(log) > head["count"] or previous != head["head"]:
        return AlteredRow("heads", None, "the log ends elsewhere than it says")
    return None


def _taken_in(stored: StoredCase) -> AlteredRow | None:
    for table, found in (("pictures", stored.pictures), ("cells", stored.cells)):
        for number, row in enumerate(found, 1):
            if row["number"] != number:
                return AlteredRow(table, number, "it is missing")
            if not rows.is_sealed(row, rows.row_digest):
                return AlteredRow(table, number, "its content is not what its hash says")
    sheets = [sheet["sha256"] for sheet in stored.sheets]
    if [sheet["number"] for sheet in stored.sheets] != list(range(len(sheets))):
        return AlteredRow("sheets", None, "one is missing")
    first = [cell["hash"] for cell in stored.cells if not cell["added_by"]]
    facts = rows.facts_digest(stored.case, [picture["hash"] for picture in stored.pictures], first, sheets)
    if facts != stored.decisions[0]["digest"]:
        return AlteredRow("cases", None, "what was taken in is not what the log's first row says")
    added = {row["cell"]: row["digest"] for row in stored.decisions if row["action"] == "add"}
    for cell in stored.cells[len(first) :]:
        if added.pop(cell["number"], None) != cell["hash"]:
            return AlteredRow("cells", cell["number"], "the log says nothing of it")
    return AlteredRow("cells", min(added), "it is missing") if added else None


def _what_it_comes_to(stored: StoredCase) -> AlteredRow | None:
    """Replays the log, of which each row must have been possible."""
    case = taken_in(stored)
    replay = Replay(case, [rows.cell_of(cell) for cell in stored.cells if cell["added_by"]])
    for row in stored.decisions:
        decision = rows.decision_of(row)
        if not _is_possible(decision, replay, case):
            return AlteredRow("decisions", decision.seq, "nothing like it could have been decided then")
        replay.add(decision)
    if rows.head_row(replay.case()) != stored.head[0]:
        return AlteredRow("heads", None, "it is not what the log comes to")
    return None


def taken_in(stored: StoredCase) -> Case:
    """The case before any decision."""
    cells = [rows.cell_of(cell) for cell in stored.cells if not cell["added_by"]]
    return rows.case_of(stored.case, [rows.picture_of(row) for row in stored.pictures], cells, len(stored.sheets))


def _is_possible(decision: Decision, replay: Replay, case: Case) -> bool:
    """Whether the store would have written ``decision`` where the log had come to ``replay``."""
    action = decision.action
    if action in ("open", "amend", "sign", *CASE_ACTIONS):
        if decision.cell is not None or decision.undoes is not None:
            return False
        if action == "open":
            return decision.seq == 1 and (decision.old, decision.new) == ("", "open")
        if (decision.old, decision.new) != (replay.state, STATE_AFTER.get(action, replay.state)):
            return False
        if action in ("sign", "review"):
            return replay.state != "signed" and not replay.open_cells
        return (replay.state == "signed") == (action == "amend")
    if replay.state == "signed" or decision.cell is None:
        return False
    if action == "add":
        is_new = decision.cell not in replay.readings
        return is_new and decision.old == "" and replay.reading_with(decision).code == decision.new
    reading = replay.readings.get(decision.cell)
    if action not in CELL_ACTIONS or reading is None or reading.code != decision.old:
        return False
    if action == "undo":
        undone = decision.undoes or 0
        if not any(known.seq == undone for known in reading.history):
            return False
    elif reading.withdrawn or decision.undoes is not None:
        return False
    if action == "assign" and decision.new and decision.new not in case.assignable:
        return False
    return replay.reading_with(decision).code == decision.new


def _altered_file(stored: StoredCase, files: CaseFiles) -> AlteredRow | None:
    for table, number, sha256 in stored.files:
        try:
            files.read(sha256)
        except CaseError as error:
            return AlteredRow(table, number, str(error).rstrip("."))
    return None
