"""The differential: what a case's cells come to, in % of its white cells, and how far that may be trusted.

Two intervals stand beside each share. One is that of the count, as if each cell had been named rightly (Clopper and
Pearson 1934, doi:10.1093/biomet/26.4.404). The other holds the model's errors as well: how often it takes each class
for each other one was measured on cells that it did not learn from, and with that the counts are read backwards
(quantification, Forman 2008, doi:10.1007/s10618-008-0097-y; here as a posterior, as in Fiksel et al. 2022,
doi:10.1111/biom.13411, so that few measured cells widen it). Answers of which a person is asked to take a look err more
often than the others, so that they are counted apart; a cell that a person named is certain. The exact interval holds
the truth in more than 95 % of counts, the second in about as many as it says, so that it may be the narrower one where
a model hardly errs.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.inference.confusion import ModelErrors
from core.probabilities import exact_interval

ERYTHROBLASTS, PLATELETS, BLASTS = "ERB", "PLT", "BLA"
WHITE = ("BA", "EO", "IG", "LY", "MO", "NE", BLASTS)  # no model names blasts: a person does, where the alarm is raised
CODES = frozenset({*WHITE, ERYTHROBLASTS, PLATELETS})
_LEVELS = (0.025, 0.975)
_CHAINS, _SWEEPS, _BURN_IN, _EVERY = 250, 24, 8, 4  # of the posterior's draws
_CLASS_PRIOR = 0.5  # cells of each class, before any is counted (Jeffreys)
_ROW_PRIOR = 1.0  # cells of each class, spread over all answers: none is impossible

Interval = tuple[float, float]


@dataclass(frozen=True)
class CountedCell:
    """``code``: its class, '' for what is no cell. ``reviewed``: a person named it; ``look``: a look is asked for
    (`Verdict.must_be_seen`, or unsure); ``alarm``: it may be abnormal.
    """

    code: str
    reviewed: bool = False
    look: bool = False
    alarm: bool = False

    @property
    def is_unidentified(self) -> bool:
        """Whether somebody must look at it before it counts for good."""
        return bool(self.code) and self.look and not self.reviewed


@dataclass(frozen=True)
class ClassCount:
    """``count`` cells of ``code``, ``reviewed`` of them named by a person. ``percent``: of the white cells, with one
    decimal, so that those of all white classes add up to 100.0; of erythroblasts: per 100 white cells. ``exact``: the
    interval of the count in the same unit, ``with_errors``: that which holds the model's errors too, None where these
    are not measured.
    """

    code: str
    count: int
    reviewed: int
    percent: float
    exact: Interval
    with_errors: Interval | None


@dataclass(frozen=True)
class Differential:
    """``classes``: the white ones, ``white`` cells in all. Outside are ``platelets``, ``not_cells`` and ``alarms``
    (may be abnormal, seen by nobody); ``unidentified`` of the counted cells are seen by nobody where that is asked.
    """

    classes: tuple[ClassCount, ...]
    white: int
    erythroblasts: ClassCount | None
    platelets: int
    not_cells: int
    alarms: int
    unidentified: int

    def of(self, code: str) -> ClassCount | None:
        """The count of ``code``: a white class or erythroblasts; None where it isn't one of these."""
        every = (*self.classes, self.erythroblasts) if self.erythroblasts else self.classes
        return next((counted for counted in every if counted.code == code), None)


def is_differential(codes: Iterable[str]) -> bool:
    """Whether classes with these ``codes`` are those of a differential."""
    codes = set(codes)
    return codes <= CODES and len(codes & set(WHITE)) > 1


def differential(cells: Sequence[CountedCell], codes: Sequence[str], errors: ModelErrors | None = None) -> Differential:
    """What ``cells`` of the classes ``codes`` come to; a class that a person named besides is added.

    ``errors``: of the model that named those that nobody reviewed. The same cells give the same figures each time.
    """
    shown = [cell for cell in cells if cell.code]
    counted = [cell for cell in shown if cell.reviewed or not cell.alarm]
    counts, reviewed = (
        Counter(cell.code for cell in some) for some in (counted, [cell for cell in counted if cell.reviewed])
    )
    named = [*codes, *(code for code in sorted(counts) if code not in codes)]
    white = [code for code in named if code in WHITE]
    total = sum(counts[code] for code in white)
    shares = rounded_shares([counts[code] for code in white])
    possible = _with_errors(counted, named, errors) if errors and any(not cell.reviewed for cell in counted) else {}
    classes = tuple(
        ClassCount(code, counts[code], reviewed[code], share, _percent(exact_interval(counts[code], total)), interval)
        for code, share in zip(white, shares, strict=True)
        for interval in [possible.get(code)]
    )
    erythroblasts = None
    if ERYTHROBLASTS in named:
        count = counts[ERYTHROBLASTS]
        exact = _per_white(exact_interval(count, count + total))
        share = round(100 * count / total, 1) if total else 0.0
        erythroblasts = ClassCount(
            ERYTHROBLASTS, count, reviewed[ERYTHROBLASTS], share, exact, possible.get(ERYTHROBLASTS)
        )
    return Differential(
        classes,
        total,
        erythroblasts,
        counts[PLATELETS],
        len(cells) - len(shown),
        len(shown) - len(counted),
        sum(cell.is_unidentified for cell in counted),
    )


def rounded_shares(counts: Sequence[int]) -> list[float]:
    """``counts`` in % with one decimal that add up to 100.0 (largest remainder); zeros where there are none."""
    total = sum(counts)
    if not total:
        return [0.0] * len(counts)
    tenths = [1000 * count // total for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda k: -(1000 * counts[k] % total))
    for k in by_remainder[: 1000 - sum(tenths)]:
        tenths[k] += 1
    return [tenth / 10 for tenth in tenths]


def cells_to_see(share: float, certainty: float = 0.95) -> int:
    """How many cells to count, so that a class of ``share`` (above 0, at most 1) is among them with ``certainty``."""
    return 1 if share >= 1 else math.ceil(math.log(1 - certainty) / math.log1p(-share))


def _percent(interval: Interval) -> Interval:
    return 100 * interval[0], 100 * interval[1]


def _per_white(interval: Interval) -> Interval:
    """A share of white cells and others together, as so many others per 100 white cells."""
    low, high = (100 * share / (1 - share) if share < 1 else math.inf for share in interval)
    return low, high


def _with_errors(cells: Sequence[CountedCell], codes: Sequence[str], errors: ModelErrors) -> Mapping[str, Interval]:
    """By code the interval, in % of white cells, that holds the errors of the answers that nobody reviewed."""
    answers, reviewed = np.zeros((2, len(errors.codes)), int), np.zeros(len(codes), int)
    for cell in cells:
        if cell.reviewed:
            reviewed[codes.index(cell.code)] += 1
        else:
            answers[int(cell.look), errors.codes.index(cell.code)] += 1
    rng = np.random.default_rng(0)
    known = [codes.index(code) for code in errors.codes]
    dealt = true_counts(errors.cells, answers, reviewed[known], rng)
    true = np.tile(reviewed, (len(dealt), 1))
    true[:, known] = dealt
    white = true[:, [code in WHITE for code in codes]].sum(1)
    intervals = {}
    for k, code in enumerate(codes):
        if code in WHITE:
            intervals[code] = _percent(_interval_of_draws(true[:, k], white - true[:, k], rng))
        elif code == ERYTHROBLASTS:
            intervals[code] = _per_white(_interval_of_draws(true[:, k], white, rng))
    return intervals


def true_counts(
    measured: np.ndarray, answers: np.ndarray, reviewed: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """How many cells of each class there may truly be: int (draws, C), draws of the posterior.

    ``measured`` (C, 2, C) as `ModelErrors.cells`, ``answers`` int (2, C): what the model called the cells that nobody
    reviewed; ``reviewed`` int (C,): classes of the others. Each of many chains draws the errors once; then by turns
    (Gibbs sampling) the answers are dealt among the classes that may have given them, and shares follow from what was
    dealt.
    """
    classes = len(reviewed)
    rows = measured.reshape(classes, -1) + _ROW_PRIOR / (2 * classes)
    rates = _dirichlet(np.broadcast_to(rows, (_CHAINS, *rows.shape)), rng)
    shares = _dirichlet(np.tile(reviewed + answers.sum(0) + _CLASS_PRIOR, (_CHAINS, 1)), rng)
    flat = answers.ravel()
    given = np.flatnonzero(flat)
    draws = []
    for sweep in range(_SWEEPS):
        weights = shares[:, None, :] * rates[:, :, given].swapaxes(1, 2)  # (chains, answers, classes)
        dealt = rng.multinomial(flat[given], weights / weights.sum(2, keepdims=True))
        true = dealt.sum(1) + reviewed
        shares = _dirichlet(true + _CLASS_PRIOR, rng)
        if sweep >= _BURN_IN and not (sweep - _BURN_IN) % _EVERY:
            draws.append(true)
    return np.concatenate(draws)


def _dirichlet(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A draw for each row of ``weights`` (..., C)."""
    gammas = np.maximum(rng.standard_gamma(weights), 1e-100)
    return gammas / gammas.sum(-1, keepdims=True)


def _interval_of_draws(counts: np.ndarray, others: np.ndarray, rng: np.random.Generator) -> Interval:
    """The share that ``counts`` (draws,) beside ``others`` (draws,) may stand for; 0 where perhaps none was seen."""
    shares = rng.beta(counts + _CLASS_PRIOR, others + _CLASS_PRIOR, (4, len(counts)))
    low, high = np.quantile(shares, _LEVELS)
    return (
        0.0 if np.mean(counts == 0) > _LEVELS[0] else float(low),
        1.0 if np.mean(others == 0) > _LEVELS[0] else float(high),
    )
