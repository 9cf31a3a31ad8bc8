"""What pages look at is cached, yet what changes on disk is noticed."""

import numpy as np
import pytest
import streamlit as st

from core.datasets import DatasetUnavailable
from core.runs import update_metrics
from dashboard import cache
from dashboard.charts import cached_figure
from tests.fake_datasets import added, fake_spec
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


def test_a_file_that_was_overwritten_in_place_is_noticed(folders):
    run = fake_run(folders / "shipped", "a-64-1", seed=1)
    stored, folder = run.path / "predictions.npz", run.path.stat().st_mtime_ns
    before, content = cache.predictions(cache.runs()[0]), stored.read_bytes()
    other = fake_run(folders / "other", "a-64-1", seed=2)
    stored.write_bytes((other.path / "predictions.npz").read_bytes())
    assert run.path.stat().st_mtime_ns == folder, "the folder looks as before"
    assert cache.runs() == []  # it isn't what the run was sealed with
    stored.write_bytes(content)
    assert np.array_equal(cache.predictions(cache.runs()[0]).logits, before.logits)


def test_figures_of_a_run_that_was_replaced_are_drawn_anew(folders):
    run = fake_run(folders / "shipped", "a-64-1", accuracy=0.9)
    assert cached_figure(("t", *cache.runs()), lambda: "old") == "old"
    assert cached_figure(("t", *cache.runs()), lambda: "new") == "old"
    update_metrics(run, latency={"batch1_ms": 1.5})
    assert cached_figure(("t", *cache.runs()), lambda: "new") == "new"


def test_images_that_were_replaced_are_read_anew(folders, monkeypatch):
    spec = fake_spec()
    added(monkeypatch, spec)
    first = cache.dataset_images("smears", 16)
    assert cache.dataset_images("smears", 16) is first
    (folders / "data").mkdir()
    (folders / "data" / "smears_16.npz").write_bytes(b"other pictures")
    again = cache.dataset_images("smears", 16)
    assert again is not first
    (folders / "data" / "smears_16.npz").write_bytes(b"yet others")
    assert cache.dataset_images("smears", 16) is not again
    version = cache.images_version("smears")
    (folders / "data" / "another_16.npz").write_bytes(b"of another data set")
    assert cache.images_version("smears") == version


def test_what_is_on_this_computer():
    assert cache.is_available("synthetic", 64)
    assert not cache.is_available("bloodmnist", 64)
    assert not cache.is_available("bloodmnist", 65)
    with pytest.raises(DatasetUnavailable):
        cache.dataset_images("bloodmnist", 64)
