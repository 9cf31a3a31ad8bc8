"""A search for good settings by Optuna (Akiba et al. 2019, arXiv:1907.10902), which several processes can join.

What may vary and how far, the database in which the search lives, and the search itself: each process asks the database
for settings, trains with them, and writes the study's file anew. A trial's draws depend on its number and the seed
alone, so that no two processes draw the same.
"""

import json
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import sqlalchemy
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from core import paths
from core.datasets import LoadedDataset
from core.errors import HemaLensError
from core.models import get_model
from core.progress import Progress, Report, silent
from core.runs import in_current_words
from core.studies import Study, Trial, write_study
from core.training.augment import AUGMENTATIONS
from core.training.config import BadConfig, TrainConfig, with_params
from core.training.loop import TrainingFailed
from core.training.optim import choose_device, device_name
from core.training.studies import cross_validate_trial, run_trial

warnings.filterwarnings("ignore", category=ExperimentalWarning)  # Optuna's own, of its heartbeats
Range = Mapping[str, Any]  # {"kind": "float" | "int", "low", "high", "log"} or {"kind": "choice", "choices": [...]}

# What suits one optimiser is a hundred times too much for another, so that a search varies the factor of
# the usual value: the model's own recipe for its own optimiser, these figures for another.
REFERENCE_VALUES: dict[str, dict[str, float]] = {
    "sgd": {"learning_rate": 0.1, "weight_decay": 5e-4},
    "adamw": {"learning_rate": 2e-3, "weight_decay": 0.05},
}
FACTORS: dict[str, tuple[float, float]] = {"learning_rate": (0.1, 3.0), "weight_decay": (0.03, 10.0)}
_FACTOR_SUFFIX = "_factor"

_RECIPE_RANGES: dict[str, tuple[Any, ...]] = {
    "optimizer": ("choice", *REFERENCE_VALUES),
    "batch_size": ("choice", 64, 128, 256),
    "label_smoothing": ("float", 0.0, 0.2),
    "augment": ("choice", *AUGMENTATIONS),
    "ema": ("choice", 0.0, 0.98, 0.998),
}


def parse_range(shorthand: tuple[Any, ...]) -> Range:
    """The JSON form of ``("int" | "float", low, high[, "log"])`` or ``("choice", first, second, ...)``."""
    kind, *rest = shorthand
    if kind == "choice":
        return {"kind": "choice", "choices": list(rest)}
    low, high, *log = rest
    return {"kind": kind, "low": low, "high": high, "log": log == ["log"]}


@dataclass(frozen=True)
class SearchSpace:
    """What a search over ``base`` varies; ``exclude`` names stay as ``base`` has them, ``include`` restricts the rest.

    Raises `BadConfig` for a name that can't be searched, or when nothing is left.
    """

    base: TrainConfig
    exclude: Collection[str] = ()
    include: Collection[str] = ()

    def __post_init__(self) -> None:
        if get_model(self.base.model).kind == "combination":
            raise BadConfig(f"{self.base.model} can't be searched: it is made of other runs and has no settings")
        unknown = sorted(set(self.include) - set(self._all))
        if unknown:
            raise BadConfig(
                f"{', '.join(unknown)} can't be searched for {self.base.model}; these can: {', '.join(self._all)}"
            )
        if not self.names:
            raise BadConfig(f"nothing is left to be searched for {self.base.model}")

    @cached_property
    def _all(self) -> dict[str, Range]:
        model = get_model(self.base.model)
        network = model.kind == "network"
        short = {**(_RECIPE_RANGES if network else {}), **model.tunable}
        return {name: self._factor_range(name) for name in FACTORS if network} | {
            name: parse_range(each) for name, each in short.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that vary, in `TrainConfig`'s and the model's words."""
        return tuple(name for name in self._all if self._varies(name))

    def _varies(self, name: str) -> bool:
        return name not in self.exclude and (not self.include or name in self.include)

    @property
    def ranges(self) -> dict[str, Range]:
        """The range of each parameter; those that depend on the optimiser span what all optimisers may get."""
        return {name: self._all[name] for name in self.names}

    def reference_value(self, name: str, optimizer: str) -> float:
        """The value of ``name`` that ``optimizer`` usually takes for this model."""
        own_value = getattr(self.base, name) if optimizer == self.base.optimizer else 0.0
        return own_value or REFERENCE_VALUES[optimizer][name]

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """The parameters of one trial, chosen by Optuna."""
        params: dict[str, Any] = {}
        for name in sorted(self.names, key=lambda n: n in FACTORS):  # the optimiser before what depends on it
            if name in FACTORS:
                factor = trial.suggest_float(name + _FACTOR_SUFFIX, *FACTORS[name], log=True)
                usual = self.reference_value(name, params.get("optimizer", self.base.optimizer))
                params[name] = _round_digits(usual * factor)
            else:
                params[name] = _suggest(trial, name, self._all[name])
        return {name: params[name] for name in self.names}

    def default_params(self) -> dict[str, Any]:
        """What Optuna is to try first: the recipe as it is, as far as it lies within the ranges."""
        defaults = {**vars(self.base), **self.base.all_model_arguments()}
        chosen: dict[str, Any] = {}
        for name in self.names:
            if name in FACTORS:
                chosen[name + _FACTOR_SUFFIX] = 1.0
            elif _in_range(defaults[name], self._all[name]):
                chosen[name] = defaults[name]
        return chosen

    def _factor_range(self, name: str) -> Range:
        optimizers = REFERENCE_VALUES if self._varies("optimizer") else (self.base.optimizer,)
        usual = [self.reference_value(name, optimizer) for optimizer in optimizers]
        low, high = FACTORS[name]
        ends = {"low": _round_digits(min(usual) * low), "high": _round_digits(max(usual) * high)}
        return {"kind": "float", **ends, "log": True}


def _suggest(trial: optuna.Trial, name: str, each: Range) -> Any:
    if each["kind"] == "choice":
        return trial.suggest_categorical(name, each["choices"])
    suggest = trial.suggest_int if each["kind"] == "int" else trial.suggest_float
    value = suggest(name, each["low"], each["high"], log=each["log"])
    return value if each["kind"] == "int" else _round_digits(value)


def _round_digits(value: float) -> float:
    """Four digits: more would not matter, and the settings can be read and typed."""
    return float(f"{value:.4g}")


def _in_range(value: Any, each: Range) -> bool:
    if each["kind"] == "choice":
        return value in each["choices"]
    return isinstance(value, int | float) and each["low"] <= value <= each["high"]


HEARTBEAT = 10  # seconds between two signs of life of a trial
GRACE_PERIOD = 120  # seconds without one after which its process counts as dead; a busy machine must not seem dead
SQLITE_TIMEOUT = 60  # seconds to wait for another process that is writing to the same SQLite file
OPEN_ATTEMPTS = 5


class StorageUnavailable(HemaLensError):
    """The database of a search can't be opened; the message says why and what can be done."""


def default_storage() -> str:
    """Address of the SQLite file in the user's cache."""
    return f"sqlite:///{(paths.cache_root() / 'searches.sqlite3').as_posix()}"


def open_storage(address: str | None = None, heartbeat: int = HEARTBEAT, grace: int = GRACE_PERIOD) -> BaseStorage:
    """The database at ``address``: any that Optuna speaks to; None stands for `default_storage`.

    Where the database can tell (all but Redis), a trial whose process gives no sign of life for
    ``grace`` seconds counts as failed, and its settings are tried once more by whoever comes next.
    Raises `StorageUnavailable`.
    """
    address = address or default_storage()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        if address.startswith("redis"):
            return optuna.storages.get_storage(address)
        url = make_url(address)
        sqlite = url.get_backend_name() == "sqlite"
        if sqlite and url.database:
            Path(url.database).expanduser().parent.mkdir(parents=True, exist_ok=True)
        storage = _open_rdb(
            address,
            engine_kwargs={"connect_args": {"timeout": SQLITE_TIMEOUT}} if sqlite else {"pool_pre_ping": True},
            heartbeat_interval=heartbeat,
            grace_period=grace,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=1),
        )
    except (SQLAlchemyError, StorageInternalError, ImportError, OSError, RuntimeError) as error:
        raise StorageUnavailable(
            f"the study's database {_redact_password(address)} can't be opened ({str(error).splitlines()[0]}); "
            "check the address and that the database's Python driver is installed, or leave --storage out "
            "to use a file in your cache"
        ) from error
    if sqlite:
        _serialise_sqlite_writes(storage)
    return storage


def _open_rdb(address: str, **options: Any) -> RDBStorage:
    for _ in range(OPEN_ATTEMPTS - 1):
        try:
            return RDBStorage(address, **options)
        except SQLAlchemyError:
            continue  # two processes made the tables at the same moment: the second one finds them on its next look
    return RDBStorage(address, **options)


def _serialise_sqlite_writes(storage: RDBStorage) -> None:
    """Let every transaction take SQLite's write lock at its beginning, before it reads what it is going to change.

    Python's driver opens a transaction at the first write only. Two processes could both read that a
    waiting trial is free and both take it. See "Serializable isolation" in SQLAlchemy's SQLite manual.
    """
    storage.engine.dispose()

    @sqlalchemy.event.listens_for(storage.engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        # A trial makes dozens of small writes: a log ahead of the file spares each the wait for the disk.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    @sqlalchemy.event.listens_for(storage.engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _redact_password(address: str) -> str:
    try:
        return make_url(address).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return address.rpartition("@")[2]


STARTUP_TRIALS = 8  # trials drawn at random before what was seen guides the search
PRUNER_STARTUP_TRIALS = 4  # trials that must be complete before one is given up early
_FACTS = "hemalens"
_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class SearchNotFound(HemaLensError):
    """The database holds no search of that name on that data set."""


class SearchMismatch(HemaLensError):
    """A search of that name is about something else; mixing the two would compare what can't be compared."""


@dataclass(frozen=True)
class SearchConfig:
    """What is searched: ``base`` within ``space``; ``folds`` of the cross-validation for models without epochs."""

    space: SearchSpace
    folds: int = 3

    @property
    def base(self) -> TrainConfig:
        """The recipe within which the search varies settings."""
        return self.space.base

    @property
    def cross_validated(self) -> bool:
        """True for models without epochs, whose score is the mean over folds of train."""
        return get_model(self.base.model).kind == "classical"

    def facts(self, data: LoadedDataset) -> dict[str, Any]:
        """The fields of `Study` that all processes must agree on."""
        settings = self.base.as_json()
        varied = set(self.space.names) | {"seed"}
        settings["model_arguments"] = {k: v for k, v in settings["model_arguments"].items() if k not in varied}
        metric = f"accuracy, {self.folds}-fold cross-validation on train" if self.cross_validated else "accuracy on val"
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


class _TrialSeededSampler(TPESampler):
    """TPE (Bergstra et al. 2011; multivariate) begun anew for each trial, from the seed and the trial's number.

    A search that goes on does not draw its first trials again, and processes never draw in step.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed)
        self._search_seed = seed

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        seed = int(np.random.SeedSequence([self._search_seed, trial.number]).generate_state(1)[0])
        super().__init__(seed=seed, n_startup_trials=STARTUP_TRIALS)
        super().before_trial(study, trial)


def tune(
    search: SearchConfig,
    trials: int,
    *,
    name: str | None = None,
    storage: BaseStorage | str | None = None,
    timeout: float | None = None,
    root: Path | None = None,
    report: Report = silent,
) -> Study:
    """Add ``trials`` trials to the search called ``name`` (begun if there is none) and return what it has found.

    ``storage`` is the address of its database (None: an SQLite file in the cache), ``timeout`` the seconds
    after which no new trial begins. The study's file under ``root`` (the user's, if None) is written after
    each trial; what is there stays when this is interrupted. Raises `SearchMismatch`, `StorageUnavailable`.
    """
    base = search.base
    name = name or f"tune-{base.model}-{base.size}"
    root = root or paths.user_runs_root()
    data = base.load_data()
    Study(name=name, device="", created="", **search.facts(data))  # a bad name is told before anything is begun
    if not isinstance(storage, BaseStorage):
        storage = open_storage(storage)
    study = _open_study(search, name, storage, data)
    began = time.monotonic()
    try:
        for done in range(trials):
            if timeout is not None and time.monotonic() - began >= timeout:
                break

            def report_trial(message: str, done: int = done, so_far: str = _best_so_far(study)) -> None:
                report(Progress(done, trials, f"{so_far}; {message}", "trial"))

            try:
                study.optimize(_objective(search, data, report_trial), n_trials=1, catch=(TrainingFailed,))
            except UpdateFinishedTrialError:
                # This machine slept, others took its trial for dead and did it anew: they have its result.
                continue
            write_results(study, root)
            report(Progress(done + 1, trials, _best_so_far(study), "trial"))
    finally:
        results = write_results(study, root)
    return results


def export_study(name: str, dataset: str, storage: str | None = None, root: Path | None = None) -> Study:
    """Write the file of the search ``name`` from its database, for instance after other machines went on with it.

    Raises `SearchNotFound`, `StorageUnavailable`.
    """
    try:
        study = optuna.load_study(study_name=f"{dataset}/{name}", storage=open_storage(storage))
    except KeyError as error:
        raise SearchNotFound(f"the database has no search {name!r} on {dataset}") from error
    return write_results(study, root or paths.user_runs_root())


def write_results(study: optuna.Study, root: Path) -> Study:
    """Write what the database holds now into the study's file under ``root``.

    Looks again after writing: another process may have ended a trial and written its file in the meantime.
    """
    while True:
        results = _to_study(study)
        write_study(root, results)
        if len(_finished_trials(study)) == len(results.trials):
            return results


def _objective(
    search: SearchConfig, data: LoadedDataset, report: Callable[[str], None]
) -> Callable[[optuna.Trial], float]:
    device = choose_device(search.base.device)

    def objective(trial: optuna.Trial) -> float:
        params = search.space.suggest(trial)
        trial.set_user_attr("params", params)
        trial.set_user_attr("made", {"seed": search.base.seed, "device": device_name(device)})
        config = with_params(search.base, params)
        steps = search.folds if search.cross_validated else config.epochs

        def step_done(step: int, accuracy: float, seconds: float) -> None:
            trial.set_user_attr("seconds", seconds)
            trial.report(accuracy, step)
            if step < steps and trial.should_prune():
                raise optuna.TrialPruned

        def listen(step: Progress) -> None:
            report(f"trial {trial.number}: {step.message}")

        try:
            if search.cross_validated:
                outcome = cross_validate_trial(config, data, search.folds, on_fold=step_done)
            else:
                outcome = run_trial(config, data, report=listen, on_epoch=step_done)
        except TrainingFailed as error:
            trial.set_user_attr("reason", str(error))
            raise
        trial.set_user_attr("seconds", outcome.seconds)
        return outcome.score

    return objective


def _open_study(search: SearchConfig, name: str, storage: BaseStorage, data: LoadedDataset) -> optuna.Study:
    """Begin the search, or join the one that is there after making sure that it is about the same."""
    facts = search.facts(data)
    settings: dict[str, Any] = {
        "study_name": f"{search.base.dataset}/{name}",
        "storage": storage,
        "sampler": _TrialSeededSampler(search.base.seed),
        "pruner": optuna.pruners.MedianPruner(
            n_startup_trials=PRUNER_STARTUP_TRIALS,
            n_warmup_steps=0 if search.cross_validated else max(1, search.base.epochs // 4),
        ),
    }
    try:
        study = optuna.create_study(direction="maximize", **settings)
    except DuplicatedStudyError:
        study = optuna.load_study(**settings)
        stored = _facts(study)
        if differing := [key for key, value in facts.items() if stored.get(key) != value]:
            raise SearchMismatch(
                f"the search {name!r} that is there differs in {', '.join(differing)}: repeat the command that began "
                "it to go on, or choose another --study name"
            ) from None
        return study
    created = datetime.now(UTC).isoformat(timespec="seconds")
    study.set_user_attr(_FACTS, {**facts, "name": name, "created": created})
    # The recipe as it is comes first, so that one sees what the search gains. Only whoever begins asks for it.
    study.enqueue_trial(search.space.default_params())
    return study


def _facts(study: optuna.Study, patience: float = 20.0) -> dict[str, Any]:
    """What the search is about; whoever has just begun it gets the time to say so."""
    deadline = time.monotonic() + patience
    while _FACTS not in study.user_attrs and time.monotonic() < deadline:
        time.sleep(0.2)
    facts = study.user_attrs.get(_FACTS, {})
    return {**facts, "base": in_current_words(facts.get("base", {}))}


def _finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=tuple(_STATES))


def _to_study(study: optuna.Study) -> Study:
    ended = _finished_trials(study)
    devices = sorted({trial.user_attrs["made"]["device"] for trial in ended if "made" in trial.user_attrs})
    return Study(device="; ".join(devices), trials=tuple(map(_to_trial, ended)), **_facts(study))


def _to_trial(trial: FrozenTrial) -> Trial:
    steps, attributes = trial.intermediate_values, trial.user_attrs
    return Trial(
        number=trial.number,
        params=attributes.get("params", {}),
        seed=attributes.get("made", {}).get("seed", 0),
        score=trial.value if trial.state == TrialState.COMPLETE else steps.get(max(steps, default=0)),
        seconds=attributes.get("seconds", 0.0),
        epochs=max(steps, default=0),
        state=_STATES[trial.state],
    )


def _best_so_far(study: optuna.Study) -> str:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        return "none complete yet"
    best = max(complete, key=lambda t: (t.value, -t.number))
    return f"best {best.value:.2%} (trial {best.number})"


def cli_options(config: TrainConfig) -> str:
    """The options of ``python -m core train`` that stand for ``config``, but for its epochs."""
    defaults = TrainConfig.for_model(config.model, dataset=config.dataset, size=config.size)
    parts = [f"--dataset {config.dataset} --size {config.size} --model {config.model}"]
    for name in (each.name for each in fields(TrainConfig)):
        value = getattr(config, name)
        if name not in ("epochs", "device", "devices", "model_arguments") and value != getattr(defaults, name):
            parts.append(f"--{name.replace('_', '-')} {value}")
    for name, value in config.model_arguments.items():
        if value != defaults.all_model_arguments()[name]:
            parts.append(f"--arg {name}={value if isinstance(value, str) else json.dumps(value)}")
    return " ".join(parts)
