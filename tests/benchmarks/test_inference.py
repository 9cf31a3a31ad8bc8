"""The inference benchmark: both ways give the same answers, and what is kept is what Compare reads."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import inference
from benchmarks.answering import eager_logits, pictures_for, served_logits
from core.runs import Run
from tests.fake_runs import combined
from tests.stub_runs import make_run

__all__ = ["make_run"]  # a fixture


@pytest.fixture
def both(tiny_runs, tmp_path, monkeypatch):
    """The two tiny runs in a folder of their own, which a test may change."""
    root = tmp_path / "pretrained"
    shutil.copytree(tiny_runs[0].path.parent, root / "synthetic")
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(root))
    return [Run(root / "synthetic" / run.name) for run in tiny_runs]


def test_both_ways_agree_on_a_network(tiny_run):
    pictures = pictures_for(tiny_run)[:8]
    np.testing.assert_allclose(eager_logits(tiny_run, 1)(pictures), served_logits(tiny_run)(pictures), atol=1e-3)


@pytest.mark.parametrize("views", [1, 8])
def test_both_ways_agree_on_a_combination(both, views):
    run = combined(Run(Path(shutil.copytree(both[0].path, both[0].path.parent / "vote-28-000000"))), both, views)
    pictures = pictures_for(run)[:3]
    np.testing.assert_allclose(eager_logits(run, 1)(pictures), served_logits(run)(pictures), atol=1e-3)


def test_torch_has_no_way_to_a_classical_model(make_run, monkeypatch):
    run = make_run()
    run.config["kind"] = "classical"
    assert eager_logits(run, 1) is None
    monkeypatch.setattr(
        inference, "measure_fresh_process", lambda *_: {"memory_mb": 12.5, "open_ms": 1.0, "first_answer_ms": 1.0}
    )
    kept = inference.latency(inference.measure(run, 3, 1, iter(range(1000)).__next__), "here")
    assert kept["eager_batch1_ms"] is None
    assert kept["eager_batch64_ms_per_image"] is None
    assert kept["peak_memory_mb"] == 12.5


def test_times_are_medians_taken_in_turns():
    ticks, order = iter([0, 1, 10, 15, 20, 22, 30, 37, 40, 49, 50, 56]), []
    ways = {name: lambda _, name=name: order.append(name) for name in ("a", "b")}
    times = inference.alternate(ways, np.zeros(1), 3, clock=ticks.__next__)
    assert times == {"a": [1000, 2000, 9000], "b": [5000, 7000, 6000]}
    assert order == ["a", "a", "b", "b"] * 3  # the first of each pair warms up


def test_what_is_kept_of_a_row():
    row = {"run": "x", "eager ms, 1": 3.0, "served ms, 1": 1.0, "eager ms, 64": 128.0, "served ms, 64": 64.0}
    assert inference.latency({**row, "served MB": 40.25}, "this machine") == {
        "batch1_ms": 1.0,
        "batch64_ms_per_image": 1.0,
        "eager_batch1_ms": 3.0,
        "eager_batch64_ms_per_image": 2.0,
        "peak_memory_mb": 40.2,
        "engine": "ONNX Runtime",
        "machine": "this machine",
    }


def test_a_fresh_process_tells_what_its_first_answer_cost(tiny_run):
    cost = inference.measure_fresh_process(tiny_run, "served", 1)
    assert set(cost) == {"import_ms", "open_ms", "first_answer_ms", "memory_mb"}
    assert 0 < cost["memory_mb"] < 300
    assert Path(inference.ROOT, "benchmarks").is_dir()
