"""The Compare page's tables and figures: right numbers, true titles, every empty case."""

import numpy as np
import pytest

from core.formatting import percent
from dashboard.compare import compare_pair, matrices, overview
from dashboard.compare.matrices import cell_answers, confusion_table
from dashboard.compare.overview import leaderboard, pareto_front, per_class
from tests.fake_runs import fake_run

CODES = ["ERB", "LY", "PLT"]
NAMES = ["erythroblast", "lymphocyte", "platelet"]
PERFECT = np.diag([5, 6, 7])


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path))
    return [
        fake_run(tmp_path, "good-64-1", title="Good", accuracy=0.95, seed=1, latency=4.0, parameters=900_000),
        fake_run(tmp_path, "fast-64-1", title="Fast", accuracy=0.85, seed=2, latency=0.5, parameters=50_000),
        fake_run(tmp_path, "poor-64-1", title="Poor", accuracy=0.70, seed=3, latency=5.0),
        fake_run(tmp_path, "new-64-1", title="New", accuracy=0.80, seed=4, latency=None),
    ]


@pytest.fixture
def table(runs):
    return leaderboard(runs, {run.name: run.title for run in runs})


def test_the_table_says_what_the_runs_say(runs, table):
    row, stored = table.iloc[0], runs[0].metrics["test"]
    assert row["accuracy"] == pytest.approx(100 * stored["accuracy"])
    assert row["low"] < row["accuracy"] < row["high"]
    assert row["interval"] == f"{row['low']:.1f} to {row['high']:.1f}"
    assert row["parameters"] == 900_000
    assert row["owner"] == "shipped"
    assert row["data"] == runs[0].provenance
    assert np.isnan(table["latency_ms"].iloc[3])


def test_unknown_measures_are_blank_not_zero(runs):
    run = runs[0]
    run.metrics["test"]["macro_auroc"] = None
    run.metrics["test"]["per_class"]["sensitivity"][0] = None
    assert np.isnan(leaderboard([run], {run.name: "x"})["macro_auroc"].iloc[0])
    assert np.isnan(per_class([run], {run.name: "x"})["BA sensitivity"].iloc[0])


def test_per_class_has_two_columns_a_class(runs):
    table = per_class(runs, {run.name: run.title for run in runs})
    assert len(table.columns) == 1 + 2 * 8
    stored = runs[0].metrics["test"]["per_class"]["sensitivity"][2]
    assert table["ERB sensitivity"].iloc[0] == pytest.approx(100 * stored)


def test_no_runs_give_an_empty_table():
    assert leaderboard([], {}).empty
    assert per_class([], {}).empty


def test_pareto_front_by_hand():
    cost = np.array([1.0, 2.0, 2.0, 3.0, np.nan, 4.0])
    gain = np.array([5.0, 6.0, 7.0, 6.5, 9.0, 7.0])
    assert list(pareto_front(cost, gain)) == [0, 2]
    assert list(pareto_front(np.array([]), np.array([]))) == []


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        ([[1, 9, 0], [0, 6, 0], [0, 0, 7]], "Erythroblasts are mostly taken for lymphocytes"),
        ([[20, 3, 0], [0, 6, 0], [0, 0, 7]], "3 of 23 erythroblasts taken for lymphocytes"),
        (PERFECT, "Every test cell is named right"),
        (np.zeros((3, 3)), "No cells were scored"),
        ([[20, 1, 0], [0, 6, 0], [0, 1, 7]], "2 of 35 cells wrong, no mix-up twice"),
        ([[20, 3, 0], [0, 6, 0], [0, 3, 2]], "Platelets are mostly taken for lymphocytes"),
    ],
)
def test_the_matrix_title_is_computed(matrix, said):
    assert matrices.confusion_title(np.array(matrix), NAMES) == said


def test_the_matrix_prints_counts_or_percent_and_is_clickable():
    matrix = np.array([[9, 1, 0], [0, 6, 0], [0, 0, 7]])
    squares, numbers, clicks = matrices.confusion_figure(matrix, CODES, NAMES).data
    assert numbers.text[:3] == ("9", "1", "")
    assert squares.z[0][1] == pytest.approx(0.1**0.5)
    assert list(clicks.customdata[1]) == ["ERB", "LY"]
    assert (clicks.x[1], clicks.y[1]) == (1, 0)
    assert "erythroblast" in clicks.text[1]
    assert "10.0 % of the true class" in clicks.text[1]
    _, numbers, _ = matrices.confusion_figure(matrix, CODES, NAMES, percent=True).data
    assert numbers.text[:3] == ("90.0", "10.0", "")


def test_a_marked_square_gets_a_frame():
    assert not matrices.confusion_figure(PERFECT, CODES, NAMES).layout.shapes
    (frame,) = matrices.confusion_figure(PERFECT, CODES, NAMES, framed=("ERB", "LY")).layout.shapes
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (0.5, 1.5, -0.5, 0.5)
    assert not matrices.confusion_figure(PERFECT, CODES, NAMES, framed=("ERB", "gone")).layout.shapes


def test_nothing_turns_pale_when_a_square_is_selected():
    _, numbers, clicks = matrices.confusion_figure(PERFECT, CODES, NAMES).data
    assert numbers.selected.textfont.color, "else Plotly makes the others pale"
    assert clicks.selected.marker.opacity == clicks.unselected.marker.opacity == clicks.marker.opacity == 0


def test_numbers_are_readable_on_their_squares():
    matrix = np.array([[100, 30, 5], [0, 1, 0], [50, 50, 1]])
    for dark in (False, True):
        _, numbers, _ = matrices.confusion_figure(matrix, CODES, NAMES, dark=dark).data
        assert set(numbers.textfont.color) == {"#231d36", "#ffffff"}


def test_the_difference_is_signed_and_nothing_at_zero():
    other = np.array([[4, 1, 0], [0, 6, 0], [0, 0, 7]])
    squares, numbers, clicks = matrices.difference_figure(PERFECT, other, CODES, NAMES, title="t").data
    assert numbers.text[:3] == ("+1", "-1", "")
    assert squares.zmax == -squares.zmin == 1
    assert list(clicks.customdata[1]) == ["ERB", "LY"]
    squares, _, _ = matrices.difference_figure(PERFECT, PERFECT, CODES, NAMES, title="t").data
    assert not np.any(squares.z)
    _, numbers, _ = matrices.difference_figure(PERFECT, other, CODES, NAMES, percent=True, title="t").data
    assert numbers.text[0] == "+20.0"


def test_difference_titles(runs):
    paired = compare_pair(runs[0], runs[1]).comparison
    title = matrices.difference_title(paired, "A", "B")
    assert str(paired.only_first) in title
    assert str(paired.only_second) in title
    assert "same cells" in matrices.difference_title(compare_pair(runs[0], runs[0]).comparison, "A", "B")
    assert "own cells" in matrices.difference_title(None, "A", "B")


def test_curves_show_each_run_and_say_when_it_was_best(runs):
    fig = overview.training_curves({run.title: run.history for run in runs[:2]})
    assert len(fig.data) == 2 * 4
    assert "after 4 of 4 epochs" in fig.layout.title.text
    assert "No training curve" in overview.training_curves({}).layout.title.text
    assert "No training curve" in overview.training_curves({"x": {}}).layout.title.text


def test_the_cells_of_a_square(runs):
    run, other = runs[0], runs[1]
    order = np.arange(320)
    answers = {"A": (run.predictions("test"), order), "B": (other.predictions("test"), order)}
    table = cell_answers(answers, truth=2, called=4)
    stored = np.array(run.metrics["test"]["confusion"])
    assert len(table) == stored[2].sum()
    assert (table["A answer"] == 4).sum() == stored[2, 4]
    assert table["A p"].between(0, 1).all()
    assert (table["B p called"] <= table["B p"] + 1e-12).all()


def test_export_and_shares():
    assert confusion_table(PERFECT, CODES).loc["LY", "LY"] == 6
    assert [percent(v) for v in (1.0, 0.991, 0.504, 0.0099, 0.0)] == [
        "> 99 %",
        "> 99 %",
        "50 %",
        "< 1 %",
        "< 1 %",
    ]
