"""Tables of studies as pure functions: what the view 'studies' of the Compare page shows and exports."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.evaluation.effects import Effect, Spread
from core.studies import Study

BINS = 6


def trial_table(study: Study) -> pd.DataFrame:
    """A row a trial, by number: number, state, score and test (percent, NaN unknown), seconds, epochs, seed, settings.

    ``label`` comes in where variants are labelled; columns that say nothing (no test, one seed) are left out.
    """
    rows = []
    for trial in sorted(study.trials, key=lambda t: t.number):
        row = {"number": trial.number, "label": trial.label, "state": trial.state}
        row |= {"score": _percent(trial.score), "test": _percent(trial.test), "seconds": trial.seconds}
        row |= {"epochs": trial.epochs, "seed": trial.seed}
        settings = study.parameters or dict.fromkeys(trial.params)
        rows.append(row | {name: trial.params.get(name) for name in settings if name != "variant"})
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    silent = [
        c for c, nothing in (("label", (table["label"] == "").all()), ("test", table["test"].isna().all())) if nothing
    ]
    if table["seed"].nunique() == 1:
        silent.append("seed")
    return table.drop(columns=silent)


def best_so_far(study: Study) -> pd.DataFrame:
    """A row a trial, by number: number, score (percent, NaN where it failed), state, seconds, best (so far)."""
    trials = sorted(study.trials, key=lambda t: t.number)
    score = np.array([_percent(t.score) for t in trials], float)
    counted = np.where([t.state == "complete" for t in trials], score, np.nan)
    best = pd.Series(counted).cummax().ffill() if len(trials) else pd.Series(dtype=float)
    return pd.DataFrame(
        {
            "number": [t.number for t in trials],
            "score": score,
            "state": [t.state for t in trials],
            "seconds": [t.seconds for t in trials],
            "best": best.to_numpy(),
        }
    )


def varied(study: Study) -> list[str]:
    """The settings that took more than one value in complete trials, in the study's order."""
    return [name for name in study.parameters if len({str(t.params.get(name)) for t in study.complete}) > 1]


def pair_table(study: Study, across: str, up: str) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Complete trials by the values of two settings, and the two axes' labels in order.

    A row for each pair of values (or intervals, cut evenly on the setting's own scale) that was tried:
    across, up (labels), trials, mean and best (percent), seconds (mean run time).
    """
    one, one_labels = _cut(study, across)
    other, other_labels = _cut(study, up)
    table = pd.DataFrame(
        {
            "across": one,
            "up": other,
            "score": [100 * t.score for t in study.complete],
            "seconds": [t.seconds for t in study.complete],
        }
    )
    table = table[(table["across"] >= 0) & (table["up"] >= 0)]
    grouped = table.groupby(["across", "up"], as_index=False).agg(
        trials=("score", "size"), mean=("score", "mean"), best=("score", "max"), seconds=("seconds", "mean")
    )
    grouped["across"] = [one_labels[i] for i in grouped["across"]]
    grouped["up"] = [other_labels[i] for i in grouped["up"]]
    return grouped, one_labels, other_labels


def effect_table(effects: Sequence[Effect]) -> pd.DataFrame:
    """One row a variant: label, mean, gain, low, high (percent and points, NaN unknown), seeds, seconds."""
    return pd.DataFrame(
        [
            {
                "label": one.label,
                "mean": 100 * one.spread.mean,
                "gain": 100 * one.gain if number else np.nan,
                "low": np.nan if one.low is None else 100 * one.low,
                "high": np.nan if one.high is None else 100 * one.high,
                "seeds": len(one.spread.values),
                "seconds": one.spread.seconds,
            }
            for number, one in enumerate(effects)
        ]
    )


def spread_table(spreads: Sequence[tuple[str, Spread]]) -> pd.DataFrame:
    """One row a recipe: model, mean, low, high, lowest, highest (percent, NaN unknown), seeds, seconds."""
    return pd.DataFrame(
        [
            {
                "model": name,
                "mean": 100 * one.mean,
                "low": np.nan if one.low is None else 100 * one.low,
                "high": np.nan if one.high is None else 100 * one.high,
                "lowest": 100 * min(one.values),
                "highest": 100 * max(one.values),
                "seeds": len(one.values),
                "seconds": one.seconds,
            }
            for name, one in spreads
        ]
    )


def spoken(name: str) -> str:
    """A setting's name as people say it: 'learning rate'."""
    return name.replace("_", " ")


def value_text(value: object) -> str:
    """A setting's value in few characters: '0.0032', '128', 'adamw'."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return "–" if value is None else str(value)


def _cut(study: Study, name: str) -> tuple[np.ndarray, list[str]]:
    """For each complete trial the place of its value among the labels (-1: it has none), and the labels."""
    spec, values = study.parameters[name], [t.params.get(name) for t in study.complete]
    if spec["kind"] == "choice":
        choices = list(spec["choices"])
        return np.array([choices.index(v) if v in choices else -1 for v in values], int), [str(c) for c in choices]
    distinct = sorted({v for v in values if v is not None})
    if len(distinct) <= BINS and len(values) >= 2 * len(distinct):  # a grid, not the few values of a search's start
        return np.array([distinct.index(v) if v is not None else -1 for v in values], int), [
            value_text(v) for v in distinct
        ]
    scale = np.log10 if spec.get("log") else np.asarray
    edges = np.linspace(scale(spec["low"]), scale(spec["high"]), BINS + 1)
    numbers = np.array([np.nan if v is None else v for v in values], float)
    place = np.clip(np.searchsorted(edges, scale(numbers), side="right") - 1, 0, BINS - 1)
    ends = [f"{(10**e if spec.get('log') else e):.2g}" for e in edges]
    if spec["kind"] == "int":
        ends = [f"{(10**e if spec.get('log') else e):.0f}" for e in edges]
    labels = [f"{a} to {b}" for a, b in zip(ends, ends[1:], strict=False)]
    return np.where(np.isnan(numbers), -1, place), labels


def _percent(value: float | None) -> float:
    return np.nan if value is None else 100 * value
