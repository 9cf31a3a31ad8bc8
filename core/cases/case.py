"""A case: what was taken in of one slide or more, what the model said of each cell, and what readers decided since.

What is taken in never changes. All that happens afterwards is a `Decision`, which is only ever added; the state of a
cell and of the case is what replaying them comes to (`Case.after`), so that the same decisions give the same report.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from core.cases.differential import CODES, CountedCell, Differential, differential
from core.errors import HemaLensError
from core.images.archives import UnusedFile
from core.inference.confusion import ModelErrors

Action = Literal["open", "add", "assign", "unidentified", "skip", "undo", "note", "review", "reopen", "sign", "amend"]
CELL_ACTIONS = ("assign", "unidentified", "skip", "undo")  # what a reader decides of a cell that is there
CASE_ACTIONS = ("note", "review", "reopen")  # of the case; `sign` and `amend` have ways of their own
State = Literal["open", "reviewed", "signed"]
Status = Literal["unidentified", "reviewed", "model"]
# Why a reader decided so, to choose from; free text may stand beside it.
REASONS = (
    "nucleus",
    "cytoplasm or granules",
    "size",
    "looks abnormal",
    "smudged or broken",
    "blurred, cut or overlaid",
    "there twice",
    "second opinion",
    "slip of the hand",
)


class CaseError(HemaLensError):
    """Something can't be done with a case; the message says why and what to do."""


class StoreUnavailable(CaseError):
    """The database or the disk of the cases can't be used now (full, locked, gone): trying again later may help."""


class UnknownCase(CaseError):
    """No case has the id asked for."""


class UnknownCell(CaseError):
    """A decision is about a cell, class or decision that the case doesn't have."""


class CaseIsSigned(CaseError):
    """A signed case is read-only; an amendment opens a new version of it."""


class CaseChanged(CaseError):
    """Another reader decided about the same cell, or about any that is to be signed, since the reader looked."""


class CaseAltered(CaseError):
    """What is stored of a case is not what was written down; the message names the first altered row."""


class NotReviewed(CaseError):
    """A case can't be signed: ``cells`` are the numbers of those that somebody must look at first."""

    def __init__(self, cells: Sequence[int], message: str):
        super().__init__(message)
        self.cells = tuple(cells)


@dataclass(frozen=True)
class Reader:
    """Who decides: a ``name``; ``verified``: signed in through a provider (OIDC), where ``subject`` is their id."""

    name: str
    verified: bool = False
    subject: str = ""

    @property
    def text(self) -> str:
        """The name as every record shows it."""
        return self.name if self.verified else f"{self.name} (identity not verified)"


@dataclass(frozen=True)
class CasePicture:
    """A file of the case: ``number`` from 1 on, ``name`` as it was dropped (folders kept), its ``slide``, the SHA-256
    of its bytes (hex), ``width`` and ``height`` in px as decoded, ``notes`` of decoding, ``pixel_size`` in µm where
    it is known.
    """

    number: int
    name: str
    slide: str
    sha256: str
    kind: Literal["crop", "field"]
    width: int
    height: int
    notes: tuple[str, ...] = ()
    pixel_size: float | None = None


@dataclass(frozen=True)
class CellPrediction:
    """What the model said of a cell, as the case keeps it.

    ``code``: the class, '' where it saw no cell. ``probabilities``: in the order of the case's codes, () without a
    cell; ``prediction_set``: codes, likeliest first. ``alarm``: raised, may be abnormal; ``must_be_seen``: a look is
    asked for before it counts. ``check``: what the picture shows (`CellCheck.kind`). ``text``: one sentence for a
    person and a screen reader.
    """

    code: str
    kind: Literal["sure", "unsure", "not_a_cell"]
    probabilities: tuple[float, ...] = ()
    prediction_set: tuple[str, ...] = ()
    alarm: bool = False
    alarm_score: float | None = None
    must_be_seen: bool = False
    is_odd: bool = False
    check: str = "cell"
    notes: tuple[str, ...] = ()
    text: str = ""

    @property
    def asks_for_a_look(self) -> bool:
        """Whether somebody must look at it before the case is signed: alarms, immature cells in blood, the unsure."""
        return self.alarm or self.must_be_seen or self.kind == "unsure"

    @property
    def confidence(self) -> float:
        """The named class's probability, 0 where there is no cell."""
        return max(self.probabilities, default=0.0)


@dataclass(frozen=True)
class CaseCell:
    """A cell: ``number`` from 1 on in the case, never used again; ``picture``: the number of that it lies in; ``box``
    (left, top, right, bottom) in that picture's px, which may leave it; ``added_by``: who clicked it in a field.
    """

    number: int
    picture: int
    box: tuple[int, int, int, int]
    prediction: CellPrediction
    added_by: str = ""


@dataclass(frozen=True)
class NewDecision:
    """What a reader wants to have written down. ``client``: an id (uuid) from the reader's side: the same one is
    written once, however often it arrives. ``new``: a code, '' for no cell (`assign`). ``seen``: the `Decision.seq`
    that the reader's screen had reached; where another reader decided about the cell since, `CaseChanged` is raised;
    None asks for no such care. An undo names what it takes back by ``undoes``, its ``seq``, or by ``undoes_client``,
    its client id, which is known before it is written down.
    """

    action: Action
    cell: int | None = None
    new: str = ""
    reason: str = ""
    text: str = ""
    undoes: int | None = None
    client: str = ""
    seen: int | None = None
    undoes_client: str = ""


@dataclass(frozen=True)
class Decision:
    """A row of the log: number ``seq`` from 1 on, ``at`` (UTC, ISO 8601), by whom, what. ``old`` and ``new``: the
    cell's code (or the case's state) before and after; ``undoes``: the ``seq`` of another. ``model``, ``profile``:
    whose answer was decided upon. ``digest``: the hash of what came with it: all that was taken in (`open`), a cell
    (`add`), the limits that raised its flags (`sign`). ``previous``: the hash of the row before, '' for the first;
    ``hash``: of this row with that.
    """

    seq: int
    at: str
    reader: Reader
    action: Action
    cell: int | None
    old: str
    new: str
    reason: str
    text: str
    model: str
    profile: str
    client: str
    undoes: int | None
    previous: str
    hash: str
    digest: str = ""


@dataclass(frozen=True)
class CellReading:
    """What a cell counts as now. ``code``: its class, '' for no cell; ``by`` whom and ``at`` what time it was decided
    last, '' where nobody did; ``status``: 'reviewed' by a person, 'unidentified' (somebody must look), or the 'model'
    is believed. ``skipped``: looked at and left undecided; ``withdrawn``: was added and taken away again, in no count.
    ``history``: all decisions about it, oldest first.
    """

    cell: CaseCell
    code: str
    status: Status
    by: str = ""
    at: str = ""
    reason: str = ""
    text: str = ""
    skipped: bool = False
    withdrawn: bool = False
    history: tuple[Decision, ...] = ()

    @property
    def reviewed(self) -> bool:
        """Whether a person named it."""
        return self.status == "reviewed"

    @property
    def corrected(self) -> bool:
        """Whether a person named it otherwise than the model."""
        return self.reviewed and self.code != self.cell.prediction.code

    @cached_property
    def counted(self) -> CountedCell:
        """As the differential counts it."""
        alarm = self.cell.prediction.alarm and not self.reviewed
        return CountedCell(self.code, self.reviewed, self.status == "unidentified", alarm)

    @property
    def open_reason(self) -> str:
        """Why it stops a signature: 'may be abnormal', 'must be seen', 'unsure', 'put back'; '' where it doesn't."""
        if self.status != "unidentified" or self.withdrawn:
            return ""
        prediction = self.cell.prediction
        if prediction.alarm:
            return "may be abnormal"
        if prediction.must_be_seen:
            return "must be seen"
        return "unsure" if prediction.kind == "unsure" else "put back"


@dataclass(frozen=True)
class Case:
    """``id``: 32 hex digits. ``sample``: an id, not a name. ``specimen``: a key of `core.inference.specimen`.
    ``codes``: the model's classes, in the order of probabilities. ``run`` and ``run_hash``, ``profile`` ('': none) and
    ``profile_hash``: whose answers these are; ``errors``: how often they take which class for which, None where nobody
    measured it. ``laboratory``, ``scale``: what was told of all pictures together. ``version``: from 1 on, one more
    with each amendment. ``readings``: by the cell's number. ``head``: hash of the last decision. ``origin``: the id
    that it was made with, which is another where it was imported beside itself; ``imported``: when and by whom, '' for
    a case that was made here: who its readers are nobody here has seen. ``sheets``: how many the intake made
    (`core.cases.sprites`). ``open_cells``: the numbers of those that stop a signature.
    """

    id: str
    sample: str
    note: str
    specimen: str
    dataset: str
    codes: tuple[str, ...]
    run: str
    run_hash: str
    profile: str
    profile_hash: str
    software: str
    created: str
    pictures: tuple[CasePicture, ...]
    cells: tuple[CaseCell, ...]
    unused: tuple[UnusedFile, ...] = ()
    errors: ModelErrors | None = field(default=None, compare=False)
    laboratory: str = ""
    scale: str = ""
    state: State = "open"
    version: int = 1
    decisions: tuple[Decision, ...] = ()
    readings: Mapping[int, CellReading] = field(default_factory=dict)
    origin: str = ""
    imported: str = ""
    sheets: int = 0
    open_cells: frozenset[int] = frozenset()

    @property
    def head(self) -> str:
        """The hash of the last decision: changes whenever anything does."""
        return self.decisions[-1].hash if self.decisions else ""

    @cached_property
    def slides(self) -> tuple[str, ...]:
        """The slides' ids, each once, in order."""
        return tuple(dict.fromkeys(picture.slide for picture in self.pictures if picture.slide))

    @property
    def assignable(self) -> tuple[str, ...]:
        """The codes that a reader may give: the model's, and what only a person names."""
        others = sorted(CODES - set(self.codes)) if set(self.codes) <= CODES else []
        return (*self.codes, *others)

    @property
    def counted(self) -> list[CellReading]:
        """The readings of all cells but the withdrawn, in the order of their numbers."""
        return [self.readings[number] for number in sorted(self.readings) if not self.readings[number].withdrawn]

    @cached_property
    def unreviewed(self) -> tuple[CellReading, ...]:
        """The cells that stop a signature; `CellReading.open_reason` says why."""
        return tuple(self.readings[number] for number in sorted(self.open_cells))

    def begun(self) -> "Case":
        """The case with a reading of each of its cells, before any decision."""
        readings = {cell.number: reading_of(cell, ()) for cell in self.cells}
        open_cells = frozenset(number for number, reading in readings.items() if reading.open_reason)
        return replace(self, readings=readings, open_cells=open_cells)

    def differential(self, errors: ModelErrors | None = None) -> Differential:
        """What the cells come to by now; ``errors``: instead of the case's own."""
        return differential([reading.counted for reading in self.counted], self.codes, errors or self.errors)

    def picture(self, number: int) -> CasePicture:
        """The picture ``number``. Raises `UnknownCell` for one that it doesn't have."""
        if not 1 <= number <= len(self.pictures):
            raise UnknownCell(f"Case {self.sample} has no picture {number}.")
        return self.pictures[number - 1]

    def readings_by(self, reader: str) -> dict[int, CellReading]:
        """By the cell's number what it would count as, had ``reader`` (a name) alone decided: for a blinded reader, and
        to compare readers.
        """

        def alone(reading: CellReading) -> CellReading:
            own = [d for d in reading.history if d.action == "add" or d.reader.name == reader]
            return reading if len(own) == len(reading.history) else reading_of(reading.cell, own)

        return {number: alone(reading) for number, reading in self.readings.items()}

    def after(self, decisions: Iterable[Decision], added: Iterable[CaseCell] = ()) -> "Case":
        """The case when ``decisions``, which follow its last one, are replayed; ``added``: cells that come with it."""
        replay = Replay(self, added)
        for decision in decisions:
            replay.add(decision)
        return replay.case()


class Replay:
    """A ``case`` to which decisions are added one after another; what it comes to is known after each."""

    def __init__(self, case: Case, added: Iterable[CaseCell] = ()):
        self._case, self.state, self.version = case, case.state, case.version
        self.decisions, self.readings = list(case.decisions), dict(case.readings)
        self.open_cells = set(case.open_cells)
        self._added = {cell.number: cell for cell in added}

    @property
    def head(self) -> str:
        """The hash of the last decision."""
        return self.decisions[-1].hash if self.decisions else ""

    def reading_with(self, decision: Decision) -> CellReading:
        """What the cell that ``decision`` is about would count as after it."""
        number = decision.cell or 0
        known = self.readings.get(number)
        cell, history = (known.cell, known.history) if known else (self._added[number], ())
        return reading_of(cell, (*history, decision))

    def add(self, decision: Decision) -> None:
        """Add the next one."""
        self.decisions.append(decision)
        if decision.cell is not None:
            reading = self.reading_with(decision)
            self.readings[decision.cell] = reading
            (self.open_cells.add if reading.open_reason else self.open_cells.discard)(decision.cell)
            if self.state == "reviewed" and self.open_cells:
                self.state = "open"  # reviewed is what has nothing open: an undo or a cell put back opens it again
        elif decision.action in STATE_AFTER:
            self.state = STATE_AFTER[decision.action]
            self.version += decision.action == "amend"

    def case(self) -> Case:
        """As it is now."""
        return replace(
            self._case,
            state=self.state,
            version=self.version,
            cells=(*self._case.cells, *self._added.values()),
            decisions=tuple(self.decisions),
            readings=self.readings,
            open_cells=frozenset(self.open_cells),
        )


# What a case comes to by a decision about it, where that changes anything.
STATE_AFTER: dict[str, State] = {
    "open": "open",
    "review": "reviewed",
    "reopen": "open",
    "sign": "signed",
    "amend": "open",
}


def reading_of(cell: CaseCell, history: Sequence[Decision]) -> CellReading:
    """What ``cell`` counts as after the decisions about it, oldest first."""
    prediction = cell.prediction
    code = prediction.code
    status: Status = "unidentified" if prediction.asks_for_a_look else "model"
    skipped, withdrawn = False, bool(cell.added_by)
    last: Decision | None = None
    for decision in standing(history):
        if decision.action == "skip":
            skipped = True
        elif decision.action == "add":
            withdrawn = False
        else:
            last, skipped = decision, False
            put_back = decision.action == "unidentified"
            code, status = (prediction.code, "unidentified") if put_back else (decision.new, "reviewed")
    said = (last.reader.name, last.at, last.reason, last.text) if last else ("", "", "", "")
    return CellReading(cell, code, status, *said, skipped, withdrawn, tuple(history))


def standing(history: Sequence[Decision]) -> list[Decision]:
    """Those of the decisions about one cell, oldest first, that no standing undo takes back; none is an undo."""
    undone: set[int] = set()
    stand = []
    for decision in reversed(history):
        if decision.seq in undone:
            continue
        if decision.action == "undo":
            undone.add(decision.undoes or 0)
        else:
            stand.append(decision)
    return stand[::-1]
