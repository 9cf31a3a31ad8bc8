"""Tables of how far certainty can be trusted: what Compare's view of doubt shows and exports."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from core.evaluation.metrics import accuracy_interval
from core.serving.wording import of_class

Figures = Mapping[str, Any]  # of one run on one set of cells: see `core.evaluation.doubt.doubt`

TARGET = 0.01  # of the answers that are given may be wrong: risk is told at this


def reliability_points(found: Mapping[str, Figures]) -> pd.DataFrame:
    """A row for each name and bin: said and right (%), low, high (95 % interval, Wilson), cells in the bin."""
    rows = []
    for name, figures in found.items():
        said = figures["reliability"]
        for confidence, accuracy, count in zip(said["confidence"], said["accuracy"], said["counts"], strict=True):
            low, high = accuracy_interval(round(accuracy * count), count)
            rows.append((name, *(100 * v for v in (confidence, accuracy, low, high)), count))
    return pd.DataFrame(rows, columns=["name", "said", "right", "low", "high", "cells"])


def risk_points(found: Mapping[str, Figures]) -> pd.DataFrame:
    """A row for each name and point of its curve: answered and wrong (%), from (the probability, %)."""
    rows = []
    for name, figures in found.items():
        risk = figures["risk"]
        for answered, wrong, start in zip(risk["coverage"], risk["risk"], risk["from_probability"], strict=True):
            rows.append((name, 100 * answered, 100 * wrong, 100 * start))
    return pd.DataFrame(rows, columns=["name", "answered", "wrong", "from"])


def coverage_points(found: Mapping[str, Figures], codes: Sequence[str]) -> pd.DataFrame:
    """A row for each name and class: held and its interval (%), size (mean classes listed), cells; NaN without any."""
    rows = []
    for name, figures in found.items():
        lists = figures["lists"]
        for code, held, count, size in zip(codes, lists["coverage"], lists["counts"], lists["size"], strict=True):
            if held is None:
                rows.append((name, code, *[np.nan] * 4, 0))
                continue
            low, high = accuracy_interval(round(held * count), count)
            rows.append((name, code, *(100 * v for v in (held, low, high)), size, count))
    return pd.DataFrame(rows, columns=["name", "code", "held", "low", "high", "size", "cells"])


def doubt_table(found: Mapping[str, Figures]) -> pd.DataFrame:
    """A row a name: cells, calibration error, share sure and right of these, lists, and what silence buys; percent.

    ``foreign`` and ``sure_and_wrong`` are NaN where ``found`` has no ``voices``.
    """
    rows = []
    for name, figures in found.items():
        lists, right = figures["lists"], figures["sure_right"]
        voices = figures.get("voices") or {"foreign": np.nan, "sure_and_wrong": np.nan}
        rows.append(
            {
                "name": name,
                "cells": figures["n"],
                "error": 100 * figures["reliability"]["error"],
                "sure": 100 * figures["sure"],
                "sure_right": None if right is None else 100 * right,
                "held": 100 * lists["overall"],
                "lowest": 100 * min(share for share in lists["coverage"] if share is not None),
                "size": lists["mean_size"],
                "single": 100 * lists["single"],
                "answered": 100 * answered_at(figures),
                "foreign": 100 * voices["foreign"],
                "sure_and_wrong": 100 * voices["sure_and_wrong"],
            }
        )
    return pd.DataFrame(rows)


def answered_at(figures: Figures, target: float = TARGET) -> float:
    """The largest share of the cells that can be answered with ``target`` of the answers wrong at most, 0 to 1."""
    risk = figures["risk"]
    reached = [answered for answered, wrong in zip(risk["coverage"], risk["risk"], strict=True) if wrong <= target]
    return max(reached, default=0.0)


def reliability_title(found: Mapping[str, Figures]) -> str:
    """How far said and seen are apart, in a line."""
    errors = [100 * figures["reliability"]["error"] for figures in found.values()]
    low, high = f"{min(errors):.1f}", f"{max(errors):.1f}"
    apart = low if low == high else f"{low} to {high}"
    return f"What is said and what is right are {apart} points apart"


def risk_title(found: Mapping[str, Figures], unit: str = "cell") -> str:
    """How many cells can be answered with 1 % of the answers wrong, in a line."""
    shares = [100 * answered_at(figures) for figures in found.values()]
    if max(shares) == 0:
        return f"However few {unit}s are answered, more than {100 * TARGET:.0f} % are wrong"
    low, high = _share(min(shares)), _share(max(shares))
    of = f"{low} %" if low == high else f"{low} to {high} %"
    return f"{of} of the {unit}s can be answered with {100 * TARGET:.0f} % wrong"


def coverage_title(points: pd.DataFrame, names: Mapping[str, str], nominal: float, unit: str = "cell") -> str:
    """Which class the short lists hold least often, in a line."""
    known = points.dropna(subset="held")
    if known.empty:
        return "Nothing was scored"
    worst = known.loc[known["held"].idxmin()]
    if worst["held"] == 100:
        return f"Short lists hold the right class of every {unit}"
    promise = f"{100 * (1 - nominal):.0f} % allowed"
    return (
        f"Short lists miss {of_class(names[worst['code']], unit)} most often: {100 - worst['held']:.1f} % ({promise})"
    )


def _share(value: float) -> str:
    return f"{value:.0f}" if value < 99.5 or value == 100 else f"{value:.1f}"
