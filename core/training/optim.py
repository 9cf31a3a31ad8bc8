"""Optimiser, learning-rate schedule, and the device: which one, in which precision, and how time is taken on it."""

import math
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from core.errors import HemaLensError
from core.training.config import TrainConfig

Tensors = list[Tensor] | tuple[Tensor, ...]


def choose_device(name: str) -> torch.device:
    """The device called ``name``; 'auto' takes CUDA, else Apple's MPS, else the CPU."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(d for d, there in available.items() if there)
    if not available[name]:
        devices = ", ".join(d for d, ok in available.items() if ok)
        raise HemaLensError(f"this machine has no {name} device that PyTorch can use; choose among: {devices}, auto")
    return torch.device(name)


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether to train in bfloat16: on request, or by itself where the hardware multiplies it faster."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def autocast(device: torch.device, bf16: bool) -> AbstractContextManager:
    """bfloat16 for the operations that gain from it, or nothing."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()


def device_name(device: torch.device) -> str:
    """What a person reads: 'NVIDIA H200', 'AMD EPYC ... (2 cores)'."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple {platform.processor() or 'GPU'} (MPS)"
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    threads = torch.get_num_threads()
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name} ({threads} thread{'s' if threads > 1 else ''})"


class Stopwatch:
    """Seconds from its making on: without the waits for other programs where the CPU does the work.

    A search often shares its machine; the time on the wall would then tell of the neighbours.
    """

    def __init__(self, device: torch.device) -> None:
        self.on_cpu = device.type == "cpu"
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def seconds(self) -> float:
        """Wall time, on a CPU at most the processor's time of all threads."""
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        return min(wall, cpu) if self.on_cpu else wall


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict]:
    """Parameter groups for an optimiser: matrices and kernels decay, biases and norms do not."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, AdamW or Adam; weight decay on matrices and kernels, not on biases and norms.

    Adam's decay is an L2 penalty, part of the gradient that Adam then scales; AdamW's is apart from it
    (Loshchilov and Hutter 2019, arXiv:1711.05101).
    """
    groups = parameter_groups(network, config.weight_decay)
    if config.optimizer in ("adamw", "adam"):
        kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
        return kind(groups, lr=config.learning_rate, betas=(config.momentum, 0.999))
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=True)


def ema_update(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Exponential average of weights whose decay starts low, so that the first random weights are soon forgotten."""

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            n = int(count)
            torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))
        else:
            torch._foreach_copy_(averaged, current)

    return update


def learning_rate_at(step: int, total: int, config: TrainConfig) -> float:
    """Learning rate of ``step`` (0 to total - 1): a rise to the peak over the warm-up, then a fall to zero.

    'onecycle' falls linearly (Smith and Topin 2018, arXiv:1708.07120), 'cosine' along half a cosine
    (Loshchilov and Hutter 2017, arXiv:1608.03983). A function of the step alone, so that a resumed
    training needs no scheduler state.
    """
    rise = config.warmup * total
    if step < rise:
        return config.learning_rate * (step + 1) / (rise + 1)
    done = (step - rise) / max(1.0, total - rise)
    fall = 1 - done if config.schedule == "onecycle" else 0.5 * (1 + math.cos(math.pi * done))
    return config.learning_rate * fall
