"""Cells of a batch that speak for its rare classes, which few answers or none have named.

Answers about a natural differential are mostly of its commonest classes, and what they teach takes cells from the
rare ones. There the surest of the run's own answers stand in for the missing ones (self-training where it does little
harm: a few cells of few classes). On two of three laboratories what was taught falls less often below the run itself
on other cells, on the third not (``benchmarks/README.md``); for every class it costs more than it gains.
"""

import numpy as np

from core.lab.adapt import PREVAILS, prevailing

FEW = 3  # answers: from these on a class speaks for itself
PER_CLASS = 3
SURE = 0.8


def stand_ins(probabilities: np.ndarray, asked: np.ndarray, labels: np.ndarray, occurs: np.ndarray) -> np.ndarray:
    """Indexes of the at most `PER_CLASS` surest cells of each class with fewer than `FEW` of the answers ``labels``.

    ``probabilities`` (N, C) of the batch before teaching, of which the cells ``asked`` int (m,) were shown already;
    ``labels`` int (n,) are the classes that were answered. A class that no answer named must be said to be there:
    ``occurs`` bool (C,), which says nothing where all do. None where no class prevails: there answers find them all.
    """
    if prevailing(probabilities) <= PREVAILS:
        return np.array([], int)
    counts = np.bincount(labels, minlength=len(occurs))
    there = (counts > 0) | (occurs & (not occurs.all()))
    rest = np.setdiff1d(np.arange(len(probabilities)), asked)
    answers, sure = probabilities[rest].argmax(1), probabilities[rest].max(1)
    chosen = [np.array([], int)]
    for rare in np.flatnonzero(there & (counts < FEW)):
        own = np.flatnonzero((answers == rare) & (sure > SURE))
        chosen.append(rest[own[np.argsort(-sure[own], kind="stable")[:PER_CLASS]]])
    return np.concatenate(chosen)
