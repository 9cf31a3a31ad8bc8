"""Trains a generator: first the autoencoder, then the flow on its latents. Each goes on where it was stopped."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from core.datasets import LoadedDataset
from core.generator.config import GeneratorConfig, Stage
from core.generator.networks import Autoencoder, Encoder, Flow
from core.models import ImageClassifier, load
from core.progress import Progress, Report
from core.runs import find_run
from core.training import checkpoint
from core.training.augment import RECIPES, augment
from core.training.checkpoint import Progressed
from core.training.device import autocast, uses_bf16
from core.training.optim import decay_groups, exponential_average
from core.training.pixels import as_float
from core.training.stopwatch import Stopwatch

KEEP_EVERY = 60.0  # seconds between two states on disk
TURNS = 4  # quarter turns of a picture
FEATURE_LAYERS = (1, 2, 3)  # of the critic's body: stem and first two blocks, where maps still show texture
FEATURE_SHARE = 0.2  # of the loss, beside the pixels'


def fit(
    network: nn.Module,
    loss_of: Callable[[torch.Generator], Tensor],
    stage: Stage,
    state: Path,
    seed: int,
    report: Report,
) -> tuple[nn.Module, Progressed]:
    """Lower ``loss_of`` (a fresh batch a call) by ``stage``; returns the averaged network and what was reached.

    Goes on from the file ``state`` where it exists.
    """
    averaged = AveragedModel(network, multi_avg_fn=exponential_average(stage.ema))  # buffers are copied
    optimizer = torch.optim.AdamW(decay_groups(network, stage.weight_decay), lr=stage.learning_rate, betas=(0.9, 0.98))
    reached = checkpoint.restore(state, network, averaged, optimizer) if state.exists() else Progressed()
    generator = torch.Generator().manual_seed(seed + 1_000_003 * reached.epoch)
    torch.manual_seed(seed + reached.epoch)
    budget, kept, running = 60 * stage.minutes, reached.seconds, math.nan
    before, watch = reached.seconds, Stopwatch(torch.device("cpu"))
    network.train()
    while reached.seconds < budget:
        rate = stage.learning_rate * min(1.0, (reached.epoch + 1) / stage.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - reached.seconds / budget)
        loss = loss_of(generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        averaged.update_parameters(network)
        running = loss.item() if math.isnan(running) else 0.99 * running + 0.01 * loss.item()
        reached.epoch += 1
        reached.seconds = before + watch.seconds()
        if reached.seconds - kept > KEEP_EVERY or reached.seconds >= budget:
            kept = reached.seconds
            reached.history.append({"step": reached.epoch, "seconds": round(kept, 1), "loss": running})
            checkpoint.save(state, reached, network, averaged, optimizer)
        seconds = int(min(reached.seconds, budget))
        report(Progress(seconds, int(budget), f"step {reached.epoch}, loss {running:.4f}", "s"))
    return averaged.module.eval(), reached


class _Critic(nn.Module):
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

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        with torch.no_grad():
            targets = self.features(wanted)
        gaps = [(a - b).abs().mean() / (b.std() + 1e-6) for a, b in zip(self.features(made), targets, strict=True)]
        return sum(gaps) / len(gaps)


def train_autoencoder(
    config: GeneratorConfig, data: LoadedDataset, state: Path, report: Report
) -> tuple[Autoencoder, Progressed]:
    """The autoencoder of the train split's pictures."""
    torch.manual_seed(config.seed)
    device = torch.device("cpu")
    bf16 = uses_bf16("auto", device)
    network = Autoencoder(config).to(memory_format=torch.channels_last)
    critic = _Critic(load(find_run(config.critic, config.dataset))).to(memory_format=torch.channels_last)
    images = torch.from_numpy(data["train"].images[:])

    def loss_of(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(images), (config.autoencoder.batch_size,), generator=generator)
        pictures = 2 * augment(as_float(images[chosen]), RECIPES["flips"], generator) - 1
        with autocast(device, bf16):
            made = network(pictures, config.noise).float()
            apart = critic(made[::2], pictures[::2])  # half of them: it costs as much as the network
        return (made - pictures).abs().mean() + FEATURE_SHARE * apart.float()

    return fit(network, loss_of, config.autoencoder, state, config.seed, report)


@torch.inference_mode()
def encoded(encoder: Encoder, data: LoadedDataset) -> Tensor:
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


def _kept(path: Path, encoder: Encoder, data: LoadedDataset) -> Tensor:
    """`encoded`, from the file ``path`` where it exists: a training that goes on needn't wait for it."""
    if not path.exists():
        save_file({"latents": encoded(encoder, data).contiguous()}, path)
    return load_file(path)["latents"]


def train_flow(
    config: GeneratorConfig, data: LoadedDataset, encoder: Encoder, state: Path, report: Report
) -> tuple[Flow, Progressed]:
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
    latents = _kept(state.with_name("latents.safetensors"), encoder, data)
    weights = torch.bincount(labels, minlength=classes).clamp(min=1).float().pow(-0.5)[labels]
    batch = config.flow.batch_size

    def loss_of(generator: torch.Generator) -> Tensor:
        chosen = torch.multinomial(weights, batch, replacement=True, generator=generator)
        turns = torch.randint(TURNS, (batch,), generator=generator)
        cells = latents[turns, chosen].float()
        noise = torch.randn(cells.shape, generator=generator)
        times = torch.sigmoid(torch.randn(batch, generator=generator))
        asked = labels[chosen].masked_fill(torch.rand(batch, generator=generator) < config.unlabelled, classes)
        between = torch.lerp(cells, noise, times[:, None, None, None]).contiguous(memory_format=torch.channels_last)
        with autocast(device, bf16):
            velocity = network(between, times, asked)
        return F.mse_loss(velocity.float(), noise - cells)

    return fit(network, loss_of, config.flow, state, config.seed, report)
