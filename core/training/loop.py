"""The training loop: one path for CPU, CUDA and MPS, read from top to bottom; and `train` for every kind of model.

The images lie on the device as uint8; a batch is gathered, augmented and normalised there. Every epoch draws from a
generator seeded by (seed, epoch), so that a training that was interrupted and resumed takes the very steps of one that
was not.
"""

import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from core import paths
from core.datasets import LoadedDataset
from core.errors import HemaLensError
from core.models import ImageClassifier, build, get_model
from core.models.base import to_float
from core.progress import Progress, Report, silent
from core.runs import Run, existing_run, find_run
from core.storage import locked
from core.training import checkpoint, classical
from core.training.augment import AUGMENTATIONS, augment
from core.training.checkpoint import TrainState
from core.training.config import BadConfig, TrainConfig
from core.training.data import (
    AuxiliaryData,
    DeviceImages,
    channel_statistics,
    concatenate_auxiliary,
    content_hashes,
    epoch_order,
    load_auxiliary,
    network_logits,
    smooth_labels,
    training_targets,
)
from core.training.distributed import ProcessGroup, init_process_group, resolve_world_size
from core.training.export_run import export_run
from core.training.init_weights import load_imagenet_weights, load_warm_start
from core.training.optim import (
    autocast,
    choose_device,
    ema_update,
    learning_rate_at,
    make_optimizer,
    uses_bf16,
)

log = logging.getLogger(__name__)
_LOCK_WAIT = 1.0  # seconds: another training takes minutes


class TrainingFailed(HemaLensError):
    """The training can't go on; nothing of it is left on disk but its last good epoch, if any."""


def train_network(
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
    auxiliary = load_auxiliary(config, data, report)
    name = config.run_name(*content_hashes(data, auxiliary))
    existing = existing_run(config.dataset, name)
    if existing and not force:
        return existing
    checkpoint_folder = paths.checkpoints_root() / name
    device = choose_device(config.device)
    world_size = resolve_world_size(device, config.devices)
    if config.batch_size % world_size:
        raise BadConfig(
            f"batch_size can't be {config.batch_size} on {world_size} devices: it must be a multiple of {world_size}"
        )
    process_group = init_process_group(device, world_size)
    state_path = checkpoint_folder / "state.safetensors"
    # Two trainings of one configuration would write one state and one run: the second is told.
    with locked(checkpoint_folder, _LOCK_WAIT) if process_group.is_main else nullcontext():
        if process_group.is_main and not resume:
            shutil.rmtree(checkpoint_folder, ignore_errors=True)
        elif process_group.is_main and not state_path.exists():
            log.warning("nothing to go on with: no training of this was interrupted on these pictures; it begins anew")
        process_group.broadcast(None)  # nobody looks for a former state before it is gone
        with told_out_of_memory(config, device):
            network, state = fit_network(
                config,
                data,
                process_group.device,
                state_path,
                report,
                process_group,
                auxiliary,
            )
            write = partial(
                export_run,
                config,
                name,
                data,
                network,
                state,
                process_group.device,
                root or paths.user_runs_root(),
                auxiliary=auxiliary,
            )
            run = _write_on_main(process_group, partial(write, devices=world_size))
        if process_group.is_main:
            shutil.rmtree(checkpoint_folder, ignore_errors=True)
    return run


def _write_on_main(process_group: ProcessGroup, write: Callable[[], Run]) -> Run:
    """The run that the main process writes, in every process; where it can't, all fail."""
    path = ""
    try:
        if process_group.is_main:
            path = str(write().path)
    finally:
        path = process_group.broadcast(path)
    if not path:
        raise TrainingFailed("the main process could not write the run; its own message says why")
    return Run(Path(path))


@contextmanager
def told_out_of_memory(config: TrainConfig, device: torch.device) -> Iterator[None]:
    """Raise `TrainingFailed`, which says what to do, where there is not enough memory for what is done inside."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # PyTorch has one of its own for GPUs only
        if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
            raise
        raise TrainingFailed(
            f"out of memory on {device.type} with batches of {config.batch_size}: choose a smaller --batch-size or "
            "--size, which starts anew, or --device cpu, which with --resume continues from the last finished epoch"
        ) from error


def fit_network(
    config: TrainConfig,
    data: LoadedDataset,
    device: torch.device,
    state_path: Path | None = None,
    report: Report = silent,
    process_group: ProcessGroup | None = None,
    auxiliary: AuxiliaryData | None = None,
) -> tuple[ImageClassifier, TrainState]:
    """All epochs; returns the network with the weights that did best on val.

    Goes on from the file ``state_path`` where it exists, and keeps each finished epoch there (None: nowhere).
    What ``report`` raises ends the training; the details it gets count the ``finished`` epochs.
    ``auxiliary``: cells that train beside (None: those that ``config`` names).
    Each process of ``process_group`` (None: this one alone) calls it; the leader alone validates, stores and reports.
    """
    process_group = process_group or ProcessGroup(device)
    torch.manual_seed(config.seed)
    network = build(config.model, len(data.spec.classes), config.size, **config.model_arguments)
    network.set_normalisation(*channel_statistics(data["train"].images))
    if config.weights:
        load_imagenet_weights(network, config)
    elif config.warm_start:
        load_warm_start(network, find_run(config.warm_start), data.spec.codes)
    network = network.to(device, memory_format=torch.channels_last)
    averaged = AveragedModel(network, multi_avg_fn=ema_update(config.ema), use_buffers=True) if config.ema else None
    optimizer = make_optimizer(network, config)
    state = (
        checkpoint.restore(state_path, network, averaged, optimizer)
        if state_path and state_path.exists()
        else TrainState()
    )
    auxiliary = auxiliary or load_auxiliary(config, data, report)
    own_count = len(data["train"])
    split = concatenate_auxiliary(data["train"], auxiliary)
    pictures = DeviceImages(split.images, device)
    labels = torch.from_numpy(split.labels.astype("i8")).to(device)
    soft_targets = training_targets(config, data)
    if auxiliary:
        soft_targets = torch.cat(
            [soft_targets, smooth_labels(auxiliary.split.labels, soft_targets.shape[1], config.label_smoothing)]
        )
    soft_targets = soft_targets.to(device)
    steps = max(1, own_count // config.batch_size)
    truth = torch.tensor(data["val"].labels)
    bf16 = uses_bf16(config.precision, device)
    parallel_network = process_group.wrap_module(network)

    for epoch in range(state.epoch, config.epochs):
        if config.patience and epoch - state.best_epoch >= config.patience and state.epoch:
            break
        started = time.perf_counter()
        rank_seed = config.seed * 100_003 + epoch + 1_000_003 * process_group.rank
        torch.manual_seed(rank_seed)  # dropout
        generator = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
        order = epoch_order(own_count, len(labels) - own_count, config, generator).to(device)
        if not process_group.is_main:
            generator.manual_seed(rank_seed)  # the order is everybody's, the variations are each one's own
        total_loss, total_right = torch.zeros((), device=device), torch.zeros((), device=device)
        network.train()
        for step in range(steps):
            rate = learning_rate_at(epoch * steps + step, config.epochs * steps, config)
            for group in optimizer.param_groups:
                group["lr"] = rate
            chosen = process_group.local_indices(order[step * config.batch_size : (step + 1) * config.batch_size])
            batch = augment(to_float(pictures[chosen]), AUGMENTATIONS[config.augment], generator)
            batch = batch.contiguous(memory_format=torch.channels_last)
            with autocast(device, bf16):
                logits = parallel_network(batch)
                loss = F.cross_entropy(logits.float(), soft_targets[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if averaged is not None:
                averaged.update_parameters(network)
            total_loss += loss.detach()
            total_right += (logits.argmax(1) == labels[chosen]).sum()
            if step % 10 == 9:
                loss_so_far = _check_finite(process_group.all_reduce_mean(total_loss), epoch, config, state_path) / (
                    step + 1
                )
                speed = (step + 1) * config.batch_size / (time.perf_counter() - started)
                if process_group.is_main:
                    report(_progress(epoch * steps + step + 1, steps, config, loss_so_far, state, speed))
        train_loss = _check_finite(process_group.all_reduce_mean(total_loss), epoch, config, state_path) / steps
        train_right = process_group.all_reduce_mean(total_right).item() * process_group.world_size

        candidate = averaged.module if averaged is not None else network
        scores = math.nan, math.nan  # the leader's are everybody's
        if process_group.is_main:
            val_logits = network_logits(candidate, data["val"].images, device, bf16=bf16)
            correct = (val_logits.argmax(1) == truth).float().mean().item()
            scores = correct, F.cross_entropy(val_logits, truth).item()
        val_accuracy, val_loss = process_group.broadcast(scores)
        seconds = time.perf_counter() - started
        images_seen = steps * min(config.batch_size, own_count)
        state.history.append(
            {
                "epoch": epoch + 1,
                "learning_rate": rate,
                "train_loss": train_loss,
                "train_accuracy": train_right / images_seen,
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                "seconds": round(seconds, 3),
            }
        )
        state.epoch = epoch + 1
        state.seconds += seconds
        if (val_accuracy, -val_loss) > (state.best_accuracy, -state.best_loss):
            state.best_epoch, state.best_accuracy, state.best_loss = epoch + 1, val_accuracy, val_loss
            state.best_weights = {k: v.detach().cpu().clone() for k, v in candidate.state_dict().items()}
        if state_path and process_group.is_main:
            checkpoint.save(state_path, state, network, averaged, optimizer)
        if process_group.is_main:
            report(_progress((epoch + 1) * steps, steps, config, train_loss, state, images_seen / seconds))

    network.load_state_dict(state.best_weights)
    return network.eval(), state


def _check_finite(loss: Tensor, epoch: int, config: TrainConfig, state_path: Path | None) -> float:
    value = loss.item()
    if not math.isfinite(value):
        if state_path:
            shutil.rmtree(state_path.parent, ignore_errors=True)
        raise TrainingFailed(
            f"the loss became {value} in epoch {epoch + 1}: the learning rate {config.learning_rate:g} "
            f"is too high for {config.model} with {config.optimizer}; try --learning-rate {config.learning_rate / 4:g}"
        )
    return value


def _progress(done: int, steps: int, config: TrainConfig, loss: float, state: TrainState, speed: float) -> Progress:
    epoch = min(config.epochs, (done - 1) // steps + 1)
    last = state.history[-1]["val_accuracy"] if state.history else math.nan
    val = "" if math.isnan(last) else f", val {last:.2%}"
    return Progress(
        done,
        config.epochs * steps,
        f"epoch {epoch}/{config.epochs}, loss {loss:.3f}{val}, {speed:.0f} images/s",
        details={
            "epoch": epoch,
            "finished": state.epoch,
            "loss": loss,
            "val_accuracy": last,
            "images_per_second": speed,
        },
    )


_TRAINERS: dict[str, Callable[..., Run]] = {"network": train_network, "classical": classical.train_classical}


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    force: bool = False,
    root: Path | None = None,
    report: Report = silent,
) -> Run:
    """Train ``config`` in its kind's own way: networks as `core.training.loop` says, trees as `classical` does.

    A configuration that has a run is returned untouched unless ``force``. Raises what these raise, and `BadConfig`
    for a combination, which is not trained.
    """
    kind = get_model(config.model).kind
    if kind not in _TRAINERS:
        raise BadConfig(f"model can't be {config.model!r}: it is made of other runs, with `python -m core combine`")
    return _TRAINERS[kind](config, resume=resume, force=force, root=root, report=report)
