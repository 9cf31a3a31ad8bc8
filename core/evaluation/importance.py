"""What mattered: ingredients and seeds of a study, settings of a search, features of a classical model."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.studies import Study, Trial, mean_interval

if TYPE_CHECKING:
    import optuna

STUDY_MEASURES = ("test", "score")


@dataclass(frozen=True)
class SeedSpread:
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
class VariantEffect:
    """One variant: its ``seed_spread``, and ``gain``, its mean minus the base's (-1 to 1).

    ``low`` to ``high`` is the gain's 95 % interval over seeds (Welch's t); None for the base itself and where
    either has one seed only.
    """

    label: str
    spread: SeedSpread
    gain: float
    low: float | None
    high: float | None

    @property
    def significant(self) -> bool:
        """True where the interval leaves zero out: chance alone hardly explains the gain or loss."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def study_measures(study: Study) -> tuple[str, ...]:
    """The measures that every complete trial has: 'test', 'score' (what the study chose by)."""
    measured = ("score",) if any(trial.test is None for trial in study.complete) else STUDY_MEASURES
    return measured if study.complete else ()


def seed_spread(trials: Sequence[Trial], measure: str = "score") -> SeedSpread:
    """How ``trials`` (one or more, complete) of one recipe spread over their seeds."""
    values = [float(getattr(trial, measure)) for trial in trials]
    mean, low, high = mean_interval(values) if len(values) > 1 else (values[0], None, None)
    seconds = math.fsum(trial.seconds for trial in trials) / len(trials)
    return SeedSpread(tuple(values), tuple(trial.seed for trial in trials), mean, low, high, seconds)


def base_label(study: Study) -> str | None:
    """The variant that the others are held against: the first called 'base...', else the first."""
    labels = list(study.by_label())
    return next((label for label in labels if label.lower().startswith("base")), labels[0] if labels else None)


def variant_effects(study: Study, measure: str = "score", base: str | None = None) -> list[VariantEffect]:
    """What each variant of an ablation gave against ``base`` (a label, else `base_label`), the base first.

    The interval is Welch's (Welch, B. L. (1947), Biometrika 34, 28-35): trainings of different variants share
    no chance, even where their seeds have the same number. KeyError where no variant is called ``base``.
    """
    groups = {label: seed_spread(trials, measure) for label, trials in study.by_label().items()}
    base = base_label(study) if base is None else base
    if not groups or base is None:
        return []
    base_spread = groups[base]
    results = [VariantEffect(base, base_spread, 0.0, None, None)]
    for label, one in groups.items():
        if label != base:
            results.append(
                VariantEffect(label, one, one.mean - base_spread.mean, *_welch_interval(one.values, base_spread.values))
            )
    return results


def _welch_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float | None, float | None]:
    if min(len(first), len(second)) < 2:
        return None, None
    if max(first) == min(first) and max(second) == min(second):  # no spread: no degrees of freedom either
        return first[0] - second[0], first[0] - second[0]
    from scipy.stats import ttest_ind

    interval = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    return float(interval.low), float(interval.high)


MIN_TRIALS = 12  # complete trials; fewer tell chance from a setting's worth too badly


def setting_importance(study: Study) -> dict[str, float] | None:
    """The share of the scores' variance that each setting of a search explains, the largest first; they sum to 1.

    fANOVA (Hutter, Hoos and Leyton-Brown 2014, ICML 32, 754-762) as Optuna computes it, over the complete trials: a
    random forest learns score from settings. What some trials lack is left out, and whether the forest would foretell
    trials that it has not seen is not known. None with fewer than `MIN_TRIALS`, or where nothing varied.
    """
    if len(study.complete) < MIN_TRIALS or len({trial.score for trial in study.complete}) == 1:
        return None
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search = optuna.create_study(direction="maximize")
    ranges = {name: _distribution(spec) for name, spec in study.parameters.items()}
    for trial in study.complete:
        params = {name: value for name, value in trial.params.items() if name in ranges}
        distributions = {name: ranges[name] for name in params}
        search.add_trial(optuna.create_trial(value=trial.score, params=params, distributions=distributions))
    shares = get_param_importances(search, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in shares.items()} or None


def _distribution(spec: Mapping[str, Any]) -> "optuna.distributions.BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if spec["kind"] == "choice":
        return CategoricalDistribution(spec["choices"])
    kind = IntDistribution if spec["kind"] == "int" else FloatDistribution
    return kind(spec["low"], spec["high"], log=spec["log"])


AccuracyFn = Callable[[np.ndarray], float]


def permutation_importance(
    table: np.ndarray,
    accuracy: AccuracyFn,
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
    rng = np.random.default_rng(seed)
    baseline = accuracy(table)
    losses = []
    for done, chosen in enumerate(columns, start=1):
        lost = []
        for _ in range(repeats):
            shuffled = table.copy()
            shuffled[:, chosen] = table[rng.permutation(len(table))][:, chosen]
            lost.append(baseline - accuracy(shuffled))
        losses.append(float(np.mean(lost)))
        report(done)
    return losses
