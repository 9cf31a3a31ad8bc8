"""Which settings of a search mattered: how much worse its scores are foretold without knowing them."""

from dataclasses import dataclass

import numpy as np

from core.studies import Study

FEWEST = 12  # complete trials; with fewer nothing can be held out
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
    every setting shuffled in turn. None with fewer than `FEWEST` complete trials, or where nothing varied.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    trials = study.complete
    names = [name for name in study.parameters if len({str(t.params.get(name)) for t in trials}) > 1]
    scores = np.array([t.score for t in trials], float)
    if len(trials) < FEWEST or not names or np.ptp(scores) == 0:
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
