"""Tables of classes as pure functions: what the views 'classes' and 'hardest' of the Compare page show and export."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from core.evaluation.by_class import MEASURES, shares
from core.evaluation.curves import ClassCurves
from core.evaluation.hardest import Hardness, Votes
from core.runs import Run

TITLES = {"sensitivity": "Sensitivity", "specificity": "Specificity", "precision": "Precision", "f1": "F1"}


def class_measures(runs: Sequence[Run], labels: Mapping[str, str], split: str = "test") -> pd.DataFrame:
    """A row for each run, class and measure, in that order; percent, NaN where there was nothing to count.

    Columns: run, model, code, measure (of `MEASURES`), value, low, high (95 % interval), cells (of the class).
    """
    rows = []
    for run in runs:
        confusion = run.metrics[split]["confusion"]
        for code, found in zip(run.config["dataset"]["codes"], shares(confusion), strict=True):
            for measure in MEASURES:
                share = found[measure]
                known = share.of > 0
                bounds = (100 * share.low, 100 * share.high) if known else (np.nan, np.nan)
                rows.append(
                    (run.name, labels[run.name], code, measure, 100 * share.value, *bounds, found["sensitivity"].of)
                )
    return pd.DataFrame(rows, columns=["run", "model", "code", "measure", "value", "low", "high", "cells"])


def class_table(measures: pd.DataFrame) -> pd.DataFrame:
    """`class_measures` as people read it: a row for each class and run, a value and an interval (text) each."""
    rows: dict[tuple[str, str], dict] = {}
    for one in measures.sort_values("code", kind="stable", key=_in_order).itertuples():
        row = rows.setdefault((one.code, one.run), {"class": one.code, "model": one.model, "cells": one.cells})
        row[one.measure] = one.value
        row[f"{one.measure} interval"] = "" if np.isnan(one.low) else f"{one.low:.1f} to {one.high:.1f}"
    return pd.DataFrame(list(rows.values()))


def _in_order(codes: pd.Series) -> pd.Series:
    """The place at which each code first appears."""
    return codes.map({code: place for place, code in enumerate(dict.fromkeys(codes))})


def curve_points(curves: Mapping[str, ClassCurves], kind: str) -> pd.DataFrame:
    """The points that are drawn, for export: name, x and y of the curves' ``kind`` ('roc' or 'precision_recall')."""
    x, y = ("false_positive_rate", "sensitivity") if kind == "roc" else ("recall", "precision")
    parts = [pd.DataFrame(getattr(one, kind), columns=[x, y]).assign(name=name) for name, one in curves.items()]
    columns = ["name", x, y]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def hard_cells(votes: Votes, hard: Hardness, codes: Sequence[str], *, suspects_first: bool) -> pd.DataFrame:
    """One row for each image that any model misses, the hardest (or most suspicious) first.

    Columns: id, label (code), instead (the code most models name instead), wrong (how many models miss it),
    models, wrong_share, p_label, votes (how many models name the other class), p_instead, suspect (bool).
    Shares and probabilities are in 0 to 1.
    """
    order = hard.order(suspects_first=suspects_first)
    names = np.array(list(codes))
    return pd.DataFrame(
        {
            "id": votes.ids[order],
            "label": names[votes.labels[order]],
            "instead": names[hard.rival[order]],
            "wrong": votes.wrong[order],
            "models": votes.models,
            "wrong_share": hard.wrong[order],
            "p_label": hard.p_label[order],
            "votes": np.rint(hard.votes[order] * votes.models).astype(int),
            "p_instead": hard.p_rival[order],
            "suspect": hard.suspect[order],
        }
    )


def missed_by(votes: Votes, codes: Sequence[str]) -> pd.DataFrame:
    """How many images of each class are missed by how many models: columns missed_by, code, cells; every pair once."""
    wrong = votes.wrong
    rows = [
        (count, code, int(((wrong == count) & (votes.labels == index)).sum()))
        for count in range(votes.models + 1)
        for index, code in enumerate(codes)
    ]
    return pd.DataFrame(rows, columns=["missed_by", "code", "cells"])
