"""A small CNN put together from ingredients, each of which can be left out: what the ablation study trains.

Without any of them it is the plain CNN (LeCun et al. 1998). The ingredients: dropout (Srivastava et
al. 2014), batch norm (Ioffe and Szegedy 2015), SE and CBAM (`core.models.attention`) and shortcuts (He
et al. 2016).
"""

import torch
from torch import Tensor, nn

from core.models.attention import CBAM, SqueezeExcitation
from core.models.base import ImageClassifier, dense_head
from core.models.registry import register

ATTENTION = {"": nn.Identity, "se": SqueezeExcitation, "cbam": CBAM}


class Layer(nn.Module):
    """3x3 convolution, 2x2 max pooling, then what is asked of norm, attention and shortcut, then ReLU.

    (N, ``inputs``, h, w) to (N, ``outputs``, h // 2, w // 2). The shortcut average-pools and projects.
    """

    def __init__(self, inputs: int, outputs: int, norm: bool, attention: str, residual: bool) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=not norm),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(outputs) if norm else nn.Identity(),
            ATTENTION[attention](outputs),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1)) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.path(x)
        return torch.relu(y if self.shortcut is None else y + self.shortcut(x))


@register(
    "cnn_custom",
    title="CNN from ingredients",
    family="Plain CNN",
    summary="A CNN whose layers, batch norm, dropout, attention and shortcuts can each be chosen.",
    paper="Ioffe and Szegedy 2015, Batch normalization",
    paper_url="https://arxiv.org/abs/1502.03167",
    learning_rate=0.1,
    tunable={
        "layers": ("int", 2, 4),
        "norm": ("choice", True, False),
        "dropout": ("float", 0.0, 0.6),
        "attention": ("choice", "", "se", "cbam"),
        "residual": ("choice", True, False),
        "width": ("int", 16, 48),
        "hidden": ("int", 32, 256, "log"),
    },
)
def cnn_custom(
    classes: int,
    size: int,
    layers: int = 4,
    norm: bool = True,
    dropout: float = 0.0,
    attention: str = "",
    residual: bool = False,
    width: int = 32,
    hidden: int = 128,
) -> ImageClassifier:
    """``layers`` layers whose channels double from ``width`` up to 4 ``width``, a dense layer of ``hidden`` units.

    ``attention``: '' (none), 'se' or 'cbam'. ``dropout`` falls on the dense layer's units.
    """
    body: list[nn.Module] = []
    channels = 3
    for layer in range(layers):
        outputs = width * min(4, 2**layer)
        body.append(Layer(channels, outputs, norm, attention, residual))
        channels = outputs
    head = dense_head(channels, size // 2**layers, hidden, dropout, classes)
    network = ImageClassifier(nn.Sequential(*body), head)
    with torch.no_grad():
        network.last_layer.weight.mul_(0.1)
    return network
