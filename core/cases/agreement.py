"""How far two readers, or a reader and the model, name the same cells alike: in all, by class, and beyond chance.

Beyond chance is Cohen's kappa (1960, doi:10.1177/001316446002000104). Its interval is that of a posterior: the table of
both readers' classes is drawn from a Dirichlet distribution, begun with one cell spread over all pairs of classes
(Perks 1947). Unlike the usual standard error (Fleiss, Cohen and Everitt 1969, doi:10.1037/h0028106), to which it comes
down where cells are many, it doesn't shrink to nothing where a few cells are all named alike.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.cases.case import Case
from core.cases.differential import Interval
from core.probabilities import exact_interval

FEW = 50  # cells: below that an interval of kappa is so wide that it says little
_DRAWS, _PRIOR, _LEVELS = 4000, 1.0, (0.025, 0.975)


@dataclass(frozen=True)
class ClassAgreement:
    """Of ``code`` ('' for no cell) the first named ``first`` cells, the second ``second``, ``both`` of them alike."""

    code: str
    first: int
    second: int
    both: int

    @property
    def share(self) -> float:
        """Of the cells that either named so, those that both did: 0 to 1."""
        return self.both / (self.first + self.second - self.both)


@dataclass(frozen=True)
class Agreement:
    """``cells`` that both ``first`` and ``second`` (names) have named, ``agreed`` alike; ``share`` and its exact 95 %
    ``interval``, 0 to 1. ``kappa`` with its 95 % ``kappa_interval``, -1 to 1: None where both know one class only.
    ``classes``: those that either named, in order; ``differing``: how often which code of the first met which other
    of the second, the most frequent first.
    """

    first: str
    second: str
    cells: int
    agreed: int
    interval: Interval
    kappa: float | None
    kappa_interval: Interval | None
    classes: tuple[ClassAgreement, ...]
    differing: tuple[tuple[str, str, int], ...]

    @property
    def share(self) -> float:
        """Of the cells that both named, those named alike: 0 to 1."""
        return self.agreed / self.cells

    @property
    def caution(self) -> str:
        """What a person must know of the figures, '' where there is nothing."""
        if self.kappa is None:
            return "Both name one class only, so that nothing can be said of agreement beyond chance."
        if self.cells < FEW:
            return f"Few cells (under {FEW}): the interval is wide, and kappa alone says little."
        return ""


def agreement(
    pairs: Sequence[tuple[str, str]], codes: Sequence[str], first: str = "", second: str = ""
) -> Agreement | None:
    """How far the two codes of each of ``pairs`` agree; None of no pairs. ``codes``: the order in which classes are
    told. The same pairs give the same figures each time.
    """
    if not pairs:
        return None
    counts = Counter(pairs)
    named = [Counter(pair[side] for pair in pairs) for side in (0, 1)]
    used = sorted({code for pair in pairs for code in pair}, key=lambda code: _place(code, codes))
    table = np.array([[counts[one, other] for other in used] for one in used], float)
    agreed = int(np.trace(table))
    differing = sorted(
        ((one, other, count) for (one, other), count in counts.items() if one != other),
        key=lambda row: (-row[2], _place(row[0], codes), _place(row[1], codes)),
    )
    kappa, interval = (None, None) if len(used) < 2 else (float(_kappa(table)), _kappa_interval(table))
    return Agreement(
        first,
        second,
        len(pairs),
        agreed,
        exact_interval(agreed, len(pairs)),
        kappa,
        interval,
        tuple(ClassAgreement(code, named[0][code], named[1][code], counts[code, code]) for code in used),
        tuple(differing),
    )


def _place(code: str, codes: Sequence[str]) -> tuple[int, str]:
    """Where ``code`` stands among ``codes``; others follow, no cell comes last."""
    if not code:
        return len(codes) + 1, ""
    return (codes.index(code) if code in codes else len(codes)), code


def _kappa(tables: np.ndarray) -> np.ndarray:
    """Of ``tables`` (..., K, K), which needn't add up to 1; 1 where chance alone would agree always."""
    tables = tables / tables.sum((-2, -1), keepdims=True)
    observed = np.trace(tables, axis1=-2, axis2=-1)
    chance = (tables.sum(-1) * tables.sum(-2)).sum(-1)
    beyond = 1 - chance
    return np.where(beyond > 1e-12, (observed - chance) / np.maximum(beyond, 1e-12), 1.0)


def _kappa_interval(table: np.ndarray) -> Interval:
    rng = np.random.default_rng(0)
    weights = table + _PRIOR / table.size
    draws = np.maximum(rng.standard_gamma(weights, (_DRAWS, *table.shape)), 1e-300)
    low, high = np.quantile(_kappa(draws), _LEVELS)
    return float(low), float(high)


def against_model(case: Case, reader: str = "") -> Agreement | None:
    """The model's classes against those that people gave the same cells, or ``reader`` (a name) alone; None where
    nobody named one.

    People name the doubtful cells first, so that this is no estimate of how often the model is right.
    """
    readings = case.readings_by(reader).values() if reader else case.counted
    pairs = [(r.cell.prediction.code, r.code) for r in readings if r.reviewed and not r.withdrawn]
    return agreement(pairs, case.assignable, "model", reader or "readers")


def readers_of(case: Case) -> tuple[str, ...]:
    """The names of those who decided of cells, in the order in which they began."""
    return tuple(dict.fromkeys(d.reader.name for d in case.decisions if d.cell is not None))


def readers_against_model(case: Case) -> tuple[Agreement, ...]:
    """The model against all readers together and, where several named cells, against each; () where nobody did."""
    together, each = against_model(case), [against_model(case, name) for name in readers_of(case)]
    alone = [told for told in each if told]
    return tuple(told for told in (together, *(alone if len(alone) > 1 else [])) if told)


def between_readers(case: Case) -> tuple[Agreement, ...]:
    """Each two readers who both named at least one same cell, by what each decided alone."""
    alone = {
        name: {number: r.code for number, r in case.readings_by(name).items() if r.reviewed and not r.withdrawn}
        for name in readers_of(case)
    }
    names, found = list(alone), []
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            shared = sorted(alone[first].keys() & alone[second].keys())
            pairs = [(alone[first][number], alone[second][number]) for number in shared]
            if compared := agreement(pairs, case.assignable, first, second):
                found.append(compared)
    return tuple(found)
