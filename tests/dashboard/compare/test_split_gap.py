"""What the split decides is read from runs of one recipe under two ways to split."""

import pytest

from core.evaluation.compare import newcombe_interval
from dashboard.compare import scheme_of, scheme_titles
from dashboard.compare.split_gap import split_gap_figure, split_gap_title, split_gaps
from tests.fake_datasets import SCHEMES, added, fake_spec
from tests.fake_runs import fake_run


@pytest.fixture
def make(tmp_path, monkeypatch):
    added(monkeypatch, fake_spec())

    def run(name, scheme, accuracy, title="CNN", **train):
        return fake_run(
            tmp_path, name, dataset="smears", scheme=scheme, accuracy=accuracy, title=title, train=train or None
        )

    return run


def decided(*runs):
    return split_gaps(runs, SCHEMES, {run.name: run.title for run in runs})


def test_a_recipe_under_both_ways_gives_the_gap_and_its_interval(make):
    trusted, random = make("a-64-1", "grouped", 0.8), make("b-64-1", "random", 0.95)
    table = decided(trusted, random)
    row = table.iloc[0]
    one, other = (run.metrics["test"]["accuracy"] for run in (trusted, random))
    assert len(table) == 1
    assert (row["trusted_run"], row["other_run"]) == ("a-64-1", "b-64-1")
    assert row["gap"] == pytest.approx(100 * (other - one))
    low, high = newcombe_interval((round(320 * other), round(320 * one)), (320, 320))
    assert (row["low"], row["high"]) == (pytest.approx(100 * low), pytest.approx(100 * high))
    assert row["differs"] == ""


def test_other_arguments_or_sizes_are_other_recipes(make):
    wide = {"model_arguments": {"width": 64}}
    assert decided(make("a-64-1", "grouped", 0.8), make("b-64-1", "random", 0.9, **wide)).empty
    assert decided(make("c-64-1", "grouped", 0.8), make("d-64-1", "random", 0.9, title="Other")).empty


def test_what_else_differed_in_the_training_is_said(make):
    table = decided(make("a-64-1", "grouped", 0.8), make("b-64-1", "random", 0.9, epochs=60))
    assert table["differs"].tolist() == ["epochs"]


def test_of_several_runs_the_best_on_val_counts(make):
    runs = [make("a-64-1", "grouped", 0.8), make("b-64-1", "random", 0.9), make("c-64-1", "random", 0.97)]
    assert decided(*runs)["other_run"].tolist() == ["c-64-1"]
    assert decided(*runs[::-1])["other_run"].tolist() == ["c-64-1"]


def test_a_run_that_says_nothing_of_its_split_has_the_first_one(make):
    assert scheme_of(make("a-64-1", "", 0.8), SCHEMES) == "grouped"
    assert scheme_of(make("b-64-1", "random", 0.8), SCHEMES) == "random"
    assert scheme_of(make("c-64-1", "", 0.8), ()) == ""


@pytest.mark.parametrize("dark", [False, True])
def test_the_figure_draws_every_recipe_and_says_the_gap(make, dark):
    table = decided(
        make("a-64-1", "grouped", 0.8),
        make("b-64-1", "random", 0.95),
        make("c-64-1", "grouped", 0.7, title="Small"),
        make("d-64-1", "random", 0.72, title="Small"),
    )
    fig = split_gap_figure(table, scheme_titles(SCHEMES), dark=dark)
    assert list(fig.layout.yaxis.ticktext) == ["CNN, 64 px", "Small, 64 px"]  # the widest gap first
    assert {trace.name for trace in fig.data if trace.name} == {"Groups kept together", "At random"}
    assert [a.text for a in fig.layout.annotations] == [f"{gap:+.1f}" for gap in table["gap"]]
    assert "At random: " in fig.layout.title.text
    assert "more than the split to trust" in fig.layout.title.text


def test_without_pairs_there_is_nothing_to_say(make):
    empty = decided(make("a-64-1", "grouped", 0.8))
    assert empty.empty
    assert split_gap_figure(empty, {}).layout.title.text == split_gap_title(empty, {})
