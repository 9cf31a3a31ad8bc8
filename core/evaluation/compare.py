"""Two or more runs on the same images: who is right where the other is wrong, whether chance explains it, and
how far they agree."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm

from core.errors import HemaLensError
from core.probabilities import wilson_interval
from core.runs import Predictions, Run

_Z95 = norm.ppf(0.975)


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


def compare_predictions(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> PairedComparison:
    """Compare two classifiers' answers; all three arrays are class indices (N,), image by image.

    McNemar, Q. (1947), Psychometrika 12, 153-157, in its exact (binomial) form. The interval is the
    adjusted Wald interval for paired proportions: Bonett, D. G. and Price, R. M. (2012), J. Educ. Behav.
    Stat. 37(4), 479-488.
    """
    labels, first, second = (np.asarray(a) for a in (labels, first, second))
    if not len(labels) == len(first) == len(second):
        raise ValueError(f"{len(labels)} labels, {len(first)} and {len(second)} answers: these are not pairs")
    n = len(labels)
    kinds = np.bincount(2 * (first != labels) + (second != labels), minlength=4).tolist()
    both_right, only_first, only_second, both_wrong = kinds
    difference = (only_first - only_second) / n if n else 0.0
    a, b = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    spread = _Z95 * np.sqrt((a + b - (a - b) ** 2) / (n + 2))
    interval = float(max(-1.0, a - b - spread)), float(min(1.0, a - b + spread))
    discordant = only_first + only_second
    p_value = float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0
    return PairedComparison(n, both_right, only_first, only_second, both_wrong, difference, interval, p_value)


@dataclass(frozen=True)
class BootstrapResult:
    """What a paired bootstrap says of the difference of two accuracies (-1 to 1).

    ``differences`` (resamples,) are those of the resamples, ``interval`` their central 95 %, ``fraction_ahead`` the
    share of resamples in which the first is the more accurate (a draw counts half).
    """

    differences: np.ndarray
    interval: tuple[float, float]
    fraction_ahead: float


def bootstrap(paired: PairedComparison, resamples: int = 10_000, seed: int = 0) -> BootstrapResult:
    """Bootstrap the difference of two accuracies over the images, keeping the two answers to an image together.

    A resample of images changes nothing but how many of the four kinds (both right, only the first, only the
    second, both wrong) it holds, and these counts are multinomial: so they are drawn at once. The interval is
    the percentile one. Efron, B. and Tibshirani, R. J. (1993), An Introduction to the Bootstrap, chapter 13.
    """
    if paired.n == 0:
        return BootstrapResult(np.zeros(0), (-1.0, 1.0), 0.5)
    kinds = np.array([paired.both_right, paired.only_first, paired.only_second, paired.both_wrong]) / paired.n
    counts = np.random.default_rng(seed).multinomial(paired.n, kinds, size=resamples)
    differences = (counts[:, 1] - counts[:, 2]) / paired.n
    low, high = np.quantile(differences, [0.025, 0.975])
    ahead = (differences > 0).mean() + (differences == 0).mean() / 2
    return BootstrapResult(differences, (float(low), float(high)), float(ahead))


@dataclass(frozen=True)
class Agreement:
    """How far two classifiers say the same: ``matrix`` (C, C) counts images, rows what the first says.

    ``fraction_equal`` of images on which both say the same (0 to 1); ``kappa`` is Cohen's, 1 where they always agree
    and 0 where no more than their habits make likely; None where both always say one and the same class.
    """

    matrix: np.ndarray
    fraction_equal: float
    kappa: float | None


def agreement(first: np.ndarray, second: np.ndarray, classes: int) -> Agreement:
    """Agreement of two classifiers' answers, class indices (N,) each, whether right or wrong.

    Cohen, J. (1960), Educ. Psychol. Meas. 20(1), 37-46.
    """
    first, second = np.asarray(first), np.asarray(second)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} answers: these are not pairs")
    matrix = np.bincount(first * classes + second, minlength=classes**2).reshape(classes, classes)
    n = matrix.sum()
    if n == 0:
        return Agreement(matrix, 0.0, None)
    fraction_equal = float(np.trace(matrix) / n)
    expected = float(matrix.sum(axis=1) @ matrix.sum(axis=0) / n**2)
    return Agreement(matrix, fraction_equal, (fraction_equal - expected) / (1 - expected) if expected < 1 else None)


def pairwise_agreement(answers: np.ndarray) -> np.ndarray:
    """Share of images (0 to 1) to which each two of R classifiers say the same, (R, R), from ``answers`` (R, N)."""
    answers = np.asarray(answers)
    return np.stack([(answers == row).mean(axis=1) for row in answers])


def error_overlap(answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of the images that one of two classifiers or both get wrong, the share that both do (0 to 1), (R, R).

    ``answers`` (R, N), ``labels`` (N,). 1 for two that make no error at all.
    """
    from scipy.spatial.distance import pdist, squareform

    return 1 - squareform(pdist(np.asarray(answers) != np.asarray(labels), "jaccard"))


def similarity_order(similarity: np.ndarray) -> np.ndarray:
    """An order (R,) that puts what is alike side by side; ``similarity`` (R, R) is symmetric, 1 for the same.

    Average linkage with its leaves in the best order: Bar-Joseph, Z. et al. (2001), Bioinformatics 17, S22-S29.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(similarity) < 3:
        return np.arange(len(similarity))
    distance = np.clip(1 - (similarity + similarity.T) / 2, 0, None)
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True))


def compare_with_best(labels: np.ndarray, answers: np.ndarray) -> tuple[int, list[PairedComparison]]:
    """Which of R classifiers is the most accurate (the first of equals), and it against each of them.

    ``labels`` (N,), ``answers`` (R, N). The upper end of a comparison's interval is how far that one may be
    behind: below a margin it is shown not to be worse by more than that (a test of non-inferiority).
    """
    answers = np.asarray(answers)
    best = int((answers == labels).mean(axis=1).argmax())
    return best, [compare_predictions(labels, answers[best], predictions) for predictions in answers]


def match_predictions(first: Predictions, second: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N,) in each run's predictions on one split such that equal positions are the same image.

    Images are matched by id, so runs of different sizes can be paired, and runs of a data set that was split in
    different ways on the images that both have. Raises `NotComparable` where their ids and labels tell that they
    can't be paired; what their configuration tells says `why_not_comparable`.
    """
    common_ids, rows, other_rows = np.intersect1d(first.ids, second.ids, return_indices=True)
    if not len(common_ids):
        raise NotComparable(
            f"No image is in the test part of both ({len(first.ids):,} and {len(second.ids):,} images, none in "
            "common), so they can't be compared image by image. Train or evaluate both on the same split."
        )
    order = np.argsort(rows)  # the first one's own order
    rows, other_rows = rows[order], other_rows[order]
    if not np.array_equal(first.labels[rows], second.labels[other_rows]):
        raise NotComparable(
            "The two runs disagree on what some cells truly are, so their files differ. "
            "Train or evaluate both on the same file."
        )
    return rows, other_rows


def why_not_comparable(first: Run, second: Run) -> str | None:
    """Why two runs' images can't be the same, as far as their configuration tells; None where they can."""
    first_data, second_data = first.config["dataset"], second.config["dataset"]
    scored_on = f"One run was scored on {first.provenance}, the other on {second.provenance}"
    if first_data["name"] != second_data["name"]:
        return f"{scored_on}: different cells, so their accuracies can't be tested against each other."
    if first.codes != second.codes:
        return "The two runs know different classes, so they can't be compared image by image."
    if first.scheme != second.scheme:
        return None  # the same images in other parts: their ids tell which ones both were scored on
    if first.provenance != second.provenance:
        return f"{scored_on}: their test cells differ. Train or evaluate both on the same file."
    same_size = first_data["size"] == second_data["size"]
    if same_size and first_data["provenance"]["content_hash"] != second_data["provenance"]["content_hash"]:
        return (
            f"Both runs say {first.provenance}, but the contents of the two files differ. "
            "Train or evaluate both on the same file."
        )
    return None


def newcombe_interval(correct: tuple[int, int], totals: tuple[int, int]) -> tuple[float, float]:
    """95 % interval of the difference (first minus second, -1 to 1) of two shares counted on different images.

    ``correct`` of ``totals`` images each. The hybrid of two Wilson intervals: Newcombe, R. G. (1998), Statistics in
    Medicine 17, 873-890, method 10.
    """
    (a, n), (b, m) = zip(correct, totals, strict=True)
    if not n or not m:
        return -1.0, 1.0
    p, q = a / n, b / m
    (low_p, high_p), (low_q, high_q) = wilson_interval(a, n), wilson_interval(b, m)
    below, above = np.hypot(p - low_p, high_q - q), np.hypot(high_p - p, q - low_q)
    return float(max(-1.0, p - q - below)), float(min(1.0, p - q + above))
