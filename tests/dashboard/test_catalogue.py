"""The catalogue caches, yet notices what changes on disk."""

import numpy as np
import pytest
import streamlit as st

from core.datasets import DatasetUnavailable
from core.runs import update_metrics
from dashboard import cache
from tests.fake_runs import fake_run


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    st.cache_resource.clear()
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path / "shipped"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    return tmp_path


def test_no_runs_at_all():
    assert cache.runs() == []


def test_runs_are_cached_and_new_ones_appear(folders):
    fake_run(folders / "shipped", "a-64-1")
    first = cache.runs()
    assert cache.runs()[0] is first[0]
    fake_run(folders / "cache" / "runs", "b-64-1")
    assert [run.name for run in cache.runs()] == ["a-64-1", "b-64-1"]
    assert [run.shipped for run in cache.runs()] == [True, False]


def test_a_changed_run_is_read_anew(folders):
    run = fake_run(folders / "shipped", "a-64-1", latency=None)
    assert "latency" not in cache.runs()[0].metrics
    update_metrics(run, latency={"batch1_ms": 1.5})
    assert cache.runs()[0].metrics["latency"]["batch1_ms"] == 1.5


def test_runs_of_one_data_set(folders):
    fake_run(folders / "shipped", "a-64-1")
    fake_run(folders / "shipped", "s-64-1", dataset="synthetic", label="drawn, not real")
    assert [run.name for run in cache.runs("synthetic")] == ["s-64-1"]


def test_predictions_are_read_only_and_shared(folders):
    run = fake_run(folders / "shipped", "a-64-1")
    answers = cache.predictions(run)
    assert cache.predictions(run) is answers
    with pytest.raises(ValueError, match="read-only"):
        answers.logits[0] = 0
    assert np.isfinite(answers.logits).all()


def test_what_is_on_this_computer():
    assert cache.is_available("synthetic", 64)
    assert not cache.is_available("bloodmnist", 64)
    assert not cache.is_available("bloodmnist", 65)
    with pytest.raises(DatasetUnavailable):
        cache.dataset_images("bloodmnist", 64)
