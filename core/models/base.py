"""The form that every network has: normalise, body, head; and the parts that several of them share."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


def _init_weights(network: nn.Module) -> None:
    """He initialisation of all convolutions and dense layers (He et al. 2015, arXiv:1502.01852)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=math.sqrt(1 / module.in_features))
            nn.init.zeros_(module.bias)


class ImageClassifier(nn.Module):
    """A network that maps pictures to a score a class, its weights drawn anew.

    Input: float (N, 3, S, S) in [0, 1]. Output: logits (N, classes). ``body`` yields the last feature
    map (N, K, h, w), which Grad-CAM reads; ``head``, whose last layer is dense, turns it into
    logits. The mean and deviation of the training pixels are buffers, so that they always travel with
    the weights. ``balance`` may change the pictures before they are normalised (see `core.models.cnn_se`).
    ``texture_layer`` is the place in ``body`` of a layer whose map still shows texture, None where none is named.
    """

    texture_layer: int | None = None
    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, head: nn.Sequential, balance: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.balance = balance or nn.Identity()
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5))
        self.register_buffer("std", torch.full((1, 3, 1, 1), 0.25))
        _init_weights(self)

    def set_normalisation(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Set the channel means and deviations (RGB, in 0 to 1) of the training pixels."""
        self.mean.copy_(torch.tensor(mean).view(1, 3, 1, 1))
        self.std.copy_(torch.tensor(std).view(1, 3, 1, 1))

    @torch.no_grad()
    def divide_logits(self, temperature: float) -> None:
        """Scale the last dense layer so that all logits are divided by ``temperature`` from now on."""
        for parameter in self.last_layer.parameters():
            parameter.div_(temperature)

    @property
    def last_layer(self) -> nn.Linear:
        """The dense layer that yields the logits."""
        layer = self.head[-1]
        assert isinstance(layer, nn.Linear)
        return layer

    @property
    def cam_layer(self) -> nn.Module:
        """The module whose output is the last feature map."""
        return self.body

    def features(self, x: Tensor) -> Tensor:
        """Last feature map (N, K, h, w) of pictures ``x``."""
        return self.body((self.balance(x) - self.mean) / self.std)

    def texture(self, x: Tensor) -> Tensor:
        """Mean and deviation of each channel of the map behind ``texture_layer``: (N, 2 K') of pictures ``x``.

        For networks that name that layer only.
        """
        assert isinstance(self.body, nn.Sequential)
        assert self.texture_layer is not None
        early = self.body[: self.texture_layer + 1]((self.balance(x) - self.mean) / self.std)
        return torch.cat([early.mean((2, 3)), early.std((2, 3), correction=0)], 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def to_float(images: np.ndarray | Tensor, device: torch.device | None = None) -> Tensor:
    """float (N, 3, S, S) in [0, 1], channels last in memory, from uint8 (N, S, S, 3), on ``device`` if one is given."""
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(images.copy())  # a data set's arrays are read-only and shared
    return (images.to(device) if device else images).permute(0, 3, 1, 2).float().div_(255)


def dense_layers(inputs: int, units: Sequence[int], dropout: float, classes: int) -> list[nn.Module]:
    """Dense layers of ``units`` each, every one with ReLU and dropout, then the classes."""
    layers: list[nn.Module] = []
    for outputs in units:
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
        inputs = outputs
    return [*layers, nn.Linear(inputs, classes)]


def pooled_head(channels: int, classes: int, dropout: float = 0.0, units: Sequence[int] = ()) -> nn.Sequential:
    """Global average pooling, dropout, `dense_layers` of ``units`` if any (Lin et al. 2014, arXiv:1312.4400)."""
    layers = dense_layers(channels, units, dropout, classes)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), *layers)


def dense_head(channels: int, side: int, hidden: int, dropout: float, classes: int) -> nn.Sequential:
    """A map of ``side`` x ``side`` averaged to about 4 x 4, a dense layer of ``hidden`` units, dropout, the classes."""
    pool = max(1, side // 4)
    return nn.Sequential(
        nn.AvgPool2d(pool),
        # Flatten in channels-first order whatever the memory layout, so that weights mean the same everywhere.
        nn.Flatten(),
        *dense_layers(channels * (side // pool) ** 2, [hidden], dropout, classes),
    )


def downsample_layers(size: int, largest: int = 32) -> tuple[list[nn.Module], int]:
    """What averages pictures of ``size`` px to ``largest`` or fewer a side, and the side that comes out.

    For models that can't afford a weight or a step for every pixel of a larger picture.
    """
    factor = -(-size // largest)
    return ([nn.AvgPool2d(factor)] if factor > 1 else []), size // factor


class Grayscale(nn.Module):
    """Luminance (N, 1, S, S) of pictures (N, 3, S, S), by the weights of ITU-R BT.601."""

    weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weights).sum(1, keepdim=True)
