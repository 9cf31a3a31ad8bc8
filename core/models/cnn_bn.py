"""A CNN with batch normalisation and dropout (Ioffe and Szegedy 2015, arXiv:1502.03167)."""

from torch import nn

from core.models.base import ImageClassifier, pooled_head
from core.models.compact import conv_norm
from core.models.registry import register


@register(
    "cnn_bn",
    title="CNN + batch norm + dropout",
    family="Plain CNN",
    summary="Four convolutions, each with batch norm; dropout before the last layer.",
    paper="Ioffe and Szegedy 2015, Batch normalization",
    paper_url="https://arxiv.org/abs/1502.03167",
    published={64: 0.9559},
    tunable={"width": ("int", 16, 48), "layers": ("int", 2, 4), "dropout": ("float", 0.0, 0.6)},
)
def cnn_bn(classes: int, size: int, width: int = 32, layers: int = 4, dropout: float = 0.2) -> ImageClassifier:
    """``layers`` times (3x3 convolution, 2x2 max pooling, batch norm, ReLU); channels double each time."""
    body: list[nn.Module] = []
    channels = 3
    for layer in range(layers):
        outputs = width * 2**layer
        convolution, norm = conv_norm(channels, outputs, 3)
        # Keep a map of at least 7 x 7 at 28 px: a finer map is worth more there than a deeper pyramid.
        pool = [nn.MaxPool2d(2)] if size // 2 ** (layer + 1) >= 4 and (size > 32 or layer < 2) else []
        body += [convolution, *pool, norm, nn.ReLU()]
        channels = outputs
    return ImageClassifier(nn.Sequential(*body), pooled_head(channels, classes, dropout))
