"""One training of a study: its accuracy and its run time, without a run folder."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from core.datasets import LoadedDataset
from core.models import build, get_model
from core.progress import Progress, Report, silent
from core.training import classical
from core.training.config import TrainConfig
from core.training.device import choose_device
from core.training.loop import TrainingFailed, fit
from core.training.pixels import network_logits
from core.training.stopwatch import Stopwatch

EachStep = Callable[[int, float, float], None]  # steps done, accuracy (0 to 1), seconds so far


@dataclass(frozen=True)
class Outcome:
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
    each_epoch: EachStep = lambda epoch, accuracy, seconds: None,
) -> Outcome:
    """Train ``config``; its score is the val accuracy, for networks that of the epoch that did best on val.

    ``each_epoch`` is called after each epoch and ends the trial by raising. With ``test`` what was trained is
    scored on test, once. Raises `TrainingFailed`.
    """
    if get_model(config.model).kind == "classical":
        return _grown(config, data, test)
    device = choose_device(config.device)
    clock = Stopwatch(device)
    told = 0

    def listen(step: Progress) -> None:
        nonlocal told
        report(step)
        finished = int(step.details["finished"])
        if finished > told:
            told = finished
            each_epoch(finished, step.details["val_accuracy"], clock.seconds())

    try:
        network, reached = fit(config, data, device, report=listen)
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        raise TrainingFailed(f"out of memory with batches of {config.batch_size}") from error
    seconds = clock.seconds()
    accuracy = None
    if test:
        called = network_logits(network, data["test"].images, device).argmax(1).numpy()
        accuracy = float((called == data["test"].labels).mean())
    return Outcome(reached.best_accuracy, seconds, reached.epoch, accuracy)


def cross_validated(
    config: TrainConfig,
    data: LoadedDataset,
    folds: int,
    *,
    each_fold: EachStep = lambda fold, accuracy, seconds: None,
) -> Outcome:
    """Mean accuracy of a classical model over ``folds`` stratified folds of train.

    ``each_fold`` gets the mean so far after each fold and ends the trial by raising. The time to compute the
    features, which trials share, doesn't count.
    """
    _features(config, data, "train")
    clock = Stopwatch(torch.device("cpu"))

    def listen(step: Progress) -> None:
        if "accuracy" in step.details:
            each_fold(step.done, step.details["accuracy"], clock.seconds())

    accuracies = classical.cross_validate(config, data, folds, listen)
    return Outcome(sum(accuracies) / folds, clock.seconds(), folds)


def _grown(config: TrainConfig, data: LoadedDataset, test: bool) -> Outcome:
    tables = {split: _features(config, data, split) for split in ("train", "val", *(("test",) if test else ()))}
    clock = Stopwatch(torch.device("cpu"))
    model = _model(config, data)
    classical.fit(model, tables.pop("train"), data["train"].labels, seed=config.seed)
    seconds = clock.seconds()
    accuracy = {split: float(model.estimator.score(table, data[split].labels)) for split, table in tables.items()}
    return Outcome(accuracy["val"], seconds, 1, accuracy.get("test"))


def _features(config: TrainConfig, data: LoadedDataset, split: str) -> np.ndarray:
    return classical.features(data, _model(config, data).features, split)


def _model(config: TrainConfig, data: LoadedDataset) -> Any:
    return build(config.model, len(data.spec.classes), config.size, **config.model_arguments)
