"""What every step of Your lab is given: a visitor's laboratory while it is being taught, with its pictures, their
scale, the answers and the rounds of questions. No widgets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits  # one thread: matrices are small here, several would wait for each other

from core.adaptation import head
from core.adaptation.active import ActiveLearner
from core.adaptation.estimate import AccuracyEstimate
from core.adaptation.head import LabCells, cell_checks, encode_pictures
from core.adaptation.profile import LabProfile, ProfileError, make_profile, profile_path, save_profile
from core.datasets import DatasetSpec, DatasetUnavailable
from core.datasets.matching import match_files, path_parts
from core.datasets.tables import FileColumn, Table, column_of_files, map_labels
from core.formatting import counted, printable
from core.images.files import is_system_file
from core.images.framing import MeasuredPicture, cut_box
from core.inference.specimen import ADULT_BLOOD, Specimen
from core.progress import Report, silent
from core.runs import Run
from dashboard.session import UploadSession

ANSWERS_ASKED = 25  # answers that make a laboratory's own reading
MORE_ANSWERS = 5  # so many again for who wants to go on
ANSWERS_PER_CLASS = 5  # answers of one class that are worth waiting for
CELLS_ASKED = 50  # cells that are asked for
_NAME = "My laboratory"
_TABLES = (".csv", ".tsv", ".txt")
Box = tuple[int, int, int, int]


class BadTable(ValueError):
    """A table of labels can't be used; the message says why."""


@dataclass(frozen=True)
class QuestionRound:
    """Questions put on one screen: indexes of the ``cells``, and what was believed when they were asked.

    ``probabilities`` float64 (N, C) of all cells: the guesses stay as they are until the round is over.
    """

    cells: tuple[int, ...]
    probabilities: np.ndarray


@dataclass(frozen=True)
class LabTable:
    """What a table called ``name`` says: class codes and slides by the paths of files, as it writes them."""

    name: str
    labels: dict[str, str]
    slides: dict[str, str]


@dataclass(frozen=True)
class TableMatches:
    """What all tables say of the pictures that are here: class codes and slides by id; ``notes``: what fits none."""

    codes: dict[str, str] = field(default_factory=dict)
    slides: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass
class Laboratory:
    """Everything of one laboratory in one visitor's session; lives there, so it survives a change of page.

    ``labels``: what folders say, file to class code; ``tables``: what tables say, which goes before. ``side``: of
    the square in px, chosen by hand; None measures it; ``tried_side``: one that is only looked at so far.
    ``present_classes``: codes of the classes that can occur, None for all. ``self_training``: whether what the
    pictures teach without a label is used. ``specimen``: what the cells are of, by which answers are weighed.
    ``ids``: of the session's cells that ``learner`` is about, in its order; ``no_cells``: names of the pictures
    that are left out since they are none, and what each shows. ``answered_by_hand``: ids of those answered on the
    page, in that order; ``goal``: how many are to be.
    """

    session: UploadSession = field(default_factory=UploadSession)
    labels: dict[str, str] = field(default_factory=dict)
    tables: list[LabTable] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    side: int | None = None
    tried_side: int | None = None
    present_classes: tuple[str, ...] | None = None
    self_training: bool = True
    specimen: Specimen = ADULT_BLOOD
    step: str = "scale"
    _learner: ActiveLearner | None = None
    ids: tuple[str, ...] = ()
    answered_by_hand: list[str] = field(default_factory=list)
    rounds: list[QuestionRound] = field(default_factory=list)
    focus: int | None = None
    goal: int = ANSWERS_ASKED
    estimate: AccuracyEstimate | None = None
    saved_profile: LabProfile | None = None
    no_cells: dict[str, str] = field(default_factory=dict)
    _read: tuple[object, ...] = ()
    _matched: tuple[tuple[object, ...], TableMatches] = ((), TableMatches())

    @property
    def can_learn(self) -> bool:
        """Whether there are cells to learn from among the pictures that were read."""
        return self._learner is not None

    @property
    def learner(self) -> ActiveLearner:
        """What the answers taught; there once the pictures were read."""
        assert self._learner is not None, "the pictures were not read yet"
        return self._learner

    @learner.setter
    def learner(self, learner: ActiveLearner) -> None:
        """Take the place of what was learnt before."""
        self._learner = learner

    # Pictures

    def take(self, files: Sequence[tuple[str, bytes]], spec: DatasetSpec) -> None:
        """Queue ``files`` (name, bytes) for the session; tables and folders among them say what the cells are."""
        self.notes = []
        folders: dict[str, list[str]] = {}
        pictures = []
        for name, data in files:
            path = PurePosixPath(name)
            if is_system_file(name):
                continue
            if path.suffix.lower() in _TABLES:
                self._take_table(name, data, spec)
            else:
                pictures.append((name, data))
                folders.setdefault(path.parent.name, []).append(name)
        for folder, names in folders.items():
            if folder and (code := code_of(folder, spec)):
                self.labels |= dict.fromkeys(names, code)
        self.session.enqueue(pictures)
        if not pictures:  # a table alone speaks of what is here already
            self._read = ()

    def _take_table(self, name: str, data: bytes, spec: DatasetSpec) -> None:
        try:
            labels, slides, notes = table_labels(data, spec, short(name))
        except BadTable as error:
            self.notes.append(str(error))
            return
        self.tables.append(LabTable(short(name), labels, slides))
        self.notes += [f"{printable(short(name))} names the class of {counted(len(labels), 'picture')}.", *notes]

    @property
    def matches(self) -> TableMatches:
        """What the tables say of the pictures that are here, the last table first."""
        key = (tuple(self.session.cells), len(self.tables))
        if self._matched[0] != key:
            self._matched = key, self._match_tables()
        return self._matched[1]

    def _match_tables(self) -> TableMatches:
        names = [cell.name for cell in self.session.cells.values()]
        ids = {cell.name: identity for identity, cell in self.session.cells.items()}
        codes: dict[str, str] = {}
        slides: dict[str, str] = {}
        notes = []
        for table in self.tables:
            found = match_files([*table.labels, *table.slides], names)
            at_odds: dict[str, None] = {}
            for entries, said in ((table.labels, codes), (table.slides, slides)):
                of_file: dict[str, set[str]] = {}
                for path, file in found.files.items():
                    if path in entries:
                        of_file.setdefault(file, set()).add(entries[path])
                said |= {ids[file]: min(said_of) for file, said_of in of_file.items() if len(said_of) == 1}
                at_odds |= dict.fromkeys(file for file, said_of in of_file.items() if len(said_of) > 1)
            if at_odds:
                notes.append(
                    f"{printable(table.name)} names {counted(len(at_odds), 'picture')} twice, with different entries, "
                    f"and none is used, such as {printable(next(iter(at_odds)))}."
                )
            if found.unmatched:
                notes.append(
                    f"{counted(len(found.unmatched), 'path')} of {printable(table.name)} match no picture here, such "
                    f"as {printable(found.unmatched[0])}."
                )
            if found.ambiguous:
                notes.append(
                    f"{counted(len(found.ambiguous), 'path')} of {printable(table.name)} may mean several pictures and "
                    f"are not used, such as {printable(found.ambiguous[0])}. Drop the whole folder, so that paths are "
                    "known, or give each picture a name of its own."
                )
        return TableMatches(codes, slides, tuple(notes))

    # Cells

    def needs_reading(self, run: Run) -> bool:
        """Whether the cells must be looked at (again): pictures came or went, or the scale changed."""
        return self._key(run) != self._read

    def read_pictures(self, run: Run, report: Report = silent) -> None:
        """Frame all pictures at one scale and let ``run`` look at the cells among them. Answers stay with them."""
        key, ids = self._key(run), tuple(self.session.cells)
        uploads = [self.session.cells[i] for i in ids]
        pictures = [MeasuredPicture(cell.pixels, cell.name, pixel_size=cell.pixel_size) for cell in uploads]
        of_slide = self.matches.slides
        slides = [of_slide.get(i, i) for i in ids] if of_slide else None
        cells = encode_pictures(run, pictures, slides, self.side, report)
        checks = cell_checks(run, pictures, cells)
        self.no_cells = {
            picture.name: check.sentence for picture, check in zip(pictures, checks, strict=True) if not check.is_cell
        }
        kept = np.flatnonzero([check.is_cell for check in checks])
        if len(kept):
            self._begin(run, cells.subset(kept), tuple(ids[i] for i in kept))
        else:
            self._learner, self.ids, self.rounds, self.focus, self.estimate = None, (), [], None, None
        self._read = key

    def _key(self, run: Run) -> tuple[object, ...]:
        return run.path, tuple(self.session.cells), self.side

    def _begin(self, run: Run, cells: LabCells, ids: tuple[str, ...]) -> None:
        """Take the answers given so far over to newly read cells; what the labels say comes first."""
        numbers = {identity: number for number, identity in enumerate(ids)}
        by_hand = {}
        if self._learner:
            answered = {self.ids[cell]: answer for cell, answer in self.learner.answers}
            self.answered_by_hand = [i for i in self.answered_by_hand if i in numbers]
            by_hand = {numbers[i]: answered[i] for i in self.answered_by_hand}
        labelled = {
            numbers[i]: run.codes.index(code)
            for i in ids
            if numbers[i] not in by_hand and (code := self.label(i)) and code in run.codes
        }
        self.ids, answers, exemplars = ids, tuple((labelled | by_hand).items()), head.exemplars_of(run)
        present = self._present_mask(run)
        learner = ActiveLearner(cells, present, answers, exemplars, self_trains=self.self_training)
        self.learner = learner.of_specimen(self.specimen, run)
        self.rounds, self.focus, self.estimate = [], None, None
        if answers:
            self._estimate()

    def label(self, identity: str) -> str | None:
        """The class code that a table or a folder gives a picture; None where none does."""
        return self.matches.codes.get(identity) or self.labels.get(self.session.cells[identity].name)

    def _present_mask(self, run: Run) -> np.ndarray:
        return np.array([self.present_classes is None or code in self.present_classes for code in run.codes])

    def set_present_classes(self, run: Run, codes: Sequence[str]) -> None:
        """Only ``codes`` can occur; none or all of them leaves all possible."""
        self.present_classes = None if not codes or set(codes) == set(run.codes) else tuple(codes)
        self._change(present_classes=self._present_mask(run))

    def set_self_training(self, self_training: bool) -> None:
        """Whether what the pictures teach without a label is used."""
        self.self_training = self_training
        self._change(self_trains=self_training)

    def set_specimen(self, run: Run, specimen: Specimen) -> None:
        """The cells are of ``specimen``; no picture is read again. Raises `HemaLensError` where it says nothing of the
        classes of ``run``.
        """
        self.specimen = specimen
        if self._learner:
            learner = self.learner.of_specimen(specimen, run)
            self._change(specimen=learner.specimen, odds=learner.odds)

    def _change(self, **what: Any) -> None:
        self.learner = replace(self.learner, **what)
        if self.rounds and not set(self.rounds[-1].cells) & set(self.answers):  # they were chosen otherwise
            self.rounds.pop()
        self._estimate()

    def _estimate(self) -> None:
        with threadpool_limits(1):
            self.estimate = self.learner.estimate()

    @property
    def probabilities(self) -> np.ndarray:
        """What each cell is now believed to be, float64 (N, C)."""
        with threadpool_limits(1):
            return self.learner.posterior

    def picture(self, cell: int) -> np.ndarray:
        """The picture uint8 (H, W, 3) as it came of the cell numbered ``cell``."""
        return self.session.cells[self.ids[cell]].pixels

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Left, top, right, bottom in px of each cell's frame in its picture."""
        return self.learner.cells.boxes or ()

    def box(self, cell: int, side: int | None = None) -> Box:
        """Left, top, right, bottom of its frame; with ``side`` px, of a square of that side round the same place."""
        box = left, top, right, bottom = self.boxes[cell]
        if side is None:
            return box
        left, top = round((left + right - side) / 2), round((top + bottom - side) / 2)
        return left, top, left + side, top + side

    # Questions

    @property
    def answers(self) -> dict[int, int]:
        """What was said of each cell, in the order of answering."""
        return dict(self._learner.answers) if self._learner else {}

    @property
    def asked(self) -> int:
        """How many questions were answered; labels that came with the pictures don't count."""
        return len(self.answered_by_hand)

    def round(self) -> QuestionRound | None:
        """The questions on the screen; None when the goal is reached or nothing is left to ask."""
        answers = self.answers
        if self.rounds and any(cell not in answers for cell in self.rounds[-1].cells):
            return self.rounds[-1]
        left = self.goal - self.asked
        if left <= 0 or self._learner is None or len(answers) >= len(self.ids):
            return None
        if answers:
            self._estimate()
        with threadpool_limits(1):
            chosen = tuple(int(i) for i in self.learner.queries[:left])
        self.rounds.append(QuestionRound(chosen, self.probabilities))
        return self.rounds[-1]

    def focused(self) -> int | None:
        """The cell that a key speaks of: the one clicked on, else the first that waits; None when none does."""
        now = self.round()
        if now is None:
            return None
        if self.focus in now.cells:
            return self.focus
        return next(cell for cell in now.cells if cell not in self.answers)

    def answer(self, cell: int, answer: int) -> None:
        """``cell`` is of class ``answer``, or `NOT_A_CELL` or `CANT_SAY`."""
        self.learner = self.learner.with_answer(cell, answer)
        self.answered_by_hand = [i for i in self.answered_by_hand if i != self.ids[cell]] + [self.ids[cell]]
        self.focus = None
        if self.round() is None:
            self._estimate()

    def undo(self) -> None:
        """Take back the answer given last on the page, and ask again."""
        if not self.answered_by_hand:
            return
        cell = self.ids.index(self.answered_by_hand.pop())
        self.learner = self.learner.without_last_answer()
        while self.rounds and cell not in self.rounds[-1].cells:
            self.rounds.pop()
        if not self.rounds:
            self.rounds.append(QuestionRound((cell,), self.probabilities))
        self.focus = cell

    def ask_more(self) -> None:
        """Go on with some more questions."""
        self.goal = self.asked + MORE_ANSWERS

    # Use

    def free_name(self) -> str:
        """'My laboratory', or with a number where others are called so; the name under which it was kept."""
        if self.saved_profile:
            return self.saved_profile.name
        names = [_NAME, *(f"{_NAME} {number}" for number in range(2, 100))]
        return next((name for name in names if not profile_path(name).exists()), _NAME)

    def save_profile(self, name: str, run: Run) -> LabProfile:
        """Write what was taught into the user's folder as ``name``, which no other may have. Raises `ProfileError`."""
        path = profile_path(name)
        if path.exists() and (self.saved_profile is None or path != profile_path(self.saved_profile.name)):
            raise ProfileError(
                f"There is a laboratory called {name.strip()!r} already. Choose another name, or delete it."
            )
        with threadpool_limits(1):
            profile = make_profile(name, run, self.learner)
        save_profile(profile)
        self.saved_profile = profile
        return profile


@dataclass(frozen=True)
class LabContext:
    """What a step is given: the visitor's laboratory, and the ``run`` that it teaches with the classes ``spec``."""

    lab: Laboratory
    run: Run
    spec: DatasetSpec


def crop(lab: Laboratory, cell: int, most: int = 320) -> np.ndarray:
    """What the model looked at of the cell, in the picture's own resolution, uint8 (S, S, 3), S at most ``most``."""
    pixels = cut_box(lab.picture(cell), lab.box(cell))
    side = min(most, min(pixels.shape[:2]))
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((side, side), Image.Resampling.BOX))


def short(name: str) -> str:
    """A file's name without its folders, which not every browser tells."""
    return PurePosixPath(name.replace("\\", "/")).name


def code_of(label: str, spec: DatasetSpec) -> str | None:
    """The class code that a laboratory's ``label`` stands for; None where nothing fits."""
    try:
        return map_labels([label], spec)[label]
    except DatasetUnavailable:
        return None


def table_labels(
    data: bytes, spec: DatasetSpec, name: str = "The table"
) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Class codes and slides by file, as a CSV with the columns file and label (and slide) names it; and what else a
    person should know of it, in sentences. Raises `BadTable`.
    """
    try:
        table = Table.read(data, printable(name))
        table.need("file", "label")
        files = list({path_parts(row["file"]): row["file"] for row in reversed(table.rows)}.values())
        column = column_of_files(table, "label", files)
        of_slide = column_of_files(table, "slide", files) if table.has_entries("slide") else FileColumn()
    except DatasetUnavailable as error:
        raise BadTable(str(error)) from error
    codes = {label: code_of(label, spec) for label in dict.fromkeys(column.entries.values())}
    notes = list(dict.fromkeys([*column.notes(), *of_slide.notes()]))
    if unknown := [label for label, code in codes.items() if code is None]:
        listed = ", ".join(repr(printable(label)) for label in unknown[:5])
        rows = sum(label in unknown for label in column.entries.values())
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        notes.append(f"No class is called {listed}{more}: {counted(rows, 'picture')} left without an answer.")
    return {file: code for file, label in column.entries.items() if (code := codes[label])}, of_slide.entries, notes
