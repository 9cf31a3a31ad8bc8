"""Figures by class: every number drawn, true titles, the corner that shows the bend."""

import numpy as np
import pytest

from core.datasets import get_dataset
from core.evaluation.metrics import ClassCurves, class_curves
from core.probabilities import softmax
from dashboard.compare import classes
from dashboard.style import class_colours

SPEC = get_dataset("bloodmnist")
NAMES = dict(zip(SPEC.codes, SPEC.class_names, strict=True))


@pytest.fixture
def curves(runs):
    answers = runs[1].predictions("test")
    shares = softmax(answers.logits)
    return {code: class_curves(answers.labels, shares, index) for index, code in enumerate(SPEC.codes)}


def made(roc, precision_recall, auroc=0.9, average_precision=0.8) -> ClassCurves:
    return ClassCurves(np.array(roc, float), np.array(precision_recall, float), auroc, average_precision, 100)


@pytest.mark.parametrize("dark", [False, True])
def test_dots_have_their_classes_colours_and_intervals(measures, dark):
    fig = classes.measure_dots(measures, SPEC.codes, NAMES, dark=dark)
    dots = [t for t in fig.data if t.error_x.array is not None]
    assert len(dots) == 2 * 4
    assert list(dots[0].marker.color) == list(class_colours(SPEC.codes, dark).values())
    first = measures[(measures["run"] == "A-64-1") & (measures["measure"] == "sensitivity")]
    assert list(dots[0].x) == list(first["value"])
    assert dots[0].x[0] - dots[0].error_x.arrayminus[0] == pytest.approx(first["low"].iloc[0])
    assert {t.name for t in fig.data if t.showlegend is not False} == {"A, 64 px", "B, 64 px"}


def test_runs_in_one_row_lie_beside_each_other(measures):
    fig = classes.measure_dots(measures, SPEC.codes, NAMES)
    dots = [t for t in fig.data if t.error_x.array is not None]
    assert dots[0].y[0] < 0 < dots[1].y[0]
    assert dots[0].marker.symbol != dots[1].marker.symbol


def test_one_run_needs_no_legend(measures):
    fig = classes.measure_dots(measures[measures["run"] == "A-64-1"], SPEC.codes, NAMES)
    assert not [t for t in fig.data if t.showlegend is not False]
    assert list(fig.data[0].y) == list(range(8))


def test_more_runs_than_symbols_are_refused(measures):
    many = [measures[measures["run"] == "A-64-1"].assign(run=str(i)) for i in range(classes.MOST_RUNS + 1)]
    import pandas as pd

    with pytest.raises(ValueError, match="symbols at most"):
        classes.measure_dots(pd.concat(many), SPEC.codes, NAMES)


def test_the_title_names_the_class_found_least_often(measures):
    table = measures.copy()
    sensitivity = table["measure"] == "sensitivity"
    table.loc[sensitivity, "value"] = 99.0
    table.loc[sensitivity & (table["code"] == "IG"), "value"] = [90.0, 80.0]
    assert classes.measures_title(table, NAMES) == "Immature granulocytes are found least often: 80.0 to 90.0 % of them"
    table.loc[sensitivity, "value"] = 100.0
    assert classes.measures_title(table, NAMES) == "Every cell of every class is found"
    assert classes.measures_title(table.iloc[:0], NAMES) == "No cells were scored"


def test_curves_are_drawn_whole_with_their_area_in_the_legend(curves):
    colours = list(class_colours(SPEC.codes).values())
    fig = classes.curves_figure(curves, "roc", colours, title="t", answers={"BA": (0.1, 0.8)}, corner=False)
    lines = {t.legendgroup: t for t in fig.data if t.mode == "lines" and t.legendgroup}
    assert set(lines) == set(SPEC.codes)
    assert np.array_equal(np.stack([lines["LY"].x, lines["LY"].y], axis=1), curves["LY"].roc)
    assert f"{curves['LY'].auroc:.4f}" in lines["LY"].name
    assert lines["LY"].line.color == class_colours(SPEC.codes)["LY"]
    dots = [t for t in fig.data if t.mode == "markers"]
    assert [(t.x[0], t.y[0]) for t in dots] == [(0.1, 0.8)]
    low, high = fig.layout.xaxis.range
    assert low < 0
    assert high > 1
    assert fig.layout.xaxis.title.font.color == fig.layout.xaxis.tickfont.color  # the template's ink stays

    fig = classes.curves_figure(curves, "precision_recall", colours, title="t")
    lines = {t.legendgroup: t for t in fig.data if t.mode == "lines"}
    assert np.array_equal(lines["IG"].y, curves["IG"].precision_recall[:, 1])
    assert f"{curves['IG'].average_precision:.4f}" in lines["IG"].name


def test_lines_of_one_colour_are_told_apart_by_dashes(curves):
    fig = classes.curves_figure(curves, "precision_recall", ["#000000", "#111111"] * 4, title="t")
    assert [t.line.dash for t in fig.data[:5]] == ["solid", "solid", "dash", "dash", "dot"]


def test_the_corner_shows_every_bend_and_no_more():
    good = made([[0, 0], [0.01, 0.98], [1, 1]], [[0, 1], [0.97, 0.96], [1, 0.1]])
    poor = made([[0, 0], [0.1, 0.8], [1, 1]], [[0, 1], [0.7, 0.8], [1, 0.1]])
    assert classes.roc_corner([good]) == pytest.approx((0.025, 0.95))
    assert classes.roc_corner([good, poor]) == pytest.approx((0.25, 0.5))
    assert classes.precision_recall_corner([good]) == pytest.approx((0.925, 0.9))
    assert classes.precision_recall_corner([poor]) == pytest.approx((0.25, 0.5))
    perfect = made([[0, 0], [0, 1], [1, 1]], [[0, 1], [1, 1]])
    assert classes.roc_corner([perfect]) == (0.01, 0.98)


def test_titles_of_curves(curves):
    assert classes.roc_title({}, "x").startswith("Nothing to draw")
    assert classes.precision_title({}).startswith("Nothing to draw")
    one = made([[0, 0], [0, 1], [1, 1]], [[0, 1], [0.99, 0.5], [1, 0.2]], auroc=0.99999)
    other = made([[0, 0], [0, 1], [1, 1]], [[0, 1], [0.99, 0.9], [1, 0.2]], auroc=0.98)
    assert classes.roc_title({"first model": one}, "Basophils") == "Basophils: AUROC > 0.9999"
    assert classes.roc_title({"first model": one, "other model": other}, "Basophils") == (
        "Basophils: AUROC 0.9800 to > 0.9999"
    )
    assert classes.roc_title({"BA": one, "EO": other}, "CNN") == "CNN: EO is told apart least well"
    assert classes.precision_title({"BA": one, "EO": other}) == "Where 99 % are found, 50 % (BA) to 90 % are right"
    assert "50 % to 90 % of those" in classes.precision_title({"first model": one, "other model": other})
    assert classes.precision_title({"first model": one}) == "Where 99 % are found, 50 % of those called so are right"


def test_precision_at_a_recall():
    one = made([[0, 0], [1, 1]], [[0, 1], [0.5, 0.6], [1, 0.8]])
    assert classes.precision_at(one, 0.5) == pytest.approx(0.8), "a higher recall with a higher precision is there"
    assert classes.precision_at(one, 1) == pytest.approx(0.8)
