"""A visitor's tray: the cells dropped on the page, what could not be read, and the models' answers. No widgets."""

import hashlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from PIL import Image

from core.datasets import DatasetSpec
from core.progress import Progress
from core.serving.decode import DecodeError, decode
from core.serving.domain import looks_like
from core.serving.framing import Place, Survey, piece
from core.serving.guard import Voice
from core.serving.preprocess import Framed, Mode
from core.serving.reader import Reader
from dashboard.uploads import Uploads

BATCH = 16
KEPT_BYTES = 512 * 2**20
TILE = 128
SLICE, LONGEST_SLICE = 1.5, 20.0  # seconds


Framing = Mode | Literal["search"]
Group = int | Literal["foreign", "check"]


@dataclass(frozen=True)
class Cell:
    """One picture: ``id`` (from its content), ``pixels`` uint8 (H, W, 3) as it came, ``notes`` of decoding.

    ``truth`` is the class code of a sample cell, ``source`` what is known of where it comes from.
    """

    id: str
    name: str
    pixels: np.ndarray
    notes: tuple[str, ...] = ()
    truth: str | None = None
    source: str = "uploaded"


@dataclass(frozen=True)
class Failure:
    """A file that could not be used, with the reason and what to do."""

    name: str
    reason: str
    advice: str


@dataclass(frozen=True)
class Reading:
    """One reader's answer for one cell: where it looked, what it saw, probabilities float64 (C,), milliseconds.

    ``voice``: how it may be said; ``threshold``: the top probability from which the reader is sure.
    """

    place: Place
    framed: Framed
    probabilities: np.ndarray
    milliseconds: float
    voice: Voice
    threshold: float

    @property
    def winner(self) -> int:
        return int(self.probabilities.argmax())

    @property
    def top(self) -> float:
        return float(self.probabilities.max())

    @property
    def nearest(self) -> int:
        """The class that the voice names first: of a foreign picture the nearest, which may not be the likeliest."""
        return self.voice.classes[0]

    @property
    def sure(self) -> bool:
        return self.voice.kind == "sure"


@dataclass(frozen=True)
class Answered:
    """A cell with the readings of the chosen models, in their order; the first model leads."""

    cell: Cell
    readings: tuple[Reading, ...]

    @property
    def lead(self) -> Reading:
        return self.readings[0]

    @property
    def agree(self) -> bool:
        return len({r.winner for r in self.readings}) == 1

    @property
    def to_check(self) -> bool:
        """True where the leading model is not sure, the models disagree, or no white cell was found."""
        return not self.lead.sure or not self.agree or self.missing

    @property
    def missing(self) -> bool:
        """True where a white cell was looked for and none found."""
        return self.lead.place.missing


@dataclass
class Drop:
    """What became of the files dropped last: how many, known already, left unread; the id of the one read last."""

    total: int = 0
    known: int = 0
    unread: int = 0
    last: str | None = None
    started: float = field(default_factory=time.monotonic)


@dataclass
class Tray:
    """Everything that one visitor's session holds; lives in the session, so it survives a change of page.

    Uploads are taken for one laboratory's pictures and framed at one scale. ``side`` is the frame's side in px that a
    person chose for them; a laboratory's own reader brings its own. It outlives `clear`, as ``default_mode`` does.
    """

    cells: dict[str, Cell] = field(default_factory=dict)
    failures: dict[tuple[str, str], Failure] = field(default_factory=dict)
    modes: dict[str, Framing] = field(default_factory=dict)
    default_mode: Framing = "search"
    side: int | None = None
    queue: deque[tuple[str, bytes]] = field(default_factory=deque)
    drop: Drop = field(default_factory=Drop)
    uploads: Uploads = field(default_factory=Uploads)
    _readings: dict[tuple[str, str], Reading] = field(default_factory=dict)

    def put_in_queue(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Have ``files`` (name, bytes) read by `work`; a new drop starts a new count of outcomes."""
        if not self.queue:
            self.drop = Drop()
        self.queue.extend(files)
        self.drop.total += len(files)

    def stop(self) -> None:
        """Leave what is still in the queue unread; everything read so far stays."""
        self.drop.unread += len(self.queue)
        self.queue.clear()

    def add_file(self, name: str, data: bytes) -> str | None:
        """Read one file; returns the cell's id (also when the same bytes are here already), None when it failed."""
        identity = hashlib.sha256(data).hexdigest()[:16]
        if identity in self.cells:
            self.drop.known += 1
            return identity
        try:
            self._check_room(name)
            picture = decode(data, name)
        except DecodeError as error:
            failure = Failure(name, error.reason, error.advice)
            self.failures[name, error.reason] = failure
            return None
        self._take(Cell(identity, name, picture.pixels, picture.notes))
        return identity

    def add_cell(self, name: str, pixels: np.ndarray, truth: str | None, source: str) -> str:
        """Add a picture that is in memory already; returns its id."""
        identity = hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()[:16]
        if identity not in self.cells:
            self._take(Cell(identity, name, pixels, (), truth, source))
        return identity

    def _take(self, cell: Cell) -> None:
        self.cells[cell.id] = cell
        if cell.truth is None:
            self.uploads.add(cell.id, cell.pixels)

    def give(self, cells: Sequence[Cell], other: "Tray") -> None:
        """Hand ``cells`` over to another tray, where they are answered anew."""
        for cell in cells:
            self.remove(cell.id)
            if cell.id not in other.cells:
                other._take(cell)

    def strangers(self, spec: DatasetSpec) -> list[Cell]:
        """The uploads whose shape is plainly that of another domain than ``spec``'s."""
        mine = [c for c in self.cells.values() if c.truth is None]
        return [c for c in mine if looks_like(c.pixels.shape[1], c.pixels.shape[0], spec) != spec.unit]

    def remove(self, identity: str) -> None:
        """Forget one cell and all that was answered for it."""
        self.cells.pop(identity, None)
        self.modes.pop(identity, None)
        self.uploads.remove(identity)
        for key in [k for k in self._readings if k[0] == identity]:
            del self._readings[key]

    def clear(self) -> None:
        """Forget all pictures and answers; how pictures are framed stays."""
        self.__init__(default_mode=self.default_mode, side=self.side)

    def mode(self, identity: str) -> Framing:
        """How the cell is framed: its own choice, else that for all."""
        return self.modes.get(identity, self.default_mode)

    def use_mode_for_all(self, mode: Framing) -> None:
        """Frame every cell, also those to come, in one way."""
        self.default_mode = mode
        self.modes.clear()

    def side_for(self, reader: Reader) -> float | None:
        """The frame's side in px of the uploads where it is given: by the person, else by the reader."""
        return self.side or reader.side

    def survey(self, reader: Reader) -> Survey | None:
        """What the uploads say together, as they are framed for ``reader``; None where there are none yet."""
        return self.uploads.survey(self.side_for(reader))

    def place_beside(self, pixels: np.ndarray, spec: DatasetSpec) -> Place:
        """Where the frame lies in a picture (H, W, 3) that is not on the tray, but of the same laboratory."""
        if self.default_mode != "search":
            return Place(mode=self.default_mode)
        return self.uploads.place_beside(pixels, self.side, spec)

    def pending(self, reader: Reader) -> list[Cell]:
        """Cells that ``reader`` has not answered in their present framing."""
        return [c for c in self.cells.values() if not self._reading(c, reader)]

    def work(self, readers: Sequence[Reader], spec: DatasetSpec, seconds: float | None = None) -> Iterator[Progress]:
        """Read files and let ``readers`` answer, a few at a time, for about ``seconds``; `busy` tells if more is left.

        By default the slices grow with the drop, so that showing what is done in between stays a small part of
        the work. Whatever was done stays when the caller stops in between.
        """
        now = time.monotonic()
        end = now + (max(SLICE, min(LONGEST_SLICE, now - self.drop.started)) if seconds is None else seconds)
        while self.busy(readers):
            for _ in range(min(BATCH, len(self.queue))):
                self.drop.last = self.add_file(*self.queue.popleft())
            self.uploads.look(complete=not self.queue)
            for reader in readers:
                self._answer(reader, spec)
            yield self._progress(readers, spec.unit)
            if time.monotonic() > end:
                return

    def busy(self, readers: Sequence[Reader]) -> bool:
        """True while files are unread or cells unanswered."""
        return bool(self.queue) or any(self.pending(reader) for reader in readers)

    def _place(self, cell: Cell, reader: Reader) -> Place | None:
        """Where ``reader`` looks in the cell; None while that is not known."""
        mode = self.mode(cell.id)
        if mode != "search":
            return Place(mode=mode)
        if cell.truth is not None:  # a sample is framed already
            return Place()
        return self.uploads.known_place(cell.id, self.side_for(reader))

    def _reading(self, cell: Cell, reader: Reader) -> Reading | None:
        """The answer of ``reader`` for the cell in its present framing."""
        reading = self._readings.get((cell.id, reader.key))
        return reading if reading and reading.place == self._place(cell, reader) else None

    def _progress(self, readers: Sequence[Reader], unit: str) -> Progress:
        drop, waiting = self.drop, max((len(self.pending(reader)) for reader in readers), default=0)
        unread = len(self.queue)
        total = max(drop.total, len(self.cells) + unread, 1)
        answered = max(0, total - unread - waiting)
        done, steps = total - unread + answered, 2 * total
        took = time.monotonic() - drop.started
        left = f", about {took / done * (steps - done):.0f} s left" if drop.total and done and took > 1 else ""
        said = f"{total - unread} of {total} pictures read" if unread else f"{answered} of {total} {unit}s"
        return Progress(done, steps, said + left, unit)

    def _answer(self, reader: Reader, spec: DatasetSpec) -> None:
        """Place and answer a few of the cells that wait; one framed as before keeps its answer."""
        cells = []
        for cell in self.pending(reader):
            if self._place(cell, reader) or self.uploads.place(cell.id, self.side_for(reader), spec):
                cells.append(cell)
            if len(cells) == BATCH:
                break
        cells = [c for c in cells if not self._reading(c, reader)]
        if not cells:
            return
        places = [self._place(c, reader) for c in cells]
        framed = [reader.frame(c.pixels, place) for c, place in zip(cells, places, strict=True)]
        answers, voices = reader.answer(np.stack([f.pixels for f in framed]))
        for number, cell in enumerate(cells):
            self._readings[cell.id, reader.key] = Reading(
                places[number],
                framed[number],
                answers.probabilities[number],
                float(answers.milliseconds[number]),
                voices[number],
                reader.threshold,
            )

    def answered(self, readers: Sequence[Reader]) -> list[Answered]:
        """All cells that every one of ``readers`` has answered, in the order in which they came."""
        found = []
        for cell in self.cells.values():
            readings = [self._reading(cell, reader) for reader in readers]
            if readings and all(readings):
                found.append(Answered(cell, tuple(readings)))
        return found

    def _check_room(self, name: str) -> None:
        if sum(c.pixels.nbytes for c in self.cells.values()) > KEPT_BYTES:
            raise DecodeError(
                name, "there is no room for more pictures on this page", "Download the results, clear them, go on."
            )


def in_order(answered: Sequence[Answered]) -> list[tuple[Group, list[Answered]]]:
    """The wall's groups: to check first 'foreign' and 'check', the least sure at the top, then by class index."""
    by_doubt = sorted(answered, key=lambda a: (a.agree, not a.missing, a.lead.top))
    foreign = [a for a in by_doubt if a.lead.voice.kind == "foreign"]
    groups: list[tuple[Group, list[Answered]]] = [("foreign", sorted(foreign, key=lambda a: -a.lead.voice.strangeness))]
    groups.append(("check", [a for a in by_doubt if a.to_check and a.lead.voice.kind != "foreign"]))
    winners = sorted({a.lead.winner for a in answered})
    groups += [(w, [a for a in by_doubt if a.lead.winner == w and not a.to_check]) for w in winners]
    return [(group, cells) for group, cells in groups if cells]


def tile(answered: Answered) -> np.ndarray:
    """What the leading model looked at, in the upload's own resolution, uint8 (TILE, TILE, 3) for the wall."""
    image = Image.fromarray(np.ascontiguousarray(piece(answered.cell.pixels, answered.lead.framed.box)))
    kind = Image.Resampling.BOX if image.width >= TILE else Image.Resampling.NEAREST
    return np.asarray(image.resize((TILE, TILE), kind))
