"""A search for good settings by Optuna (Akiba et al. 2019, arXiv:1907.10902), which several processes can join.

Each process asks the study's database for settings, trains with them, and writes the study's file anew.
A trial's draws depend on its number and the seed alone, so that no two processes draw the same.
"""

import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from core import paths
from core.datasets import LoadedDataset
from core.errors import HemaLensError
from core.models import get_model
from core.progress import Progress, Report, silent
from core.studies import Study, StudyNotFound, Trial, write_study
from core.training.config import TrainConfig
from core.training.device import choose_device, describe
from core.training.loop import TrainingFailed
from core.training.ranges import Space, configured
from core.training.storage import open_storage
from core.training.trials import cross_validated, run_trial

STARTUP = 8  # trials drawn at random before what was seen guides the search
UNPRUNED = 4  # trials that must be complete before one is given up early
_FACTS = "hemalens"
_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class SearchDiffers(HemaLensError):
    """A search of that name is about something else; mixing the two would compare what can't be compared."""


@dataclass(frozen=True)
class Search:
    """What is searched: ``base`` within ``space``; ``folds`` of the cross-validation for models without epochs."""

    space: Space
    folds: int = 3

    @property
    def base(self) -> TrainConfig:
        return self.space.base

    @property
    def by_folds(self) -> bool:
        return get_model(self.base.model).kind == "classical"

    def facts(self, data: LoadedDataset) -> dict[str, Any]:
        """The fields of `Study` that all processes must agree on."""
        settings = self.base.as_json()
        varied = set(self.space.names) | {"seed"}
        settings["model_arguments"] = {k: v for k, v in settings["model_arguments"].items() if k not in varied}
        metric = f"accuracy, {self.folds}-fold cross-validation on train" if self.by_folds else "accuracy on val"
        return {
            "kind": "tune",
            "title": f"{get_model(self.base.model).title}, {self.base.size} px: search for good settings",
            "dataset": self.base.dataset,
            "size": self.base.size,
            "model": self.base.model,
            "provenance": data.provenance.as_json(),
            "metric": metric,
            "parameters": {name: dict(each) for name, each in self.space.ranges.items()},
            "base": {name: value for name, value in settings.items() if name not in varied},
        }


class _ByNumber(optuna.samplers.BaseSampler):
    """TPE (Bergstra et al. 2011; multivariate) begun anew for each trial, from the seed and the trial's number.

    A search that goes on does not draw its first trials again, and processes never draw in step.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.sampler = optuna.samplers.TPESampler(seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        number = int(np.random.SeedSequence([self.seed, trial.number]).generate_state(1)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self.sampler = optuna.samplers.TPESampler(seed=number, n_startup_trials=STARTUP, constant_liar=True)
        self.sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study, trial):
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(self, study, trial, search_space):
        return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(self, study, trial, param_name, param_distribution):
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study, trial, state, values) -> None:
        self.sampler.after_trial(study, trial, state, values)


def tune(
    search: Search,
    trials: int,
    *,
    name: str | None = None,
    storage: optuna.storages.BaseStorage | str | None = None,
    timeout: float | None = None,
    root: Path | None = None,
    report: Report = silent,
) -> Study:
    """Add ``trials`` trials to the search called ``name`` (begun if there is none) and return what it has found.

    ``storage`` is the address of its database (None: an SQLite file in the cache), ``timeout`` the seconds
    after which no new trial begins. The study's file under ``root`` (the user's, if None) is written after
    each trial; what is there stays when this is interrupted. Raises `SearchDiffers`, `StorageUnavailable`.
    """
    base = search.base
    name = name or f"tune-{base.model}-{base.size}"
    root = root or paths.user_runs_root()
    data = base.load_data()
    Study(name=name, device="", created="", **search.facts(data))  # a bad name is told before anything is begun
    if not isinstance(storage, optuna.storages.BaseStorage):
        storage = open_storage(storage)
    study = _join(search, name, storage, data)
    began = time.monotonic()
    try:
        for done in range(trials):
            if timeout is not None and time.monotonic() - began >= timeout:
                break

            def tell(message: str, done: int = done, so_far: str = _so_far(study)) -> None:
                report(Progress(done, trials, f"{so_far}; {message}", "trial"))

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                try:
                    study.optimize(_objective(search, data, tell), n_trials=1, catch=(TrainingFailed,))
                except UpdateFinishedTrialError:
                    # This machine slept, others took its trial for dead and did it anew: they have its result.
                    continue
            write(study, root)
            report(Progress(done + 1, trials, _so_far(study), "trial"))
    finally:
        found = write(study, root)
    return found


def export(name: str, dataset: str, storage: str | None = None, root: Path | None = None) -> Study:
    """Write the file of the search ``name`` from its database, for instance after other machines went on with it."""
    try:
        study = optuna.load_study(study_name=_full_name(name, dataset), storage=open_storage(storage))
    except KeyError as error:
        raise StudyNotFound(f"the database has no search {name!r} on {dataset}") from error
    return write(study, root or paths.user_runs_root())


def write(study: optuna.Study, root: Path) -> Study:
    """Write what the database holds now into the study's file under ``root``.

    Looks again after writing: another process may have ended a trial and written its file in the meantime.
    """
    while True:
        found = _as_study(study)
        write_study(root, found)
        if len(_ended(study)) == len(found.trials):
            return found


def _objective(search: Search, data: LoadedDataset, tell: Callable[[str], None]) -> Callable[[optuna.Trial], float]:
    device = choose_device(search.base.device)

    def objective(trial: optuna.Trial) -> float:
        params = search.space.draw(trial)
        trial.set_user_attr("params", params)
        trial.set_user_attr("made", {"seed": search.base.seed, "device": describe(device)})

        def step_done(step: int, accuracy: float, seconds: float) -> None:
            trial.set_user_attr("seconds", seconds)
            trial.report(accuracy, step)
            if step < steps and trial.should_prune():
                raise optuna.TrialPruned

        config = configured(search.base, params)
        steps = search.folds if search.by_folds else config.epochs
        try:
            if search.by_folds:
                outcome = cross_validated(config, data, search.folds, each_fold=step_done)
            else:
                outcome = run_trial(
                    config,
                    data,
                    report=lambda step: tell(f"trial {trial.number}: {step.message}"),
                    each_epoch=step_done,
                )
        except TrainingFailed as error:
            trial.set_user_attr("reason", str(error))
            raise
        trial.set_user_attr("seconds", outcome.seconds)
        return outcome.score

    return objective


def _full_name(name: str, dataset: str) -> str:
    return f"{dataset}/{name}"


def _join(search: Search, name: str, storage: optuna.storages.BaseStorage, data: LoadedDataset) -> optuna.Study:
    """Begin the search, or join the one that is there after making sure that it is about the same."""
    facts = search.facts(data)
    settings: dict[str, Any] = {
        "study_name": _full_name(name, search.base.dataset),
        "storage": storage,
        "sampler": _ByNumber(search.base.seed),
        "pruner": optuna.pruners.MedianPruner(
            n_startup_trials=UNPRUNED, n_warmup_steps=0 if search.by_folds else max(1, search.base.epochs // 4)
        ),
    }
    try:
        study = optuna.create_study(direction="maximize", **settings)
    except DuplicatedStudyError:
        study = optuna.load_study(**settings)
        there = _facts(study)
        if {k: v for k, v in there.items() if k not in ("name", "created")} != facts:
            other = [k for k, v in facts.items() if there.get(k) != v]
            raise SearchDiffers(
                f"the search {name!r} that is there differs in {', '.join(other)}: repeat the command that began "
                "it to go on, or choose another --study name"
            ) from None
        return study
    created = datetime.now(UTC).isoformat(timespec="seconds")
    study.set_user_attr(_FACTS, {**facts, "name": name, "created": created})
    # The recipe as it is comes first, so that one sees what the search gains. Only whoever begins asks for it.
    study.enqueue_trial(search.space.first())
    return study


def _facts(study: optuna.Study, patience: float = 20.0) -> Mapping[str, Any]:
    """What the search is about; whoever has just begun it gets the time to say so."""
    deadline = time.monotonic() + patience
    while _FACTS not in study.user_attrs and time.monotonic() < deadline:
        time.sleep(0.2)
    return study.user_attrs.get(_FACTS, {})


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=tuple(_STATES))


def _as_study(study: optuna.Study) -> Study:
    ended = _ended(study)
    devices = sorted({trial.user_attrs["made"]["device"] for trial in ended if "made" in trial.user_attrs})
    return Study(device="; ".join(devices), trials=tuple(map(_as_trial, ended)), **_facts(study))


def _as_trial(trial: FrozenTrial) -> Trial:
    seen = trial.intermediate_values
    kept = trial.user_attrs
    return Trial(
        number=trial.number,
        params=kept.get("params", {}),
        seed=kept.get("made", {}).get("seed", 0),
        score=trial.value if trial.state == TrialState.COMPLETE else seen[max(seen)] if seen else None,
        seconds=kept.get("seconds", 0.0),
        epochs=max(seen, default=0),
        state=_STATES[trial.state],
    )


def _so_far(study: optuna.Study) -> str:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        return "none complete yet"
    best = max(complete, key=lambda t: (t.value, -t.number))
    return f"best {best.value:.2%} (trial {best.number})"


def train_options(config: TrainConfig) -> str:
    """The options of ``python -m core train`` that stand for ``config``, but for its epochs."""
    usual = TrainConfig.for_model(config.model, dataset=config.dataset, size=config.size)
    parts = [f"--dataset {config.dataset} --size {config.size} --model {config.model}"]
    for each in fields(TrainConfig):
        value = getattr(config, each.name)
        if each.name not in ("epochs", "device", "devices", "model_arguments") and value != getattr(usual, each.name):
            parts.append(f"--{each.name.replace('_', '-')} {value}")
    for name, value in config.model_arguments.items():
        if value != usual.complete_arguments()[name]:
            parts.append(f"--arg {name}={value if isinstance(value, str) else json.dumps(value)}")
    return " ".join(parts)
