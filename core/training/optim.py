"""Optimiser and learning-rate schedule."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from core.training.config import TrainConfig


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict]:
    """Parameter groups for an optimiser: matrices and kernels decay, biases and norms do not."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, AdamW or Adam; weight decay on matrices and kernels, not on biases and norms.

    Adam's decay is an L2 penalty, part of the gradient that Adam then scales; AdamW's is apart from it
    (Loshchilov and Hutter 2019, arXiv:1711.05101).
    """
    groups = decay_groups(network, config.weight_decay)
    if config.optimizer in ("adamw", "adam"):
        kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
        return kind(groups, lr=config.learning_rate, betas=(config.momentum, 0.999))
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=True)


def exponential_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor | int], None]:
    """Exponential average of weights whose decay starts low, so that the first random weights are soon forgotten."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
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
