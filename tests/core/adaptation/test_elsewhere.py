"""Figures of other laboratories stand with the run and on its card, once."""

import pytest

from core.evaluation.external import store_validation

FOUND = [{"laboratory": "north", "draws": 10, "cells": 140, "answers": 25, "before": 0.718, "after": 0.935}]


@pytest.fixture
def run(make_run):
    made = make_run()
    (made.path / "card.md").write_text("# Stub\n\n## Data\n\nSome.\n\n## Limits\n\nMany.\n")
    return made


def test_they_are_kept_and_told_before_the_limits(run):
    assert run.external_validation() == []
    store_validation(run, FOUND)
    assert run.external_validation() == FOUND
    assert (
        run.card.index("Some.") < run.card.index("| north | 10 | 140 | 71.8% | 93.5% | 25 |") < run.card.index("Many.")
    )


def test_what_stands_between_them_and_the_limits_stays(run):
    store_validation(run, FOUND)
    (run.path / "card.md").write_text(run.card.replace("## Limits", "## What it can tell\n\nMuch.\n\n## Limits"))
    store_validation(run, FOUND)
    assert run.card.index("| north |") < run.card.index("Much.") < run.card.index("Many.")


def test_newer_figures_take_the_place_of_older_ones(run):
    store_validation(run, FOUND)
    store_validation(run, [{**FOUND[0], "after": 0.95}])
    assert run.card.count("## Other laboratories") == run.card.count("## Limits") == 1
    assert "95.0%" in run.card
    assert "93.5%" not in run.card
