"""Is a case still what was written down? Every row is sealed by a hash, the log's rows one by another, and the row of
the head says where the log ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.cases import rows
from core.cases.case import Case, CaseError, UnknownCase
from core.cases.files import CaseFiles
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


def first_altered_row(session: Session, case_id: str, files: CaseFiles | None = None) -> AlteredRow | None:
    """The first of the rows of a case, log first, that is altered, missing or too much; with ``files`` also the first
    file that is gone or another. Raises `UnknownCase`.
    """
    head = _all(session, HeadRow, case_id, None)
    log = _all(session, DecisionRow, case_id, DecisionRow.seq)
    case = session.execute(sa.select(CaseRow.__table__).where(CaseRow.id == case_id)).mappings().first()
    if case is None and not log:
        raise UnknownCase(f"There is no case {case_id}.")
    if case is None or not head:
        return AlteredRow("heads" if case else "cases", None, "it is missing")
    if session.get(DeletionRow, case_id):
        return AlteredRow("deletions", None, "the case is marked as deleted, but is there")
    try:
        return _log(log) or _ends(log, head[0]) or _taken_in(session, dict(case), log, head[0], files)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        return AlteredRow("cases", None, f"its content can't be read ({error})")


def _all(session: Session, table: Any, case_id: str, order: Any) -> list[dict[str, Any]]:
    query = sa.select(table.__table__).where(table.case_id == case_id)
    found = session.execute(query if order is None else query.order_by(order)).mappings()
    return [dict(row) for row in found]


def _log(log: list[dict[str, Any]]) -> AlteredRow | None:
    previous = ""
    for number, row in enumerate(log, 1):
        if row["seq"] != number:
            return AlteredRow("decisions", number, "it is missing")
        if not _is_sealed(row, rows.decision_digest):
            return AlteredRow("decisions", number, "its content is not what its hash says")
        if row["previous"] != previous:
            return AlteredRow("decisions", number, "it doesn't follow the row before it")
        previous = row["hash"]
    if not log or log[0]["action"] != "open":
        return AlteredRow("decisions", 1, "it is missing")
    return None


def _is_sealed(row: Mapping[str, Any], digest: Any) -> bool:
    try:
        return digest(row) == row["hash"]
    except (TypeError, ValueError):  # a column holds what never was written there
        return False


def _ends(log: list[dict[str, Any]], head: Mapping[str, Any]) -> AlteredRow | None:
    if len(log) < head["count"]:
        return AlteredRow("decisions", len(log) + 1, f"it is missing: there were {head['count']}")
    if len(log) > head["count"] or log[-1]["hash"] != head["head"]:
        return AlteredRow("heads", None, "the log ends elsewhere than it says")
    return None


def _taken_in(
    session: Session, row: dict[str, Any], log: list[dict[str, Any]], head: dict[str, Any], files: CaseFiles | None
) -> AlteredRow | None:
    case_id = row["id"]
    pictures = _all(session, PictureRow, case_id, PictureRow.number)
    cells = _all(session, CellRow, case_id, CellRow.number)
    sheets = _all(session, SheetRow, case_id, SheetRow.number)
    for table, found in (("pictures", pictures), ("cells", cells)):
        for number, one in enumerate(found, 1):
            if one["number"] != number:
                return AlteredRow(table, number, "it is missing")
            if not _is_sealed(one, rows.row_digest):
                return AlteredRow(table, number, "its content is not what its hash says")
    first = [cell for cell in cells if not cell["added_by"]]
    of_pictures, of_cells = ([one["hash"] for one in some] for some in (pictures, first))
    facts = rows.facts_digest(row, of_pictures, of_cells, [sheet["sha256"] for sheet in sheets])
    if facts != log[0]["digest"]:
        return AlteredRow("cases", None, "what was taken in is not what the log's first row says")
    added = {decision["cell"]: decision["digest"] for decision in log if decision["action"] == "add"}
    for cell in cells[len(first) :]:
        if added.pop(cell["number"], None) != cell["hash"]:
            return AlteredRow("cells", cell["number"], "the log says nothing of it")
    if added:
        return AlteredRow("cells", min(added), "it is missing")
    case = replayed(row, pictures, cells, log, len(sheets))
    if rows.head_row(case) != head:
        return AlteredRow("heads", None, "it is not what the log comes to")
    return _files(pictures, sheets, cells, files) if files else None


def replayed(
    row: Mapping[str, Any],
    pictures: list[dict[str, Any]],
    cells: list[dict[str, Any]],
    log: list[dict[str, Any]],
    sheets: int,
) -> Case:
    """The case that these rows come to."""
    taken_in = [rows.cell_of(cell) for cell in cells if not cell["added_by"]]
    added = [rows.cell_of(cell) for cell in cells if cell["added_by"]]
    case = rows.case_of(row, [rows.picture_of(picture) for picture in pictures], taken_in, sheets)
    return case.after([rows.decision_of(decision) for decision in log], added)


def _files(
    pictures: list[dict[str, Any]], sheets: list[dict[str, Any]], cells: list[dict[str, Any]], files: CaseFiles
) -> AlteredRow | None:
    named = [("pictures", p["number"], p["sha256"]) for p in pictures]
    named += [("sheets", s["number"], s["sha256"]) for s in sheets]
    named += [("cells", c["number"], c["tile"]) for c in cells if c["tile"]]
    for table, number, sha256 in named:
        try:
            files.read(sha256)
        except CaseError as error:
            return AlteredRow(table, number, str(error).rstrip("."))
    return None
