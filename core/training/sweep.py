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
from core.training.augment import AUGMENTATIONS, augment
from core.training.config import TrainConfig
from core.training.data import AuxiliaryData, content_hashes, load_auxiliary
from core.training.distributed import init_process_group, is_secondary, resolve_world_size
from core.training.optim import autocast, choose_device, make_optimizer, uses_bf16

PROBE_BATCH = 64  # pictures a step of the probe; enough to tell the models apart
EXPORT_SECONDS = 3.0  # for scoring and writing a run, roughly
STEPS_TO_FIRST_REPORT = 10  # steps that a training makes at most before it first reports
CLASSICAL_SECONDS_PER_IMAGE = 0.01  # a picture, roughly, for features and trees, which have no step to measure


@dataclass(frozen=True)
class SweepJob:
    """One training of many: its ``config``, and the ``existing`` run, else the ``estimated_seconds`` that it takes."""

    config: TrainConfig
    existing: Run | None
    estimated_seconds: float


@dataclass(frozen=True)
class SweepResult:
    """What became of ``job``: a ``run``, trained in ``seconds`` (None: there before), or the ``error`` in words."""

    job: SweepJob
    run: Run | None = None
    seconds: float | None = None
    error: str = ""


def sweep_configs(arguments: Mapping[str, Any] | None = None, **choices: Any) -> list[TrainConfig]:
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


def plan_sweep(configs: Sequence[TrainConfig], *, any_recipe: bool = False) -> list[SweepJob]:
    """A job a configuration: those that are there first, then the cheapest. Raises `DatasetUnavailable`.

    With ``any_recipe`` a model is there where it has any run on the same data, whatever it was trained by.
    The cost is measured: a step of a few pictures, varied, forward and backward, on the device that will train.
    """
    jobs = []
    # Reading auxiliary cells takes seconds, and most models share them.
    auxiliary_cache: dict[tuple[str, int, str], AuxiliaryData | None] = {}
    for config in configs:
        data, auxiliary = config.load_data(), None
        if get_model(config.model).kind == "network":
            key = config.dataset, config.size, config.auxiliary
            if key not in auxiliary_cache:
                auxiliary_cache[key] = load_auxiliary(config, data)
            auxiliary = auxiliary_cache[key]
        existing = _existing_run(config, content_hashes(data, auxiliary), any_recipe)
        seconds = 0.0 if existing else _estimate_seconds(config, len(data["train"]), len(data.spec.classes))
        jobs.append(SweepJob(config, existing, seconds))
    jobs.sort(key=lambda job: (job.existing is None, job.estimated_seconds, job.config.model))
    if any(job.existing is None and job.config.devices != 1 for job in jobs):
        # Processes that train together measure a little differently, but must train the same model at a time.
        first = jobs[-1].config
        device = choose_device(first.device)
        jobs = init_process_group(device, resolve_world_size(device, first.devices)).broadcast(jobs)
    return jobs


def _existing_run(config: TrainConfig, hashes: Sequence[str], any_recipe: bool) -> Run | None:
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
    jobs: Sequence[SweepJob],
    *,
    root: Path | None = None,
    report: Report = silent,
) -> list[SweepResult]:
    """Train ``jobs`` in their order; an outcome each. What one of them raises is kept as its outcome.

    ``report`` gets one count over all of them, in estimated seconds of work. Interrupted (Ctrl-C) and called
    again, it skips what is finished and goes on in the middle of the one that was under way.
    """
    outcomes = [SweepResult(job, job.existing) for job in jobs if job.existing is not None]
    pending = [job for job in jobs if job.existing is None]
    count = _SweepProgress(pending, report)
    for job in pending:
        if is_secondary() and get_model(job.config.model).kind == "classical":
            continue  # one process fits it; this one waits at the next network
        count.begin(job)
        started = time.perf_counter()
        try:
            run = training.train(job.config, resume=True, root=root, report=count)
        except Exception as error:  # whatever it is, the other models are worth having
            outcomes.append(SweepResult(job, error=_error_text(error)))
        else:
            outcomes.append(SweepResult(job, run, time.perf_counter() - started))
        count.end()
    return outcomes


class _SweepProgress:
    """One count over the progress of several jobs, each weighing as many seconds as it will likely take."""

    def __init__(self, jobs: Sequence[SweepJob], report: Callable[[Progress], None]) -> None:
        self.jobs, self.report = jobs, report
        self.number = 0
        self.finished_seconds, self.total = 0.0, sum(job.estimated_seconds for job in jobs)

    def begin(self, job: SweepJob) -> None:
        self.job = job
        self.number += 1
        # The share that an interrupted training has behind it: no work of this call. Known from its first step on.
        self.resumed_fraction: float | None = None
        self.job_fraction = 0.0

    def __call__(self, step: Progress) -> None:
        if self.resumed_fraction is None:
            self.resumed_fraction = max(0, step.done - STEPS_TO_FIRST_REPORT) / step.total
            self.total -= self.job.estimated_seconds * self.resumed_fraction
        self.job_fraction = max(self.job_fraction, step.done / step.total)  # work in parts begins each part at 0
        done = self.finished_seconds + self.job.estimated_seconds * (self.job_fraction - self.resumed_fraction)
        message = f"{self.job.config.model} ({self.number} of {len(self.jobs)}): {step.message}"
        self.report(Progress(round(done), max(1, round(self.total)), message, "s", step.details))

    def end(self) -> None:
        """The job is over, whether it reached its end, stopped early or failed."""
        self.finished_seconds += self.job.estimated_seconds * (1 - (self.resumed_fraction or 0.0))


def _error_text(error: Exception) -> str:
    return str(error) if isinstance(error, HemaLensError) else f"{type(error).__name__}: {error}".splitlines()[0]


def _estimate_seconds(config: TrainConfig, pictures: int, classes: int) -> float:
    """Seconds that ``config`` will likely take for a data set of ``pictures`` training pictures."""
    if get_model(config.model).kind == "classical":
        return CLASSICAL_SECONDS_PER_IMAGE * pictures
    device = choose_device(config.device)
    network = build(config.model, classes, config.size, **config.model_arguments)
    network = network.to(device, memory_format=torch.channels_last).train()
    optimizer = make_optimizer(network, config)
    images = torch.rand(PROBE_BATCH, 3, config.size, config.size, device=device)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(PROBE_BATCH, device=device) % classes
    for _ in range(2):  # the first also chooses kernels
        started = time.perf_counter()
        batch = augment(images, AUGMENTATIONS[config.augment], generator).contiguous(memory_format=torch.channels_last)
        with autocast(device, uses_bf16(config.precision, device)):
            loss = F.cross_entropy(network(batch).float(), labels)
        loss.backward()
        optimizer.step()
        loss.item()  # waits for the device
        seconds = time.perf_counter() - started
    return seconds / PROBE_BATCH * pictures * config.epochs + EXPORT_SECONDS
