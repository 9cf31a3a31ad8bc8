"""The compact residual body that the attention networks share (He et al. 2016, arXiv:1512.03385).

A 5x5 stride-2 stem (3x3 stride 1 for pictures of 32 px or less), then five residual blocks of
widths w, 2w, 2w, 4w, 4w, each two 3x3 convolutions with attention behind the second batch norm.
Shortcuts average-pool before they project (He et al. 2019, arXiv:1812.01187).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from core.models.base import ImageClassifier, pooled_head

_TEXTURE_LAYER = 4  # the second block of 2w, where granules and chromatin show, and classes not yet


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution without bias and batch norm."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class ResidualBlock(nn.Module):
    """relu(shortcut(x) + attention(norm(conv(relu(norm(conv(x)))))))."""

    def __init__(self, inputs: int, outputs: int, stride: int, attention: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.first = conv_norm(inputs, outputs, 3, stride)
        self.second = conv_norm(outputs, outputs, 3)
        self.attention = attention(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            pool = nn.AvgPool2d(stride, ceil_mode=True) if stride != 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, *conv_norm(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(torch.relu(self.first(x)))
        return torch.relu(self.attention(y) + self.shortcut(x))


def compact_network(
    classes: int,
    size: int,
    width: int,
    dropout: float,
    attention: Callable[[int], nn.Module],
    balance: nn.Module | None = None,
) -> ImageClassifier:
    """The body with ``attention(channels)`` in each block, and a pooled linear head; ``balance`` comes first."""
    stem = (5, 2) if size > 32 else (3, 1)
    layers: list[nn.Module] = [conv_norm(3, width, *stem), nn.ReLU()]
    channels = width
    for outputs, stride in ((width, 1), (2 * width, 2), (2 * width, 1), (4 * width, 2), (4 * width, 1)):
        layers.append(ResidualBlock(channels, outputs, stride, attention))
        channels = outputs
    network = ImageClassifier(nn.Sequential(*layers), pooled_head(channels, classes, dropout), balance)
    network.texture_layer = _TEXTURE_LAYER
    for module in network.modules():
        # A residual branch that starts at zero makes the deep net begin as a shallow one (Goyal et al. 2017).
        if isinstance(module, ResidualBlock):
            nn.init.zeros_(module.second.get_parameter("1.weight"))
    return network
