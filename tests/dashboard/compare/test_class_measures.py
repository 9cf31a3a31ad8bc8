"""Tables of classes and of hard cells: right numbers in the order promised."""

import numpy as np
import pytest

from core.evaluation.hard_examples import gather_votes, hardness
from core.evaluation.metrics import class_curves
from core.probabilities import softmax
from core.runs import Predictions
from dashboard.compare.classes import class_measures, class_table, curve_points
from dashboard.compare.hardest import hard_cells, missed_by

CODES = ["BA", "EO", "ERB"]


def test_measures_are_those_that_runs_store(runs, measures):
    assert len(measures) == 2 * 8 * 4
    here = measures[(measures["run"] == "B-64-1") & (measures["code"] == "LY") & (measures["measure"] == "precision")]
    assert here["value"].item() == pytest.approx(100 * runs[1].metrics["test"]["per_class"]["precision"][4])
    assert here["low"].item() < here["value"].item() < here["high"].item()
    assert here["cells"].item() == sum(runs[1].metrics["test"]["confusion"][4])


def test_nothing_to_count_is_blank_not_zero(runs):
    run = runs[0]
    confusion = np.array(run.metrics["test"]["confusion"])
    confusion[0] = confusion[:, 0] = 0
    run.metrics["test"]["confusion"] = confusion.tolist()
    table = class_table(class_measures([run], {run.name: "x"}))
    assert np.isnan(table["sensitivity"].iloc[0])
    assert table["sensitivity interval"].iloc[0] == ""
    assert table["specificity"].iloc[0] == 100


def test_the_table_has_a_row_for_each_class_and_run(measures):
    table = class_table(measures)
    assert list(table["class"].iloc[:3]) == ["BA", "BA", "EO"]
    assert len(table) == 16
    low, high = table["f1 interval"].iloc[0].split(" to ")
    assert float(low) < table["f1"].iloc[0] < float(high)


def test_no_runs_give_empty_tables():
    assert class_measures([], {}).empty
    assert class_table(class_measures([], {})).empty
    assert list(curve_points({}, "roc").columns) == ["name", "false_positive_rate", "sensitivity"]


def test_points_of_curves_are_named(runs):
    answers = runs[0].predictions("test")
    shares = softmax(answers.logits)
    curves = {code: class_curves(answers.labels, shares, index) for index, code in enumerate(["BA", "EO"])}
    points = curve_points(curves, "precision_recall")
    assert set(points["name"]) == {"BA", "EO"}
    assert len(points) == sum(len(one.precision_recall) for one in curves.values())


def votes():
    labels, called = np.array([0, 0, 1, 2]), [[0, 1, 1, 2], [0, 1, 1, 0], [0, 1, 2, 2]]
    every = []
    for row in called:
        logits = np.zeros((4, 3), "f4")
        logits[np.arange(4), row] = 5
        every.append(Predictions(np.array(["a", "b", "c", "d"]), labels, logits))
    return gather_votes(every)[0]


def test_hard_cells_by_hand():
    given = votes()
    table = hard_cells(given, hardness(given), CODES, suspects_first=False)
    assert list(table["id"])[0] == "b"
    row = table.iloc[0]
    assert (row["label"], row["instead"], row["wrong"], row["votes"], row["models"]) == ("BA", "EO", 3, 3, 3)
    assert set(table["id"]) == {"b", "c", "d"}
    assert table.set_index("id").loc["c", "instead"] == "ERB"


def test_missed_by_counts_every_cell_once():
    table = missed_by(votes(), CODES)
    assert table["cells"].sum() == 4
    assert table.set_index(["missed_by", "code"]).loc[(3, "BA"), "cells"] == 1
    assert table.groupby("missed_by")["cells"].sum().tolist() == [1, 2, 0, 1]
