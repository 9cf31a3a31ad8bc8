"""Home and Classify say in one sentence how other laboratories' cells are read, where somebody measured it."""

import pytest

from core.evaluation.external import store_validation
from dashboard.pickers import external_validation_line
from tests.stub_runs import make_run

__all__ = ["make_run"]


@pytest.fixture
def run(make_run, tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path))
    made = make_run()
    (made.path / "card.md").write_text("## Limits\n")
    return made


def test_nothing_is_said_where_nothing_was_measured(run):
    assert external_validation_line("bloodmnist") == ""
    assert external_validation_line("all4") == ""


def test_the_range_before_and_after_is_told(run):
    common = {"draws": 10, "cells": 140, "answers": 25}
    store_validation(
        run,
        [
            {"laboratory": "north", "before": 0.7, "after": 0.9, **common},
            {"laboratory": "south", "before": 0.8, "after": 0.95, **common},
        ],
    )
    told = external_validation_line("bloodmnist")
    assert "2 laboratories" in told
    assert "70% to 80%" in told
    assert "90% to 95%" in told
    assert "25 answers" in told
