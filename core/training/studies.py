"""Trainings that answer a question: one trial, several seeds of labelled variants, the ablation of a small CNN.

A trial is one training without a run folder: its accuracy and its run time. `core.studies` holds what is written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import paths
from core.datasets import LoadedDataset
from core.errors import HemaLensError
from core.models import build, get_model
from core.progress import Progress, Report, silent
from core.studies import Study, Trial, mean_interval, read_study, study_path, write_study
from core.training import classical
from core.training.config import BadConfig, TrainConfig, with_params
from core.training.data import network_logits
from core.training.loop import TrainingFailed, fit_network, told_out_of_memory
from core.training.optim import Stopwatch, choose_device, device_name

StepCallback = Callable[[int, float, float], None]  # steps done, accuracy (0 to 1), seconds so far


@dataclass(frozen=True)
class TrialResult:
    """What a trial gave: its ``score`` (accuracy, 0 to 1), ``seconds`` of training, ``epochs`` or folds.

    ``test`` is the accuracy on test, None where it was not asked for.
    """

    score: float
    seconds: float
    epochs: int
    test: float | None = None


def run_trial(
    config: TrainConfig,
    data: LoadedDataset,
    *,
    test: bool = False,
    report: Report = silent,
    on_epoch: StepCallback = lambda epoch, accuracy, seconds: None,
) -> TrialResult:
    """Train ``config``; its score is the val accuracy, for networks that of the epoch that did best on val.

    ``on_epoch`` is called after each epoch and ends the trial by raising. With ``test`` what was trained is
    scored on test, once. Raises `TrainingFailed`.
    """
    if get_model(config.model).kind == "classical":
        return _run_classical_trial(config, data, test)
    device = choose_device(config.device)
    clock = Stopwatch(device)
    reported = 0

    def listen(step: Progress) -> None:
        nonlocal reported
        report(step)
        finished = int(step.details["finished"])
        if finished > reported:
            reported = finished
            on_epoch(finished, step.details["val_accuracy"], clock.seconds())

    with told_out_of_memory(config, device):
        network, state = fit_network(config, data, device, report=listen)
    seconds = clock.seconds()
    accuracy = None
    if test:
        called = network_logits(network, data["test"].images, device).argmax(1).numpy()
        accuracy = float((called == data["test"].labels).mean())
    return TrialResult(state.best_accuracy, seconds, state.epoch, accuracy)


def cross_validate_trial(
    config: TrainConfig,
    data: LoadedDataset,
    folds: int,
    *,
    on_fold: StepCallback = lambda fold, accuracy, seconds: None,
) -> TrialResult:
    """Mean accuracy of a classical model over ``folds`` stratified folds of train.

    ``on_fold`` gets the mean so far after each fold and ends the trial by raising. The time to compute the
    features, which trials share, doesn't count.
    """
    _features(config, data, "train")
    clock = Stopwatch(torch.device("cpu"))

    def listen(step: Progress) -> None:
        if "accuracy" in step.details:
            on_fold(step.done, step.details["accuracy"], clock.seconds())

    accuracies = classical.cross_validate(config, data, folds, listen)
    return TrialResult(sum(accuracies) / folds, clock.seconds(), folds)


def _run_classical_trial(config: TrainConfig, data: LoadedDataset, test: bool) -> TrialResult:
    tables = {split: _features(config, data, split) for split in ("train", "val", *(("test",) if test else ()))}
    clock = Stopwatch(torch.device("cpu"))
    model = _model(config, data)
    classical.grow_trees(model, tables.pop("train"), data["train"].labels, seed=config.seed)
    seconds = clock.seconds()
    accuracy = {split: float(model.estimator.score(table, data[split].labels)) for split, table in tables.items()}
    return TrialResult(accuracy["val"], seconds, 1, accuracy.get("test"))


def _features(config: TrainConfig, data: LoadedDataset, split: str) -> np.ndarray:
    return classical.compute_features(data, _model(config, data).features, split)


def _model(config: TrainConfig, data: LoadedDataset) -> Any:
    return build(config.model, len(data.spec.classes), config.size, **config.model_arguments)


class StudyMismatch(HemaLensError):
    """A study of that name was made in another way; mixing the two would compare what can't be compared."""


@dataclass(frozen=True)
class Variant:
    """One recipe of a study: its ``label``, and the ``params`` in which it departs from the study's base."""

    label: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


def run_variants(
    base: TrainConfig,
    variants: Sequence[Variant],
    seeds: int,
    *,
    name: str,
    kind: str,
    title: str,
    note: str = "",
    root: Path | None = None,
    report: Report = silent,
) -> Study:
    """Train each of ``variants`` of ``base`` with seeds 0 to ``seeds`` - 1; keep val and test accuracy of each.

    All variants get their first seed before any gets its second. The study's file under ``root`` (the
    user's, if None) is written after each trial; trials that are in it already are not run again, failed
    ones are. Raises `StudyMismatch` where a study of that name has another base or other data.
    """
    if get_model(base.model).kind == "combination":
        raise BadConfig(f"{base.model} can't be repeated: it is made of other runs and no seed changes it")
    root = root or paths.user_runs_root()
    data = base.load_data()
    study = _load_or_create(base, data, root, name=name, kind=kind, title=title, note=note)
    trials = list(study.trials)
    planned = [(variant, seed) for seed in range(seeds) for variant in variants]
    done_keys = {(t.label, t.seed, _params_key(t.params)) for t in trials}
    missing = [(v, s) for v, s in planned if (v.label, s, _params_key(v.params)) not in done_keys]
    done_before = len(planned) - len(missing)
    for done, (variant, seed) in enumerate(missing, done_before):
        what = ", ".join(part for part in (variant.label or base.model, f"seed {seed}") if part)

        def tell(step: Progress, done: int = done, what: str = what) -> None:
            report(Progress(done, len(planned), f"{what}: {step.message}", "trial"))

        number = max((t.number for t in trials), default=-1) + 1
        trials.append(_run_variant(with_params(base, {**variant.params, "seed": seed}), data, number, variant, tell))
        study = replace(study, trials=tuple(trials))
        write_study(root, study)
        report(Progress(done + 1, len(planned), what, "trial"))
    return study


def _run_variant(config: TrainConfig, data: LoadedDataset, number: int, variant: Variant, report: Report) -> Trial:
    clock = Stopwatch(choose_device(config.device))
    trial = Trial(number, dict(variant.params), config.seed, None, 0.0, 0, label=variant.label)
    try:
        result = run_trial(config, data, test=True, report=report)
    except TrainingFailed:
        return replace(trial, seconds=clock.seconds(), state="failed")
    return replace(trial, score=result.score, seconds=result.seconds, epochs=result.epochs, test=result.test)


def _load_or_create(
    base: TrainConfig, data: LoadedDataset, root: Path, *, name: str, kind: str, title: str, note: str
) -> Study:
    settings = base.as_json()
    del settings["seed"]
    study = Study(
        name=name,
        kind=kind,
        title=title,
        dataset=base.dataset,
        size=base.size,
        model=base.model,
        provenance=data.provenance.as_json(),
        metric="accuracy on val",
        device=device_name(choose_device(base.device)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        base=settings,
        note=note,
    )
    path = study_path(root, base.dataset, name)
    if not path.exists():
        return study
    stored = read_study(path)
    if (stored.kind, dict(stored.base), dict(stored.provenance)) != (kind, settings, dict(study.provenance)):
        raise StudyMismatch(
            f"{path} holds a study of that name with another recipe or other data: choose another --study name, "
            "or delete the file"
        )
    return replace(stored, title=title, note=note, trials=tuple(t for t in stored.trials if t.state != "failed"))


def _params_key(params: Mapping[str, Any]) -> tuple:
    return tuple(sorted((name, repr(value)) for name, value in params.items()))


def summary_text(study: Study) -> str:
    """A table for the terminal: mean of each variant with its 95 % interval by Student's t, and its time."""
    lines = []
    width = max((len(label or study.model) for label in study.by_label()), default=0)
    for label, trials in study.by_label().items():
        scores = [
            _interval_text([t.score for t in trials if t.score is not None]),
            _interval_text([t.test for t in trials if t.test is not None]),
        ]
        seconds = sum(t.seconds for t in trials) / len(trials)
        lines.append(f"{label or study.model:{width}}  val {scores[0]}  test {scores[1]}  {seconds:.0f} s")
    failed = sum(t.state == "failed" for t in study.trials)
    if failed:
        lines.append(f"{failed} failed; the same command tries them again")
    return "\n".join(lines)


def _interval_text(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.2%} (one seed)" if values else "–"
    mean, low, high = mean_interval(values)
    return f"{mean:.2%} ({max(0, low):.2%} to {min(1, high):.2%})"


def run_seeds(base: TrainConfig, seeds: int, name: str | None = None, **options: Any) -> Study:
    """`run_variants` of one recipe: how far its accuracy depends on the seed."""
    return run_variants(
        base,
        [Variant()],
        seeds,
        name=name or f"seeds-{base.model}-{base.size}",
        kind="seeds",
        title=f"{get_model(base.model).title}, {base.size} px: what the seed decides",
        **options,
    )


ABLATION_MODEL = "cnn_custom"
BATCH_NORM = "batch norm"
# The plain recipe: no averaged weights, no smoothed labels and no weight decay, so that nothing hides what
# an ingredient gives. Adam, because with it weight decay is the L2 penalty that textbooks speak of, and
# because it also trains the networks that have no batch norm.
ABLATION_BASE: dict[str, Any] = {
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "ema": 0.0,
    "augment": "flips",
    "layers": 4,
    "norm": False,
    "dropout": 0.0,
    "attention": "",
    "residual": False,
}
ABLATION_VARIANTS = (
    Variant("base: 4 layers"),
    Variant("2 layers", {"layers": 2}),
    Variant("3 layers", {"layers": 3}),
    Variant("dropout 0.4", {"dropout": 0.4}),
    Variant("dropout 0.5", {"dropout": 0.5}),
    Variant("L2 1e-4", {"weight_decay": 1e-4}),
    Variant("L2 1e-3", {"weight_decay": 1e-3}),
    Variant("L2 1e-2", {"weight_decay": 1e-2}),
    Variant("SE", {"attention": "se"}),
    Variant("CBAM", {"attention": "cbam"}),
    Variant("residual", {"residual": True}),
    Variant(BATCH_NORM, {"norm": True}),
    Variant(f"{BATCH_NORM} + dropout 0.4", {"norm": True, "dropout": 0.4}),
    Variant(f"{BATCH_NORM} + SE", {"norm": True, "attention": "se"}),
    Variant(f"{BATCH_NORM} + CBAM", {"norm": True, "attention": "cbam"}),
    Variant(f"{BATCH_NORM} + residual", {"norm": True, "residual": True}),
)
ABLATION_NOTE = (
    "The base is a CNN of four layers without batch norm, dropout, weight decay, attention or shortcuts. Every "
    f"variant changes one thing in it; those called '{BATCH_NORM} + ...' change one thing in '{BATCH_NORM}'. All share "
    "the recipe, which is tuned for none of them."
)


def run_ablation(config: TrainConfig, seeds: int, name: str | None = None, **options: Any) -> Study:
    """The study of all `ABLATION_VARIANTS` of ``config``, which is `ABLATION_BASE` with what the caller changed."""
    return run_variants(
        config,
        ABLATION_VARIANTS,
        seeds,
        name=name or f"ablation-{config.size}",
        kind="ablation",
        title=f"What each ingredient of a small CNN gives, {config.size} px",
        note=ABLATION_NOTE,
        **options,
    )
