"""Tables of what spoilt pictures cost the runs: what Compare's view of picture quality shows and exports."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from core.evaluation.corruptions import CORRUPTIONS, SEVERITIES
from core.evaluation.metrics import accuracy_interval
from core.evaluation.robustness import worst

FAILS = 10  # points of accuracy: so much lost is told as a failure
CLEAN = 0  # the severity of a picture as it came


def severity_points(found: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]) -> pd.DataFrame:
    """A row for each run, corruption and severity 0 (as it came) to 5; percent.

    ``found`` holds `Run.corruptions` by the run's name, ``labels`` its short name. Columns: run, model, corruption,
    title, severity, accuracy, low, high (95 % interval), confidence (mean, of the answers given), cells.
    """
    rows = []
    for run, figures in found.items():
        n, clean = figures["n"], figures["clean"]
        for name, way in CORRUPTIONS.items():
            here = figures["corruptions"].get(name)
            if here is None:
                continue
            shares, sure = [clean["accuracy"], *here["accuracy"]], [clean["confidence"], *here["confidence"]]
            for severity, share, confidence in zip((CLEAN, *SEVERITIES), shares, sure, strict=True):
                low, high = accuracy_interval(share * n, n)
                percents = [100 * value for value in (share, low, high, confidence)]
                rows.append((run, labels[run], name, way.title, severity, *percents, n))
    columns = ["run", "model", "corruption", "title", "severity", "accuracy", "low", "high", "confidence", "cells"]
    return pd.DataFrame(rows, columns=columns)


def damage_table(found: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]) -> pd.DataFrame:
    """A row a run, the least harmed first: accuracy (%) as the pictures came, over all, by corruption; the worst.

    Columns: model, clean, mean, interval (text, of the mean), worst (title), be (MedMNIST-C's balanced error; None
    where it has none; only roughly comparable, so exported but not shown), then one for each corruption, by its name:
    the mean over the five severities.
    """
    rows = []
    for run, figures in found.items():
        low, high = (100 * bound for bound in figures["mean_accuracy_interval"])
        rows.append(
            {
                "model": labels[run],
                "clean": 100 * figures["clean"]["accuracy"],
                "mean": 100 * figures["mean_accuracy"],
                "interval": f"{low:.1f} to {high:.1f}",
                "worst": CORRUPTIONS[worst(figures)].title,
                "be": figures.get("be"),
            }
            | {
                name: 100 * figures["corruptions"][name]["mean_accuracy"]
                for name in CORRUPTIONS
                if name in figures["corruptions"]
            }
        )
    columns = ["model", "clean", "mean", "interval", "worst", "be", *CORRUPTIONS]
    return pd.DataFrame(rows, columns=columns).sort_values("mean", ascending=False, ignore_index=True)


def damage_title(points: pd.DataFrame, corruption: str) -> str:
    """What ``corruption`` costs, in a line: the severity from which some run loses `FAILS` points, and how many."""
    here = points[points["corruption"] == corruption]
    lost = here.pivot(index="severity", columns="model", values="accuracy")[list(dict.fromkeys(here["model"]))]
    lost = lost.loc[CLEAN] - lost
    title = CORRUPTIONS[corruption].title
    failed = lost[(lost >= FAILS).any(axis=1)]
    if failed.empty:
        most = lost.loc[SEVERITIES[-1]].max()
        costs = f"costs {most:.1f} points at most" if most >= 0.05 else "costs nothing"
        return f"{title}: the highest severity {costs}"
    severity, losses = failed.index[0], failed.iloc[0].sort_values(ascending=False, kind="stable")
    others = f", {losses.index[1]} {losses.iloc[1]:.0f}" if len(losses) == 2 else ""
    return f"{title}, severity {severity}: {losses.index[0]} loses {losses.iloc[0]:.0f} points{others}"


def without_size(labels: Mapping[str, str], size: int) -> dict[str, str]:
    """Short names without the size, 'CNN + SE' for 'CNN + SE, 64 px'; as they are where one is of another size."""
    tail = f", {size} px"
    bare = {run: label.replace(tail, "") for run, label in labels.items()}
    same = all(tail in label for label in labels.values()) and len(set(bare.values())) == len(bare)
    return bare if same else dict(labels)
