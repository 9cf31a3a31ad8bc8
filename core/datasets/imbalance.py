"""What it means for accuracy that some classes are commoner than others, in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Imbalance:
    """Of the pictures of one split: which class is the commonest, which the rarest, and what follows.

    ``shares`` float (C,) of the classes that are there. ``majority`` and ``rarest`` are codes. ``guess``: accuracy of
    always naming the commonest class; ``guess_balanced``: its balanced accuracy, 1 / C. ``without_rarest`` and
    ``without_rarest_balanced``: both for a model that is right on all but the rarest class, which it never finds.
    """

    codes: tuple[str, ...]
    shares: np.ndarray
    majority: str
    rarest: str
    guess: float
    guess_balanced: float
    without_rarest: float
    without_rarest_balanced: float

    @property
    def ratio(self) -> float:
        """The commonest class's share over the rarest's, 1 or more."""
        return self.guess / (1 - self.without_rarest)

    @property
    def even(self) -> bool:
        """Whether the classes are about equally common, so that the two accuracies say the same."""
        return self.ratio < 1.05


def imbalance(codes: Sequence[str], counts: np.ndarray) -> Imbalance | None:
    """The `Imbalance` of a split with ``counts`` (C,) pictures of the classes ``codes``; None for fewer than two.

    Classes without any picture are left out.
    """
    there = np.flatnonzero(counts)
    if len(there) < 2:
        return None
    some, counts = tuple(codes[i] for i in there), np.asarray(counts, float)[there]
    shares = counts / counts.sum()
    most, least = int(shares.argmax()), int(shares.argmin())
    classes = len(some)
    return Imbalance(
        codes=some,
        shares=shares,
        majority=some[most],
        rarest=some[least],
        guess=float(shares[most]),
        guess_balanced=1 / classes,
        without_rarest=1 - float(shares[least]),
        without_rarest_balanced=1 - 1 / classes,
    )
