"""What mattered: ingredients and seeds of a study, settings of a search, features of a classical model."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from core.studies import Study, Trial, mean_interval

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
        return self.low is not None and (self.low > 0 or self.high < 0)


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
    if not groups:
        return []
    base = base_label(study) if base is None else base
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


MIN_TRIALS = 12  # complete trials; with fewer nothing can be held out
FOLDS = 5
TREES = 60
SHUFFLES = 10


@dataclass(frozen=True)
class Importance:
    """``drop`` by setting, the largest first: by how much ``explained`` falls when the setting's values are shuffled.

    ``explained`` is the share of the scores' variance that a random forest foretells for trials it has not seen
    (R², 1 at most; 0 or less: it foretells nothing, so the drops say nothing either).
    """

    drop: dict[str, float]
    explained: float
    trials: int


def importance(study: Study) -> Importance | None:
    """Permutation importance (Breiman, L. (2001), Machine Learning 45, 5-32) over the complete trials of a search.

    A random forest learns score from settings on four fifths of the trials and is asked about the others, with
    every setting shuffled in turn. None with fewer than `MIN_TRIALS` complete trials, or where nothing varied.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    trials = study.complete
    names = [name for name in study.parameters if len({str(t.params.get(name)) for t in trials}) > 1]
    scores = np.array([t.score for t in trials], float)
    if len(trials) < MIN_TRIALS or not names or np.ptp(scores) == 0:
        return None
    table = np.array([[as_number(study.parameters[name], t.params.get(name)) for name in names] for t in trials])
    rng, errors = np.random.default_rng(0), np.zeros((len(trials), 1 + len(names)))
    for learn, ask in KFold(FOLDS, shuffle=True, random_state=0).split(table):
        forest = RandomForestRegressor(TREES, random_state=0).fit(table[learn], scores[learn])
        # One question for all shuffles: scikit-learn's permutation_importance asks for each, 20 times as slow here.
        asked = [table[ask]] + [_shuffled(table[ask], column, rng) for column in range(len(names))]
        wrong = [(forest.predict(rows).reshape(-1, len(ask)) - scores[ask]) ** 2 for rows in asked]
        errors[ask] = np.stack([each.mean(axis=0) for each in wrong], axis=1)
    # Shares of the variance of all scores: that of a handful would swing from fold to fold.
    lost = errors.mean(axis=0) / scores.var()
    drop = lost[1:] - lost[0]
    order = np.argsort(-drop, kind="stable")
    return Importance({names[i]: float(drop[i]) for i in order}, float(1 - lost[0]), len(trials))


def _shuffled(table: np.ndarray, column: int, rng: np.random.Generator) -> np.ndarray:
    """`SHUFFLES` copies of ``table`` (N, P) below each other, each with the values of ``column`` shuffled."""
    copies = np.tile(table, (SHUFFLES, 1, 1))
    copies[:, :, column] = rng.permuted(copies[:, :, column], axis=1)
    return copies.reshape(-1, table.shape[1])


def as_number(spec: dict, value: object) -> float:
    """A setting's value as a number a tree can split: logarithm where its range has one, a choice by its place.

    NaN where the trial has no such setting.
    """
    if value is None:
        return float("nan")
    if spec["kind"] == "choice":
        return float(next((i for i, choice in enumerate(spec["choices"]) if choice == value), -1))
    return float(np.log10(value)) if spec.get("log") else float(value)


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
