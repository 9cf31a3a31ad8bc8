"""One training of a study: its accuracy and its run time, without a run folder."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from core.datasets import LoadedDataset
from core.training.config import TrainConfig
from core.training.device import choose_device
from core.training.loop import Report, TrainingFailed, fit
from core.training.pixels import network_logits

EachEpoch = Callable[[int, float], None]


@dataclass(frozen=True)
class Outcome:
    """What a trial gave: ``score`` on val and ``test`` (accuracies, 0 to 1), ``seconds`` of training, ``epochs``."""

    score: float
    seconds: float
    epochs: int
    test: float | None = None


class Stopwatch:
    """Run time from its making on, in seconds: without the waits for other programs where the CPU does the work.

    A search often shares its machine; the time on the wall would then tell of the neighbours.
    """

    def __init__(self, device: torch.device) -> None:
        self.on_cpu = device.type == "cpu"
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def seconds(self) -> float:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        return min(wall, cpu) if self.on_cpu else wall


def run_trial(
    config: TrainConfig,
    data: LoadedDataset,
    *,
    test: bool = False,
    report: Report = lambda progress: None,
    each_epoch: EachEpoch = lambda epoch, accuracy: None,
) -> Outcome:
    """Train the network of ``config``; its score is the val accuracy of the epoch that did best on val.

    ``each_epoch(epoch, val accuracy)`` is called after each epoch (counted from 1) and ends the trial by
    raising. With ``test`` the weights of the best epoch are scored on test, once. Raises `TrainingFailed`.
    """
    device = choose_device(config.device)
    told = 0

    def listen(step) -> None:
        nonlocal told
        report(step)
        finished = int(step.details["finished"])
        if finished > told:
            told = finished
            each_epoch(finished, step.details["val_accuracy"])

    clock = Stopwatch(device)
    try:
        network, reached = fit(config, data, device, report=listen)
    except (torch.OutOfMemoryError, MemoryError) as error:
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
    each_fold: EachEpoch = lambda fold, accuracy: None,
) -> Outcome:
    """Mean accuracy of a model without epochs over ``folds`` stratified folds of the training pictures.

    ``each_fold(fold, mean accuracy so far)`` is called after each fold (counted from 1) and ends the trial by
    raising.
    """
    raise NotImplementedError
