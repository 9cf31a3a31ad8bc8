"""Trains a generator, measures it and writes its folder: autoencoder, flow, two graphs, figures, a sheet and a card.

Each training goes on where it was stopped. A generator whose cells lie nearer to training cells than held-out cells do
is not written.
"""

import math
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from core import paths
from core.datasets import LoadedDataset, get_dataset
from core.evaluation import wilson_interval
from core.generator.networks import Autoencoder, Encoder, Flow, export_decoder, export_flow
from core.generator.sampling import (
    CARD,
    DECODER,
    FACTS,
    FLOW,
    SHEET,
    BadGenerator,
    Generator,
    GeneratorConfig,
    Stage,
    generate,
    generator_path,
    write_sheet,
)
from core.inference import engine
from core.inference.engine import TTA_VIEWS, embed, tta_views
from core.models import ImageClassifier, load_network
from core.progress import Progress, Report, silent
from core.runs import Run, find_run, list_runs
from core.storage import write_json
from core.training import checkpoint
from core.training.augment import AUGMENTATIONS, augment
from core.training.checkpoint import TrainState
from core.training.data import as_float
from core.training.optim import Stopwatch, autocast, device_name, ema_update, parameter_groups, uses_bf16

KEEP_EVERY = 60.0  # seconds between two states on disk
TURNS = 4  # quarter turns of a picture
FEATURE_LAYERS = (1, 2, 3)  # of the critic's body: stem and first two blocks, where maps still show texture
FEATURE_SHARE = 0.2  # of the loss, beside the pixels'


def optimize(
    network: nn.Module,
    loss_of: Callable[[torch.Generator], Tensor],
    stage: Stage,
    state_path: Path,
    seed: int,
    report: Report,
) -> tuple[nn.Module, TrainState]:
    """Lower ``loss_of`` (a fresh batch a call) by ``stage``; returns the averaged network and what was reached.

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
    before, watch = state.seconds, Stopwatch(torch.device("cpu"))
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
    return averaged.module.eval(), state


class _FeatureLoss(nn.Module):
    """How far pictures lie apart for the early layers of a classifier (Johnson et al. 2016, arXiv:1603.08155)."""

    def __init__(self, network: ImageClassifier) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def features(self, pictures: Tensor) -> list[Tensor]:
        x = ((pictures + 1) / 2 - self.network.mean) / self.network.std
        maps = []
        for number, layer in enumerate(self.network.body):
            x = layer(x)
            if number in FEATURE_LAYERS:
                maps.append(x)
            if number == max(FEATURE_LAYERS):
                return maps
        raise AssertionError("the critic has fewer layers than are looked at")

    def forward(self, generated: Tensor, originals: Tensor) -> Tensor:
        with torch.no_grad():
            targets = self.features(originals)
        gaps = [(a - b).abs().mean() / (b.std() + 1e-6) for a, b in zip(self.features(generated), targets, strict=True)]
        return sum(gaps) / len(gaps)


def train_autoencoder(
    config: GeneratorConfig, data: LoadedDataset, state: Path, report: Report
) -> tuple[Autoencoder, TrainState]:
    """The autoencoder of the train split's pictures."""
    torch.manual_seed(config.seed)
    device = torch.device("cpu")
    bf16 = uses_bf16("auto", device)
    network = Autoencoder(config).to(memory_format=torch.channels_last)
    critic = _FeatureLoss(load_network(find_run(config.critic, config.dataset))).to(memory_format=torch.channels_last)
    images = torch.from_numpy(data["train"].images[:])

    def loss_of(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(images), (config.autoencoder.batch_size,), generator=generator)
        pictures = 2 * augment(as_float(images[chosen]), AUGMENTATIONS["flips"], generator) - 1
        with autocast(device, bf16):
            made = network(pictures, config.noise).float()
            apart = critic(made[::2], pictures[::2])  # half of them: it costs as much as the network
        return (made - pictures).abs().mean() + FEATURE_SHARE * apart.float()

    return optimize(network, loss_of, config.autoencoder, state, config.seed, report)


@torch.inference_mode()
def encode_dataset(encoder: Encoder, data: LoadedDataset) -> Tensor:
    """Latents float16 (4, N, C, L, L) of the train split's pictures in their quarter turns."""
    device = torch.device("cpu")
    bf16 = uses_bf16("auto", device)
    images = torch.from_numpy(data["train"].images[:])
    turned = []
    for turn in range(TURNS):
        parts = []
        for start in range(0, len(images), 256):
            part = 2 * torch.rot90(as_float(images[start : start + 256]), turn, (2, 3)) - 1
            with autocast(device, bf16):
                parts.append(encoder(part.contiguous(memory_format=torch.channels_last)).half())
        turned.append(torch.cat(parts))
    return torch.stack(turned)


def _cached_latents(path: Path, encoder: Encoder, data: LoadedDataset) -> Tensor:
    """`encode_dataset`, from the file ``path`` where it exists: a training that goes on needn't wait for it."""
    if not path.exists():
        save_file({"latents": encode_dataset(encoder, data).contiguous()}, path)
    return load_file(path)["latents"]


def train_flow(
    config: GeneratorConfig, data: LoadedDataset, encoder: Encoder, state: Path, report: Report
) -> tuple[Flow, TrainState]:
    """The flow of the train split's latents: a rectified flow (Liu et al. 2022, arXiv:2209.03003).

    Times are logit-normal (Esser et al. 2024, arXiv:2403.03206); some cells go unlabelled, for guidance (Ho and
    Salimans 2022, arXiv:2207.12598). Every class is shown as often as it occurs, to the power of a half: rare ones
    more often than that.
    """
    torch.manual_seed(config.seed)
    device = torch.device("cpu")
    bf16 = uses_bf16("auto", device)
    labels = torch.from_numpy(data["train"].labels.astype("int64"))
    classes = len(data.spec.classes)
    network = Flow(config, classes).to(memory_format=torch.channels_last)
    latents = _cached_latents(state.with_name("latents.safetensors"), encoder, data)
    weights = torch.bincount(labels, minlength=classes).clamp(min=1).float().pow(-0.5)[labels]
    batch = config.flow.batch_size

    def loss_of(generator: torch.Generator) -> Tensor:
        chosen = torch.multinomial(weights, batch, replacement=True, generator=generator)
        turns = torch.randint(TURNS, (batch,), generator=generator)
        cells = latents[turns, chosen].float()
        noise = torch.randn(cells.shape, generator=generator)
        times = torch.sigmoid(torch.randn(batch, generator=generator))
        asked = labels[chosen].masked_fill(torch.rand(batch, generator=generator) < config.label_dropout, classes)
        between = torch.lerp(cells, noise, times[:, None, None, None]).contiguous(memory_format=torch.channels_last)
        with autocast(device, bf16):
            velocity = network(between, times, asked)
        return F.mse_loss(velocity.float(), noise - cells)

    return optimize(network, loss_of, config.flow, state, config.seed, report)


QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75)
BLOCK = 1024  # training cells compared with at a time


@dataclass(frozen=True)
class Nearest:
    """For each of N cells the training cell that is most alike: ``distance`` float32 (N,), its ``row`` int64 (N,).

    ``ratio`` (N,) is that distance by the one to the second nearest: a copy stands out by a small one.
    """

    distance: np.ndarray
    row: np.ndarray
    ratio: np.ndarray


def class_agreement(run: Run, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """The share of ``images`` uint8 (N, S, S, 3) that ``run`` names as they were asked for (``labels``), by class too.

    The classes are numbered as in the run. Shares are 0 to 1, the interval is Wilson's at 95 %.
    """
    named = engine.logits(run, images).argmax(1)
    right = named == labels
    by_class = {code: float(right[labels == i].mean()) for i, code in enumerate(run.codes) if (labels == i).any()}
    return {
        "run": run.name,
        "n": len(labels),
        "share": float(right.mean()),
        "interval": list(wilson_interval(int(right.sum()), len(right))),
        "by_class": by_class,
    }


def nearest_pixels(cells: np.ndarray, train: np.ndarray, report: Report = silent) -> Nearest:
    """By pixels, in the best of the eight turns: the root mean square difference in grey levels (0 to 255).

    Two by two pixels are averaged: what is a copy to the eye is one then too, and noise hides it less.
    """
    turned = np.concatenate([v.reshape(len(cells), -1) for v in tta_views(_downsample(cells))])
    norms = np.einsum("ij,ij->i", turned, turned)
    best = np.full((len(cells), 2), np.inf, np.float32)
    row = np.zeros((len(cells), 2), np.int64)
    for start in range(0, len(train), BLOCK):
        block = _downsample(train[start : start + BLOCK]).reshape(-1, turned.shape[1])
        square = norms[:, None] - 2 * turned @ block.T + np.einsum("ij,ij->i", block, block)
        best, row = _two_nearest(best, row, square.reshape(TTA_VIEWS, len(cells), -1).min(0), start)
        report(Progress(min(start + BLOCK, len(train)), len(train), "", "cell"))
    distance = np.sqrt(np.maximum(best, 0) / turned.shape[1])
    return Nearest(distance[:, 0], row[:, 0], distance[:, 0] / np.maximum(distance[:, 1], 1e-6))


def _downsample(images: np.ndarray) -> np.ndarray:
    """``images`` uint8 (N, S, S, 3) as float32 (N, S / 2, S / 2, 3) from -128 to 127, two by two pixels averaged."""
    n, side, _, _ = images.shape
    return images.reshape(n, side // 2, 2, side // 2, 2, 3).mean((2, 4), dtype=np.float32) - 128


def nearest_embedded(cells: np.ndarray, train: np.ndarray) -> Nearest:
    """By embeddings float32 (N, K) and (M, K): one less the cosine."""
    unit = [e / np.maximum(np.linalg.norm(e, axis=1, keepdims=True), 1e-9) for e in (cells, train)]
    best, row = np.full((len(cells), 2), np.inf, np.float32), np.zeros((len(cells), 2), np.int64)
    best, row = _two_nearest(best, row, 1 - unit[0] @ unit[1].T, 0)
    return Nearest(best[:, 0], row[:, 0], best[:, 0] / np.maximum(best[:, 1], 1e-9))


def _two_nearest(best: np.ndarray, row: np.ndarray, distances: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """The two nearest so far and where they lie, with the distances ``distances`` (N, m) to cells from ``start`` on."""
    two = np.argpartition(distances, 1, axis=1)[:, :2]
    values = np.concatenate([best, np.take_along_axis(distances, two, 1)], 1)
    rows = np.concatenate([row, two + start], 1)
    order = values.argsort(1)[:, :2]
    return np.take_along_axis(values, order, 1), np.take_along_axis(rows, order, 1)


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """Fréchet distance of two sets of embeddings (N, K) and (M, K) (Heusel et al. 2017, arXiv:1706.08500).

    Of the classifier's own embedding, so to be compared only with other figures of the same one.
    """
    covariances = [np.cov(e.astype(np.float64), rowvar=False) for e in (first, second)]
    # The trace of the root of A B is the sum of the roots of its eigenvalues, which are real and not negative.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(covariances[0] @ covariances[1]).real, 0)).sum()
    apart = first.mean(0, dtype=np.float64) - second.mean(0, dtype=np.float64)
    return float(apart @ apart + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * roots)


def quantiles(values: np.ndarray) -> list[float]:
    """The `QUANTILES` of ``values``, rounded to five digits."""
    return [round(float(q), 5) for q in np.quantile(values, QUANTILES)]


def measure_generator(
    images: np.ndarray,
    labels: np.ndarray,
    data: LoadedDataset,
    judge: Run,
    others: tuple[Run, ...] = (),
    report: Report = silent,
) -> tuple[dict[str, Any], Nearest]:
    """All figures of generated ``images`` (the same number of each class), and the training cell nearest to each.

    Held-out val cells, as many of each class, are put to the same questions: what they answer is what cells that
    no training has seen look like. ``judge`` gives the embedding.
    """
    per_class = int(np.bincount(labels).min())
    val, train = data["val"], data["train"]
    rng = np.random.default_rng(0)
    classes = range(len(data.spec.codes))
    chosen = np.concatenate([rng.permutation(np.flatnonzero(val.labels == c))[:per_class] for c in classes])
    held_out = val.images[chosen]
    pixels = nearest_pixels(images, train.images[:], report)
    pixels_val = nearest_pixels(held_out, train.images[:], report)
    train_embeddings, generated_embeddings, held_out_embeddings = (
        embed(judge, part) for part in (train.images[:], images, held_out)
    )
    embedded, embedded_val = (
        nearest_embedded(generated_embeddings, train_embeddings),
        nearest_embedded(held_out_embeddings, train_embeddings),
    )
    alike = np.concatenate([rng.permutation(np.flatnonzero(train.labels == c))[:per_class] for c in classes])
    figures = {
        "cells": len(images),
        "agreement": [class_agreement(run, images, labels) for run in (judge, *others)],
        "neighbours": {
            "held_out": len(held_out),
            "quantiles": list(QUANTILES),
            "pixels": {"generated": quantiles(pixels.distance), "val": quantiles(pixels_val.distance)},
            "pixel_ratio": {"generated": quantiles(pixels.ratio), "val": quantiles(pixels_val.ratio)},
            "embedding": {"generated": quantiles(embedded.distance), "val": quantiles(embedded_val.distance)},
            "embedding_ratio": {"generated": quantiles(embedded.ratio), "val": quantiles(embedded_val.ratio)},
        },
        "frechet": {
            "generated": frechet(generated_embeddings, train_embeddings[alike]),
            "val": frechet(held_out_embeddings, train_embeddings[alike]),
        },
    }
    return figures, pixels


_DISTANCE_TEXT = {
    "pixels": "pixels averaged two by two: root mean square difference in grey levels (0 to 255), best of 8 turns",
    "pixel_ratio": "pixels: that distance by the one to the second nearest (a copy stands out by a small one)",
    "embedding": "embedding: one less the cosine, in the judge's last layer",
    "embedding_ratio": "embedding: that distance by the one to the second nearest",
}


def generator_card(facts: dict[str, Any]) -> str:
    """Markdown for ``card.md`` from all that is known of a generator, figures included."""
    config, data, figures = facts["config"], facts["data"], facts["figures"]
    sampling, training, parameters = facts["sampling"], facts["training"], facts["parameters"]
    neighbours = figures["neighbours"]
    low, high = sampling["interval"]
    lines = [
        f"# Generator of cells, {config['size']} px",
        "",
        f"Makes pictures of {len(facts['codes'])} classes of blood cells ({', '.join(facts['codes'])}) out of random "
        "numbers. **None of them is a patient's cell**; they stand in where no real picture is on the computer, so "
        "that every page has something to show, and they are labelled 'generated' wherever they stand.",
        "",
        f"A latent rectified flow ([Liu et al. 2022](https://arxiv.org/abs/2209.03003), in latents as in "
        f"[Rombach et al. 2022](https://arxiv.org/abs/2112.10752)): a U-Net of {parameters['flow']:,} parameters and a "
        f"decoder of {parameters['decoder']:,}. {sampling['steps']} Heun steps; guidance "
        f"({sampling['guidance']:g}, [Ho and Salimans 2022](https://arxiv.org/abs/2207.12598)) between the times "
        f"{low:g} and {high:g}.",
        "",
        "## Does it make what is asked for?",
        "",
        f"{figures['cells']:,} cells, the same number of each class, none left out, named by models that know real "
        "cells:",
        "",
        "| model | agrees | 95 % interval | " + " | ".join(facts["codes"]) + " |",
        "|---|---|---|" + "---|" * len(facts["codes"]),
    ]
    for result in figures["agreement"]:
        by_class = " | ".join(f"{result['by_class'].get(code, 0):.0%}" for code in facts["codes"])
        bounds = "{:.1%} to {:.1%}".format(*result["interval"])
        lines.append(f"| `{result['run']}` | {result['share']:.1%} | {bounds} | {by_class} |")
    lines += [
        "",
        f"The first model's early layers also took part in training the decoder; the second one's did not. Fréchet "
        f"distance of the first model's embedding to training cells: {figures['frechet']['generated']:.3f}; of as many "
        f"held-out val cells: {figures['frechet']['val']:.3f}. On the sheet that the pages show first (`cells.jpg`) "
        "are cells that the first model names as they were asked for; nothing else was sorted out.",
        "",
        "## Is any of them a copy of a training cell?",
        "",
        f"Each generated cell and each of {neighbours['held_out']:,} held-out val cells was compared with all "
        f"{data['train']:,} training cells. Val cells were in no training: a generator that had learnt cells by heart "
        "would come nearer to training cells than they do. A generator whose lower quantiles in pixels lie below "
        "theirs, of the distance or of its ratio to the second nearest, is not written. Distances in the embedding "
        "decide nothing, and the lowest of them may lie below val's: a cell that a model finds typical lies near many "
        "cells in its eyes. The nearest val cells lie at 0 because the data set holds a few cells twice.",
        "",
        "| distance to the nearest training cell, quantile | "
        + " | ".join("nearest" if q == 0 else f"{q:.0%}" for q in neighbours["quantiles"])
        + " |",
        "|---|" + "---|" * len(neighbours["quantiles"]),
    ]
    for name, question in _DISTANCE_TEXT.items():
        for who in ("generated", "val"):
            values = " | ".join(f"{value:.4g}" for value in neighbours[name][who])
            lines.append(f"| {question}; {who} | {values} |")
    lines += [
        "",
        "## Data",
        "",
        f"Train split of {data['provenance']['label']}, content {data['provenance']['content_hash']}, "
        f"{data['train']:,} cells in their quarter turns. {data['citation']} Licence of the data: "
        f"{data['licence']}; what is generated here comes under the same.",
        "",
        "## Training",
        "",
        f"Autoencoder: {training['autoencoder']['steps']:,} steps of {config['autoencoder']['batch_size']} cells "
        f"({training['autoencoder']['seconds']:,} s); flow: {training['flow']['steps']:,} steps of "
        f"{config['flow']['batch_size']} ({training['flow']['seconds']:,} s), on {training['device']}. Seed "
        f"{config['seed']}.",
        "",
        "## Limits",
        "",
        "Pictures to try the pages with and to get an idea of a class. Not for teaching morphology, not for training "
        "or testing a classifier, not for any diagnosis: fine structure (chromatin, granules) is smoother than in a "
        "real cell, rare forms are missing, and nothing checks that a cell like this could exist. Stain, microscope "
        "and people are those of one laboratory. Research use, not a medical device.",
        "",
    ]
    return "\n".join(lines)


SHEET_COLUMNS = 20  # cells of each class on the sheet: a page of the Dataset page's wall
SHEET_QUALITY = 95  # of JPEG
MEASURED_PER_CLASS = 100  # the sheet is chosen among these: those first that the judge names as they were asked for


@dataclass(frozen=True)
class SamplingConfig:
    """How cells are made: Heun ``steps``, ``guidance`` between the times ``interval``, ``time_exponent`` of the times."""

    steps: int = 8
    guidance: float = 1.3
    interval: tuple[float, float] = (0.0, 0.9)
    time_exponent: float = 1.3

    def as_json(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "guidance": self.guidance,
            "interval": list(self.interval),
            "bend": self.time_exponent,
        }


def train_generator(
    config: GeneratorConfig,
    sampling: SamplingConfig,
    *,
    root: Path | None = None,
    measured: int = MEASURED_PER_CLASS,
    report: Callable[[str], Report] = lambda stage: lambda progress: None,
) -> Generator:
    """Train what is not trained yet, measure, and write the generator under ``root`` (None: the user's own).

    Each stage of the work gets a bar of its own from ``report``. Raises `BadGenerator` where what it makes lies
    nearer to training cells than held-out cells do; the trainings are kept, and the next call goes on from there.
    """
    data = get_dataset(config.dataset).load(config.size)
    work = paths.checkpoints_root() / f"generator-{config.short_hash(data.provenance.content_hash)}"
    autoencoder, first = train_autoencoder(config, data, work / "autoencoder.safetensors", report("Autoencoder"))
    flow, second = train_flow(config, data, autoencoder.encoder, work / "flow.safetensors", report("Flow"))
    latent = (config.channels, config.latent_side, config.latent_side)
    final = generator_path(root or paths.user_runs_root(), config.dataset)
    final.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".generator-", dir=final.parent))
    try:
        export_decoder(autoencoder.decoder, latent, folder / DECODER)
        export_flow(flow, latent, folder / FLOW)
        facts = {
            "codes": list(data.spec.codes),
            "config": config.as_json(),
            "latent": list(latent),
            "sampling": sampling.as_json(),
            "data": {
                "provenance": {
                    "kind": data.provenance.kind,
                    "label": data.provenance.label,
                    "content_hash": data.provenance.content_hash,
                },
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
                "device": device_name(torch.device("cpu")),
            },
        }
        measure_and_write(folder, facts, data, measured, report)
        folder.chmod(0o755)
        if final.exists():
            shutil.rmtree(final)
        folder.rename(final)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Generator(final, facts)


def measure_and_write(
    folder: Path, facts: dict[str, Any], data: LoadedDataset, measured: int, report: Callable[[str], Report]
) -> None:
    """Make ``measured`` cells of each class with the graphs in ``folder``, judge them, write sheet, facts and card."""
    write_json(folder / FACTS, facts)
    generator = Generator(folder, facts)
    labels = np.repeat(np.arange(len(generator.codes)), measured)
    generated = generate(generator, labels, seed=0, report=report("Cells to measure"))
    judge = find_run(facts["config"]["critic"], data.spec.name)
    figures, _ = measure_generator(
        generated, labels, data, judge, _second_judge(judge), report("Nearest training cells")
    )
    facts["figures"] = figures
    check_memorisation(facts)
    named = engine.logits(judge, generated).argmax(1)
    order = np.lexsort((np.arange(len(labels)), named != labels, labels))  # by class, those named rightly first
    shown = order.reshape(len(generator.codes), measured)[:, :SHEET_COLUMNS].ravel()
    write_sheet(folder / SHEET, generated[shown], len(generator.codes), SHEET_QUALITY)
    write_json(folder / FACTS, facts)
    (folder / CARD).write_text(generator_card(facts), encoding="utf-8")


def check_memorisation(facts: dict[str, Any]) -> None:
    """Raise `BadGenerator` where generated cells are, pixel by pixel, more like training cells than val cells are.

    Two signs of a copy: a small distance to the nearest training cell, and one that is small against the distance to
    the second nearest. Distances in the embedding are told on the card but decide nothing: what a model finds typical
    lies near many cells in its eyes, and is no copy of any.
    """
    for measure_name in ("pixels", "pixel_ratio"):
        quantiles_of = facts["figures"]["neighbours"][measure_name]
        for quantile, generated, held_out in zip(
            facts["figures"]["neighbours"]["quantiles"], quantiles_of["generated"], quantiles_of["val"], strict=True
        ):
            if generated < held_out and quantile <= 0.05:
                raise BadGenerator(
                    f"the {quantile:.0%} quantile of the distance to the nearest training cell ({measure_name}) is "
                    f"{generated:g}, for held-out cells {held_out:g}: it may have learnt cells by heart and is not written"
                )


def _second_judge(judge: Run) -> tuple[Run, ...]:
    """The best network of another kind at the same size: one whose features the training never looked at."""
    candidates = [
        run
        for run in list_runs(judge.dataset, judge.size)
        if run.kind == "network" and run.config["model"]["name"] != judge.config["model"]["name"] and run.shipped
    ]
    return tuple(candidates[:1])
