"""Searches on drawn cells; what a search remembers is tested with a pretended training, joining with real ones."""

import json
import os
import signal
import subprocess
import sys
import time

import optuna
import pytest
from optuna.trial import TrialState

from core import paths
from core.cli import main
from core.models import get_model
from core.studies import list_studies, read_study, study_path
from core.training import TrainConfig, TrainingFailed, tune
from core.training.studies import TrialResult
from core.training.tune import (
    SearchConfig,
    SearchMismatch,
    SearchSpace,
    StorageUnavailable,
    cli_options,
    default_storage,
    export_study,
    open_storage,
)
from tests.fake_studies import stored_study

REAL = ["tune", "--model", "cnn_custom", "--dataset", "synthetic", "--epochs", "2", "--device", "cpu"]
REAL += ["--set", "width=4", "--set", "layers=2", "--set", "batch_size=256"]


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch) -> None:
    for name in ("CACHE", "DATA", "PRETRAINED"):
        monkeypatch.setenv(f"HEMALENS_{name}", str(tmp_path / name.lower()))


def search(model: str = "cnn_custom", epochs: int = 4, seed: int = 0, **space) -> SearchConfig:
    config = TrainConfig.for_model(model, dataset="synthetic", size=28, epochs=epochs, seed=seed, device="cpu")
    return SearchConfig(SearchSpace(config, **space))


@pytest.fixture
def pretended(monkeypatch) -> list[TrainConfig]:
    """Stands in for the training: more dropout is worse from the first epoch on; what was asked for."""
    asked = []

    def pretend(config, data, *, report=None, on_epoch=None) -> TrialResult:
        asked.append(config)
        score = 0.9 - config.model_arguments["dropout"] / 2
        for epoch in range(1, config.epochs + 1):
            on_epoch(epoch, score - 0.1 / epoch, 0.3 * epoch)
        return TrialResult(score, 1.5, config.epochs)

    monkeypatch.setattr(tune, "run_trial", pretend)
    return asked


def test_the_recipe_comes_first_then_others_and_each_is_kept(pretended) -> None:
    study = tune.tune(search(), 10)
    assert [t.number for t in study.trials] == list(range(10))
    assert study.trials[0].params["dropout"] == 0.0
    assert study.trials[0].params["learning_rate"] == 0.1
    assert len({json.dumps(t.params) for t in study.trials}) == 10
    assert all(t.seconds > 0 for t in study.trials)
    assert {t.state for t in study.trials} == {"complete", "pruned"}
    pruned = [t for t in study.trials if t.state == "pruned"]
    assert all(0 < t.epochs < 4 and t.score is not None for t in pruned)
    assert study.best.score == max(t.score for t in study.complete)
    assert stored_study("tune-cnn_custom-28") == read_study(
        study_path(paths.user_runs_root(), "synthetic", "tune-cnn_custom-28")
    )
    asked = [(c.learning_rate, c.model_arguments["dropout"]) for c in pretended]
    assert asked == [(t.params["learning_rate"], t.params["dropout"]) for t in study.trials]


def test_it_goes_on_where_it_was_and_a_seed_repeats_itself(pretended) -> None:
    memory = optuna.storages.InMemoryStorage()
    tune.tune(search(), 5, storage=memory)
    steps = []
    more = tune.tune(search(), 5, storage=memory, report=steps.append)
    assert (steps[-1].done, steps[-1].total) == (5, 5)
    assert "best 9" in steps[-1].message
    assert len(more.trials) == 10
    once = tune.tune(search(), 10, storage=optuna.storages.InMemoryStorage())
    assert [t.params for t in once.trials] == [t.params for t in more.trials]
    other = tune.tune(search(seed=1), 10, storage=optuna.storages.InMemoryStorage())
    assert [t.params for t in other.trials[1:]] != [t.params for t in once.trials[1:]]


def test_classical_models_are_cross_validated_and_given_up_by_fold(capsys) -> None:
    options = ["--model", "random_forest", "--dataset", "synthetic", "--only", "trees,leaves,smallest"]
    assert main(["tune", *options, "--trials", "5", "--folds", "3"]) == 0
    study = stored_study("tune-random_forest-28")
    assert study.metric == "accuracy, 3-fold cross-validation on train"
    assert set(study.parameters) == {"trees", "leaves", "smallest"}
    assert study.trials[0].params["trees"] == get_model("random_forest").arguments["trees"]
    assert {t.epochs for t in study.complete} == {3}
    assert all(t.seconds > 0 and 0.2 < t.score < 1 for t in study.trials)
    assert "3-fold cross-validation" in capsys.readouterr().out


def test_it_finds_better_settings(pretended) -> None:
    study = tune.tune(search(include=("dropout", "width")), 40, storage=optuna.storages.InMemoryStorage())
    late = [t.params["dropout"] for t in study.trials[20:]]
    assert sum(late) / len(late) < 0.2  # drawn evenly from 0 to 0.6 it would be 0.3


def test_another_search_of_that_name_is_refused(pretended) -> None:
    tune.tune(search(), 1)
    with pytest.raises(SearchMismatch, match="differs in base"):
        tune.tune(search(epochs=5), 1)
    with pytest.raises(SearchMismatch, match="parameters"):
        tune.tune(search(include=("dropout",)), 1)
    assert len(tune.tune(search(epochs=5), 1, name="longer").trials) == 1


def test_a_failed_trial_is_kept_with_its_time_and_the_rest_goes_on(pretended, monkeypatch) -> None:
    good = tune.run_trial

    def fail_once(config, data, **named):
        if len(pretended) == 1:
            pretended.append(config)
            raise TrainingFailed("the loss became nan")
        return good(config, data, **named)

    monkeypatch.setattr(tune, "run_trial", fail_once)
    study = tune.tune(search(), 3)
    assert [t.state for t in study.trials] == ["complete", "failed", "complete"]
    assert study.trials[1].score is None


def test_stopped_by_hand_what_was_found_stays(pretended, monkeypatch, capsys) -> None:
    good = tune.run_trial

    def stop_at_the_third(config, data, **named):
        if len(pretended) == 2:
            raise KeyboardInterrupt
        return good(config, data, **named)

    monkeypatch.setattr(tune, "run_trial", stop_at_the_third)
    options = ["tune", "--model", "cnn_custom", "--dataset", "synthetic", "--trials", "6"]
    assert main(options) == 130
    assert [t.state for t in list_studies()[0].trials] == ["complete", "complete", "failed"]
    monkeypatch.setattr(tune, "run_trial", good)
    assert main(options) == 0
    assert len(list_studies()[0].trials) == 9
    assert "train it in full: python -m core train --dataset synthetic --size 28 --model cnn_custom" in (
        capsys.readouterr().out
    )


def test_no_trial_begins_after_the_time_given(pretended) -> None:
    assert len(tune.tune(search(), 5, timeout=0).trials) == 0


def test_the_file_can_be_written_anew_from_the_database(pretended, capsys, tmp_path) -> None:
    study = tune.tune(search(), 3)
    study_path(paths.user_runs_root(), "synthetic", study.name).unlink()
    assert main(["tune", "--dataset", "synthetic", "--export", study.name, "--out", str(tmp_path / "out")]) == 0
    assert read_study(study_path(tmp_path / "out", "synthetic", study.name)).trials == find_rounded(study)
    assert main(["tune", "--dataset", "synthetic", "--export", "nothing"]) == 1
    assert "no search 'nothing'" in capsys.readouterr().err


def find_rounded(study) -> tuple:
    """The trials of ``study`` as its file holds them."""
    from core.studies import write_study

    return read_study(write_study(paths.user_runs_root(), study)).trials


def test_the_best_trial_is_told_as_options_of_train() -> None:
    config = TrainConfig.for_model("cnn_custom", dataset="synthetic", size=28, learning_rate=0.2, epochs=3)
    config = tune.with_params(config, {"norm": False, "attention": "se", "dropout": 0.25, "width": 32})
    assert cli_options(config) == (
        "--dataset synthetic --size 28 --model cnn_custom --learning-rate 0.2 "
        "--arg norm=false --arg attention=se --arg dropout=0.25"
    )


@pytest.mark.parametrize("address", ["nonsense", "sqlite:////proc/none/x.sqlite3", "postgresql://me:secret@nowhere/x"])
def test_a_database_that_can_not_be_opened_is_told_without_its_password(address: str) -> None:
    with pytest.raises(StorageUnavailable, match="leave --storage out") as told:
        open_storage(address)
    assert "secret" not in str(told.value)


def spawn(*options: str) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "core", *REAL, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()


def test_two_processes_join_one_search_and_no_trial_is_lost_or_repeated() -> None:
    both = [spawn("--trials", "5"), spawn("--trials", "5")]
    for process in both:
        finish(process)
    database = optuna.load_study(study_name="synthetic/tune-cnn_custom-28", storage=default_storage())
    states = [t.state for t in database.trials]
    assert len(states) == 10
    assert set(states) <= {TrialState.COMPLETE, TrialState.PRUNED}
    study = stored_study("tune-cnn_custom-28")
    assert [t.number for t in study.trials] == list(range(10))
    assert len({json.dumps(t.params) for t in study.trials}) == 10
    assert [t.params for t in study.trials] == [t.user_attrs["params"] for t in database.trials]
    assert study.trials[0].params["learning_rate"] == 0.1  # the recipe as it is was tried, and tried once


def test_the_trial_of_a_killed_process_is_noticed_and_done_by_the_next() -> None:
    victim = spawn("--trials", "50")
    deadline = time.monotonic() + 120
    victims: list = []
    while not victims and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
        file = paths.cache_root() / "searches.sqlite3"
        if file.exists() and find_names():
            running = database().get_trials(states=(TrialState.RUNNING,))
            victims = [t for t in running if t.number >= 1 and "params" in t.user_attrs]
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    killed = database().get_trials(states=(TrialState.RUNNING,))
    assert len(killed) == 1, "it was killed between two trials"
    time.sleep(3.5)  # the grace of 2 s, and the database counts whole seconds
    config = TrainConfig.for_model("cnn_custom", dataset="synthetic", size=28, epochs=2, device="cpu")
    fixed = {"width": 4, "layers": 2, "batch_size": 256}
    the_same = SearchConfig(SearchSpace(tune.with_params(config, fixed), exclude=tuple(fixed)))
    storage = open_storage(heartbeat=1, grace=2)
    study = tune.tune(the_same, 1, storage=storage)
    by_number = {t.number: t for t in study.trials}
    assert by_number[killed[0].number].state == "failed"
    again = by_number[max(by_number)]
    assert again.number == killed[0].number + 1
    assert again.state in ("complete", "pruned")
    assert again.params == killed[0].user_attrs["params"]
    assert list(by_number) == list(range(len(by_number)))


def find_names() -> list[str]:
    try:
        return optuna.get_all_study_names(default_storage())
    except Exception:  # the tables are just being made
        return []


def database() -> optuna.Study:
    return optuna.load_study(study_name="synthetic/tune-cnn_custom-28", storage=default_storage())


def test_many_that_begin_at_once_find_one_database(tmp_path) -> None:
    script = "from core.training.tune import open_storage; open_storage().get_all_studies()"
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", script], stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        for _ in range(4)
    ]
    for process in crowd:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors.decode()


def test_an_export_counts_what_others_did_since(pretended, tmp_path) -> None:
    tune.tune(search(), 2)
    study = optuna.load_study(study_name="synthetic/tune-cnn_custom-28", storage=default_storage())
    trial = study.ask()
    study.tell(trial, 0.5)
    assert len(export_study("tune-cnn_custom-28", "synthetic").trials) == 3
