"""Training many models: order, skipping, going on, one bar, and what one failure leaves of the rest."""

from pathlib import Path

import pytest

from core import training
from core.cli import main
from core.models import get_model, model_names
from core.progress import Progress
from core.runs import list_runs
from core.training import TrainConfig, TrainingFailed, sweep
from core.training.sweep import SweepJob, plan_sweep, sweep_configs, train_all
from tests.fake_runs import fake_run


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CACHE", "DATA", "PRETRAINED"):
        monkeypatch.setenv(f"HEMALENS_{name}", str(tmp_path / name.lower()))


def config(model="cnn_se", **choices) -> TrainConfig:
    return TrainConfig.for_model(model, dataset="synthetic", size=28, device="cpu", **choices)


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Replaces the training by a note of what was asked, ten steps of progress and a made-up run."""
    asked = []

    def fake(config, *, resume, root, report):
        assert resume, "an interrupted training must go on"
        asked.append(config.model)
        for step in range(1, 11):
            report(Progress(step, 10, f"step {step}"))
        return fake_run(tmp_path / "made", config.model, dataset="synthetic", size=28)

    monkeypatch.setattr(training, "train", fake)
    return asked


def test_every_trainable_model_has_a_recipe():
    found = sweep_configs(dataset="synthetic", size=28, epochs=2, arguments={"width": 8})
    assert {c.model for c in found} == set(model_names("network")) | set(model_names("classical"))
    assert all(c.epochs == 2 for c in found)
    for c in found:
        has_width = "width" in get_model(c.model).arguments
        assert c.model_arguments == ({"width": 8} if has_width else {})


def test_the_cheap_come_first_and_what_is_there_costs_nothing(monkeypatch):
    costs = {"cnn_2": 30.0, "cnn_se": 10.0, "cnn_3": 20.0}
    monkeypatch.setattr(sweep, "_estimate_seconds", lambda c, pictures, classes: costs[c.model])
    assert [job.config.model for job in plan_sweep([config(m) for m in costs])] == ["cnn_se", "cnn_3", "cnn_2"]


def test_a_model_trained_by_another_recipe_is_there_unless_this_recipe_is_wanted(tiny_run):
    jobs = [config(tiny_run.model), config("cnn_2", model_arguments={"width": 8})]
    by_model = {job.config.model: job.existing for job in plan_sweep(jobs, any_recipe=True)}
    assert by_model == {tiny_run.model: tiny_run, "cnn_2": None}
    assert all(job.existing is None for job in plan_sweep(jobs))


def test_a_cost_is_measured_and_grows_with_the_epochs():
    few, many = (
        sweep._estimate_seconds(config("cnn_2", epochs=n, model_arguments={"width": 8}), 100, 8) for n in (1, 100)
    )
    assert 0 < few < many


def test_there_is_one_count_over_all_and_it_ends_at_the_end(trained):
    jobs = [SweepJob(config("cnn_2"), None, 10.0), SweepJob(config("cnn_3"), None, 30.0)]
    steps = []
    outcomes = train_all(jobs, report=steps.append)
    assert trained == ["cnn_2", "cnn_3"]
    assert [o.run.name for o in outcomes] == ["cnn_2", "cnn_3"]
    assert all(o.seconds >= 0 for o in outcomes)
    done = [s.done for s in steps]
    assert done == sorted(done)
    assert (steps[9].done, steps[9].total) == (10, 40), "the quick model's share is its cost's"
    assert steps[-1].done == steps[-1].total == 40
    assert "cnn_3 (2 of 2): step 10" in steps[-1].message


def test_what_is_there_is_not_trained_again(trained, tmp_path):
    there = fake_run(tmp_path / "there", "old", dataset="synthetic", size=28)
    outcomes = train_all([SweepJob(config("cnn_2"), there, 0.0), SweepJob(config("cnn_3"), None, 1.0)])
    assert trained == ["cnn_3"]
    assert outcomes[0].run is there
    assert outcomes[0].seconds is None


@pytest.mark.parametrize("error", [TrainingFailed("out of memory"), RuntimeError("boom")])
def test_one_that_fails_is_told_and_the_rest_goes_on(trained, monkeypatch, error):
    real = training.train

    def fail(config, **named):
        if config.model == "cnn_2":
            raise error
        return real(config, **named)

    monkeypatch.setattr(training, "train", fail)
    steps = []
    outcomes = train_all([SweepJob(config(m), None, 5.0) for m in ("cnn_2", "cnn_3")], report=steps.append)
    assert [bool(o.run) for o in outcomes] == [False, True]
    assert str(error) in outcomes[0].error
    assert steps[-1].done == steps[-1].total


def test_a_training_that_goes_on_counts_what_is_left_only(monkeypatch, trained, tmp_path):
    def halfway(config, *, resume, root, report):
        for step in range(60, 101, 10):
            report(Progress(step, 100))
        return fake_run(tmp_path / "made", config.model, dataset="synthetic", size=28)

    monkeypatch.setattr(training, "train", halfway)
    steps = []
    train_all([SweepJob(config("cnn_2"), None, 100.0)], report=steps.append)
    assert [(s.done, s.total) for s in steps] == [(10, 50), (20, 50), (30, 50), (40, 50), (50, 50)]


def test_the_shell_trains_what_is_missing_and_goes_on_where_it_was_stopped(monkeypatch, capsys):
    monkeypatch.setattr(sweep, "model_names", lambda: ["cnn_2", "cnn_3", "ensemble"])
    command = ["train", "--all", "--dataset", "synthetic", "--size", "28", "--arg", "width=8", "--arg", "hidden=16"]
    command += ["--epochs", "1", "--device", "cpu"]
    real, seen = training.train, []

    def stopped(config, **named):
        seen.append(config.model)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(config, **named)

    monkeypatch.setattr(training, "train", stopped)
    assert main(command) == 130
    assert "the same command goes on" in capsys.readouterr().out
    assert len(list_runs("synthetic")) == 1
    assert main(command) == 0
    assert seen[2:] == seen[1:2], "only the one that was left is trained"
    out = capsys.readouterr().out
    assert {run.model for run in list_runs("synthetic")} == {"cnn_2", "cnn_3"}
    for run in list_runs("synthetic"):
        line = next(line for line in out.splitlines() if run.name in line)
        low, high = run.metrics["test"]["accuracy_interval"]
        assert f"{run.metrics['test']['accuracy']:.2%} ({low:.2%} to {high:.2%})" in line
    assert "there already" in out


def test_the_shell_tells_failures_and_says_so_by_its_status(monkeypatch, capsys):
    monkeypatch.setattr(sweep, "model_names", lambda: ["cnn_2"])

    def fail(config, **named):
        raise TrainingFailed("the loss became nan")

    monkeypatch.setattr(training, "train", fail)
    options = ["--dataset", "synthetic", "--size", "28", "--arg", "width=8", "--device", "cpu", "--epochs", "1"]
    assert main(["train", "--all", *options]) == 1
    assert "the loss became nan" in capsys.readouterr().out
