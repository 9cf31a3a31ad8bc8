"""A visitor's tray: the cells dropped on the page, what could not be read, and the models' answers. No widgets."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from core.datasets import DatasetSpec
from core.progress import Progress
from core.runs import Run
from core.serving.decode import DecodeError, decode
from core.serving.predict import classify, sure_threshold
from core.serving.preprocess import Framed, Mode, frame

BATCH = 16
KEPT_BYTES = 512 * 2**20
TILE = 128


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
class Tray:
    """Everything that one visitor's session holds; lives in the session, so it survives a change of page."""

    cells: dict[str, Cell] = field(default_factory=dict)
    failures: dict[tuple[str, str], Failure] = field(default_factory=dict)
    modes: dict[str, Mode] = field(default_factory=dict)
    default_mode: Mode = "auto"
    _readings: dict[tuple[str, str, Mode], Reading] = field(default_factory=dict)

    def add_file(self, name: str, data: bytes) -> str:
        """Read one file: 'new', 'known' (the same bytes are here already) or 'failed' (the reason is kept)."""
        identity = hashlib.sha256(data).hexdigest()[:16]
        if identity in self.cells:
            return "known"
        try:
            self._check_room(name)
            picture = decode(data, name)
        except DecodeError as error:
            failure = Failure(name, error.reason, error.advice)
            self.failures[name, error.reason] = failure
            return "failed"
        self.cells[identity] = Cell(identity, name, picture.pixels, picture.notes)
        return "new"

    def add_cell(self, name: str, pixels: np.ndarray, truth: str | None, source: str) -> str:
        """Add a picture that is in memory already; returns its id."""
        identity = hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()[:16]
        self.cells.setdefault(identity, Cell(identity, name, pixels, (), truth, source))
        return identity

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

    def answer(self, runs: Sequence[Run], spec: DatasetSpec) -> Iterator[Progress]:
        """Let ``runs`` answer what is pending, a few cells at a time; stopping in between keeps what is done."""
        work = [
            (run, cells[i : i + BATCH])
            for run in runs
            if (cells := self.pending(run))
            for i in range(0, len(cells), BATCH)
        ]
        total, done = sum(len(cells) for _, cells in work), 0
        for run, cells in work:
            framed = [frame(c.pixels, run.size, spec, self.mode(c.id)) for c in cells]
            answers = classify(np.stack([f.pixels for f in framed]), run)
            threshold = sure_threshold(run)
            for number, cell in enumerate(cells):
                key = (cell.id, str(run.path), self.mode(cell.id))
                self._readings[key] = Reading(
                    framed[number], answers.probabilities[number], float(answers.milliseconds[number]), threshold
                )
            done += len(cells)
            yield Progress(done, total, f"{done} of {total} cells answered", "cell")

    def take_in(self, files: Iterable[tuple[str, bytes]], total: int, counts: dict[str, int]) -> Iterator[Progress]:
        """Read ``files`` (name, bytes) one by one, counting outcomes into ``counts``."""
        started = time.monotonic()
        for done, (name, data) in enumerate(files, 1):
            outcome = self.add_file(name, data)
            counts[outcome] = counts.get(outcome, 0) + 1
            left = (time.monotonic() - started) / done * (total - done)
            yield Progress(done, total, f"{done} of {total} files read, about {left:.0f} s left", "file")

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
