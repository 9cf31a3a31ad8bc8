"""What is computed from stored answers: kept until a run changes, of runs that belong together."""

import numpy as np
import pytest
import streamlit as st

from core.evaluation.metrics import class_curves
from core.probabilities import softmax
from core.runs import Run
from dashboard.compare import hard_images
from dashboard.compare.classes import cached_curves
from dashboard.compare.hardest import comparable_runs, exact_duplicates
from tests.fake_runs import fake_run


@pytest.fixture
def runs(tmp_path, monkeypatch):
    st.cache_resource.clear()
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path / "shipped"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    return [fake_run(tmp_path / "shipped", f"r{seed}-64-1", title=f"R{seed}", seed=seed) for seed in range(3)]


def test_curves_are_those_of_the_stored_answers_and_kept(runs):
    answers = runs[0].predictions("test")
    expected = class_curves(answers.labels, softmax(answers.logits), 4)
    assert np.array_equal(cached_curves(runs[0], 4).roc, expected.roc)
    assert cached_curves(runs[0], 4) is cached_curves(Run(runs[0].path), 4)
    assert cached_curves(runs[0], 5).auroc != cached_curves(runs[0], 4).auroc


def test_the_runs_of_the_commonest_data_vote_and_combinations_do_not(runs, tmp_path):
    other = fake_run(tmp_path / "shipped", "o-64-1", title="O", label="official BloodMNIST")
    both = fake_run(tmp_path / "shipped", "e-64-1", title="E")
    both.config["kind"] = "combination"
    assert comparable_runs([other, *runs, both]) == runs
    assert comparable_runs([both]) == [both], "alone it is all there is"
    assert comparable_runs([]) == []


def test_hard_images_are_counted_over_the_runs_and_others_left_out(runs, tmp_path):
    strange = fake_run(tmp_path / "shipped", "x-64-1", title="X", data_seed=8)
    found = hard_images([*runs, strange])
    assert found.runs == tuple(runs)
    assert found.left_out == (strange,)
    assert found.runs[0] is runs[0], "the page's own objects"
    assert found.votes.models == 3
    assert hard_images([*runs, strange]).votes is found.votes
    with pytest.raises(ValueError, match="read-only"):
        found.votes.labels[0] = 1


def test_a_changed_run_is_asked_anew(runs, tmp_path):
    before = hard_images(runs[:1]).combined.best
    changed = fake_run(tmp_path / "shipped", "r0-64-1", title="R0", seed=0, accuracy=0.5)
    assert hard_images([changed]).combined.best < before


def test_no_twins_without_images(runs):
    assert exact_duplicates(runs[0]) == {}
