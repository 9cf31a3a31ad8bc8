"""Kept networks: few, shared, and handed back as they were."""

import threading

import pytest
import torch

from core.explain import gradcam as kept
from core.models import build
from core.runs import Run


@pytest.fixture(autouse=True)
def nothing_kept():
    kept._open_network.cache_clear()
    yield
    kept._open_network.cache_clear()


@pytest.fixture
def loads(monkeypatch):
    """Replaces loading by building; lists the names of the runs that were loaded."""
    names = []

    def load(run):
        names.append(run.path.name)
        return build("cnn_2", 8, 28, width=4)

    monkeypatch.setattr(kept, "load_network", load)
    return names


@pytest.fixture
def make_run(tmp_path):
    def make(name):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "model.onnx").touch()
        return Run(folder)

    return make


def test_loaded_once_in_eval_mode_and_frozen(loads, make_run):
    run = make_run("a")
    network = kept.shared_network(run)
    assert kept.shared_network(run) is network
    assert loads == ["a"]
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_the_least_recently_used_goes_first(loads, make_run):
    runs = [make_run(str(number)) for number in range(kept.MAX_NETWORKS + 1)]
    for run in (*runs[:-1], runs[0], runs[-1], runs[0], runs[1]):
        kept.shared_network(run)
    assert loads == [*(str(number) for number in range(kept.MAX_NETWORKS + 1)), "1"]


def test_a_run_trained_anew_is_loaded_anew(loads, make_run):
    import os

    run = make_run("a")
    kept.shared_network(run)
    os.utime(run.onnx_path, ns=(1, 1))
    kept.shared_network(run)
    assert loads == ["a", "a"]


def test_state_is_restored_after_an_error(loads, make_run):
    run = make_run("a")
    network = kept.shared_network(run)

    def train_and_fail():
        with kept.exclusive_network(run) as borrowed:
            borrowed.train().requires_grad_(True)
            borrowed(torch.rand(1, 3, 28, 28)).sum().backward()
            assert any(p.grad is not None for p in network.parameters())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train_and_fail()
    assert not any(m.training for m in network.modules())
    assert not any(p.requires_grad or p.grad is not None for p in network.parameters())
    with kept.exclusive_network(run) as again:  # the lock was given back
        assert again is network


def test_one_borrower_at_a_time(loads, make_run):
    run, inside, most, started = make_run("a"), [0], [0], threading.Barrier(4)

    def use():
        started.wait(timeout=10)
        with kept.exclusive_network(run):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            threading.Event().wait(0.02)
            inside[0] -= 1

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert loads == ["a"]


def test_a_failed_load_is_tried_again(make_run, monkeypatch):
    run, calls = make_run("a"), []

    def load(run):
        calls.append(run)
        if len(calls) == 1:
            raise OSError("half a file")
        return build("cnn_2", 8, 28, width=4)

    monkeypatch.setattr(kept, "load_network", load)
    with pytest.raises(OSError, match="half"):
        kept.shared_network(run)
    assert kept.shared_network(run) is not None
