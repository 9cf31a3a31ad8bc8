"""The training loop: one path for CPU, CUDA and MPS, read from top to bottom.

The pictures lie on the device as uint8; a batch is gathered, varied and normalised there. Every
epoch draws from a generator seeded by (seed, epoch), so that a training that was interrupted and
resumed takes the very steps of one that was not.
"""

import math
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from core import paths
from core.datasets import LoadedDataset
from core.errors import HemaLensError
from core.models import ImageClassifier, build
from core.progress import Progress, Report, silent
from core.runs import Run, find_run, list_runs
from core.training import checkpoint
from core.training.augment import RECIPES, augment
from core.training.beside import Guests, content_hashes, epoch_order, invite, joined
from core.training.checkpoint import Progressed
from core.training.config import BadConfig, TrainConfig
from core.training.device import autocast, choose_device, uses_bf16
from core.training.finish import finish
from core.training.imagenet import begin_at_imagenet
from core.training.optim import exponential_average, learning_rate_at, make_optimizer
from core.training.pixels import as_float, channel_statistics, network_logits, to_device
from core.training.start import begin_at
from core.training.teacher import smoothed, targets
from core.training.team import Team, assemble, how_many


class TrainingFailed(HemaLensError):
    """The training can't go on; nothing of it is left on disk but its last good epoch, if any."""


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    force: bool = False,
    root: Path | None = None,
    report: Report = silent,
) -> Run:
    """Train ``config`` and return its run; a configuration that has a run is returned untouched.

    ``resume`` continues from the last finished epoch of an interrupted training, ``force`` trains
    anew what is there, ``root`` is the folder that gets ``<dataset>/<run>`` (the user's, if None).
    Raises `DatasetUnavailable`, `TrainingFailed` (loss not a number, out of memory) or `BadConfig`.
    """
    data = config.load_data(report)
    guests = invite(config, data, report)
    name = config.run_name(*content_hashes(data, guests))
    known = [run for run in list_runs(config.dataset) if run.name == name]
    if known and not force:
        return known[0]
    work = paths.checkpoints_root() / name
    device = choose_device(config.device)
    size = how_many(device, config.devices)
    if config.batch_size % size:
        raise BadConfig(f"batch_size can't be {config.batch_size} on {size} devices: it must be a multiple of {size}")
    team = assemble(device, size)
    if team.leads and not resume:
        shutil.rmtree(work, ignore_errors=True)
    team.agree(None)  # nobody looks for a former state before it is gone
    try:
        network, reached = fit(config, data, team.device, work / "state.safetensors", report, team, guests)
        write = partial(
            finish, config, name, data, network, reached, team.device, root or paths.user_runs_root(), guests=guests
        )
        run = _finished(team, partial(write, devices=size))
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingFailed(_OUT_OF_MEMORY.format(device=device.type, batch=config.batch_size)) from error
    except RuntimeError as error:
        if "memory" not in str(error).lower():
            raise
        raise TrainingFailed(_OUT_OF_MEMORY.format(device=device.type, batch=config.batch_size)) from error
    shutil.rmtree(work, ignore_errors=True)
    return run


def _finished(team: Team, write: Callable[[], Run]) -> Run:
    """The run that the leader writes, in every process of the team; where it can't, all fail."""
    path = ""
    try:
        if team.leads:
            path = str(write().path)
    finally:
        path = team.agree(path)
    if not path:
        raise TrainingFailed("the process that leads could not write the run; its own message says why")
    return Run(Path(path))


_OUT_OF_MEMORY = (
    "out of memory on {device} with batches of {batch}: choose a smaller --batch-size or --size, which "
    "starts anew, or --device cpu, which with --resume continues from the last finished epoch"
)


def fit(
    config: TrainConfig,
    data: LoadedDataset,
    device: torch.device,
    state: Path | None = None,
    report: Report = silent,
    team: Team | None = None,
    guests: Guests | None = None,
) -> tuple[ImageClassifier, Progressed]:
    """All epochs; returns the network with the weights that did best on val.

    Goes on from the file ``state`` where it exists, and keeps each finished epoch there (None: nowhere).
    What ``report`` raises ends the training; the details it gets count the ``finished`` epochs.
    ``guests``: cells that train beside (None: those that ``config`` names).
    Each process of ``team`` (None: this one alone) calls it; the leader alone validates, stores and reports.
    """
    team = team or Team(device)
    torch.manual_seed(config.seed)
    network = build(config.model, len(data.spec.classes), config.size, **config.model_arguments)
    network.set_normalisation(*channel_statistics(data["train"].images))
    if config.weights:
        begin_at_imagenet(network, config)
    elif config.start:
        begin_at(network, find_run(config.start), data.spec.codes)
    network = network.to(device, memory_format=torch.channels_last)
    averaged = (
        AveragedModel(network, multi_avg_fn=exponential_average(config.ema), use_buffers=True) if config.ema else None
    )
    optimizer = make_optimizer(network, config)
    reached = checkpoint.restore(state, network, averaged, optimizer) if state and state.exists() else Progressed()
    guests = guests or invite(config, data, report)
    own = len(data["train"])
    pictures, labels = to_device(joined(data["train"], guests), device)
    wanted = targets(config, data)
    if guests:
        wanted = torch.cat([wanted, smoothed(guests.part.labels, wanted.shape[1], config.label_smoothing)])
    wanted = wanted.to(device)
    steps = max(1, own // config.batch_size)
    truth = torch.tensor(data["val"].labels)
    bf16 = uses_bf16(config.precision, device)
    called = team.wrap(network)

    for epoch in range(reached.epoch, config.epochs):
        if config.patience and epoch - reached.best_epoch >= config.patience and reached.epoch:
            break
        started = time.perf_counter()
        its_own = config.seed * 100_003 + epoch + 1_000_003 * team.rank
        torch.manual_seed(its_own)  # dropout
        draws = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
        order = epoch_order(own, len(labels) - own, config, draws).to(device)
        if not team.leads:
            draws.manual_seed(its_own)  # the order is everybody's, the variations are each one's own
        total_loss, total_right = torch.zeros((), device=device), torch.zeros((), device=device)
        network.train()
        for step in range(steps):
            rate = learning_rate_at(epoch * steps + step, config.epochs * steps, config)
            for group in optimizer.param_groups:
                group["lr"] = rate
            chosen = team.share(order[step * config.batch_size : (step + 1) * config.batch_size])
            batch = augment(as_float(pictures[chosen]), RECIPES[config.augment], draws)
            batch = batch.contiguous(memory_format=torch.channels_last)
            with autocast(device, bf16):
                logits = called(batch)
                loss = F.cross_entropy(logits.float(), wanted[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if averaged is not None:
                averaged.update_parameters(network)
            total_loss += loss.detach()
            total_right += (logits.argmax(1) == labels[chosen]).sum()
            if step % 10 == 9:
                loss_so_far = _finite(team.mean(total_loss), epoch, config, state) / (step + 1)
                speed = (step + 1) * config.batch_size / (time.perf_counter() - started)
                if team.leads:
                    report(_progress(epoch * steps + step + 1, steps, config, loss_so_far, reached, speed))
        train_loss = _finite(team.mean(total_loss), epoch, config, state) / steps
        train_right = team.mean(total_right).item() * team.size

        candidate = averaged.module if averaged is not None else network
        scores = None
        if team.leads:
            val_logits = network_logits(candidate, data["val"].images, device, bf16=bf16)
            right = (val_logits.argmax(1) == truth).float().mean().item()
            scores = right, F.cross_entropy(val_logits, truth).item()
        val_accuracy, val_loss = team.agree(scores)
        seconds = time.perf_counter() - started
        seen = steps * min(config.batch_size, own)
        reached.history.append(
            {
                "epoch": epoch + 1,
                "learning_rate": rate,
                "train_loss": train_loss,
                "train_accuracy": train_right / seen,
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                "seconds": round(seconds, 3),
            }
        )
        reached.epoch = epoch + 1
        reached.seconds += seconds
        if (val_accuracy, -val_loss) > (reached.best_accuracy, -reached.best_loss):
            reached.best_epoch, reached.best_accuracy, reached.best_loss = epoch + 1, val_accuracy, val_loss
            reached.best = {k: v.detach().cpu().clone() for k, v in candidate.state_dict().items()}
        if state and team.leads:
            checkpoint.save(state, reached, network, averaged, optimizer)
        if team.leads:
            report(_progress((epoch + 1) * steps, steps, config, train_loss, reached, seen / seconds))

    network.load_state_dict(reached.best)
    return network.eval(), reached


def _finite(loss: Tensor, epoch: int, config: TrainConfig, state: Path | None) -> float:
    value = loss.item()
    if not math.isfinite(value):
        if state:
            shutil.rmtree(state.parent, ignore_errors=True)
        raise TrainingFailed(
            f"the loss became {value} in epoch {epoch + 1}: the learning rate {config.learning_rate:g} "
            f"is too high for {config.model} with {config.optimizer}; try --learning-rate {config.learning_rate / 4:g}"
        )
    return value


def _progress(done: int, steps: int, config: TrainConfig, loss: float, reached: Progressed, speed: float) -> Progress:
    epoch = min(config.epochs, (done - 1) // steps + 1)
    last = reached.history[-1]["val_accuracy"] if reached.history else math.nan
    val = "" if math.isnan(last) else f", val {last:.2%}"
    return Progress(
        done,
        config.epochs * steps,
        f"epoch {epoch}/{config.epochs}, loss {loss:.3f}{val}, {speed:.0f} images/s",
        details={
            "epoch": epoch,
            "finished": reached.epoch,
            "loss": loss,
            "val_accuracy": last,
            "images_per_second": speed,
        },
    )
