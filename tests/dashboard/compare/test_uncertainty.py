"""Tables and figures of doubt."""

import numpy as np
import pytest

from core.evaluation.uncertainty import uncertainty_summary
from core.probabilities import class_thresholds, softmax, spoken_sets
from dashboard.compare.uncertainty import (
    MOST_RUNS,
    coverage_figure,
    coverage_points,
    coverage_title,
    reliability_figure,
    reliability_points,
    reliability_title,
    risk_figure,
    risk_points,
    risk_title,
    uncertainty_table,
)

CODES = ["AA", "BB", "CC"]
NAMES = {"AA": "alpha", "BB": "beta", "CC": "gamma"}


def figures(seed: int = 0, sharp: float = 4.0, classes: int = 3) -> dict:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, 2000)
    logits = rng.normal(size=(2000, 3))
    logits[np.arange(2000), labels] += sharp
    probabilities = softmax(logits)
    thresholds = class_thresholds(labels[:1000], probabilities[:1000])
    told = spoken_sets(probabilities[1000:], thresholds, 0.9)
    return uncertainty_summary(labels[1000:], probabilities[1000:], told)


@pytest.fixture
def found():
    return {"Good": figures(0, 5.0), "Fair": figures(1, 3.0)}


@pytest.mark.parametrize("dark", [False, True])
def test_reliability_has_a_line_a_run_and_the_diagonal(found, dark):
    points = reliability_points(found)
    fig = reliability_figure(points, title=reliability_title(found), dark=dark)
    assert [trace.name for trace in fig.data] == [None, "Good", "Fair"]
    drawn = points[points["name"] == "Fair"]
    np.testing.assert_allclose(fig.data[2].x, drawn["said"])
    assert drawn["cells"].sum() == 1000
    assert (drawn["low"] <= drawn["right"]).all()
    assert "points apart" in fig.layout.title.text


def test_risk_ends_at_all_cells_and_the_title_tells_what_one_percent_buys(found):
    points = risk_points(found)
    fig = risk_figure(points, title=risk_title(found))
    for trace, one in zip(fig.data, found.values(), strict=True):
        assert trace.x[-1] == 100
        assert trace.y[-1] == pytest.approx(100 * one["risk_coverage"]["risk"][-1])
    shares = sorted(100 * one["risk_coverage"]["answered"] for one in found.values())
    assert 0 < shares[0] < shares[1]
    assert fig.layout.title.text.startswith(f"{shares[0]:.0f} to ")


def test_a_run_that_is_wrong_wherever_it_is_surest_is_told():
    bad = figures()
    bad["risk_coverage"] |= {"answered": 0.0}
    assert "However few cells" in risk_title({"Bad": bad})


def test_what_is_told_is_shown_by_class(found):
    points = coverage_points(found, CODES)
    assert len(points) == 6
    title = coverage_title(points, NAMES, 0.99)
    worst = points.loc[points["held"].idxmin()]
    assert f"misses {NAMES[worst['code']]}s most often" in title
    assert "1 % allowed" in title
    fig = coverage_figure(points, CODES, NAMES, 0.99, title=title)
    assert sum(len(trace.x) == len(CODES) for trace in fig.data) == 4  # held and size, of two runs
    assert list(fig.layout.yaxis.ticktext)[0] == "<b>AA</b>  alpha"


def test_a_class_without_cells_is_left_open():
    points = coverage_points({"Lab": figures(classes=2)}, CODES)
    assert np.isnan(points["held"].iloc[2])
    fig = coverage_figure(points, CODES, NAMES, 0.99, title=coverage_title(points, NAMES, 0.99))
    assert np.isnan(fig.data[0].x[2])


def test_the_table_says_all_of_it_in_percent(found):
    table = uncertainty_table(found)
    assert table["name"].tolist() == ["Good", "Fair"]
    assert table["cells"].tolist() == [1000, 1000]
    assert table["sure_right"].iloc[0] > 95
    assert (table["lowest"] <= table["held"]).all()
    assert (table["size"] >= 1).all()
    assert table["held_on_val"].isna().all(), "these have no val"


def test_too_many_to_tell_apart_are_refused():
    many = {f"Run {k}": figures(k) for k in range(MOST_RUNS + 1)}
    with pytest.raises(ValueError, match="told apart"):
        risk_figure(risk_points(many), title="")
