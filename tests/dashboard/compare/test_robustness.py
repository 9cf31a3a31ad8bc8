"""Tables and figure of what spoilt pictures cost: numbers as stored, a title that follows from them."""

import numpy as np
import pytest

from core.evaluation.robustness import CORRUPTIONS
from dashboard.compare.robustness import (
    MOST_RUNS,
    corruption_table,
    corruption_title,
    severity_panels,
    severity_points,
    without_size,
)
from dashboard.style import PRIMARY, ground
from tests.fake_damage import fake_damage
from tests.fake_runs import fake_run

NAMES = {"a-64-1": "A", "b-64-1": "B"}


@pytest.fixture
def found(tmp_path):
    return {
        "a-64-1": fake_damage(fake_run(tmp_path, "a-64-1", n=16), worst_step=0.03),
        "b-64-1": fake_damage(fake_run(tmp_path, "b-64-1", n=16), worst_step=0.15, worst="bubble"),
    }


def test_points_begin_with_the_picture_as_it_came(found):
    points = severity_points(found, NAMES)
    assert len(points) == 2 * 11 * 6
    here = points[(points["run"] == "b-64-1") & (points["corruption"] == "bubble")]
    assert here["accuracy"].to_numpy() == pytest.approx([96, 81, 66, 51, 36, 21])
    assert here["confidence"].to_numpy() == pytest.approx([97, 95, 95, 95, 95, 95])
    assert (points["low"] < points["accuracy"]).all()
    assert (points["accuracy"] < points["high"]).all()


def test_the_table_puts_the_least_harmed_first(found):
    table = corruption_table(found, NAMES)
    assert list(table["model"]) == ["A", "B"]
    assert list(table["worst"]) == ["Out of focus", "Bubbles"]
    assert np.all(table["clean"] == 96)
    assert table["mean"][0] == pytest.approx(table[list(CORRUPTIONS)].loc[0].mean())


def test_titles(found):
    points = severity_points(found, NAMES)
    assert corruption_title(points, "bubble") == "Bubbles, severity 1: B loses 15 points, A 2"
    assert corruption_title(points, "defocus_blur") == "Out of focus, severity 4: A loses 12 points, B 8"
    mild = points.assign(accuracy=np.where(points["severity"] > 0, 95, 96))
    assert corruption_title(mild, "saturate") == "Stronger colour: the highest severity costs 1.0 points at most"
    none = points.assign(accuracy=96)
    assert corruption_title(none, "saturate") == "Stronger colour: the highest severity costs nothing"
    alone = points[points["run"] == "b-64-1"]
    assert corruption_title(alone, "bubble") == "Bubbles, severity 1: B loses 15 points"


@pytest.mark.parametrize("dark", [False, True])
def test_a_panel_a_corruption_and_the_chosen_one_stands_out(found, dark):
    fig = severity_panels(severity_points(found, NAMES), "bubble", title="T", dark=dark)
    assert len(fig.data) == 22
    assert sum(trace.showlegend for trace in fig.data) == 2
    headings = {a.text: a.font.color for a in fig.layout.annotations}
    assert headings["<b>Bubbles</b>"] == PRIMARY[dark]
    assert headings["Too dark"] == ground(dark)["text"]
    assert len(fig.layout.shapes) == 1
    assert {trace.customdata[0][0] for trace in fig.data} == set(CORRUPTIONS)
    low, high = fig.layout.yaxis.range
    assert low <= 21
    assert high > 100


def test_lines_of_how_sure_do_not_crowd_the_legend(found):
    fig = severity_panels(severity_points(found, NAMES), "bubble", title="T", sure=True)
    dotted = [trace for trace in fig.data if trace.line.dash == "dot"]
    assert len(dotted) == 22
    assert not any(trace.showlegend for trace in dotted)


def test_too_many_runs_are_refused(found):
    points = severity_points({f"r{i}": found["a-64-1"] for i in range(MOST_RUNS + 1)}, {f"r{i}": "R" for i in range(9)})
    with pytest.raises(ValueError, match="at most"):
        severity_panels(points, "bubble", title="T")


def test_names_lose_the_size_that_all_share():
    assert without_size({"a": "CNN, 64 px", "b": "CNN, 64 px, 2nd cycle"}, 64) == {"a": "CNN", "b": "CNN, 2nd cycle"}
    mixed = {"a": "CNN, 64 px", "b": "CNN, 28 px"}
    assert without_size(mixed, 64) == mixed
