"""Two runs on the same images: who is right where the other is wrong, and whether chance explains it."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm

from core.errors import HemaLensError
from core.runs import Run


class NotComparable(HemaLensError):
    """Two runs were not scored on the same images, so no paired test can be made; the message says why."""


@dataclass(frozen=True)
class PairedComparison:
    """Two classifiers on the same ``n`` images.

    ``only_first`` images are right in the first and wrong in the second, ``only_second`` the reverse.
    ``difference`` is accuracy of the first minus that of the second (-1 to 1), ``interval`` its 95 %
    interval, ``p_value`` that of McNemar's exact test (two-sided).
    """

    n: int
    both_right: int
    only_first: int
    only_second: int
    both_wrong: int
    difference: float
    interval: tuple[float, float]
    p_value: float


def compare_answers(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> PairedComparison:
    """Compare two classifiers' answers; all three arrays are class indices (N,), image by image.

    McNemar, Q. (1947), Psychometrika 12, 153-157, in its exact (binomial) form. The interval is the
    adjusted Wald interval for paired proportions: Bonett, D. G. and Price, R. M. (2012), J. Educ. Behav.
    Stat. 37(4), 479-488.
    """
    labels, first, second = (np.asarray(a) for a in (labels, first, second))
    if not len(labels) == len(first) == len(second):
        raise ValueError(f"{len(labels)} labels, {len(first)} and {len(second)} answers: these are not pairs")
    n = len(labels)
    right, other = first == labels, second == labels
    only_first, only_second = int((right & ~other).sum()), int((other & ~right).sum())
    apart = only_first + only_second
    p = binomtest(only_first, apart, 0.5).pvalue if apart else 1.0
    return PairedComparison(
        n=n,
        both_right=int((right & other).sum()),
        only_first=only_first,
        only_second=only_second,
        both_wrong=int((~right & ~other).sum()),
        difference=(only_first - only_second) / n if n else 0.0,
        interval=_paired_interval(only_first, only_second, n),
        p_value=float(p),
    )


def pair_up(first: Run, second: Run, split: str = "test") -> tuple[np.ndarray, np.ndarray]:
    """Positions (N,) in each run's predictions such that equal positions are the same image.

    Images are matched by id, so runs of different sizes can be paired. Raises `NotComparable`.
    """
    reason = why_not_comparable(first, second)
    if reason:
        raise NotComparable(reason)
    one, two = first.predictions(split), second.predictions(split)
    order_one, order_two = np.argsort(one.ids), np.argsort(two.ids)
    if not np.array_equal(one.ids[order_one], two.ids[order_two]):
        raise NotComparable(
            f"The two runs were scored on different {split} images ({len(one.ids):,} and {len(two.ids):,}), "
            "so they can't be compared cell by cell. Train or evaluate both on the same file."
        )
    if not np.array_equal(one.labels[order_one], two.labels[order_two]):
        raise NotComparable(
            "The two runs disagree on what some cells truly are, so their files differ. "
            "Train or evaluate both on the same file."
        )
    places = np.empty(len(order_one), int)
    places[order_one] = order_two
    return np.arange(len(one.ids)), places


def compare_runs(first: Run, second: Run, split: str = "test") -> PairedComparison:
    """The paired comparison of two runs on one split. Raises `NotComparable`."""
    rows, others = pair_up(first, second, split)
    one, two = first.predictions(split), second.predictions(split)
    return compare_answers(one.labels[rows], one.logits[rows].argmax(1), two.logits[others].argmax(1))


def why_not_comparable(first: Run, second: Run) -> str | None:
    """Why two runs' images can't be the same, as far as their configuration tells; None where they can."""
    one, two = first.config["dataset"], second.config["dataset"]
    if one["name"] != two["name"]:
        return (
            f"One run was scored on {first.provenance}, the other on {second.provenance}: "
            "different cells, so their accuracies can't be tested against each other."
        )
    if first.provenance != second.provenance:
        return (
            f"One run was scored on {first.provenance}, the other on {second.provenance}: "
            "their test cells differ. Train or evaluate both on the same file."
        )
    same_size = one["size"] == two["size"]
    if same_size and one["provenance"]["content_hash"] != two["provenance"]["content_hash"]:
        return (
            f"Both runs say {first.provenance}, but the contents of the two files differ. "
            "Train or evaluate both on the same file."
        )
    return None


def _paired_interval(only_first: int, only_second: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    z = norm.ppf(0.5 + confidence / 2)
    a, b = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    spread = z * np.sqrt((a + b - (a - b) ** 2) / (n + 2))
    return float(max(-1.0, a - b - spread)), float(min(1.0, a - b + spread))
