"""What a laboratory's pictures teach before anybody has named one: the surest answers stand in for labels.

Such self-training (Scudder 1965, doi:10.1109/TIT.1965.1053799; class by class as in Zou et al. 2018, arXiv:1810.07911)
gains much where a batch holds all classes in like numbers, and harms where one class prevails, as in every natural
differential: the commonest class swallows the others. So it is done only where no class is believed to prevail.
"""

from dataclasses import dataclass

import numpy as np

from core.lab.head import Head, fit_head

FEWEST = 100  # cells
PREVAILS = 0.4  # share of the batch from which on a class prevails
PENALTY = 0.1
_SHARES = (0.3, 0.5, 0.7)  # of each class's answers, the surest first, that are believed in each round
_FEWEST_OF_CLASS = 3


@dataclass(frozen=True)
class Adaptation:
    """``head`` after adapting; ``done`` says whether anything was done, ``why`` in one sentence why or why not."""

    head: Head
    done: bool
    why: str


def adapt(start: Head, embeddings: np.ndarray, probabilities: np.ndarray) -> Adaptation:
    """Adapt ``start`` to a batch: ``embeddings`` (N, K), ``probabilities`` (N, C) of the run."""
    answers = start.probabilities(embeddings, probabilities)
    share = prevailing(answers)
    if len(answers) < FEWEST:
        return Adaptation(start, False, f"Nothing was adapted without labels: that needs {FEWEST} cells or more.")
    if share > PREVAILS:
        why = f"One class seems to make up {share:.0%} of these cells: adapting without labels would favour it."
        return Adaptation(start, False, why)
    head = start
    for part in _SHARES:
        believed, labels = _surest(answers, part)
        head = fit_head(start, embeddings[believed], probabilities[believed], labels, penalty=PENALTY)
        answers = head.probabilities(embeddings, probabilities)
    return Adaptation(head, True, "The surest answers about these cells taught the model their stain.")


def prevailing(answers: np.ndarray) -> float:
    """The commonest class's share of ``answers`` (N, C)."""
    return float(np.bincount(answers.argmax(1)).max() / len(answers))


def _surest(answers: np.ndarray, part: float) -> tuple[np.ndarray, np.ndarray]:
    """Indexes and classes of the surest ``part`` of each class's answers (N, C)."""
    winners, top = answers.argmax(1), answers.max(1)
    chosen = []
    for label in np.unique(winners):
        own = np.flatnonzero(winners == label)
        if len(own) >= _FEWEST_OF_CLASS:
            chosen.append(own[np.argsort(-top[own], kind="stable")[: max(2, int(part * len(own)))]])
    believed = np.concatenate(chosen)
    return believed, winners[believed]
