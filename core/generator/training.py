"""Trains a generator, measures it and writes its folder: autoencoder, flow, two graphs, figures, a sheet and a card.

Each training goes on where it was stopped. A generator whose cells lie nearer to training cells than held-out cells do
is not written.
"""

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from core import paths
from core.datasets import LoadedDataset, get_dataset
from core.generator import (
    CARD,
    DECODER,
    FACTS,
    FLOW,
    SHEET,
    BadGenerator,
    Generator,
    generate,
    generator_path,
    write_sheet,
)
from core.generator.networks import Autoencoder, Flow, export_decoder, export_flow
from core.inference import engine
from core.inference.engine import TTA_VIEWS, tta_views
from core.models import ImageClassifier, load_network
from core.models.base import to_float
from core.probabilities import wilson_interval
from core.progress import Progress, Report, batches, silent
from core.runs import Run, find_run, list_runs
from core.storage import write_json
from core.training import checkpoint
from core.training.augment import AUGMENTATIONS, augment
from core.training.checkpoint import TrainState
from core.training.optim import Stopwatch, autocast, device_name, ema_update, parameter_groups, uses_bf16

CPU = torch.device("cpu")
KEEP_EVERY = 60.0  # seconds between two states on disk
TURNS = 4  # quarter turns of a picture
FEATURE_LAYERS = (1, 2, 3)  # of the judge's body: stem and first two blocks, where maps still show texture
FEATURE_SHARE = 0.2  # of the loss, beside the pixels'
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75)
BLOCK = 1024  # training cells compared with at a time
SHEET_COLUMNS = 20  # cells of each class on the sheet: a page of the Dataset page's gallery
MEASURED_PER_CLASS = 100  # the sheet is chosen among these: those first that the judge names as they were asked for
# Heun steps, guidance between two times, and the exponent that makes steps shorter near the cells.
SAMPLING: dict[str, Any] = {"steps": 8, "guidance": 1.3, "interval": [0.0, 0.9], "time_exponent": 1.3}


@dataclass(frozen=True)
class Stage:
    """One of the two trainings: ``minutes`` of a processor core's work, in which the learning rate falls to zero.

    A budget of work instead of epochs: it says beforehand when there will be a generator.
    """

    minutes: float
    batch_size: int
    learning_rate: float
    ema: float = 0.998
    warmup: int = 60  # steps over which the rate rises
    weight_decay: float = 0.01


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything needed to train a generator again.

    Pictures of ``size`` px are kept as latents (``channels``, size / 4, size / 4) by an autoencoder of ``width``; a
    flow of ``flow_width`` (at size / 4, and twice that where it is coarser) makes latents out of noise. ``noise`` is
    the deviation of what the autoencoder's latents, of deviation 1, are blurred by; ``judge`` names the run whose
    early features compare pictures with what is decoded, and which names what was made; ``label_dropout`` is the share
    of cells shown to the flow without their class, which guidance needs. Raises `BadGenerator` for other sizes.
    """

    dataset: str = "bloodmnist"
    size: int = 64
    channels: int = 4
    width: int = 64
    noise: float = 0.1
    judge: str = "cnn_se-64-4a7077"
    flow_width: int = 32
    label_dropout: float = 0.12
    seed: int = 0
    autoencoder: Stage = field(default_factory=lambda: Stage(7.6, 16, 2e-3))
    flow: Stage = field(default_factory=lambda: Stage(5, 32, 2e-3))

    def __post_init__(self) -> None:
        if self.size % 16:
            raise BadGenerator(f"cells of {self.size} px can't be generated: the side must be a multiple of 16 px")

    @property
    def latent(self) -> tuple[int, int, int]:
        """Shape of a cell's latents."""
        return self.channels, self.size // 4, self.size // 4


Network = TypeVar("Network", bound=nn.Module)


def optimize(
    network: Network,
    loss_of: Callable[[torch.Generator], Tensor],
    stage: Stage,
    state_path: Path,
    seed: int,
    report: Report,
) -> tuple[Network, TrainState]:
    """Lower ``loss_of`` (a fresh batch a call) by ``stage``; returns ``network``, its weights averaged, and the state.

    Goes on from the file ``state_path`` where it exists.
    """
    averaged = AveragedModel(network, multi_avg_fn=ema_update(stage.ema))  # buffers are copied
    optimizer = torch.optim.AdamW(
        parameter_groups(network, stage.weight_decay), lr=stage.learning_rate, betas=(0.9, 0.98)
    )
    state = checkpoint.restore(state_path, network, averaged, optimizer) if state_path.exists() else TrainState()
    generator = torch.Generator().manual_seed(seed + 1_000_003 * state.epoch)
    torch.manual_seed(seed + state.epoch)
    budget, saved_seconds, running = 60 * stage.minutes, state.seconds, math.nan
    before, watch = state.seconds, Stopwatch(CPU)
    network.train()
    while state.seconds < budget:
        rate = stage.learning_rate * min(1.0, (state.epoch + 1) / stage.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - state.seconds / budget)
        loss = loss_of(generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        averaged.update_parameters(network)
        running = loss.item() if math.isnan(running) else 0.99 * running + 0.01 * loss.item()
        state.epoch += 1
        state.seconds = before + watch.seconds()
        if state.seconds - saved_seconds > KEEP_EVERY or state.seconds >= budget:
            saved_seconds = state.seconds
            state.history.append({"step": state.epoch, "seconds": round(saved_seconds, 1), "loss": running})
            checkpoint.save(state_path, state, network, averaged, optimizer)
        seconds = int(min(state.seconds, budget))
        report(Progress(seconds, int(budget), f"step {state.epoch}, loss {running:.4f}", "s"))
    network.load_state_dict(averaged.module.state_dict())
    return network.eval(), state


def _feature_gap(judge: ImageClassifier) -> Callable[[Tensor, Tensor], Tensor]:
    """How far pictures lie apart for the early layers of ``judge`` (Johnson et al. 2016, arXiv:1603.08155)."""
    judge.requires_grad_(False).to(memory_format=torch.channels_last)
    if not isinstance(judge.body, nn.Sequential):
        raise BadGenerator("the judge must be a network whose layers stand in a row: choose a compact one with --judge")
    early = judge.body[: max(FEATURE_LAYERS) + 1]

    def features(pictures: Tensor) -> list[Tensor]:
        x = ((pictures + 1) / 2 - judge.mean) / judge.std
        maps = [x := layer(x) for layer in early]
        return [maps[number] for number in FEATURE_LAYERS]

    def gap(decoded: Tensor, originals: Tensor) -> Tensor:
        with torch.no_grad():
            targets = features(originals)
        gaps = [(a - b).abs().mean() / (b.std() + 1e-6) for a, b in zip(features(decoded), targets, strict=True)]
        return torch.stack(gaps).mean()

    return gap


def train_autoencoder(
    config: GeneratorConfig, data: LoadedDataset, state: Path, report: Report
) -> tuple[Autoencoder, TrainState]:
    """The autoencoder of the train split's pictures, and what its training reached."""
    torch.manual_seed(config.seed)
    bf16 = uses_bf16("auto", CPU)
    network = Autoencoder(config.channels, config.width).to(memory_format=torch.channels_last)
    feature_gap = _feature_gap(load_network(find_run(config.judge, config.dataset)))
    images = torch.from_numpy(data["train"].images[:])

    def loss_of(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(images), (config.autoencoder.batch_size,), generator=generator)
        pictures = 2 * augment(to_float(images[chosen]), AUGMENTATIONS["flips"], generator) - 1
        with autocast(CPU, bf16):
            decoded = network(pictures, config.noise).float()
            gap = feature_gap(decoded[::2], pictures[::2])  # half of them: it costs as much as the network
        return (decoded - pictures).abs().mean() + FEATURE_SHARE * gap.float()

    return optimize(network, loss_of, config.autoencoder, state, config.seed, report)


@torch.inference_mode()
def encode_turns(autoencoder: Autoencoder, images: Tensor) -> Tensor:
    """Latents float16 (4, N, C, L, L) of ``images`` uint8 (N, S, S, 3) in their quarter turns."""
    bf16 = uses_bf16("auto", CPU)
    turned = []
    for turn in range(TURNS):
        parts = []
        for part in batches(len(images), 256):
            pictures = 2 * torch.rot90(to_float(images[part]), turn, (2, 3)) - 1
            with autocast(CPU, bf16):
                parts.append(autoencoder.encode(pictures.contiguous(memory_format=torch.channels_last)).half())
        turned.append(torch.cat(parts))
    return torch.stack(turned)


def train_flow(
    config: GeneratorConfig, data: LoadedDataset, autoencoder: Autoencoder, state: Path, report: Report
) -> tuple[Flow, TrainState]:
    """The flow of the train split's latents, rectified (Liu et al. 2022, arXiv:2209.03003), and what was reached.

    Times are logit-normal (Esser et al. 2024, arXiv:2403.03206); some cells go unlabelled, for guidance. Every class
    is shown as often as it occurs, to the power of a half: rare ones more often than that.
    """
    torch.manual_seed(config.seed)
    bf16 = uses_bf16("auto", CPU)
    labels = torch.from_numpy(data["train"].labels.astype("int64"))
    classes, batch = len(data.spec.classes), config.flow.batch_size
    network = Flow(config.channels, config.flow_width, classes).to(memory_format=torch.channels_last)
    latents = encode_turns(autoencoder, torch.from_numpy(data["train"].images[:]))
    weights = torch.bincount(labels, minlength=classes).clamp(min=1).float().pow(-0.5)[labels]

    def loss_of(generator: torch.Generator) -> Tensor:
        chosen = torch.multinomial(weights, batch, replacement=True, generator=generator)
        turns = torch.randint(TURNS, (batch,), generator=generator)
        cells = latents[turns, chosen].float()
        noise = torch.randn(cells.shape, generator=generator)
        times = torch.sigmoid(torch.randn(batch, generator=generator))
        asked = labels[chosen].masked_fill(torch.rand(batch, generator=generator) < config.label_dropout, classes)
        between = torch.lerp(cells, noise, times[:, None, None, None]).contiguous(memory_format=torch.channels_last)
        with autocast(CPU, bf16):
            velocity = network(between, times, asked)
        return F.mse_loss(velocity.float(), noise - cells)

    return optimize(network, loss_of, config.flow, state, config.seed, report)


def class_agreement(run: Run, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """How often ``run`` names ``images`` uint8 (N, S, S, 3) as they were asked for (``labels`` int (N,)), by class too.

    Accuracies are 0 to 1, the interval is Wilson's at 95 %; the classes are numbered as in the run.
    """
    right = engine.logits(run, images).argmax(1) == labels
    return {
        "run": run.name,
        "n": len(labels),
        "accuracy": float(right.mean()),
        "interval": list(wilson_interval(int(right.sum()), len(right))),
        "by_class": {code: float(right[labels == i].mean()) for i, code in enumerate(run.codes) if (labels == i).any()},
    }


def nearest_pixels(cells: np.ndarray, train: np.ndarray, report: Report = silent) -> tuple[np.ndarray, np.ndarray]:
    """How far each of ``cells`` (N, S, S, 3) lies from the nearest of ``train`` (M, S, S, 3), both uint8: float32 (N,).

    The root mean square difference in grey levels (0 to 255) in the best of the eight turns, two by two pixels
    averaged: what is a copy to the eye is one then too, and noise hides it less. The second array is that distance by
    the one to the second nearest: a copy stands out by a small one.
    """
    turned = np.concatenate([view.reshape(len(cells), -1) for view in tta_views(_downsample(cells))])
    norms = np.einsum("ij,ij->i", turned, turned)
    nearest = np.full((len(cells), 2), np.inf, np.float32)
    for part in batches(len(train), BLOCK, report, unit="cell"):
        block = _downsample(train[part]).reshape(-1, turned.shape[1])
        squares = norms[:, None] - 2 * turned @ block.T + np.einsum("ij,ij->i", block, block)
        squares = squares.reshape(TTA_VIEWS, len(cells), -1).min(0)
        nearest = np.partition(np.concatenate([nearest, squares], 1), 1)[:, :2]
    distance = np.sqrt(np.maximum(nearest, 0) / turned.shape[1])
    return distance[:, 0], distance[:, 0] / np.maximum(distance[:, 1], 1e-6)


def _downsample(images: np.ndarray) -> np.ndarray:
    """``images`` uint8 (N, S, S, 3) as float32 (N, S / 2, S / 2, 3) from -128 to 127, two by two pixels averaged."""
    n, side, _, _ = images.shape
    return images.reshape(n, side // 2, 2, side // 2, 2, 3).mean((2, 4), dtype=np.float32) - 128


def measure_generator(
    images: np.ndarray, labels: np.ndarray, data: LoadedDataset, judges: list[Run], report: Report = silent
) -> dict[str, Any]:
    """All figures of generated ``images`` (the same number of each class): how ``judges`` name them, what they copy.

    Held-out val cells, as many of each class, are put to the same questions: what they answer is what cells that
    no training has seen look like.
    """
    val, rng = data["val"], np.random.default_rng(0)
    per_class = int(np.bincount(labels).min())
    chosen = [rng.permutation(np.flatnonzero(val.labels == c))[:per_class] for c in range(len(data.spec.codes))]
    held_out = val.images[np.concatenate(chosen)]
    distances: dict[str, dict[str, list[float]]] = {"pixels": {}, "pixel_ratio": {}}
    for who, cells in (("generated", images), ("val", held_out)):
        for name, values in zip(distances, nearest_pixels(cells, data["train"].images[:], report), strict=True):
            distances[name][who] = [round(float(q), 5) for q in np.quantile(values, QUANTILES)]
    return {
        "cells": len(images),
        "agreement": [class_agreement(run, images, labels) for run in judges],
        "neighbours": {"held_out": len(held_out), "quantiles": list(QUANTILES), **distances},
    }


def check_memorisation(facts: dict[str, Any]) -> None:
    """Raise `BadGenerator` where generated cells are, pixel by pixel, more like training cells than val cells are.

    Two signs of a copy: a small distance to the nearest training cell, and one that is small against the distance to
    the second nearest.
    """
    neighbours = facts["figures"]["neighbours"]
    for name in ("pixels", "pixel_ratio"):
        values = zip(neighbours["quantiles"], neighbours[name]["generated"], neighbours[name]["val"], strict=True)
        for quantile, generated, held_out in values:
            if generated < held_out and quantile <= 0.05:
                raise BadGenerator(
                    f"the {quantile:.0%} quantile of the distance to the nearest training cell ({name}) is "
                    f"{generated:g}, for held-out cells {held_out:g}: it may have learnt cells by heart and is not "
                    "written"
                )


def generator_card(facts: dict[str, Any]) -> str:
    """Markdown for ``card.md`` from all that is known of a generator, figures included."""
    config, data, figures, codes = facts["config"], facts["data"], facts["figures"], facts["codes"]
    sampling, training, neighbours = facts["sampling"], facts["training"], facts["figures"]["neighbours"]
    agreement = [
        [f"`{each['run']}`", f"{each['accuracy']:.1%}", "{:.1%} to {:.1%}".format(*each["interval"])]
        + [f"{each['by_class'].get(code, 0):.0%}" for code in codes]
        for each in figures["agreement"]
    ]
    questions = {
        "pixels": "pixels averaged two by two: root mean square difference in grey levels (0 to 255), best of 8 turns",
        "pixel_ratio": "that distance by the one to the second nearest (a copy stands out by a small one)",
    }
    distances = [
        [f"{question}; {who}", *(f"{value:.4g}" for value in neighbours[name][who])]
        for name, question in questions.items()
        for who in ("generated", "val")
    ]
    quantiles = ["nearest" if q == 0 else f"{q:.0%}" for q in neighbours["quantiles"]]
    return f"""# Generator of cells, {config["size"]} px

Makes pictures of {len(codes)} classes of blood cells ({", ".join(codes)}) out of random numbers. **None of them is a \
patient's cell**; they stand in where no real picture is on the computer, so that every page has something to show, \
and they are labelled 'generated' wherever they stand.

A latent rectified flow ([Liu et al. 2022](https://arxiv.org/abs/2209.03003), in latents as in \
[Rombach et al. 2022](https://arxiv.org/abs/2112.10752)): a U-Net of {facts["parameters"]["flow"]:,} parameters and a \
decoder of {facts["parameters"]["decoder"]:,}. {sampling["steps"]} Heun steps; guidance ({sampling["guidance"]:g}, \
[Ho and Salimans 2022](https://arxiv.org/abs/2207.12598)) between the times {sampling["interval"][0]:g} and \
{sampling["interval"][1]:g}.

## Does it make what is asked for?

{figures["cells"]:,} cells, the same number of each class, none left out, named by models that know real cells:

{_table(["model", "agrees", "95 % interval", *codes], agreement)}

The first model's early layers also took part in training the decoder; the second one's did not. On the sheet that the \
pages show first (`{SHEET}`) are cells that the first model names as they were asked for; nothing else was sorted out.

## Is any of them a copy of a training cell?

Each generated cell and each of {neighbours["held_out"]:,} held-out val cells was compared with all {data["train"]:,} \
training cells. Val cells were in no training: a generator that had learnt cells by heart would come nearer to \
training cells than they do. A generator whose lower quantiles lie below theirs, of the distance or of its ratio to \
the second nearest, is not written.

{_table(["distance to the nearest training cell, quantile", *quantiles], distances)}

## Data

Train split of {data["provenance"]["label"]}, content {data["provenance"]["content_hash"]}, {data["train"]:,} cells in \
their quarter turns. {data["citation"]} Licence of the data: {data["licence"]}; what is generated here comes under the \
same.

## Training

Autoencoder: {training["autoencoder"]["steps"]:,} steps of {config["autoencoder"]["batch_size"]} cells \
({training["autoencoder"]["seconds"]:,} s); flow: {training["flow"]["steps"]:,} steps of \
{config["flow"]["batch_size"]} ({training["flow"]["seconds"]:,} s), on {training["device"]}. Seed {config["seed"]}.

## Limits

Pictures to try the pages with and to get an idea of a class. Not for teaching morphology, not for training or testing \
a classifier, not for any diagnosis: fine structure (chromatin, granules) is smoother than in a real cell, rare forms \
are missing, and nothing checks that a cell like this could exist. Stain, microscope and people are those of one \
laboratory. Research use, not a medical device.
"""


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def train_generator(
    config: GeneratorConfig,
    *,
    root: Path | None = None,
    measured: int = MEASURED_PER_CLASS,
    report: Callable[[str], Report] = lambda stage: silent,
) -> Generator:
    """Train what is not trained yet, measure ``measured`` cells of each class, and write the generator under ``root``
    (None: the user's own).

    Each stage of the work gets a bar of its own from ``report``. Raises `BadGenerator` where what it makes lies
    nearer to training cells than held-out cells do; the trainings are kept, and the next call goes on from there.
    """
    data = get_dataset(config.dataset).load(config.size)
    identity = json.dumps([asdict(config), data.provenance.content_hash], sort_keys=True)
    work = paths.checkpoints_root() / f"generator-{hashlib.sha256(identity.encode()).hexdigest()[:6]}"
    autoencoder, first = train_autoencoder(config, data, work / "autoencoder.safetensors", report("Autoencoder"))
    flow, second = train_flow(config, data, autoencoder, work / "flow.safetensors", report("Flow"))
    final = generator_path(root or paths.user_runs_root(), config.dataset)
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".generator-", dir=final.parent) as temporary:
        folder = Path(temporary) / final.name
        folder.mkdir()
        export_decoder(autoencoder.decoder, config.latent, folder / DECODER)
        export_flow(flow, config.latent, folder / FLOW)
        facts = {
            "codes": list(data.spec.codes),
            "config": asdict(config),
            "latent": list(config.latent),
            "sampling": SAMPLING,
            "data": {
                "provenance": data.provenance.as_json(),
                "train": len(data["train"]),
                "licence": data.spec.licence,
                "citation": data.spec.citation,
            },
            "parameters": {
                "decoder": sum(p.numel() for p in autoencoder.decoder.parameters()),
                "flow": sum(p.numel() for p in flow.parameters()),
            },
            "training": {
                "autoencoder": {"steps": first.epoch, "seconds": round(first.seconds)},
                "flow": {"steps": second.epoch, "seconds": round(second.seconds)},
                "device": device_name(CPU),
            },
        }
        measure_and_write(folder, facts, data, measured, report)
        if final.exists():
            shutil.rmtree(final)
        folder.rename(final)
    return Generator(final, facts)


def measure_and_write(
    folder: Path, facts: dict[str, Any], data: LoadedDataset, measured: int, report: Callable[[str], Report]
) -> None:
    """Make ``measured`` cells of each class with the graphs in ``folder``, judge them, write sheet, facts and card."""
    codes = facts["codes"]
    labels = np.repeat(np.arange(len(codes)), measured)
    generated = generate(Generator(folder, facts), labels, seed=0, report=report("Cells to measure"))
    judge = find_run(facts["config"]["judge"], data.spec.name)
    # The best network of another kind at the same size: one whose features the training never looked at.
    others = [
        run
        for run in list_runs(judge.dataset, judge.size)
        if run.kind == "network" and run.shipped and run.config["model"]["name"] != judge.config["model"]["name"]
    ]
    report_nearest = report("Nearest training cells")
    facts["figures"] = measure_generator(generated, labels, data, [judge, *others[:1]], report_nearest)
    check_memorisation(facts)
    named = engine.logits(judge, generated).argmax(1)
    order = np.lexsort((np.arange(len(labels)), named != labels, labels))  # by class, those named rightly first
    shown = order.reshape(len(codes), measured)[:, :SHEET_COLUMNS].ravel()
    write_sheet(folder / SHEET, generated[shown], len(codes))
    write_json(folder / FACTS, facts)
    (folder / CARD).write_text(generator_card(facts), encoding="utf-8")
