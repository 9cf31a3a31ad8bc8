"""Which features an answer rests on: how much accuracy is lost when their values are shuffled between pictures."""

from collections.abc import Callable, Sequence

import numpy as np

Accuracy = Callable[[np.ndarray], float]


def shuffled_losses(
    table: np.ndarray,
    accuracy: Accuracy,
    columns: Sequence[Sequence[int]],
    *,
    repeats: int = 3,
    seed: int = 0,
    report: Callable[[int], None] = lambda done: None,
) -> list[float]:
    """Mean loss of accuracy (0 to 1) for each set of ``columns`` of ``table`` (N, K) that is shuffled together.

    ``accuracy(table)`` scores a model; the pictures must be ones that it was not fitted to (Breiman 2001,
    doi:10.1023/A:1010933404324). Unlike counts of splits this does not favour features of many values, but of
    features that say the same each alone may seem dispensable: therefore whole groups are shuffled too.
    ``report`` is called with the number of sets done.
    """
    draws = np.random.default_rng(seed)
    whole = accuracy(table)
    losses = []
    for done, chosen in enumerate(columns, start=1):
        lost = []
        for _ in range(repeats):
            mixed = table.copy()
            mixed[:, chosen] = table[draws.permutation(len(table))][:, chosen]
            lost.append(whole - accuracy(mixed))
        losses.append(float(np.mean(lost)))
        report(done)
    return losses
