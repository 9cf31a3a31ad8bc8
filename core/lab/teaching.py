"""A person's answers about a laboratory's cells, and what a run makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.evaluation.metrics import accuracy_interval
from core.lab.cells import LabCells
from core.lab.head import Anchors, Head, fit_head, plain_head
from core.lab.questions import FIRST, ROUND, first_questions, next_questions

NOT_A_CELL, CANT_SAY = -1, -2  # answers that are no class
ABSENT = 0.02  # odds of a class that is said not to occur: seen plainly, it is still found
FOLDS = 5


@dataclass(frozen=True)
class Estimate:
    """Share right among all cells of the batch, ``before`` and ``after`` teaching, each with its 95 % interval.

    By cross-validation on the ``n`` answered cells (whole slides left out where they are known), where each stands for
    the unanswered ones nearest to it: questions are no random draw. ``labels``, ``before_answers``, ``after_answers``
    int (n,): what the cells are and were called by cross-validation.
    """

    n: int
    before: float
    before_interval: tuple[float, float]
    after: float
    after_interval: tuple[float, float]
    labels: np.ndarray
    before_answers: np.ndarray
    after_answers: np.ndarray


@dataclass(frozen=True)
class Teaching:
    """The cells, the classes that ``occur`` (bool (C,)), and the answers so far: index of the cell to class or
    `NOT_A_CELL` or `CANT_SAY`, in the order given. Each answer makes a new object (`answered`, `undone`)."""

    cells: LabCells
    occurs: np.ndarray
    answers: tuple[tuple[int, int], ...] = ()
    anchors: Anchors | None = None
    seed: int = 0

    def answered(self, cell: int, answer: int) -> "Teaching":
        """With one more answer; an earlier one about the same cell is replaced."""
        kept = tuple(a for a in self.answers if a[0] != cell)
        return Teaching(self.cells, self.occurs, (*kept, (cell, answer)), self.anchors, self.seed)

    def undone(self) -> "Teaching":
        """Without the last answer."""
        return Teaching(self.cells, self.occurs, self.answers[:-1], self.anchors, self.seed)

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
        """The head before teaching: the run's answers, with the classes that occur."""
        return plain_head(self.cells.embeddings, self.prior)

    @cached_property
    def head(self) -> Head:
        """The head after teaching; the run's own answers while nothing was said."""
        chosen, labels = self.labelled
        if not len(chosen):
            return self.start
        return fit_head(
            self.start, self.cells.embeddings[chosen], self.cells.probabilities[chosen], labels, self.anchors
        )

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
        """How well the batch is read, before and after; None below 5 labelled cells or with one group alone."""
        chosen, labels = self.labelled
        if len(chosen) < FOLDS:
            return None
        groups = [self.cells.groups[i] for i in chosen] if self.cells.groups else None
        folds = _folds(len(chosen), groups, self.seed)
        if len(set(folds)) < 2:
            return None
        vectors, beliefs = self.cells.embeddings[chosen], self.cells.probabilities[chosen]
        before = self.start.probabilities(vectors, beliefs).argmax(1)
        after = np.empty(len(chosen), int)
        for fold in set(folds):
            out = folds == fold
            head = fit_head(self.start, vectors[~out], beliefs[~out], labels[~out], self.anchors)
            after[out] = head.probabilities(vectors[out], beliefs[out]).argmax(1)
        weights = _stand_for(self.cells.embeddings, chosen)
        return Estimate(
            len(chosen),
            *_weighted(before == labels, weights),
            *_weighted(after == labels, weights),
            labels,
            before,
            after,
        )


def _folds(count: int, groups: Sequence[str] | None, seed: int) -> np.ndarray:
    """Fold of each of ``count`` cells; a group is never parted."""
    rng = np.random.default_rng(seed)
    if groups is None:
        return rng.permutation(np.arange(count) % FOLDS)
    names, index = np.unique(groups, return_inverse=True)
    return rng.permutation(np.arange(len(names)) % FOLDS)[index]


def _stand_for(embeddings: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """How many cells of the batch lie nearest to each of ``chosen``, itself included."""
    z = (embeddings - embeddings.mean(0)) / (embeddings.std(0) + 1e-6)
    z /= np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-6)
    return np.bincount((z @ z[chosen].T).argmax(1), minlength=len(chosen)).astype(float)


def _weighted(right: np.ndarray, weights: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Weighted share of ``right`` and its Wilson interval at the effective number (Kish 1965)."""
    share = float(np.average(right, weights=weights))
    effective = weights.sum() ** 2 / (weights**2).sum()
    return share, accuracy_interval(share * effective, effective)
