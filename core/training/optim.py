"""Optimiser and learning-rate schedule."""

import math

import torch
from torch import nn

from core.training.config import TrainConfig


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, AdamW or Adam; weight decay on matrices and kernels, not on biases and norms.

    Adam's decay is an L2 penalty, part of the gradient that Adam then scales; AdamW's is apart from it
    (Loshchilov and Hutter 2019, arXiv:1711.05101).
    """
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if config.optimizer in ("adamw", "adam"):
        kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
        return kind(groups, lr=config.learning_rate, betas=(config.momentum, 0.999))
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=True)


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
