"""Fully connected networks on the pixels themselves (Rumelhart, Hinton and Williams 1986)."""

from torch import nn

from core.models.base import Grayscale, ImageClassifier, downsample_layers
from core.models.registry import register

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}

_FCNN = {
    "family": "Fully connected",
    "paper": "Rumelhart, Hinton and Williams 1986, Learning representations by back-propagating errors",
    "paper_url": "https://doi.org/10.1038/323533a0",
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.05,
    "epochs": 60,
    "tunable": {
        "width": ("int", 64, 1024, "log"),
        "layers": ("int", 1, 4),
        "dropout": ("float", 0.0, 0.5),
        "activation": ("choice", *ACTIVATIONS),
    },
}


def fully_connected(
    classes: int, size: int, grey: bool, width: int, layers: int, dropout: float, activation: str
) -> ImageClassifier:
    """``layers`` dense layers of ``width`` units; pictures above 32 px are averaged to 32 or fewer a side first.

    The features have no place in the picture: (N, width, 1, 1).
    """
    smaller, side = downsample_layers(size)
    body: list[nn.Module] = [*([Grayscale()] if grey else []), *smaller, nn.Flatten()]
    inputs = side * side * (1 if grey else 3)
    for _ in range(layers):
        body += [nn.Linear(inputs, width), ACTIVATIONS[activation](), nn.Dropout(dropout)]
        inputs = width
    body.append(nn.Unflatten(1, (inputs, 1, 1)))
    return ImageClassifier(nn.Sequential(*body), nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes)))


@register(
    "fcnn",
    title="FCNN, grey",
    summary="Dense layers ({layers} of {width} units) on the grey pixels: no convolution at all.",
    published={28: 0.72},
    published_as="mean of a cross-validation",
    **_FCNN,
)
def fcnn(
    classes: int, size: int, width: int = 500, layers: int = 2, dropout: float = 0.1, activation: str = "relu"
) -> ImageClassifier:
    return fully_connected(classes, size, True, width, layers, dropout, activation)


@register(
    "fcnn_colour",
    title="FCNN, colour",
    summary="Dense layers ({layers} of {width} units) on the colour pixels: no convolution at all.",
    **_FCNN,
)
def fcnn_colour(
    classes: int, size: int, width: int = 500, layers: int = 2, dropout: float = 0.1, activation: str = "relu"
) -> ImageClassifier:
    return fully_connected(classes, size, False, width, layers, dropout, activation)
