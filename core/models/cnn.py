"""Plain convolutional networks of two, three and four layers, without normalisation (LeCun et al. 1998)."""

import torch
from torch import nn

from core.models.base import ImageClassifier, dense_head
from core.models.registry import register

_PAPER = {
    "family": "Plain CNN",
    "paper": "LeCun et al. 1998, Gradient-based learning applied to document recognition",
    "paper_url": "https://doi.org/10.1109/5.726791",
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.05,
    "tunable": {
        "width": ("int", 16, 48),
        "hidden": ("int", 32, 256, "log"),
        "dropout": ("float", 0.0, 0.6),
    },
}


def plain_cnn(classes: int, size: int, layers: int, width: int, hidden: int, dropout: float) -> ImageClassifier:
    """``layers`` times (3x3 convolution, 2x2 max pooling, ReLU), then a dense layer of ``hidden`` units.

    Channels double from ``width`` up to 4 ``width``. The map is averaged to about 4 x 4 before the
    dense layer, which keeps the shallow variants compact.
    """
    body: list[nn.Module] = []
    channels = 3
    for layer in range(layers):
        outputs = width * min(4, 2**layer)
        # Pooling before the ReLU gives the same map as after it, on a quarter of the pixels.
        body += [nn.Conv2d(channels, outputs, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()]
        channels = outputs
    head = dense_head(channels, size // 2**layers, hidden, dropout, classes)
    network = ImageClassifier(nn.Sequential(*body), head)
    with torch.no_grad():
        network.last_layer.weight.mul_(0.1)
    return network


@register(
    "cnn_2", title="CNN, 2 layers", summary="Two convolutions and a dense layer: the smallest picture model.", **_PAPER
)
def cnn_2(classes: int, size: int, width: int = 32, hidden: int = 128, dropout: float = 0.2) -> ImageClassifier:
    return plain_cnn(classes, size, 2, width, hidden, dropout)


@register("cnn_3", title="CNN, 3 layers", summary="Three convolutions and a dense layer.", **_PAPER)
def cnn_3(classes: int, size: int, width: int = 32, hidden: int = 128, dropout: float = 0.2) -> ImageClassifier:
    return plain_cnn(classes, size, 3, width, hidden, dropout)


@register(
    "cnn_4",
    title="CNN, 4 layers",
    summary="Four convolutions and a dense layer.",
    published={64: 0.8878},
    **_PAPER,
)
def cnn_4(classes: int, size: int, width: int = 32, hidden: int = 128, dropout: float = 0.2) -> ImageClassifier:
    return plain_cnn(classes, size, 4, width, hidden, dropout)
