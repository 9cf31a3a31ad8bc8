"""Trains many models one after another: what has its run already is skipped, what was interrupted goes on.

The cheapest come first, so that most of the table is there early; one that fails doesn't stop the rest.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from core import training
from core.errors import HemaLensError
from core.models import build, get_model, model_names
from core.progress import Progress, Report, silent
from core.runs import Run, list_runs
from core.training.augment import RECIPES, augment
from core.training.beside import Guests, content_hashes, invite
from core.training.config import TrainConfig
from core.training.device import autocast, choose_device, uses_bf16
from core.training.optim import make_optimizer
from core.training.team import assemble, how_many, is_helper

PROBE = 64  # pictures a step of the probe; enough to tell the models apart
FINISH_SECONDS = 3.0  # for scoring and writing a run, roughly
FIRST_REPORT = 10  # steps that a training makes at most before it first reports
CLASSICAL_SECONDS = 0.01  # a picture, roughly, for features and trees, which have no step to measure


@dataclass(frozen=True)
class Job:
    """One training of many: its ``config``, its run where it is ``there`` already, else its likely ``cost`` (s)."""

    config: TrainConfig
    there: Run | None
    cost: float


@dataclass(frozen=True)
class Outcome:
    """What became of a `Job`: a ``run``, trained in ``seconds`` (None: there before), or the ``error`` in words."""

    job: Job
    run: Run | None = None
    seconds: float | None = None
    error: str = ""


def recipes(arguments: Mapping[str, Any] | None = None, **choices: Any) -> list[TrainConfig]:
    """Every trainable model's own recipe, overridden by ``choices`` as `TrainConfig.for_model` takes them.

    Of ``arguments`` each model gets those that it has. Raises `BadConfig` where a choice suits no model.
    """
    return [
        TrainConfig.for_model(
            name,
            **choices,
            model_arguments={k: v for k, v in (arguments or {}).items() if k in get_model(name).arguments},
        )
        for name in model_names()
        if get_model(name).kind != "combination"
    ]


def plan(configs: Sequence[TrainConfig], *, any_recipe: bool = False) -> list[Job]:
    """A job a configuration: those that are there first, then the cheapest. Raises `DatasetUnavailable`.

    With ``any_recipe`` a model is there where it has any run on the same data, whatever it was trained by.
    The cost is measured: a step of a few pictures, varied, forward and backward, on the device that will train.
    """
    jobs = []
    invited: dict[tuple[str, int, str], Guests | None] = {}  # reading them takes seconds, and most models share them
    for config in configs:
        data = config.load_data()
        asked = config.dataset, config.size, config.beside
        takes_guests = get_model(config.model).kind == "network"
        if takes_guests and asked not in invited:
            invited[asked] = invite(config, data)
        hashes = content_hashes(data, invited[asked] if takes_guests else None)
        there = _stored(config, hashes, any_recipe)
        jobs.append(Job(config, there, 0.0 if there else _cost(config, len(data["train"]), len(data.spec.classes))))
    jobs.sort(key=lambda job: (job.there is None, job.cost, job.config.model))
    if any(job.there is None and job.config.devices != 1 for job in jobs):
        # Processes that train together measure a little differently, but must train the same model at a time.
        first = jobs[-1].config
        device = choose_device(first.device)
        jobs = assemble(device, how_many(device, first.devices)).agree(jobs)
    return jobs


def _stored(config: TrainConfig, hashes: Sequence[str], any_recipe: bool) -> Run | None:
    """The run of ``config`` on the cells of these content ``hashes``, the data set's own first; else, if so asked, the
    best on val of its model's runs on the same data."""
    runs = [
        run
        for run in list_runs(config.dataset, config.size)
        if run.model == config.model and run.config["dataset"]["provenance"]["content_hash"] == hashes[0]
    ]
    exact = [run for run in runs if run.name == config.run_name(*hashes)]
    best = sorted(runs, key=lambda run: -run.metrics["val"]["accuracy"]) if any_recipe else []
    return next(iter([*exact, *best]), None)


def train_all(
    jobs: Sequence[Job],
    *,
    root: Path | None = None,
    report: Report = silent,
) -> list[Outcome]:
    """Train ``jobs`` in their order; an outcome each. What one of them raises is kept as its outcome.

    ``report`` gets one count over all of them, in estimated seconds of work. Interrupted (Ctrl-C) and called
    again, it skips what is finished and goes on in the middle of the one that was under way.
    """
    outcomes = [Outcome(job, job.there) for job in jobs if job.there is not None]
    left = [job for job in jobs if job.there is None]
    count = _Count(left, report)
    for job in left:
        if is_helper() and get_model(job.config.model).kind == "classical":
            continue  # one process fits it; this one waits at the next network
        count.begin(job)
        started = time.perf_counter()
        try:
            run = training.train(job.config, resume=True, root=root, report=count)
        except Exception as error:  # whatever it is, the other models are worth having
            outcomes.append(Outcome(job, error=_words(error)))
        else:
            outcomes.append(Outcome(job, run, time.perf_counter() - started))
        count.end()
    return outcomes


class _Count:
    """One count over the progress of several jobs, each weighing as many seconds as it will likely take."""

    def __init__(self, jobs: Sequence[Job], report: Callable[[Progress], None]) -> None:
        self.jobs, self.report = jobs, report
        self.number = 0
        self.behind, self.total = 0.0, sum(job.cost for job in jobs)

    def begin(self, job: Job) -> None:
        self.job = job
        self.number += 1
        self.first: float | None = None  # share that an interrupted training has behind it: no work of this call
        self.share = 0.0

    def __call__(self, step: Progress) -> None:
        if self.first is None:
            self.first = max(0, step.done - FIRST_REPORT) / step.total
            self.total -= self.job.cost * self.first
        self.share = max(self.share, step.done / step.total)  # work in parts begins each part at 0
        done = self.behind + self.job.cost * (self.share - self.first)
        message = f"{self.job.config.model} ({self.number} of {len(self.jobs)}): {step.message}"
        self.report(Progress(round(done), max(1, round(self.total)), message, "s", step.details))

    def end(self) -> None:
        """The job is over, whether it reached its end, stopped early or failed."""
        self.behind += self.job.cost * (1 - (self.first or 0.0))


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, HemaLensError) else f"{type(error).__name__}: {error}".splitlines()[0]


def _cost(config: TrainConfig, pictures: int, classes: int) -> float:
    """Seconds that ``config`` will likely take for a data set of ``pictures`` training pictures."""
    if get_model(config.model).kind == "classical":
        return CLASSICAL_SECONDS * pictures
    device = choose_device(config.device)
    network = build(config.model, classes, config.size, **config.model_arguments)
    network = network.to(device, memory_format=torch.channels_last).train()
    optimizer = make_optimizer(network, config)
    drawn = torch.rand(PROBE, 3, config.size, config.size, device=device)
    draws = torch.Generator().manual_seed(0)
    labels = torch.arange(PROBE, device=device) % classes
    for _ in range(2):  # the first also chooses kernels
        started = time.perf_counter()
        batch = augment(drawn, RECIPES[config.augment], draws).contiguous(memory_format=torch.channels_last)
        with autocast(device, uses_bf16(config.precision, device)):
            loss = F.cross_entropy(network(batch).float(), labels)
        loss.backward()
        optimizer.step()
        loss.item()  # waits for the device
        seconds = time.perf_counter() - started
    return seconds / PROBE * pictures * config.epochs + FINISH_SECONDS
