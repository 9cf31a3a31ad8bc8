"""The quiz of the Dataset page: which picture is asked next, and how well somebody does, class by class."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

ROUNDS = 2  # a block asks every class so often: balanced, yet nobody can tell the last ones of a block


@dataclass(frozen=True)
class Answer:
    """One question that was answered: the picture's ``label``, what was ``said``, what a model said (None: nothing)."""

    label: int
    said: int
    model: int | None = None

    @property
    def right(self) -> bool:
        return self.label == self.said


@dataclass
class Quiz:
    """Questions in their order, each a (label, picture's row), and the answers to the first of them."""

    questions: list[tuple[int, int]]
    answers: list[Answer] = field(default_factory=list)
    number: int = 0  # of the question that is shown, from 0

    @property
    def question(self) -> tuple[int, int] | None:
        """The label and the row of the picture shown; None after the last."""
        return self.questions[self.number] if self.number < len(self.questions) else None

    @property
    def answer(self) -> Answer | None:
        """The answer to the picture shown; None while it waits for one."""
        return self.answers[self.number] if self.number < len(self.answers) else None

    def say(self, label: int, model: int | None = None) -> None:
        """Answer the picture shown; a second answer to it changes nothing."""
        if self.question is not None and self.answer is None:
            self.answers.append(Answer(self.question[0], label, model))

    def go_on(self) -> None:
        """Show the next picture, once this one is answered."""
        if self.answer is not None:
            self.number += 1

    @property
    def right(self) -> int:
        return sum(answer.right for answer in self.answers)

    def compared(self) -> tuple[int, int, int]:
        """Of the questions that a model answered too: how many, how many the person had right, how many the model."""
        both = [answer for answer in self.answers if answer.model is not None]
        return len(both), sum(a.right for a in both), sum(a.model == a.label for a in both)


def start(labels: np.ndarray, asked: Sequence[int], seed: int) -> Quiz:
    """A quiz over pictures with ``labels`` (N,) of the classes ``asked`` (indices), the same for the same seed.

    Classes come equally often as long as all have pictures left; no picture comes twice.
    """
    rng = np.random.default_rng(seed)
    left = {label: list(rng.permutation(np.flatnonzero(labels == label))) for label in asked}
    questions: list[tuple[int, int]] = []
    while any(left.values()):
        block = [(label, int(left[label].pop())) for label in asked for _ in range(min(ROUNDS, len(left[label])))]
        questions += [block[i] for i in rng.permutation(len(block))]
    return Quiz(questions)


def score(quiz: Quiz, codes: Sequence[str]) -> pd.DataFrame:
    """A row a class that was asked: class, asked, right, and what it was most often taken for ('' for nothing)."""
    rows = []
    for label, code in enumerate(codes):
        of_it = [a for a in quiz.answers if a.label == label]
        if of_it:
            wrong = [a.said for a in of_it if not a.right]
            mistaken = codes[max(set(wrong), key=lambda s: (wrong.count(s), -s))] if wrong else ""
            rows.append((code, len(of_it), sum(a.right for a in of_it), mistaken))
    return pd.DataFrame(rows, columns=["class", "asked", "right", "taken for"])
