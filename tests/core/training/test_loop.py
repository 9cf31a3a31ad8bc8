"""Trains for real, on drawn cells, in seconds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from core import paths
from core.cli import main
from core.evaluation.metrics import score
from core.runs import list_runs
from core.training import BadConfig, TrainConfig, TrainingFailed, export_run, loop, train
from core.training.checkpoint import TrainState, restore, save

TINY_OPTIONS = ["--dataset", "synthetic", "--size", "28", "--arg", "width=8", "--device", "cpu"]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CACHE", "DATA", "PRETRAINED"):
        monkeypatch.setenv(f"HEMALENS_{name}", str(tmp_path / name.lower()))


def tiny(**choices) -> TrainConfig:
    settings = {
        "dataset": "synthetic",
        "size": 28,
        "model_arguments": {"width": 8},
        "epochs": 1,
        "learning_rate": 0.1,
        "device": "cpu",
        **choices,
    }
    return TrainConfig.for_model(settings.pop("model", "cnn_se"), **settings)


def leftovers() -> list[Path]:
    roots = (paths.user_runs_root(), paths.checkpoints_root())
    return [p for root in roots if root.exists() for p in root.rglob("*") if p.is_file()]


def test_it_learns_to_tell_drawn_cells_apart(tiny_run) -> None:
    test = tiny_run.metrics["test"]
    assert test["accuracy"] > 0.5  # eight classes: 0.125 by chance
    losses = tiny_run.history["train_loss"]
    assert losses[-1] < losses[0]


def test_a_run_is_whole_and_its_figures_are_those_of_its_weights(tiny_run) -> None:
    assert (tiny_run.path / "card.md").read_text().startswith("# CNN + SE, 28 px")
    assert tiny_run.provenance == "drawn, not real"
    assert "drawn, not real" in tiny_run.card
    stored = tiny_run.predictions("test")
    assert {k: tiny_run.metrics["test"][k] for k in ("accuracy", "ece", "confusion")} == {
        k: v for k, v in score(stored.labels, stored.logits).items() if k in ("accuracy", "ece", "confusion")
    }
    assert set(tiny_run.gate_means()) == {f"stage {i}" for i in range(1, 6)}
    assert tiny_run.metrics["parameters"] > 0
    assert tiny_run.metrics["temperature"] > 0


def test_a_detector_that_fails_leaves_no_run_and_the_next_training_makes_it(monkeypatch) -> None:
    def fail(run, data) -> None:
        raise RuntimeError("no detector")

    with monkeypatch.context() as patch:
        patch.setattr(export_run, "make_detector", fail)
        with pytest.raises(RuntimeError, match="no detector"):
            train(tiny())
    assert list_runs("synthetic") == []
    assert not list(paths.user_runs_root().rglob("*.json"))
    run = train(tiny(), resume=True)
    assert run.ood_path.exists()


def test_the_shell_scores_a_run_anew_and_finds_the_same_figures(tiny_run, capsys) -> None:
    assert main(["evaluate", tiny_run.name]) == 0
    assert f"stored {tiny_run.metrics['test']['accuracy']:.4f}" in capsys.readouterr().out


def test_evaluate_tells_figures_that_are_not_those_of_the_weights(tiny_run, capsys, tmp_path) -> None:
    import shutil

    from core.runs import Run, update_metrics

    copy = Run(Path(shutil.copytree(tiny_run.path, tmp_path / "copy" / tiny_run.name)))
    forged = {**copy.metrics["test"], "accuracy": 0.999}
    update_metrics(copy, test=forged)
    assert main(["evaluate", str(copy.path)]) == 1


def test_the_shell_trains(capsys) -> None:
    assert main(["train", *TINY_OPTIONS, "--model", "cnn_4", "--epochs", "1"]) == 0
    run = list_runs("synthetic")[0]
    out = capsys.readouterr().out
    assert run.name in out
    assert "drawn, not real" in out


def test_the_same_configuration_is_trained_once_unless_forced() -> None:
    first = train(tiny())
    created = first.config["created"], first.path.stat().st_mtime_ns
    assert train(tiny()).path.stat().st_mtime_ns == created[1]
    assert train(tiny(), force=True).path.stat().st_mtime_ns != created[1]
    assert len(list_runs("synthetic")) == 1


def test_a_seed_repeats_itself() -> None:
    a = train(tiny(seed=3)).weights()
    b = train(tiny(seed=3), force=True).weights()
    assert all(np.array_equal(a[k], b[k]) for k in a)


def test_progress_is_told_with_its_figures() -> None:
    steps = []
    train(tiny(epochs=2), report=steps.append)
    assert steps[-1].done == steps[-1].total
    assert [s.done for s in steps] == sorted(s.done for s in steps)
    assert {"loss", "val_accuracy", "images_per_second"} <= set(steps[-1].details)
    assert "epoch 2/2" in steps[-1].message


def test_killed_and_resumed_it_ends_where_an_uninterrupted_one_ends() -> None:
    config = tiny(epochs=8, seed=5)
    arguments = ["-m", "core", "train", *TINY_OPTIONS, "--learning-rate", "0.1", "--epochs", "8", "--seed", "5"]
    # The same number of threads in both, because sums in another order differ in the last digits.
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    victim = subprocess.Popen([sys.executable, *arguments], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    states: list[Path] = []
    while not states and victim.poll() is None and time.monotonic() < deadline:
        states = list(paths.checkpoints_root().glob("*/state.safetensors"))
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert states, "no epoch was kept before the kill"
    assert not list_runs("synthetic"), "it ended before it could be killed"
    with safe_open(states[0], "np") as file:
        assert '"epoch"' in file.metadata()["facts"]

    steps = []
    resumed = train(config, resume=True, report=steps.append)
    per_epoch = steps[-1].total / 8
    assert steps[0].done > per_epoch, "the finished epoch was trained again"
    resumed_weights = resumed.weights()
    assert resumed.history["epoch"].tolist() == list(range(1, 9))
    assert not list(paths.checkpoints_root().glob("*")), "the state of a finished training is left behind"
    straight = train(config, force=True).weights()
    for key, value in straight.items():
        np.testing.assert_array_equal(resumed_weights[key], value, err_msg=key)


def test_ctrl_c_keeps_the_last_epoch(monkeypatch) -> None:
    def interrupt(progress) -> None:
        if progress.details["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny(epochs=4), report=interrupt)
    assert list(paths.checkpoints_root().glob("*/state.safetensors"))
    assert not list_runs()
    assert train(tiny(epochs=4), resume=True).metrics["epochs"] == 4


def test_a_loss_that_is_no_number_is_an_error_and_leaves_nothing() -> None:
    with pytest.raises(TrainingFailed, match="learning rate 1e\\+12 is too high"):
        train(tiny(model="cnn_4", learning_rate=1e12, epochs=2, optimizer="sgd"))
    assert leftovers() == []


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_is_told_with_the_way_out(error, monkeypatch) -> None:
    def fail(*arguments, **named):
        raise error

    monkeypatch.setattr(loop, "augment", fail)
    with pytest.raises(TrainingFailed, match="smaller --batch-size"):
        train(tiny())
    assert leftovers() == []


def test_an_error_while_the_run_is_written_leaves_no_half_run(monkeypatch) -> None:
    from core.training import export_run as finish

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(finish, "export_graph", fail)
    with pytest.raises(OSError, match="disk full"):
        train(tiny())
    assert not list_runs()
    assert not [p for p in paths.user_runs_root().rglob("*") if p.is_file()]


def test_it_stops_early_when_val_gets_no_better() -> None:
    # With a vanishing learning rate, val stays where it is.
    run = train(tiny(epochs=12, patience=2, learning_rate=1e-9))
    assert run.metrics["epochs"] < 12
    assert run.metrics["epochs"] - run.metrics["best_epoch"] >= 2


def test_it_can_begin_at_the_weights_of_a_run(tiny_run) -> None:
    longer = {"learning_rate": 1e-6, "ema": 0.0, "augment": "none"}
    begun = train(tiny(warm_start=tiny_run.name, **longer))
    scratch = train(tiny(**longer))
    assert begun.metrics["val"]["accuracy"] > scratch.metrics["val"]["accuracy"] + 0.1
    assert begun.name != scratch.name
    assert tiny_run.name in begun.card
    with pytest.raises(BadConfig, match="weights fit its own model"):
        train(tiny(warm_start=tiny_run.name, model_arguments={"width": 12}))


def test_missing_data_is_told_with_the_way_to_get_it(capsys) -> None:
    assert main(["train", "--dataset", "bloodmnist", "--size", "28", "--epochs", "1"]) == 1
    assert "datasets download bloodmnist" in capsys.readouterr().err


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_checkpoint_restores_network_and_optimiser(optimizer: str, tmp_path: Path) -> None:
    from core.models import build
    from core.training.optim import make_optimizer

    def step(network, state) -> None:
        state.zero_grad()
        network(torch.ones(4, 3, 28, 28)).square().sum().backward()
        state.step()

    torch.manual_seed(0)
    network = build("cnn_bn", 8, 28, width=8, dropout=0.0)
    state = make_optimizer(network, tiny(optimizer=optimizer, learning_rate=0.01))
    step(network, state)
    reached = TrainState(3, 2, 0.9, 0.3, 12.5, [{"epoch": 1.0}], {"mean": torch.zeros(1)})
    save(tmp_path / "state.safetensors", reached, network, None, state)
    other = build("cnn_bn", 8, 28, width=8, dropout=0.0)
    other_state = make_optimizer(other, tiny(optimizer=optimizer, learning_rate=0.01))
    assert restore(tmp_path / "state.safetensors", other, None, other_state) == reached
    step(network, state)
    step(other, other_state)
    for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)
