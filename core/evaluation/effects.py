"""Seeds and ingredients: how far a recipe's accuracy spreads, and what a variant gave against the base."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.studies import Study, Trial, mean_interval

MEASURES = ("test", "score")


@dataclass(frozen=True)
class Spread:
    """Accuracies ``values`` (0 to 1) of one recipe with ``seeds``, their ``mean`` and its 95 % t interval.

    ``low`` and ``high`` are None for one seed. ``seconds`` is the mean run time of a training.
    """

    values: tuple[float, ...]
    seeds: tuple[int, ...]
    mean: float
    low: float | None
    high: float | None
    seconds: float


@dataclass(frozen=True)
class Effect:
    """One variant: its ``spread``, and ``gain``, its mean minus the base's (-1 to 1).

    ``low`` to ``high`` is the gain's 95 % interval over seeds (Welch's t); None for the base itself and where
    either has one seed only.
    """

    label: str
    spread: Spread
    gain: float
    low: float | None
    high: float | None

    @property
    def sure(self) -> bool:
        """True where the interval leaves zero out: chance alone hardly explains the gain or loss."""
        return self.low is not None and (self.low > 0 or self.high < 0)


def measures(study: Study) -> tuple[str, ...]:
    """The measures that every complete trial has: 'test', 'score' (what the study chose by)."""
    known = ("score",) if any(trial.test is None for trial in study.complete) else MEASURES
    return known if study.complete else ()


def spread(trials: Sequence[Trial], measure: str = "score") -> Spread:
    """How ``trials`` (one or more, complete) of one recipe spread over their seeds."""
    values = [float(getattr(trial, measure)) for trial in trials]
    mean, low, high = mean_interval(values) if len(values) > 1 else (values[0], None, None)
    seconds = math.fsum(trial.seconds for trial in trials) / len(trials)
    return Spread(tuple(values), tuple(trial.seed for trial in trials), mean, low, high, seconds)


def base_of(study: Study) -> str | None:
    """The variant that the others are held against: the first called 'base...', else the first."""
    labels = list(study.by_label())
    return next((label for label in labels if label.lower().startswith("base")), labels[0] if labels else None)


def effects(study: Study, measure: str = "score", base: str | None = None) -> list[Effect]:
    """What each variant of an ablation gave against ``base`` (a label, else `base_of`), the base first.

    The interval is Welch's (Welch, B. L. (1947), Biometrika 34, 28-35): trainings of different variants share
    no chance, even where their seeds have the same number. KeyError where no variant is called ``base``.
    """
    groups = {label: spread(trials, measure) for label, trials in study.by_label().items()}
    if not groups:
        return []
    base = base_of(study) if base is None else base
    ground = groups[base]
    found = [Effect(base, ground, 0.0, None, None)]
    for label, one in groups.items():
        if label != base:
            found.append(Effect(label, one, one.mean - ground.mean, *_welch(one.values, ground.values)))
    return found


def _welch(first: Sequence[float], second: Sequence[float]) -> tuple[float | None, float | None]:
    if min(len(first), len(second)) < 2:
        return None, None
    if max(first) == min(first) and max(second) == min(second):  # no spread: no degrees of freedom either
        return first[0] - second[0], first[0] - second[0]
    from scipy.stats import ttest_ind

    interval = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    return float(interval.low), float(interval.high)
