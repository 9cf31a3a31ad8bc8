"""Tables and figures of studies: every trial where it belongs, true tick labels, every empty case."""

import dataclasses

import numpy as np
import pytest

from core.evaluation.importance import seed_spread, variant_effects
from dashboard.compare import studies
from tests.fake_studies import fake_ablation_study, fake_seeds_study, fake_tune_study


@pytest.fixture
def study():
    return fake_tune_study(40)


@pytest.fixture
def empty(study):
    return dataclasses.replace(study, trials=())


def test_the_trial_table_has_every_trial_and_setting(study):
    table = studies.trial_table(study)
    assert list(table["number"]) == list(range(40))
    assert np.isnan(table["score"].iloc[3])
    assert table["score"].iloc[0] == pytest.approx(100 * study.trials[0].score)
    assert list(table["learning_rate"]) == [t.params["learning_rate"] for t in study.trials]
    assert "test" not in table
    assert "label" not in table
    assert "seed" not in table


def test_what_says_something_stays():
    table = studies.trial_table(fake_ablation_study())
    assert {"label", "test", "seed"} <= set(table.columns)
    assert "variant" not in table


def test_the_best_so_far_rises_and_counts_complete_trials_only(study):
    table = studies.best_so_far(study)
    best = table["best"].dropna().to_numpy()
    assert (np.diff(best) >= 0).all()
    assert best[-1] == pytest.approx(100 * study.best.score)
    worse = dataclasses.replace(study.trials[0], number=99, score=0.99, state="pruned")
    assert studies.best_so_far(dataclasses.replace(study, trials=(*study.trials, worse)))["best"].iloc[-1] == best[-1]


def test_history_draws_every_trial_that_has_a_score(study):
    fig = studies.search_history(study)
    drawn = {t.name: len(t.x) for t in fig.data}
    pruned = sum(t.state == "pruned" for t in study.trials)
    assert drawn == {"best so far": 40, "complete": len(study.complete), "given up early (pruned)": pruned}
    assert f"trial {study.best.number}" in fig.layout.title.text
    assert f"{pruned} given up early" in fig.layout.title.text


def labels(column) -> list[str]:
    return list(column.cat.categories)


def test_pairs_are_binned_on_their_own_scale(study):
    table = studies.pair_table(study, "learning_rate", "batch_size")
    assert labels(table["across"])[0].startswith("0.0001 to")
    assert labels(table["across"])[-1].endswith("to 0.1")
    assert labels(table["up"]) == ["32", "64", "128", "256"]
    assert table["trials"].sum() == len(study.complete)
    place = table.iloc[0]
    low, high = (float(v) for v in place["across"].split(" to "))
    inside = [
        t
        for t in study.complete
        if low * 0.98 <= t.params["learning_rate"] <= high * 1.02 and str(t.params["batch_size"]) == place["up"]
    ]
    assert place["trials"] == len(inside)
    assert place["mean"] == pytest.approx(100 * np.mean([t.score for t in inside]))
    assert place["best"] == pytest.approx(100 * max(t.score for t in inside))


def with_settings(study, **settings):
    """``study`` with settings of every trial set anew, each by a function of the trial's number."""
    trials = (
        dataclasses.replace(t, params={**t.params, **{k: make(t.number) for k, make in settings.items()}})
        for t in study.trials
    )
    return dataclasses.replace(study, trials=tuple(trials))


def test_few_distinct_numbers_are_not_binned(study):
    few = with_settings(study, hidden=lambda n: 64 + 64 * (n % 2))
    assert labels(studies.pair_table(few, "hidden", "optimizer")["across"]) == ["64", "128"]


def test_the_ends_of_a_range_fall_into_its_outer_intervals(study):
    ends = with_settings(study, dropout=lambda n: 0.6 if n == 0 else n / 100, hidden=lambda n: 32 if n == 1 else 500)
    table = studies.pair_table(ends, "dropout", "optimizer")
    assert table["trials"].sum() == len(study.complete)
    assert table.loc[table["across"] == "0.5 to 0.6", "trials"].sum() == 1


def test_a_trial_without_the_setting_falls_nowhere(study):
    first = study.complete[0].number
    lacking = with_settings(study, dropout=lambda n: None if n == first else n / 100)
    assert studies.pair_table(lacking, "dropout", "optimizer")["trials"].sum() == len(study.complete) - 1


@pytest.mark.parametrize("dark", [False, True])
def test_the_map_shows_means_and_says_how_many(study, dark):
    fig = studies.pair_heatmap(study, "learning_rate", "optimizer", dark=dark)
    table = studies.pair_table(study, "learning_rate", "optimizer")
    cell = table.iloc[-1]
    row, column = labels(table["up"]).index(cell["up"]), labels(table["across"]).index(cell["across"])
    assert fig.data[0].z[row][column] == pytest.approx(cell["mean"])
    assert np.isfinite(np.array(fig.data[0].z, float)).sum() == len(table)
    assert "trial" in fig.data[0].customdata[row][column]
    assert list(fig.data[1].text) == [f"{v:.1f}" for v in table["mean"]]
    assert len(set(fig.data[1].textfont.color)) == 2  # dark ink on light squares, white on dark ones
    assert fig.layout.title.text.startswith("Best on average: learning rate")


def test_the_map_s_title_trusts_places_tried_twice(study):
    table = studies.pair_table(study, "optimizer", "batch_size")
    table.loc[0, ["mean", "trials"]] = [100.0, 1]
    table.loc[1, ["mean", "trials"]] = [99.0, 3]
    assert table.loc[1, "up"] in studies.pair_title(table, "optimizer", "batch_size")


def test_parallel_axes_say_true_values(study):
    fig = studies.parallel_settings(study, studies.varied(study))
    axes = {d.label: d for d in fig.data[0].dimensions}
    rate = axes["learning rate"]
    assert rate["values"][0] == pytest.approx(np.log10(study.complete[0].params["learning_rate"]))
    assert [10**v for v in rate.tickvals] == pytest.approx([float(t) for t in rate.ticktext])
    assert list(axes["optimizer"].ticktext) == ["sgd", "adamw"]
    assert axes["optimizer"]["values"][0] == ["sgd", "adamw"].index(study.complete[0].params["optimizer"])
    assert list(axes["score (%)"]["values"]) == pytest.approx([100 * t.score for t in study.complete])
    assert list(fig.data[0].line.color) == pytest.approx(np.log10([t.seconds for t in study.complete]))
    assert fig.data[0].line.colorbar.title.text == "run time (s)"


def test_importance_bars_and_their_title():
    fig = studies.importance_bars({"learning_rate": 0.6, "hidden": 0.398, "dropout": 0.002})
    assert list(fig.data[0].y) == ["learning rate", "hidden", "dropout"]
    assert list(fig.data[0].x) == pytest.approx([60, 39.8, 0.2])
    assert list(fig.data[0].text) == ["60", "40", "< 1"]
    assert fig.layout.title.text == "Learning rate mattered most in these trials"


def test_effects_are_drawn_with_their_intervals():
    found = variant_effects(fake_ablation_study(), "test")
    fig = studies.effect_dots(found, measure="test")
    gains = next(t for t in fig.data if t.error_x.array is not None)
    assert list(gains.x) == pytest.approx([100 * one.gain for one in found[1:]])
    assert gains.x[0] + gains.error_x.array[0] == pytest.approx(100 * found[1].high)
    assert list(gains.marker.symbol) == ["circle" if one.significant else "circle-open" for one in found[1:]]
    seeds = [t for t in fig.data if t.xaxis in (None, "x") and t.x is not None and len(t.x) == 3]
    assert len(seeds) == len(found)
    assert "batch norm + dropout 0.4" in fig.layout.title.text
    table = studies.effect_table(found)
    assert np.isnan(table["gain"].iloc[0])
    assert table["low"].iloc[1] == pytest.approx(100 * found[1].low)


def test_titles_of_effects():
    one, two = variant_effects(fake_ablation_study(), "test")[:2]
    assert studies.effects_title([one]).startswith("One variant alone")
    assert (
        studies.effects_title([one, dataclasses.replace(two, gain=-0.01)])
        == "No variant is better than 'base: 4 layers'"
    )
    unsure = dataclasses.replace(two, gain=0.01, low=-0.01, high=0.03)
    assert studies.effects_title([one, unsure]) == "'2 layers' gives most: +1.0 points, within the spread of seeds"
    assert studies.effect_dots([one], measure="val").data


def test_seeds_are_dots_with_a_mean_and_an_interval():
    spreads = [("A", seed_spread(fake_seeds_study(5).complete)), ("B", seed_spread(fake_seeds_study(1).complete))]
    fig = studies.seed_dots(spreads, measure="val")
    assert sorted(len(t.x) for t in fig.data if t.mode == "markers") == [1, 1, 1, 5]
    bars = [t for t in fig.data if t.mode == "lines"]
    assert len(bars) == 1
    assert list(bars[0].x) == pytest.approx([100 * spreads[0][1].low, 100 * spreads[0][1].high])
    assert list(fig.layout.yaxis.ticktext) == ["A", "B"]
    assert fig.layout.title.text.startswith("Another seed changes A by up to")
    assert "nothing is known" in studies.seeds_title(spreads[1:])
    assert "(A)" in studies.seeds_title([spreads[0], ("C", seed_spread(fake_seeds_study(3).complete))])
    assert np.isnan(studies.spread_table(spreads)["low"].iloc[1])


def test_nothing_complete_is_said(empty):
    assert studies.search_history(empty).layout.title.text == "No trial ran to its end yet"
    assert studies.trial_table(empty).empty
    assert studies.pair_table(empty, "optimizer", "batch_size").empty
    assert studies.pair_heatmap(empty, "optimizer", "batch_size").layout.title.text == "No trial ran to its end yet"
    assert studies.parallel_settings(empty, ["optimizer"]).layout.title.text == "No trial ran to its end yet"
    assert studies.varied(empty) == []
