"""A visitor's tray: the cells dropped on the page, what could not be read, and the models' answers. No widgets."""

import hashlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from core.datasets import DatasetSpec
from core.progress import Progress
from core.runs import Run
from core.serving.decode import DecodeError, decode
from core.serving.domain import looks_like
from core.serving.predict import classify, sure_threshold
from core.serving.preprocess import Framed, Mode, frame

BATCH = 16
KEPT_BYTES = 512 * 2**20
TILE = 128
SLICE, LONGEST_SLICE = 1.5, 20.0  # seconds


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
    """One model's answer for one cell: what it saw, probabilities float64 (C,), milliseconds, its threshold."""

    framed: Framed
    probabilities: np.ndarray
    milliseconds: float
    threshold: float

    @property
    def winner(self) -> int:
        return int(self.probabilities.argmax())

    @property
    def top(self) -> float:
        return float(self.probabilities.max())

    @property
    def sure(self) -> bool:
        return self.top >= self.threshold


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
        """True where the leading model is unsure or the models disagree."""
        return not self.lead.sure or not self.agree


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
    """Everything that one visitor's session holds; lives in the session, so it survives a change of page."""

    cells: dict[str, Cell] = field(default_factory=dict)
    failures: dict[tuple[str, str], Failure] = field(default_factory=dict)
    modes: dict[str, Mode] = field(default_factory=dict)
    default_mode: Mode = "auto"
    queue: deque[tuple[str, bytes]] = field(default_factory=deque)
    drop: Drop = field(default_factory=Drop)
    _readings: dict[tuple[str, str, Mode], Reading] = field(default_factory=dict)

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
        self.cells[identity] = Cell(identity, name, picture.pixels, picture.notes)
        return identity

    def add_cell(self, name: str, pixels: np.ndarray, truth: str | None, source: str) -> str:
        """Add a picture that is in memory already; returns its id."""
        identity = hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()[:16]
        self.cells.setdefault(identity, Cell(identity, name, pixels, (), truth, source))
        return identity

    def give(self, cells: Sequence[Cell], other: "Tray") -> None:
        """Hand ``cells`` over to another tray, where they are answered anew."""
        for cell in cells:
            self.remove(cell.id)
            other.cells.setdefault(cell.id, cell)

    def strangers(self, spec: DatasetSpec) -> list[Cell]:
        """The uploads whose shape is plainly that of another domain than ``spec``'s."""
        mine = [c for c in self.cells.values() if c.truth is None]
        return [c for c in mine if looks_like(c.pixels.shape[1], c.pixels.shape[0], spec) != spec.unit]

    def remove(self, identity: str) -> None:
        """Forget one cell and all that was answered for it."""
        self.cells.pop(identity, None)
        self.modes.pop(identity, None)
        for key in [k for k in self._readings if k[0] == identity]:
            del self._readings[key]

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()

    def mode(self, identity: str) -> Mode:
        """How the cell is framed: its own choice, else that for all."""
        return self.modes.get(identity, self.default_mode)

    def use_mode_for_all(self, mode: Mode) -> None:
        """Frame every cell, also those to come, in one way."""
        self.default_mode = mode
        self.modes.clear()

    def pending(self, run: Run) -> list[Cell]:
        """Cells that ``run`` has not answered in their present framing."""
        return [c for c in self.cells.values() if (c.id, str(run.path), self.mode(c.id)) not in self._readings]

    def work(self, runs: Sequence[Run], spec: DatasetSpec, seconds: float | None = None) -> Iterator[Progress]:
        """Read files and let ``runs`` answer, a few at a time, for about ``seconds``; `busy` tells if more is left.

        By default the slices grow with the drop, so that showing what is done in between stays a small part of
        the work. Whatever was done stays when the caller stops in between.
        """
        now = time.monotonic()
        end = now + (max(SLICE, min(LONGEST_SLICE, now - self.drop.started)) if seconds is None else seconds)
        while self.busy(runs):
            for _ in range(min(BATCH, len(self.queue))):
                self.drop.last = self.add_file(*self.queue.popleft())
            for run in runs:
                self._answer(self.pending(run)[:BATCH], run, spec)
            yield self._progress(runs, spec.unit)
            if time.monotonic() > end:
                return

    def busy(self, runs: Sequence[Run]) -> bool:
        """True while files are unread or cells unanswered."""
        return bool(self.queue) or any(self.pending(run) for run in runs)

    def _progress(self, runs: Sequence[Run], unit: str) -> Progress:
        drop, waiting = self.drop, max((len(self.pending(run)) for run in runs), default=0)
        total = max(drop.total, len(self.cells), 1)
        done = max(0, total - len(self.queue) - waiting)
        took = time.monotonic() - drop.started
        left = f", about {took / done * (total - done):.0f} s left" if drop.total and done and took > 1 else ""
        return Progress(done, total, f"{done} of {total} {unit}s{left}", unit)

    def _answer(self, cells: Sequence[Cell], run: Run, spec: DatasetSpec) -> None:
        if not cells:
            return
        framed = [frame(c.pixels, run.size, spec, self.mode(c.id)) for c in cells]
        answers = classify(np.stack([f.pixels for f in framed]), run)
        threshold = sure_threshold(run)
        for number, cell in enumerate(cells):
            self._readings[cell.id, str(run.path), self.mode(cell.id)] = Reading(
                framed[number], answers.probabilities[number], float(answers.milliseconds[number]), threshold
            )

    def answered(self, runs: Sequence[Run]) -> list[Answered]:
        """All cells that every one of ``runs`` has answered, in the order in which they came."""
        found = []
        for cell in self.cells.values():
            mode = self.mode(cell.id)
            readings = [self._readings.get((cell.id, str(run.path), mode)) for run in runs]
            if readings and all(readings):
                found.append(Answered(cell, tuple(readings)))
        return found

    def _check_room(self, name: str) -> None:
        if sum(c.pixels.nbytes for c in self.cells.values()) > KEPT_BYTES:
            raise DecodeError(
                name, "there is no room for more pictures on this page", "Download the results, clear them, go on."
            )


def in_order(answered: Sequence[Answered]) -> list[tuple[int | None, list[Answered]]]:
    """The wall's groups: first those to check (None), the least sure at the top, then the others by class index."""
    by_doubt = sorted(answered, key=lambda a: (a.agree, a.lead.top))
    groups: list[tuple[int | None, list[Answered]]] = [(None, [a for a in by_doubt if a.to_check])]
    winners = sorted({a.lead.winner for a in answered})
    groups += [(w, [a for a in by_doubt if a.lead.winner == w and not a.to_check]) for w in winners]
    return [(number, cells) for number, cells in groups if cells]


def tile(answered: Answered) -> np.ndarray:
    """What the leading model looked at, in the upload's own resolution, uint8 (TILE, TILE, 3) for the wall."""
    left, top, right, bottom = answered.lead.framed.box
    image = Image.fromarray(np.ascontiguousarray(answered.cell.pixels[top:bottom, left:right]))
    kind = Image.Resampling.BOX if image.width >= TILE else Image.Resampling.NEAREST
    return np.asarray(image.resize((TILE, TILE), kind))
