"""A visitor's uploads: the pictures dropped, where a crop is cut in each, the files that failed, the predictions of the
chosen models. Lives in the session, so it survives a change of page.
"""

import hashlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal
from weakref import WeakSet

import numpy as np
import pandas as pd
import streamlit as st

from core.datasets import DatasetSpec
from core.formatting import capitalized, counted
from core.images.crop import CropMode
from core.images.decode import DecodeError, decode
from core.images.framing import BatchScale, CropWindow, MeasuredPicture, measure_batch, unit_by_shape
from core.inference.laboratory import Laboratory
from core.inference.predictor import Prediction, Predictor, VerdictKind
from core.progress import Progress, time_left

FIRST = 48  # pictures that are placed while others are unread, at the scale that these show by themselves


@dataclass
class UploadFraming:
    """Pictures by id, taken for one laboratory's, and what they say together for each ``side`` that is asked about.

    A ``side`` in px is one chosen for them; None stands for the one that their red cells or nuclei show. The result
    depends on the pictures only, not on how they came.
    """

    pictures: dict[str, MeasuredPicture] = field(default_factory=dict)
    _measured: dict[str, None] = field(default_factory=dict)
    _unmeasured: dict[str, None] = field(default_factory=dict)
    _scales: dict[float | None, BatchScale] = field(default_factory=dict)
    _windows: dict[float | None, dict[str, CropWindow]] = field(default_factory=dict)

    def add(self, identity: str, pixels: np.ndarray, name: str = "", pixel_size: float | None = None) -> None:
        """Take in one picture, uint8 (H, W, 3), and what its file says that a pixel spans, in µm; pictures are measured
        in the natural order of their names.
        """
        if identity not in self.pictures:
            self.pictures[identity] = MeasuredPicture(pixels, name, pixel_size=pixel_size)
            self._unmeasured[identity] = None

    def remove(self, identity: str) -> None:
        """Forget one picture; the scale of the others stays."""
        self.pictures.pop(identity, None)
        self._measured.pop(identity, None)
        self._unmeasured.pop(identity, None)
        for windows in self._windows.values():
            windows.pop(identity, None)

    def update_scale(self, complete: bool) -> bool:
        """Have the scale found anew where pictures have come since; unless ``complete``, over the `FIRST` only.

        Returns whether it is: no window is known then.
        """
        new = list(islice(self._unmeasured, None if complete else max(0, FIRST - len(self._measured))))
        if not new:
            return False
        for identity in new:
            del self._unmeasured[identity]
            self._measured[identity] = None
        self._scales.clear()
        self._windows.clear()
        return True

    def batch_scale(self, side: float | None) -> BatchScale | None:
        """What the pictures say together; None where that isn't known yet."""
        return self._scales.get(side)

    def known_window(self, identity: str, side: float | None) -> CropWindow | None:
        """Where the frame lies in a picture; None where that isn't known yet. Costs nothing."""
        return self._windows.get(side, {}).get(identity)

    def window(
        self, identity: str, side: float | None, spec: DatasetSpec, whose: str = "as you set it"
    ) -> CropWindow | None:
        """Where the frame lies in a picture, found now if need be; None where it waits for the others to be read.

        ``whose`` the ``side`` is, in words.
        """
        if identity not in self._measured:
            return None
        if side not in self._scales:
            self._scales[side] = measure_batch([self.pictures[i] for i in self._measured], spec, side, whose)
        windows = self._windows.setdefault(side, {})
        if identity not in windows:
            windows[identity] = self._scales[side].window(self.pictures[identity])
        return windows[identity]

    def window_beside(self, picture: MeasuredPicture, side: float | None, spec: DatasetSpec) -> CropWindow:
        """Where the frame lies in ``picture``, which isn't among these, taken for one of the same laboratory."""
        return (self._scales.get(side) or measure_batch([picture], spec, side)).window(picture)


BATCH = 16
KEPT_BYTES = 512 * 2**20  # of one visitor
ALL_KEPT_BYTES = 2**31  # of all visitors together: the server has one memory
_OPEN: "WeakSet[UploadSession]" = WeakSet()
SLICE_SECONDS, LONGEST_SLICE_SECONDS = 1.5, 20.0
FramingMode = CropMode | Literal["search"]


@dataclass(frozen=True)
class UploadedCell:
    """One picture: ``id`` (from its content), ``pixels`` uint8 (H, W, 3) as it came, ``notes`` of decoding.

    ``truth`` is the class code of a sample cell, ``source`` what is known of where it comes from; ``pixel_size``: what
    its file says that a pixel spans, in µm.
    """

    id: str
    name: str
    pixels: np.ndarray
    notes: tuple[str, ...] = ()
    truth: str | None = None
    source: str = "uploaded"
    pixel_size: float | None = None


@dataclass(frozen=True)
class Result:
    """A cell with the predictions of the chosen models, in their order; the first model leads."""

    cell: UploadedCell
    predictions: tuple[Prediction, ...]

    @property
    def lead(self) -> Prediction:
        """What the first of the chosen models says."""
        return self.predictions[0]

    @property
    def agree(self) -> bool:
        """Whether all chosen models name the same class; where no cell is there is nothing to agree on."""
        return not self.lead.is_cell or len({r.predicted for r in self.predictions}) == 1

    @property
    def kind(self) -> VerdictKind:
        """What the leading model says; never 'sure' where any of the models raises the alarm."""
        return "unsure" if self.lead.sure and self.is_urgent else self.lead.verdict.kind

    @property
    def to_check(self) -> bool:
        """True where it is not sure, the models disagree, or no white cell was found."""
        return self.kind != "sure" or not self.agree or self.no_cell_found

    @property
    def no_cell_found(self) -> bool:
        """True where a white cell was looked for and none found, though the picture seems to show one."""
        return self.lead.is_cell and self.lead.cell_missing

    @property
    def is_urgent(self) -> bool:
        """Whether the alarm for abnormal cells is raised by any of the models."""
        return self.lead.is_cell and any(prediction.verdict.alarm.raised for prediction in self.predictions)


@dataclass
class UploadStats:
    """What became of the files dropped last: how many, known already, left unread; the id of the one read last."""

    total: int = 0
    duplicates: int = 0
    unread: int = 0
    last_id: str | None = None
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class FramingBefore:
    """How pictures were framed before a change, as `UploadSession` has it; ``said``: by id of the cell, the code of the
    class that was named then, '' where no cell was seen.
    """

    modes: dict[str, FramingMode]
    default_mode: FramingMode
    side: int | None
    said: dict[str, str]


@dataclass(eq=False)
class UploadSession:
    """Everything that one visitor's session holds; lives in the session, so it survives a change of page.

    Uploads are taken for one laboratory's pictures and framed at one scale. ``side`` is the frame's side in px that a
    person chose for them; a laboratory's profile brings its own. ``failures``: by name and
    hash of the content. ``before``: how all were framed, and what was said of each, before a person changed that last;
    None where nobody did.
    """

    cells: dict[str, UploadedCell] = field(default_factory=dict)
    failures: dict[tuple[str, str], DecodeError] = field(default_factory=dict)
    modes: dict[str, FramingMode] = field(default_factory=dict)
    default_mode: FramingMode = "search"
    side: int | None = None
    before: "FramingBefore | None" = None
    queue: deque[tuple[str, bytes]] = field(default_factory=deque)
    stats: UploadStats = field(default_factory=UploadStats)
    framing: UploadFraming = field(default_factory=UploadFraming)
    # By the predictor's key: the predictions by the cell's id, the ids that wait in their order.
    _predictions: dict[str, dict[str, Prediction]] = field(default_factory=dict)
    _waiting: dict[str, dict[str, None]] = field(default_factory=dict)
    _bytes: int = 0

    def __post_init__(self) -> None:
        _OPEN.add(self)

    def enqueue(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Have ``files`` (name, bytes) read by `work`; a new drop starts a new count of outcomes."""
        if not self.queue:
            self.stats = UploadStats()
        self.queue.extend(files)
        self.stats.total += len(files)

    def stop(self) -> None:
        """Leave what is still in the queue unread; everything read so far stays."""
        self.stats.unread += len(self.queue)
        self.queue.clear()

    def add_file(self, name: str, data: bytes) -> str | None:
        """Read one file; returns the cell's id (also when the same bytes are here already), None when it failed."""
        identity = hashlib.sha256(data).hexdigest()[:16]
        if identity in self.cells:
            self.stats.duplicates += 1
            return identity
        try:
            if self._bytes > KEPT_BYTES:
                raise DecodeError(
                    name, "there is no room for more pictures on this page", "Download the results, clear them, go on."
                )
            if sum(session._bytes for session in list(_OPEN)) > ALL_KEPT_BYTES:
                raise DecodeError(
                    name,
                    "this server's visitors together keep as many pictures as it has room for",
                    "Clear what you no longer need, or try again when others have gone; a case keeps its pictures on "
                    "disk.",
                )
            picture = decode(data, name)
        except DecodeError as error:
            self.failures[name, identity] = error
            return None
        self._take(UploadedCell(identity, name, picture.pixels, picture.notes, pixel_size=picture.pixel_size))
        return identity

    def add_cell(self, name: str, pixels: np.ndarray, truth: str | None, source: str) -> str:
        """Add a picture that is in memory already; returns its id."""
        identity = hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()[:16]
        if identity not in self.cells:
            self._take(UploadedCell(identity, name, pixels, (), truth, source))
        return identity

    def _take(self, cell: UploadedCell) -> None:
        self.cells[cell.id] = cell
        self._bytes += cell.pixels.nbytes
        for waiting in self._waiting.values():
            waiting[cell.id] = None
        if cell.truth is None:
            self.framing.add(cell.id, cell.pixels, cell.name, cell.pixel_size)

    def move_to(self, cells: Sequence[UploadedCell], other: "UploadSession") -> None:
        """Hand ``cells`` over to another session, where they are answered anew."""
        for cell in cells:
            self.remove(cell.id)
            if cell.id not in other.cells:
                other._take(cell)

    def of_other_domain(self, spec: DatasetSpec) -> list[UploadedCell]:
        """The uploads whose shape is plainly that of another domain than ``spec``'s."""
        mine = [c for c in self.cells.values() if c.truth is None]
        return [c for c in mine if unit_by_shape(c.pixels.shape[1], c.pixels.shape[0], spec) != spec.unit]

    def remove(self, identity: str) -> None:
        """Forget one cell and all that was answered for it."""
        if cell := self.cells.pop(identity, None):
            self._bytes -= cell.pixels.nbytes
        self.modes.pop(identity, None)
        self.framing.remove(identity)
        for answered in self._predictions.values():
            answered.pop(identity, None)
        for waiting in self._waiting.values():
            waiting.pop(identity, None)

    def clear(self) -> None:
        """Forget all pictures and answers, and how they were framed: the next drop may be of another microscope."""
        vars(self).update(vars(UploadSession()))

    def mode(self, identity: str) -> FramingMode:
        """How the cell is framed: its own choice, else that for all."""
        return self.modes.get(identity, self.default_mode)

    def remember_framing(self, said: dict[str, str]) -> None:
        """Keep how pictures are framed and what is ``said`` of each, before a person changes that."""
        self.before = FramingBefore(dict(self.modes), self.default_mode, self.side, said)

    def frame_as_before(self) -> None:
        """Take back the change of the framing that was remembered last."""
        if self.before:
            self.modes, self.default_mode, self.side = self.before.modes, self.before.default_mode, self.before.side
            self.before = None
            self._waiting.clear()

    def set_mode(self, identity: str, mode: FramingMode) -> None:
        """Frame one cell in a way of its own."""
        self.modes[identity] = mode
        for waiting in self._waiting.values():
            waiting[identity] = None

    def use_mode_for_all(self, mode: FramingMode) -> None:
        """Frame every cell, also those to come, in one way."""
        self.default_mode = mode
        self.modes.clear()
        self._waiting.clear()

    def set_side(self, side: int | None) -> None:
        """Cut squares of ``side`` px round the uploads' cells; None measures the side."""
        self.side = side
        self._waiting.clear()

    def side_for(self, predictor: Predictor) -> float | None:
        """The frame's side in px of the uploads where it is given: by the person, else by the predictor."""
        return self.side or predictor.side

    def batch_scale(self, predictor: Predictor) -> BatchScale | None:
        """What the uploads say together, as they are framed for ``predictor``; None where there are none yet."""
        return self.framing.batch_scale(self.side_for(predictor))

    def window_beside(self, picture: MeasuredPicture, spec: DatasetSpec, predictor: Predictor) -> CropWindow:
        """Where ``predictor`` looks in ``picture``, which is not among these, but of the same laboratory."""
        if self.default_mode != "search":
            return CropWindow(mode=self.default_mode)
        return self.framing.window_beside(picture, self.side_for(predictor), spec)

    def pending(self, predictor: Predictor) -> dict[str, None]:
        """Ids of the cells that ``predictor`` has not answered in their present framing, in their order.

        Kept as long as framings stay; when they change, cells framed as before keep their answers.
        """
        if predictor.key not in self._waiting:
            answered = self._predictions.setdefault(predictor.key, {})
            self._waiting[predictor.key] = {
                cell.id: None
                for cell in self.cells.values()
                if cell.id not in answered or answered[cell.id].window != self._window(cell, predictor)
            }
        return self._waiting[predictor.key]

    def work(
        self, predictors: Sequence[Predictor], spec: DatasetSpec, seconds: float | None = None
    ) -> Iterator[Progress]:
        """Read files and let ``predictors`` answer, a few at a time, for about ``seconds``; `busy` tells if more is
        left.

        By default the slices grow with the drop, so that showing what is done in between stays a small part of
        the work. Whatever was done stays when the caller stops in between.
        """
        now = time.monotonic()
        if seconds is None:
            seconds = max(SLICE_SECONDS, min(LONGEST_SLICE_SECONDS, now - self.stats.started))
        while self.busy(predictors):
            for _ in range(min(BATCH, len(self.queue))):
                self.stats.last_id = self.add_file(*self.queue.popleft())
            if self.framing.update_scale(complete=not self.queue):
                self._place_anew()
            for predictor in predictors:
                self._predict(predictor, spec)
            yield self._progress(predictors, spec.unit)
            if time.monotonic() > now + seconds:
                return

    def busy(self, predictors: Sequence[Predictor]) -> bool:
        """True while files are unread or cells unanswered."""
        return bool(self.queue) or any(self.pending(predictor) for predictor in predictors)

    def _place_anew(self) -> None:
        """Have every cell that is looked for wait again: the scale was found anew."""
        for key, waiting in self._waiting.items():
            searched = (i in self.framing.pictures and self.mode(i) == "search" for i in self.cells)
            self._waiting[key] = {i: None for i, anew in zip(self.cells, searched, strict=True) if anew or i in waiting}

    def _window(self, cell: UploadedCell, predictor: Predictor) -> CropWindow | None:
        """Where ``predictor`` looks in the cell; None while that is not known."""
        mode = self.mode(cell.id)
        if mode != "search":
            return CropWindow(mode=mode)
        if cell.truth is not None:  # a sample is framed already
            return CropWindow()
        return self.framing.known_window(cell.id, self.side_for(predictor))

    def _progress(self, predictors: Sequence[Predictor], unit: str) -> Progress:
        unread, waiting = len(self.queue), max((len(self.pending(predictor)) for predictor in predictors), default=0)
        total = max(self.stats.total, len(self.cells) + unread, 1)
        answered_count = max(0, total - unread - waiting)
        done, steps = total - unread + answered_count, 2 * total
        text = f"{total - unread} of {total} pictures read" if unread else f"{answered_count} of {total} {unit}s"
        if self.stats.total and (left := time_left(done, steps, time.monotonic() - self.stats.started)):
            text += f", about {left} left"
        return Progress(done, steps, text, unit)

    def _predict(self, predictor: Predictor, spec: DatasetSpec) -> None:
        """Place and answer the first of the cells that wait; one framed as before keeps its answer."""
        waiting, answered = self.pending(predictor), self._predictions.setdefault(predictor.key, {})
        windows: dict[str, CropWindow] = {}
        for identity in islice(waiting, BATCH):
            window = self._window(self.cells[identity], predictor)
            whose = "as you set it" if self.side else f"as your laboratory {predictor.name} has it"
            window = window or self.framing.window(identity, self.side_for(predictor), spec, whose)
            if window is None:  # this one and those after it wait for the others to be read
                break
            windows[identity] = window
        changed = [i for i, window in windows.items() if i not in answered or answered[i].window != window]
        if changed:
            cells = [self.cells[i] for i in changed]
            pictures = [MeasuredPicture(cell.pixels, cell.name, cell.notes) for cell in cells]
            predictions = predictor.stream(pictures, [windows[i] for i in changed], Laboratory())
            answered |= {c.id: p for c, p in zip(cells, predictions, strict=True) if isinstance(p, Prediction)}
        for identity in windows:
            waiting.pop(identity)

    def results(self, predictors: Sequence[Predictor]) -> list[Result]:
        """All cells that every one of ``predictors`` has answered, in the order in which they came."""
        waiting = [self.pending(predictor) for predictor in predictors]
        done = [cell for cell in self.cells.values() if not any(cell.id in of_one for of_one in waiting)]
        decided = [self._decided(predictor, done) for predictor in predictors]
        return [Result(cell, tuple(of_one[cell.id] for of_one in decided)) for cell in done]

    def laboratory(self, predictor: Predictor) -> Laboratory:
        """What the uploads that ``predictor`` has answered say together of where they come from."""
        answered, waiting = self._predictions.get(predictor.key, {}), self.pending(predictor)
        uploads = (i for i, cell in self.cells.items() if cell.truth is None and i not in waiting)
        return predictor.laboratory_of(answered[i] for i in uploads)

    def _decided(self, predictor: Predictor, cells: Sequence[UploadedCell]) -> dict[str, Prediction]:
        """The predictions for ``cells`` by id, with the verdicts that the uploads' laboratory calls for; the samples
        come from the model's own.
        """
        answered = self._predictions[predictor.key]
        by_id: dict[str, Prediction] = {}
        for are_samples in (False, True):
            part = [cell for cell in cells if (cell.truth is not None) == are_samples]
            laboratory = Laboratory() if are_samples else self.laboratory(predictor)
            predictions = predictor.decide_again([answered[cell.id] for cell in part], laboratory)
            by_id |= {c.id: p for c, p in zip(part, predictions, strict=True) if isinstance(p, Prediction)}
        return by_id


SESSIONS = "classify_trays"


def session_of(dataset: str) -> UploadSession:
    """The visitor's session for ``dataset``: each has its own, so that answers of two domains never stand together."""
    return st.session_state.setdefault(SESSIONS, {}).setdefault(dataset, UploadSession())


def failed_files(failures: Sequence[DecodeError]) -> None:
    """A button that opens the list of files that could not be used; nothing where there are none."""
    if failures:
        with st.popover(f"{counted(len(failures), 'file')} not used", icon=":material/warning:"):
            failed_table(failures)


def failed_table(failures: Sequence[DecodeError]) -> None:
    """The files that could not be used, each with its reason and what to do."""
    table = pd.DataFrame([(f.name, f.reason, f.advice) for f in failures], columns=["File", "Reason", "What to do"])
    wide = {"File": 170, "Reason": 220, "What to do": 330}  # where words don't fit they wrap
    st.dataframe(
        table,
        hide_index=True,
        width=sum(wide.values()),
        row_height=84,
        column_config={name: st.column_config.TextColumn(width=width) for name, width in wide.items()},
        alt="Files that could not be used",
    )


def stats_line(stats: UploadStats) -> str:
    """What became of the last files dropped, where that isn't plain from the gallery; '' where it is."""
    parts = []
    if stats.duplicates:
        was = "was" if stats.duplicates == 1 else "were"
        parts.append(f"{counted(stats.duplicates, 'picture')} {was} here already and counted once")
    if stats.unread:
        parts.append(f"stopped: {counted(stats.unread, 'file')} not read")
    return f"{capitalized('; '.join(parts))}." if parts else ""
