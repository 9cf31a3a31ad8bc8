"""Where cases are kept: a database (SQLite beside the pictures, or PostgreSQL for a laboratory that shares it).

What was taken in is written once; everything after that is a row of the log, in one transaction with the row that says
where the log ends. Triggers in the database refuse anything else.
"""

import gc
import json
import os
import sqlite3
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TypeAlias, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import NullPool, Pool

from core import __version__, paths
from core.cases import migrations, rows
from core.cases.archive import CaseArchive, new_id, write_archive
from core.cases.case import (
    CASE_ACTIONS,
    CELL_ACTIONS,
    STATE_AFTER,
    Case,
    CaseAltered,
    CaseCell,
    CaseChanged,
    CaseError,
    CaseIsSigned,
    CasePicture,
    CellPrediction,
    Decision,
    NewDecision,
    NotReviewed,
    Reader,
    Replay,
    State,
    StoreUnavailable,
    UnknownCase,
    UnknownCell,
    UnusedFile,
    standing,
)
from core.cases.files import CaseFiles, content_hash
from core.cases.limits import current_limits, limits_hash
from core.cases.rows import MOST_NAME, MOST_TEXT
from core.cases.tables import (
    CaseRow,
    CellRow,
    DecisionRow,
    DeletionRow,
    HeadRow,
    PendingRow,
    PictureRow,
    SheetRow,
)
from core.cases.verify import AlteredRow, first_altered_row, stored_case
from core.formatting import counted, file_stem
from core.inference.confusion import ModelErrors

T = TypeVar("T")

_WAIT = 30.0  # seconds for another writer
_TRIES = 5
_KEPT_CASES = 8
_STALE = 86_400  # seconds after which an intake that was under way is taken for broken off
_NAMED_CELLS = 10  # of those that stop a signature, by why
_FILES_LOCK = 0x48656D62  # of PostgreSQL: files are registered and removed by one at a time


@dataclass(frozen=True)
class CaseSummary:
    """A line of the list of cases: ``open_alarms`` and ``unidentified`` cells stop a signature; ``reader`` decided
    last, at ``changed`` (UTC, ISO).
    """

    id: str
    sample: str
    note: str
    slides: tuple[str, ...]
    created: str
    cells: int
    state: State
    version: int
    open_alarms: int
    unidentified: int
    decisions: int
    reader: str
    changed: str


# Within the store `list` is the list of cases.
Summaries: TypeAlias = list[CaseSummary]
Decisions: TypeAlias = list[Decision]


def open_store(url: str | None = None) -> "CaseStore":
    """The store at ``url`` (None: ``HEMALENS_DATABASE``, else a file in `paths.cases_root`), made or brought up to date
    where needed; the same one each time within a process. Raises `CaseError`.
    """
    folder = paths.cases_root()
    url = url or os.environ.get("HEMALENS_DATABASE") or f"sqlite:///{(folder / 'cases.sqlite3').as_posix()}"
    return _store(url, folder, os.getpid())


@lru_cache(maxsize=8)
def _store(url: str, folder: Path, _process: int) -> "CaseStore":
    return CaseStore(url, folder)


class CaseStore:
    """The cases in the database ``url``, their pictures below ``folder``. Any number of threads and processes may use
    it at once. Raises `CaseError` where the database can't be used.
    """

    def __init__(self, url: str, folder: Path):
        self.folder, self._url = folder, _checked_url(url)
        self.files = CaseFiles(folder / "pictures")
        self._lock = Lock()
        self._known: OrderedDict[str, Case] = OrderedDict()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._bring_up_to_date()
            self._engine = _engine(self._url, guarded=True)
        except OSError as error:
            raise StoreUnavailable(f"The folder of cases {folder} can't be used ({error.strerror}).") from error
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)
        self._clear_left_overs()

    @property
    def location(self) -> str:
        """Where the database lies, without a password."""
        return self._url.render_as_string(hide_password=True)

    def _bring_up_to_date(self) -> None:
        engine = _engine(self._url, guarded=False, poolclass=NullPool)

        def look() -> bool:
            with engine.connect() as connection:
                return migrations.is_current(connection)

        def upgrade() -> None:
            with engine.execution_options(writes=True).begin() as connection:
                migrations.upgrade(connection)

        if not _retried(look):
            _retried(upgrade)

    def _write(self, work: Callable[[Session], T]) -> T:
        """What ``work`` returns in a transaction of its own, tried again where another writer was in the way."""

        def once() -> T:
            with self._sessions(bind=self._engine.execution_options(writes=True)) as session, session.begin():
                return work(session)

        return _retried(once)

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        """All that is read within is of one moment."""
        engine = self._engine
        if engine.dialect.name == "postgresql":
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        try:
            with self._sessions(bind=engine) as session:
                yield session
        except SQLAlchemyError as error:
            raise _database_error(error) from error

    def list(self) -> Summaries:
        """All cases, the one changed last first."""
        with self._reading() as session:
            found = session.execute(
                sa.select(CaseRow, HeadRow)
                .join(HeadRow, HeadRow.case_id == CaseRow.id)
                .order_by(HeadRow.changed.desc())
            )
            return [_summary(case, head) for case, head in found]

    def ids(self) -> Sequence[str]:
        """The ids of all cases of which anything is there, in order."""
        with self._reading() as session:
            found = session.scalars(sa.union(sa.select(CaseRow.id), sa.select(DecisionRow.case_id)))
            return sorted(found, key=str)  # whoever wrote past the store may have left one that is no text

    def full_id(self, beginning: str) -> str:
        """The id of the one case whose id begins so, or whose sample is called exactly so. Raises `UnknownCase`, also
        where one case's sample is the beginning of another's id.
        """
        summaries = self.list()
        found = [s.id for s in summaries if s.id == beginning]
        found = found or [
            s.id for s in summaries if s.sample == beginning or (len(beginning) >= 4 and s.id.startswith(beginning))
        ]
        if len(found) == 1:
            return found[0]
        problem = f"{len(found)} cases are called" if found else "No case is called"
        raise UnknownCase(f"{problem} {beginning!r}: use the id that `cases list` shows.")

    def case(self, case_id: str, *, verified: bool = False) -> Case:
        """The case as it is now; ``verified``: as the database has it, all its rows looked at, for what leaves the
        house. Raises `UnknownCase`, `CaseAltered` for a log, and if ``verified`` any row, that was altered.
        """
        with self._reading() as session:
            if verified:
                if altered := first_altered_row(session, case_id):
                    raise CaseAltered(f"Case {case_id} was altered: {altered.text}")
                with self._lock:
                    self._known.pop(case_id, None)
            return self._current(session, case_id)

    def _current(self, session: Session, case_id: str, lock: bool = False) -> Case:
        """The case at its head, from memory as far as that is known; ``lock`` keeps other writers out. Without it, what
        another thread has written since is no harm.
        """
        query = sa.select(HeadRow.head, HeadRow.count).where(HeadRow.case_id == case_id)
        at = session.execute(query.with_for_update() if lock else query).first()
        if at is None:
            raise UnknownCase(f"There is no case {case_id}: it was deleted, or lies in another database.")
        head, count = at
        with self._lock:
            case = self._known.get(case_id)
        if case and len(case.decisions) >= count and case.decisions[count - 1].hash == head and not lock:
            return case
        if case is None or len(case.decisions) > count or (len(case.decisions) == count and case.head != head):
            with _nothing_to_collect():
                try:
                    case = self._taken_in(session, case_id)
                except (TypeError, ValueError, KeyError, AttributeError) as error:  # rows that nobody wrote so
                    raise _altered(case_id) from error
        if len(case.decisions) < count:
            new = self._decisions(session, case_id, len(case.decisions))[: count - len(case.decisions)]
            there = {cell.number for cell in case.cells}
            wanted = [d.cell for d in new if d.action == "add" and d.cell not in there]
            added = []
            if wanted:
                table = CellRow.__table__
                query = sa.select(table).where(table.c.case_id == case_id, table.c.number.in_(wanted))
                digests = {d.cell: d.digest for d in new if d.action == "add"}
                for row in session.execute(query.order_by(table.c.number)).mappings():
                    if rows.row_digest(row) != digests[row["number"]]:
                        raise _altered(case_id)
                    added.append(rows.cell_of(row))
                if len(added) != len(wanted):
                    raise _altered(case_id)
            follows = not new or new[0].previous == case.head
            if not follows or not new or new[-1].hash != head:
                raise _altered(case_id)
            try:
                case = case.after(new, added)
            except (KeyError, IndexError) as error:  # about cells that aren't there
                raise _altered(case_id) from error
        self._remember(case)
        return case

    def _remember(self, case: Case) -> None:
        with self._lock:
            known = self._known.get(case.id)
            if known is None or len(known.decisions) <= len(case.decisions):
                self._known[case.id] = case
            self._known.move_to_end(case.id)
            while len(self._known) > _KEPT_CASES:
                self._known.popitem(last=False)

    def _taken_in(self, session: Session, case_id: str) -> Case:
        """The case before any decision."""
        cases, pictures, cells, sheets = CaseRow.__table__, PictureRow.__table__, CellRow.__table__, SheetRow.__table__
        row = session.execute(sa.select(cases).where(cases.c.id == case_id)).mappings().one()
        query = sa.select(pictures).where(pictures.c.case_id == case_id).order_by(pictures.c.number)
        in_pictures = [rows.picture_of(picture) for picture in rows.read(session, query)]
        query = sa.select(cells).where(cells.c.case_id == case_id, cells.c.added_by == "").order_by(cells.c.number)
        in_cells = [rows.cell_of(cell) for cell in rows.read(session, query)]
        query = sa.select(sa.func.count()).select_from(sheets).where(sheets.c.case_id == case_id)
        return rows.case_of(row, in_pictures, in_cells, session.execute(query).scalar_one())

    def decisions(self, case_id: str, after: int = 0) -> Decisions:
        """The log from the row that follows ``after`` on. Raises `UnknownCase`."""
        with self._reading() as session:
            found = self._decisions(session, case_id, after)
            if not found and not session.get(HeadRow, case_id):
                raise UnknownCase(f"There is no case {case_id}.")
            return found

    def _decisions(self, session: Session, case_id: str, after: int) -> Decisions:
        table = DecisionRow.__table__
        query = sa.select(table).where(table.c.case_id == case_id, table.c.seq > after).order_by(table.c.seq)
        found, previous = rows.read(session, query), None
        for row in found:
            if not rows.is_sealed(row, rows.decision_digest) or row["previous"] != (previous or row["previous"]):
                raise _altered(case_id)
            previous = row["hash"]
        return [rows.decision_of(row) for row in found]

    def create(
        self,
        reader: Reader,
        *,
        sample: str,
        pictures: Sequence[CasePicture],
        cells: Sequence[CaseCell],
        codes: Sequence[str],
        run: str,
        dataset: str = "bloodmnist",
        run_hash: str = "",
        profile: str = "",
        profile_hash: str = "",
        specimen: str = "blood",
        note: str = "",
        unused: Sequence[UnusedFile] = (),
        errors: ModelErrors | None = None,
        laboratory: str = "",
        scale: str = "",
        sheets: Sequence[str] = (),
        draft: str = "",
    ) -> str:
        """Write a case down, whole or not at all; its id. ``sheets``: the SHA-256 of each; ``draft``: of `keep_files`,
        which kept the files of its pictures and sheets.
        """
        case_id = new_id()
        case = Case(
            id=case_id,
            origin=case_id,
            sample=_clean(sample, MOST_NAME),
            note=_clean(note, MOST_TEXT),
            specimen=specimen,
            dataset=dataset,
            codes=tuple(codes),
            run=run,
            run_hash=run_hash,
            profile=profile,
            profile_hash=profile_hash,
            software=__version__,
            created=_now(),
            pictures=tuple(replace(p, name=_clean(p.name), slide=_clean(p.slide, MOST_NAME)) for p in pictures),
            cells=tuple(cells),
            unused=tuple(UnusedFile(*(_clean(part) for part in (f.name, f.reason, f.way_out))) for f in unused),
            errors=errors,
            laboratory=laboratory,
            scale=scale,
            sheets=len(sheets),
        ).begun()
        if not case.sample:
            raise CaseError("A case needs an id of its sample (an id, not a name).")
        if [cell.number for cell in case.cells] != list(range(1, len(cells) + 1)):
            raise CaseError("The cells of a case are numbered from 1 on.")
        if [picture.number for picture in case.pictures] != list(range(1, len(pictures) + 1)):
            raise CaseError("The pictures of a case are numbered from 1 on.")
        row = rows.case_row(case)
        picture_rows = [rows.picture_row(case_id, picture) for picture in case.pictures]
        cell_rows = [rows.cell_row(case_id, cell) for cell in case.cells]
        sheet_rows = [{"case_id": case_id, "number": n, "sha256": sha256} for n, sha256 in enumerate(sheets)]
        hashes = ([r["hash"] for r in picture_rows], [r["hash"] for r in cell_rows])
        facts = rows.facts_digest(row, *hashes, sheets)
        first = self._decision(case, case, _checked_reader(reader), NewDecision("open"), "", "open", facts)

        def work(session: Session) -> None:
            self._insert_case(session, row, picture_rows, cell_rows, sheet_rows)
            self._append(session, case.after([first]), [first], is_new=True)
            session.execute(sa.delete(PendingRow).where(PendingRow.draft == draft))

        os.sync()  # the pictures reach the disk before the case that names them
        self._write(work)
        return case_id

    def _insert_case(self, session: Session, case: rows.Row, *tables: Sequence[rows.Row]) -> None:
        for table, new in zip((CaseRow, PictureRow, CellRow, SheetRow), ([case], *tables), strict=True):
            if new:
                session.execute(sa.insert(table), new)

    def _append(self, session: Session, case: Case, new: Sequence[Decision], is_new: bool = False) -> None:
        """Write ``new`` into the log of ``case``, which is as it is after them, and where it ends now."""
        session.execute(sa.insert(DecisionRow), [rows.decision_row(case.id, decision) for decision in new])
        head = rows.head_row(case)
        if is_new:
            session.execute(sa.insert(HeadRow), [head])
        else:
            session.execute(sa.update(HeadRow).where(HeadRow.case_id == case.id).values(**head))

    def keep_files(self, contents: Iterable[bytes], draft: str) -> Sequence[str]:
        """Store files for a case that is being made, each content once; their SHA-256 in that order. ``draft``: any id
        of the intake, which `create` is given in the end.
        """
        contents = list(contents)
        hashes = [content_hash(content) for content in contents]

        def register(session: Session) -> None:
            self._lock_files(session)
            known = set(
                session.scalars(
                    sa.select(PendingRow.sha256).where(PendingRow.draft == draft, PendingRow.sha256.in_(hashes))
                )
            )
            new = [{"draft": draft, "sha256": h, "at": _now()} for h in dict.fromkeys(hashes) if h not in known]
            if new:
                session.execute(sa.insert(PendingRow), new)

        self._write(register)
        for content in contents:
            self.files.keep(content)
        return hashes

    def discard(self, draft: str) -> None:
        """Take away what `keep_files` stored for an intake that came to nothing."""

        def work(session: Session) -> None:
            self._lock_files(session)
            hashes = list(session.scalars(sa.select(PendingRow.sha256).where(PendingRow.draft == draft)))
            session.execute(sa.delete(PendingRow).where(PendingRow.draft == draft))
            self._remove_unused(session, hashes)

        self._write(work)

    def _clear_left_overs(self) -> None:
        """Take away what intakes left behind that were killed."""
        before = datetime.fromtimestamp(time.time() - _STALE, UTC).isoformat(timespec="milliseconds")
        with self._reading() as session:
            drafts = set(session.scalars(sa.select(PendingRow.draft).where(PendingRow.at < before)))
        for draft in drafts:
            with suppress(StoreUnavailable):  # another day: what can't be removed stops nobody
                self.discard(draft)

    def _lock_files(self, session: Session) -> None:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _FILES_LOCK})

    def _remove_unused(self, session: Session, hashes: Iterable[str]) -> None:
        """Delete those files that no case and no intake under way needs."""
        for sha256 in dict.fromkeys(hashes):
            places = (PictureRow.sha256, SheetRow.sha256, CellRow.tile, PendingRow.sha256)
            if not any(session.execute(sa.select(sa.literal(1)).where(p == sha256).limit(1)).first() for p in places):
                self.files.remove(sha256)

    def decide(self, case_id: str, reader: Reader, new: Sequence[NewDecision]) -> Decisions:
        """Write down what ``reader`` decided, all of it or nothing, and return the rows; those whose ``client`` id is
        there already are returned as they are. Raises `UnknownCase`, `CaseIsSigned`, `UnknownCell`, `CaseChanged`,
        `CaseError` for an id that another decision has.
        """
        reader, new = _checked_reader(reader), [_with_clean_ids(decision) for decision in new]

        def work(session: Session) -> tuple[Case, Decisions]:
            case = self._current(session, case_id, lock=True)
            replay = Replay(case)
            known = self._by_client(session, case_id, [decision.client for decision in new])
            written: Decisions = []
            result = []
            for decision in new:
                if there := known.get(decision.client):
                    result.append(_checked_same(there, decision, _undone(replay, decision, known)))
                    continue
                row = self._next(case, replay, reader, decision, known)
                replay.add(row)
                known[row.client] = row
                written.append(row)
                result.append(row)
            if written:
                case = replay.case()
                self._append(session, case, written)
            return case, result

        case, result = self._write(work)
        self._remember(case)
        return result

    def _by_client(self, session: Session, case_id: str, clients: Sequence[str]) -> dict[str, Decision]:
        wanted = [client for client in clients if client]
        if not wanted:
            return {}
        table = DecisionRow.__table__
        query = sa.select(table).where(table.c.case_id == case_id, table.c.client.in_(wanted))
        return {row["client"]: rows.decision_of(row) for row in session.execute(query).mappings()}

    def _next(
        self, case: Case, replay: Replay, reader: Reader, new: NewDecision, known: dict[str, Decision]
    ) -> Decision:
        """The row that ``new`` becomes at the end of the log of ``case``, which is at ``replay`` by now. Raises as
        `decide` does.
        """
        if replay.state == "signed":
            raise CaseIsSigned(f"Case {case.sample} is signed and can't be changed. Amend it to open a new version.")
        if new.action in CASE_ACTIONS:
            if new.action == "review" and replay.open_cells:
                raise _not_reviewed(replay.case(), "be called reviewed")
            after = STATE_AFTER.get(new.action, replay.state)
            return self._decision(case, replay, reader, replace(new, cell=None, undoes=None), replay.state, after)
        if new.action not in CELL_ACTIONS:
            raise CaseError(f"{new.action!r} is nothing that can be decided so.")
        new = _checked_undo(replay, new, known) if new.action == "undo" else replace(new, undoes=None)
        reading = replay.readings.get(new.cell) if type(new.cell) is int else None  # neither True nor 1.0 is cell 1
        if reading is None or (reading.withdrawn and new.action != "undo"):
            raise UnknownCell(f"Case {case.sample} has no cell {new.cell}.")
        last = reading.history[-1] if reading.history else None
        if new.seen is not None and last and last.seq > new.seen and last.reader != reader:
            raise CaseChanged(f"{last.reader.name} decided about cell {new.cell} in between. Look at it again.")
        if new.action == "assign" and new.new and new.new not in case.assignable:
            raise UnknownCell(f"{new.new!r} is no class here; there are: {', '.join(case.assignable)}.")
        row = self._decision(case, replay, reader, new, reading.code, new.new)
        if new.action == "assign":
            return row
        return rows.sealed(replace(row, new=replay.reading_with(row).code))

    def _decision(
        self,
        case: Case,
        log: Case | Replay,
        reader: Reader,
        new: NewDecision,
        old: str,
        after: str,
        digest: str = "",
    ) -> Decision:
        """The next row of ``log``, which is of ``case``."""
        return rows.sealed(
            Decision(
                seq=len(log.decisions) + 1,
                at=_now(),
                reader=reader,
                action=new.action,
                cell=new.cell,
                old=old,
                new=after,
                reason=_clean(new.reason, MOST_NAME),
                text=_clean(new.text, MOST_TEXT),
                model=f"{case.run} {case.run_hash}".strip(),
                profile=f"{case.profile} {case.profile_hash}".strip(),
                client=new.client or uuid.uuid4().hex,
                undoes=new.undoes,
                previous=log.head,
                hash="",
                digest=digest,
            )
        )

    def _once(
        self, case_id: str, reader: Reader, new: NewDecision, check: Callable[[Case], tuple[str, ...]]
    ) -> Decision:
        """Write one decision of the case, whose old and new state, and digest where it has one, ``check`` tells, unless
        it is there already.
        """
        reader, new = _checked_reader(reader), _with_clean_ids(new)

        def work(session: Session) -> tuple[Case, Decision]:
            case = self._current(session, case_id, lock=True)
            if there := self._by_client(session, case_id, [new.client]):
                return case, _checked_same(there[new.client], new)
            row = self._decision(case, case, reader, new, *check(case))
            case = case.after([row])
            self._append(session, case, [row])
            return case, row

        case, row = self._write(work)
        self._remember(case)
        return row

    def sign(
        self, case_id: str, reader: Reader, text: str = "", client: str = "", *, seen: int | None = None
    ) -> Decision:
        """Sign the case, which is read-only from then on. `Decision.digest` tells by which limits its flags are raised
        (`core.cases.limits.limits_hash`). ``seen``: the `Decision.seq` that the reader's screen had reached; where
        another reader decided about a cell since, `CaseChanged` is raised. Raises `NotReviewed` while a
        cell that asks for a look was not reviewed, `CaseAltered` where the log is not what was written down,
        `CaseIsSigned`, `LimitsError`.
        """

        who, limits = _checked_reader(reader), current_limits()

        def check(case: Case) -> tuple[str, str, str]:
            if case.state == "signed":
                raise CaseIsSigned(f"Case {case.sample} is signed already. Amend it to open a new version.")
            if case.open_cells:
                raise _not_reviewed(case, "be signed")
            if not case.pictures:
                raise CaseError(f"Case {case.sample} has no picture: there is nothing to sign.")
            since = [] if seen is None else [d for d in case.decisions if d.seq > seen and d.reader != who]
            if since:
                raise CaseChanged(f"{_changes_text(since)} Look at the case as it is now, then sign it.")
            return case.state, "signed", limits_hash(case.specimen, limits)

        if altered := self.verify(case_id, files=True):
            raise CaseAltered(f"The case can't be signed: {altered.text}")
        return self._once(case_id, reader, NewDecision("sign", text=text, client=client), check)

    def amend(self, case_id: str, reader: Reader, reason: str, client: str = "") -> Decision:
        """Open a new version of a signed case; ``reason``: why, which must be said. Raises `CaseError`."""

        def check(case: Case) -> tuple[str, str]:
            if case.state != "signed":
                raise CaseError(f"Case {case.sample} is not signed: it can be changed without an amendment.")
            return "signed", "open"

        if not _clean(reason):
            raise CaseError("Say why the signed case is amended.")
        return self._once(case_id, reader, NewDecision("amend", text=reason, client=client), check)

    def add_cell(
        self,
        case_id: str,
        reader: Reader,
        picture: int,
        box: tuple[int, int, int, int],
        prediction: CellPrediction,
        tile: bytes,
        client: str = "",
    ) -> CaseCell:
        """Add a cell that ``reader`` found in a field; ``tile``: its picture as `core.cases.sprites` encodes one.
        Raises as `decide` does.
        """
        reader, draft, client = _checked_reader(reader), uuid.uuid4().hex, _client_id(client)
        (sha256,) = self.keep_files([tile], draft)

        place = picture, tuple(int(side) for side in box)

        def work(session: Session) -> tuple[Case, int]:
            case = self._current(session, case_id, lock=True)
            if there := self._by_client(session, case_id, [client]):
                known = case.readings.get(there[client].cell or 0)
                if known is None or there[client].action != "add" or (known.cell.picture, known.cell.box) != place:
                    raise _another(there[client])
                return case, known.cell.number
            if case.state == "signed":
                raise CaseIsSigned(f"Case {case.sample} is signed and can't be changed. Amend it first.")
            if case.picture(picture).kind != "field":
                raise UnknownCell(f"Picture {picture} is no field: it shows one cell.")
            cell = CaseCell(max((c.number for c in case.cells), default=0) + 1, picture, box, prediction, reader.name)
            row = rows.cell_row(case_id, cell, sha256)
            cell = rows.cell_of(row)
            new = NewDecision("add", cell=cell.number, client=client)
            decision = self._decision(case, case, reader, new, "", prediction.code, row["hash"])
            case = case.after([decision], [cell])
            session.execute(sa.insert(CellRow), [row])
            self._append(session, case, [decision])
            return case, cell.number

        try:
            case, number = self._write(work)
        finally:
            self.discard(draft)  # which leaves what the case needs
        self._remember(case)
        return case.readings[number].cell

    def verify(self, case_id: str, files: bool = False) -> AlteredRow | None:
        """The first row of the case that is not as it was written down, None where all are; ``files``: its pictures are
        read as well. Raises `UnknownCase`.
        """
        with self._reading() as session:
            return first_altered_row(session, case_id, self.files if files else None)

    def delete(self, case_id: str, reader: Reader, *, even_if_signed: bool = False) -> None:
        """Delete the case and those of its pictures that no other one uses; that it was is kept. Raises `CaseIsSigned`
        for a signed one unless ``even_if_signed``, `UnknownCase`.
        """
        reader, draft = _checked_reader(reader), uuid.uuid4().hex

        def work(session: Session) -> None:
            self._lock_files(session)
            query = sa.select(HeadRow.head, HeadRow.state).where(HeadRow.case_id == case_id).with_for_update()
            at = session.execute(query).first()
            if at is None:
                raise UnknownCase(f"There is no case {case_id}.")
            signed = _is_signed(session, case_id)
            if signed and not even_if_signed:
                raise CaseIsSigned(
                    f"Case {case_id} is signed: a signed case is deleted only where that is said plainly."
                )
            hashes, at_once = case_files(session, case_id), _now()
            deletion = {
                "case_id": case_id,
                "at": at_once,
                "reader": reader.text,
                "was_signed": int(signed),
                "head": at[0],
            }
            session.execute(sa.insert(DeletionRow), [deletion])
            for table in (HeadRow, DecisionRow, SheetRow, CellRow, PictureRow):
                session.execute(sa.delete(table).where(table.case_id == case_id))
            session.execute(sa.delete(CaseRow).where(CaseRow.id == case_id))
            pending = [{"draft": draft, "sha256": sha256, "at": at_once} for sha256 in hashes]
            if pending:  # so that none stays behind where what follows is broken off
                session.execute(sa.insert(PendingRow), pending)

        self._write(work)
        with self._lock:
            self._known.pop(case_id, None)
        try:
            self.discard(draft)  # no file goes before it is certain that the case has gone
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"The case is deleted, but not yet its pictures, which go when HemaLens starts a day from now: {error}"
            ) from error

    def export(self, case_id: str, path: Path) -> Path:
        """Write the whole case with its pictures into one ZIP, ``path`` or in the folder ``path``; where it lies then.
        Raises `CaseAltered` for a case that is not what was written down, `CaseError`.
        """
        with self._reading() as session:
            if altered := first_altered_row(session, case_id, self.files):
                raise CaseAltered(f"The case can't be exported: {altered.text}")
            stored = stored_case(session, case_id)
        assert stored
        if path.is_dir():
            path = path / f"{file_stem(stored.case['sample'])}-{case_id[:8]}.zip"
        hashes = dict.fromkeys(sha256 for _, _, sha256 in stored.files)
        write_archive(path, stored, ((sha256, self.files.read(sha256)) for sha256 in hashes))
        return path

    def load(self, path: Path, reader: Reader, *, as_copy: bool = False) -> str:
        """Take over a case that `export` wrote, here or elsewhere, everything in it checked; its id. One that is here,
        or was deleted here, is refused, unless ``as_copy`` gives it a new id. Raises `InvalidArchive`, `CaseError`.
        """
        reader, draft = _checked_reader(reader), uuid.uuid4().hex
        with CaseArchive(path) as archive:
            imported = f"{_now()} by {reader.text}"
            stored = archive.stored(new_id() if as_copy else None, imported)
            case_id = stored.case["id"]

            def work(session: Session) -> None:
                if session.get(CaseRow, case_id) or session.get(DeletionRow, case_id):
                    raise CaseError(
                        f"Case {stored.case['sample']} ({case_id}) is here already, or was deleted here. Import it as "
                        "a copy to keep it under another id."
                    )
                first = [cell for cell in stored.cells if not cell["added_by"]]
                added = stored.cells[len(first) :]
                self._insert_case(session, stored.case, stored.pictures, first, stored.sheets)
                session.execute(sa.insert(DecisionRow), list(stored.decisions[:1]))
                if added:
                    session.execute(sa.insert(CellRow), list(added))
                if len(stored.decisions) > 1:
                    session.execute(sa.insert(DecisionRow), list(stored.decisions[1:]))
                session.execute(sa.insert(HeadRow), list(stored.head))
                session.execute(sa.delete(PendingRow).where(PendingRow.draft == draft))

            try:
                for content in archive.contents(stored):
                    self.keep_files([content], draft)
                os.sync()
                self._write(work)
            except BaseException:
                self.discard(draft)
                raise
        return case_id

    def picture_bytes(self, sha256: str) -> bytes:
        """A picture's file as it came. Raises `CaseError`."""
        return self.files.read(sha256)

    def sheet(self, case_id: str, number: int) -> bytes:
        """The sheet ``number`` from 0 on of the cells' tiles, WebP; `core.cases.sprites.place` says where a cell is.
        Those that hold cells that readers added are made when asked for. Raises `CaseError`.
        """
        from core.cases.sprites import TILES_A_SHEET, sheet_of_tiles

        with self._reading() as session:
            sha256 = session.scalars(
                sa.select(SheetRow.sha256).where(SheetRow.case_id == case_id, SheetRow.number == number)
            ).first()
            if sha256:
                return self.files.read(sha256)
            case = self._current(session, case_id)
            first = (number - case.sheets) * TILES_A_SHEET
            query = (
                sa.select(CellRow.tile).where(CellRow.case_id == case_id, CellRow.tile != "").order_by(CellRow.number)
            )
            tiles = list(session.scalars(query))[first : first + TILES_A_SHEET] if first >= 0 else []
        if not tiles:
            raise UnknownCell(f"Case {case_id} has no sheet {number}.")
        return sheet_of_tiles([self.files.read(tile) for tile in tiles])


def case_files(session: Session, case_id: str) -> Sequence[str]:
    """The SHA-256 of every file that a case needs, each once: pictures, sheets, tiles."""
    places = (PictureRow, PictureRow.sha256), (SheetRow, SheetRow.sha256), (CellRow, CellRow.tile)
    found: dict[str, None] = {}
    for table, place in places:
        query = sa.select(place).where(table.case_id == case_id, place != "").order_by(table.number)
        found |= dict.fromkeys(session.scalars(query))
    return list(found)


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """For making tens of thousands of objects that all stay: a third of the time went into looking for garbage."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _altered(case_id: str) -> CaseAltered:
    return CaseAltered(f"Case {case_id} was altered: `python -m core cases verify` says where.")


def _is_signed(session: Session, case_id: str) -> bool:
    query = sa.select(DecisionRow.action).where(
        DecisionRow.case_id == case_id, DecisionRow.action.in_(("sign", "amend"))
    )
    return session.scalars(query.order_by(DecisionRow.seq.desc()).limit(1)).first() == "sign"


def _summary(case: CaseRow, head: HeadRow) -> CaseSummary:
    return CaseSummary(
        case.id,
        case.sample,
        case.note,
        _slides(case.slides),
        case.created,
        head.cells,
        cast(State, head.state),
        head.version,
        head.open_alarms,
        head.unidentified,
        head.count,
        head.reader,
        head.changed,
    )


def _slides(content: str) -> tuple[str, ...]:
    """Those of a row; none where it was altered, which `CaseStore.verify` tells."""
    try:
        return tuple(map(str, json.loads(content)))
    except (ValueError, TypeError):
        return ()


def _not_reviewed(case: Case, what: str) -> NotReviewed:
    """Names the first of the cells, by why they stop it."""
    why: dict[str, list[int]] = {}
    for reading in case.unreviewed:
        why.setdefault(reading.open_reason, []).append(reading.cell.number)
    told = []
    for reason, numbers in why.items():
        shown = ", ".join(str(number) for number in numbers[:_NAMED_CELLS])
        more = f" and {len(numbers) - _NAMED_CELLS:,} more" if len(numbers) > _NAMED_CELLS else ""
        told.append(f"{reason}: {shown}{more}")
    count = f"{counted(len(case.open_cells), 'cell')} {'is' if len(case.open_cells) == 1 else 'are'}"
    return NotReviewed(sorted(case.open_cells), f"The case can't {what} before {count} looked at ({'; '.join(told)}).")


def _checked_undo(log: Replay, new: NewDecision, known: dict[str, Decision]) -> NewDecision:
    """``new`` with the row and cell that it takes back. Raises `UnknownCell`, `CaseChanged`."""
    seq = _undone(log, new, known)
    if type(seq) is not int or not 1 <= seq <= len(log.decisions):
        raise UnknownCell("The decision that is to be taken back isn't there.")
    target = log.decisions[seq - 1]
    if target.cell is None:
        raise UnknownCell(f"Decision {seq} ({target.action}) can't be taken back: it is none about a cell.")
    history = log.readings[target.cell].history
    if target.action == "undo":
        stands = _undo_stands(history, seq)
    else:
        stands = any(decision.seq == seq for decision in standing(history))
    if not stands:
        raise CaseChanged(f"Decision {seq} was taken back already.")
    return replace(new, undoes=seq, cell=target.cell)


def _undone(log: Replay, new: NewDecision, known: dict[str, Decision]) -> int | None:
    """The ``seq`` of the row that ``new`` would take back, None where it names none that is there."""
    if not new.undoes_client:
        return new.undoes
    named = known.get(new.undoes_client)
    named = named or next((d for d in reversed(log.decisions) if d.client == new.undoes_client), None)
    return named.seq if named else None


def _client_id(text: str) -> str:
    """As the log has it. Raises `CaseError` for one that is too long to be told from others."""
    text = _clean(text, MOST_TEXT)
    if len(text) > MOST_NAME:
        raise CaseError(f"The id of a decision has at most {MOST_NAME} letters: {text[:40]}...")
    return text


def _with_clean_ids(new: NewDecision) -> NewDecision:
    return replace(new, client=_client_id(new.client), undoes_client=_client_id(new.undoes_client))


def _checked_same(there: Decision, new: NewDecision, undone: int | None = None) -> Decision:
    """``there``, which has the id of ``new``, where ``new`` is that decision once more; ``undone``: what an undo takes
    back. Raises `CaseError` for another one.
    """
    same = there.action == new.action
    same = same and (there.reason, there.text) == (_clean(new.reason, MOST_NAME), _clean(new.text, MOST_TEXT))
    if new.action == "undo":
        same = same and there.undoes == undone
    elif new.action in CELL_ACTIONS:
        same = same and there.cell == new.cell and (new.action != "assign" or there.new == new.new)
    if not same:
        raise _another(there)
    return there


def _another(there: Decision) -> CaseError:
    return CaseError(
        f"Row {there.seq} of the log ({there.action}) has that id already: one id is of one decision only."
    )


def _undo_stands(history: Sequence[Decision], seq: int) -> bool:
    """Whether the undo ``seq`` is taken back by none that stands itself."""
    undone: set[int] = set()
    for decision in reversed(history):
        if decision.seq == seq:
            return seq not in undone
        if decision.action == "undo" and decision.seq not in undone:
            undone.add(decision.undoes or 0)
    return False


def _checked_reader(reader: Reader) -> Reader:
    name = _clean(reader.name, MOST_NAME)
    if not name:
        raise CaseError("Say who decides: a reader's name is missing.")
    return Reader(name, bool(reader.verified), _clean(reader.subject, MOST_NAME))


def _clean(text: str, most: int = 1_000) -> str:
    """``text`` as every database takes it: no NUL, no halves of letters, not without end."""
    text = text.replace("\0", "").encode("utf-8", "backslashreplace").decode()
    return text.strip()[:most]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _changes_text(since: Decisions) -> str:
    """What others did meanwhile, of whom the last is named."""
    last, cells = since[-1], {decision.cell for decision in since if decision.cell is not None}
    what = {"reopen": "opened the case again", "review": "marked the case as reviewed", "note": "wrote a note"}
    did = what.get(last.action, f"decided about cell {last.cell}")
    return f"{last.reader.name} {did} after what you saw ({counted(len(cells), 'cell')} in all)."


def _checked_url(url: str) -> URL:
    advice = "use postgresql+psycopg://user@host/name"
    try:
        checked = make_url(url)
    except (ArgumentError, ValueError) as error:  # which isn't shown: a password may stand in it
        raise CaseError(f"What HEMALENS_DATABASE says names no database: {advice}.") from error
    if checked.drivername == "postgresql":
        checked = checked.set(drivername="postgresql+psycopg")
    if checked.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise CaseError(f"Cases can't be kept in {checked.drivername}: {advice}.")
    if checked.get_backend_name() == "sqlite" and (checked.query or checked.database in (None, "", ":memory:")):
        raise CaseError("Cases are kept in a file: use sqlite:////folder/cases.sqlite3, without options.")
    return checked


def _engine(url: URL, *, guarded: bool, poolclass: type[Pool] | None = None) -> sa.Engine:
    """``guarded``: whether statements that would take the triggers away are refused, as far as the database can."""
    if url.get_backend_name() == "postgresql":
        return sa.create_engine(url, poolclass=poolclass, pool_pre_ping=True)
    engine = sa.create_engine(url, poolclass=poolclass, connect_args={"timeout": _WAIT})

    @sa.event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions begin below, those that write at once as such
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON"):
            connection.execute(f"PRAGMA {pragma}")
        if guarded:
            connection.set_authorizer(_allowed)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


_DENIED = {
    *(sqlite3.SQLITE_DROP_TRIGGER, sqlite3.SQLITE_DROP_TABLE, sqlite3.SQLITE_DROP_INDEX, sqlite3.SQLITE_ALTER_TABLE),
    *(sqlite3.SQLITE_CREATE_TRIGGER, sqlite3.SQLITE_CREATE_TEMP_TRIGGER, sqlite3.SQLITE_CREATE_TEMP_TABLE),
    *(sqlite3.SQLITE_CREATE_TEMP_VIEW, sqlite3.SQLITE_ATTACH),
}


def _allowed(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """SQLite's word for whether a statement may be run: not what takes the triggers away, nor what sets them aside."""
    if action in _DENIED or (action == sqlite3.SQLITE_PRAGMA and second is not None and first not in _READING_PRAGMAS):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


_READING_PRAGMAS = {"table_info", "table_xinfo", "index_list", "index_info", "foreign_key_list"}


def _retried(work: Callable[[], T]) -> T:
    """What ``work`` returns, tried again while another writer is in the way. Raises `StoreUnavailable`."""
    for attempt in range(_TRIES):
        try:
            return work()
        except OperationalError as error:
            if attempt + 1 == _TRIES or error.connection_invalidated:
                raise _database_error(error) from error
            time.sleep(0.05 * 2**attempt)
        except (SQLAlchemyError, NoSuchModuleError) as error:
            raise _database_error(error) from error
    raise AssertionError("unreachable")


def _database_error(error: SQLAlchemyError) -> StoreUnavailable:
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()
    return StoreUnavailable(
        f"The database of cases can't be used ({reason[0] if reason else type(error).__name__}). Check the setting "
        "HEMALENS_DATABASE, the room on the disk and the permissions of the folder."
    )
