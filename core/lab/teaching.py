"""A person's answers about a laboratory's cells, and what a run makes of them."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from core.lab.adapt import Adaptation, adapt
from core.lab.cells import LabCells
from core.lab.estimate import Estimate, estimate
from core.lab.head import Anchors, Head, fit_head, plain_head
from core.lab.questions import FIRST, ROUND, first_questions, next_questions
from core.lab.stand_ins import stand_ins

NOT_A_CELL, CANT_SAY = -1, -2  # answers that are no class
ABSENT = 0.02  # odds of a class that is said not to occur: seen plainly, it is still found


@dataclass(frozen=True)
class Teaching:
    """The cells, the classes that ``occur`` (bool (C,)), and the answers so far: index of the cell to class or
    `NOT_A_CELL` or `CANT_SAY`, in the order given. Each answer makes a new object (`answered`, `undone`).

    ``adapts``: whether what the cells teach without a label is used, where there is something.
    """

    cells: LabCells
    occurs: np.ndarray
    answers: tuple[tuple[int, int], ...] = ()
    anchors: Anchors | None = None
    seed: int = 0
    adapts: bool = True

    def answered(self, cell: int, answer: int) -> "Teaching":
        """With one more answer; an earlier one about the same cell is replaced."""
        kept = tuple(a for a in self.answers if a[0] != cell)
        return replace(self, answers=(*kept, (cell, answer)))

    def undone(self) -> "Teaching":
        """Without the last answer."""
        return replace(self, answers=self.answers[:-1])

    @cached_property
    def labelled(self) -> tuple[np.ndarray, np.ndarray]:
        """Indexes int (n,) and classes int (n,) of the cells that were given a class."""
        known = [(cell, answer) for cell, answer in self.answers if answer >= 0]
        return np.array([c for c, _ in known], int), np.array([a for _, a in known], int)

    @property
    def prior(self) -> np.ndarray:
        """Odds (C,) with which each class occurs. A class that an answer named does occur."""
        there = self.occurs.copy()
        there[self.labelled[1]] = True
        return np.where(there, 1.0, ABSENT)

    @cached_property
    def start(self) -> Head:
        """The head before teaching and adapting: the run's answers, with the classes that occur."""
        return plain_head(self.cells.embeddings, self.prior)

    @cached_property
    def adaptation(self) -> Adaptation:
        """What the cells teach without a label."""
        return adapt(self.start, self.cells.embeddings, self.cells.probabilities)

    @cached_property
    def head(self) -> Head:
        """The head after teaching; while nothing was said, the run's own, adapted where that is safe and wanted."""
        chosen, labels = self.labelled
        if not len(chosen):
            return self.adaptation.head if self.adapts else self.start
        embeddings, probabilities = self.cells.embeddings[chosen], self.cells.probabilities[chosen]
        return fit_head(self.start, embeddings, probabilities, labels, self.anchors, self.believed)

    @cached_property
    def believed(self) -> Anchors:
        """Cells that stand in for the classes that were hardly named."""
        cells = self.cells
        answers = self.start.probabilities(cells.embeddings, cells.probabilities)
        asked = np.array([cell for cell, _ in self.answers], int)
        found = stand_ins(answers, asked, self.labelled[1], self.occurs)
        return Anchors(cells.embeddings[found], cells.probabilities[found], answers[found].argmax(1))

    @cached_property
    def probabilities(self) -> np.ndarray:
        """What each cell is now believed to be, float64 (N, C)."""
        return self.head.probabilities(self.cells.embeddings, self.cells.probabilities)

    @cached_property
    def questions(self) -> np.ndarray:
        """Indexes of the cells to ask about next; () when all are answered."""
        asked = np.array([cell for cell, _ in self.answers], int)
        if not len(asked):
            return first_questions(self.cells.embeddings, self.probabilities, FIRST, self.seed)
        return next_questions(self.cells.embeddings, self.probabilities, asked, ROUND, self.seed)

    def estimate(self) -> Estimate | None:
        """How well the batch is read, before and after; None while too few cells are named."""
        named, labels = self.labelled
        cells = self.cells
        beside = self.anchors, self.believed
        return estimate(
            self.start, self.head, cells.embeddings, cells.probabilities, named, labels, cells.groups, *beside
        )
