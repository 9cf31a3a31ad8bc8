"""Accuracy against cost: every run once, the front, names that touch nothing."""

import numpy as np
import pandas as pd
import pytest

from dashboard.compare.overview import COSTS, PLOT, place_names, scatter


def table(n: int = 30, seed: int = 0) -> pd.DataFrame:
    """A leaderboard of ``n`` made-up runs of four families and two sizes."""
    rng = np.random.default_rng(seed)
    accuracy = 100 - np.exp(rng.uniform(-0.1, 3.4, n))
    rows = {
        "run": [f"run-{i}" for i in range(n)],
        "model": [f"Network {i}, 64 px, 2nd cycle" for i in range(n)],
        "family": [f"Family {i % 4}" for i in range(n)],
        "accuracy": accuracy,
        "low": accuracy - 0.4,
        "high": np.minimum(accuracy + 0.4, 100),
        "interval": ["x to y"] * n,
        "seeds": ["", "98.0 ± 0.1 (5)"] * (n // 2) + [""] * (n % 2),
        "size": [28, 64] * (n // 2) + [28] * (n % 2),
    }
    return pd.DataFrame(rows | {column: np.exp(rng.normal(0, 1, n)) for _, column, _ in COSTS.values()})


def runs_of(fig) -> list:
    return [trace for trace in fig.data if trace.customdata is not None]


def test_every_run_is_drawn_once_with_its_interval():
    made = table()
    fig = scatter(made, "latency")
    drawn = {row[0]: (x, y) for t in runs_of(fig) for row, x, y in zip(t.customdata, t.x, t.y, strict=True)}
    assert set(drawn) == set(made["model"])
    first = made.iloc[0]
    assert drawn[first["model"]] == (first["latency_ms"], pytest.approx(100 - first["accuracy"]))
    trace = next(t for t in runs_of(fig) if t.customdata[0][0] == first["model"])
    assert trace.error_y.array[0] == pytest.approx(first["accuracy"] - first["low"]), "more errors: less accurate"
    assert trace.error_y.arrayminus[0] == pytest.approx(first["high"] - first["accuracy"])


def test_the_upright_axis_reads_accuracy_upwards():
    axis = scatter(table(), "latency").layout.yaxis
    assert axis.range[0] > axis.range[1], "fewer errors are higher up"
    assert all(
        float(text) == pytest.approx(100 - value) for text, value in zip(axis.ticktext, axis.tickvals, strict=True)
    )


def test_families_have_a_symbol_and_a_colour_that_filtering_does_not_change():
    made = table()
    families = sorted(made["family"].unique())
    whole = {t.name: (t.marker.color, t.marker.symbol[0].removesuffix("-open")) for t in runs_of(scatter(made, "size"))}
    assert len(set(whole.values())) == len(families)
    some = scatter(made[made["family"] == "Family 2"], "size", families=families)
    assert [(t.marker.color, t.marker.symbol[0].removesuffix("-open")) for t in runs_of(some)] == [whole["Family 2"]]


def test_the_front_is_filled_and_larger_images_are_larger_points():
    made = table()
    fig = scatter(made, "latency")
    front = next(t for t in fig.data if t.name == "front")
    filled = [y for t in runs_of(fig) for y, s in zip(t.y, t.marker.symbol, strict=True) if not s.endswith("-open")]
    assert sorted(filled) == sorted(front.y)
    sizes = {
        (made.set_index("model").loc[row[0], "size"], size)
        for t in runs_of(fig)
        for row, size in zip(t.customdata, t.marker.size, strict=True)
    }
    assert len(sizes) == 2
    assert dict(sizes)[28] < dict(sizes)[64]


def test_what_was_found_over_seeds_is_told_on_hover():
    told = [row[3] for t in runs_of(scatter(table(), "latency")) for row in t.customdata]
    assert sum("± 0.1 (5) % over seeds" in text for text in told) == 15


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("dark", [False, True])
def test_there_is_a_view_for_each_cost(cost, dark):
    assert scatter(table(), cost, dark=dark).layout.xaxis.title.text == COSTS[cost][0]


def test_ticked_runs_are_ringed_and_named():
    made = table()
    worst = made.loc[made["accuracy"].idxmin()]
    fig = scatter(made, "latency", chosen=[worst["run"]])
    assert next(t for t in fig.data if t.name == "ticked").x[0] == worst["latency_ms"]
    assert worst["model"] in {note.text for note in fig.layout.annotations}


def test_one_run_none_and_unmeasured_ones():
    assert "the most accurate" in scatter(table(1), "latency").layout.title.text
    assert "Not measured" in scatter(table(0 + 1).head(0), "latency").layout.title.text
    unmeasured = table().assign(latency_ms=np.nan)
    assert "Not measured" in scatter(unmeasured, "latency").layout.title.text
    assert len(runs_of(scatter(table(2).assign(accuracy=100.0, high=100.0), "latency"))) == 2


@pytest.mark.parametrize("seed", range(4))
def test_names_touch_neither_each_other_nor_a_point_nor_leave_the_plot(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, PLOT[0], 30), rng.uniform(0, PLOT[1], 30)
    names = place_names(x, y, [f"Some network {i}, 64 px" for i in range(30)], range(30))
    boxes = []
    for name in names:
        near, length = x[name.point] + name.dx, 6.4 * len(name.text)
        left = near if name.anchor == "left" else near - length
        boxes.append((left, left + length, y[name.point] + name.dy - 7, y[name.point] + name.dy + 7))
    assert len(boxes) > 5
    for i, (left, right, low, high) in enumerate(boxes):
        assert left >= 0
        assert right <= PLOT[0]
        assert not any(
            (left < a + 5) & (a - 5 < right) & (low < b + 5) & (b - 5 < high) for a, b in zip(x, y, strict=True)
        )
        assert not any(left < r and a < right and low < t and b < high for a, r, b, t in boxes[:i])


@pytest.mark.parametrize("span", [(100, 300), (0.3, 8), (5e4, 3e6), (41, 44)])
def test_the_cost_axis_has_marks_to_read_by(span):
    made = table(2).assign(latency_ms=span)
    marks = [tick for tick in scatter(made, "latency").layout.xaxis.tickvals if span[0] <= tick <= span[1]]
    assert len(marks) <= 9
    assert len(marks) >= (0 if span == (41, 44) else 2)
