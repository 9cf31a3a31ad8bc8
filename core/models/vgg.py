"""VGG-16 and VGG-19 (Simonyan and Zisserman 2015, arXiv:1409.1556), plain and with attention behind each stage.

The convolutions are torchvision's, with batch norm (Ioffe and Szegedy 2015, arXiv:1502.03167), at a share of the
published width, a quarter by default. The last pooling steps are left out where they would leave a map of fewer than
four pixels a side. Two dense layers, one of 16 w units and the classes, stand where the published nets have three (two
of 4,096 units): VGG-16 has .8 % of the 138 M parameters that were published.
"""

from collections.abc import Callable, Sequence

from torch import nn
from torchvision.models.vgg import make_layers

from core.models.attention import CBAM, SqueezeExcitation
from core.models.base import ImageClassifier, dense_layers
from core.models.registry import register

DEPTHS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
SMALLEST_MAP = 4

_VGG = {
    "family": "VGG",
    "paper": "Simonyan and Zisserman 2015, Very deep convolutional networks for large-scale image recognition",
    "paper_url": "https://arxiv.org/abs/1409.1556",
    "learning_rate": 0.1,
    "tunable": {"width": ("int", 8, 24), "dropout": ("float", 0.0, 0.6)},
    "imagenet": "vgg16_bn",
    "published_width": 64,
}


def vgg(
    classes: int,
    size: int,
    depth: int,
    width: int,
    dropout: float,
    attention: Callable[[int], nn.Module] | None = None,
    dense: Sequence[int] | None = None,
) -> ImageClassifier:
    """VGG of ``depth`` 16 or 19 with stages of w, 2w, 4w, 8w, 8w channels (published: w = 64).

    ``attention(channels)`` follows each stage's last convolution. The head stands on the 2 x 2 averages of the
    last map: layers of ``dense`` units (None: one of 16w), each with dropout, and the classes.
    """
    body: list[nn.Module] = []
    channels, side = 3, size
    for stage, layers in enumerate(DEPTHS[depth]):
        outputs = width * min(8, 2**stage)
        convolutions = make_layers([outputs] * layers, batch_norm=True)
        # torchvision's maker always begins with three channels.
        convolutions[0] = nn.Conv2d(channels, outputs, 3, padding=1)
        body += [convolutions, attention(outputs) if attention else nn.Identity()]
        channels = outputs
        if side // 2 >= SMALLEST_MAP:
            body.append(nn.MaxPool2d(2))
            side //= 2
    units = [16 * width] if dense is None else dense
    head = nn.Sequential(nn.AvgPool2d(side // 2), nn.Flatten(), *dense_layers(4 * channels, units, dropout, classes))
    return ImageClassifier(nn.Sequential(*body), head)


@register(
    "vgg16",
    title="VGG-16",
    summary="Thirteen 3x3 convolutions with batch norm at {share} of the published width, dropout before the end.",
    published={64: 0.9643},
    **_VGG,
)
def vgg16(classes: int, size: int, width: int = 16, dropout: float = 0.3) -> ImageClassifier:
    return vgg(classes, size, 16, width, dropout)


@register(
    "vgg16_se",
    title="VGG-16 + SE",
    summary="VGG-16 at {share} of its width, with squeeze-and-excitation behind each stage.",
    **_VGG | {"family": "Attention CNN"},
)
def vgg16_se(classes: int, size: int, width: int = 16, dropout: float = 0.3, reduction: int = 8) -> ImageClassifier:
    return vgg(classes, size, 16, width, dropout, lambda channels: SqueezeExcitation(channels, reduction))


@register(
    "vgg16_cbam",
    title="VGG-16 + CBAM",
    summary="VGG-16 at {share} of its width, with channel and spatial attention behind each stage.",
    **_VGG | {"family": "Attention CNN"},
)
def vgg16_cbam(classes: int, size: int, width: int = 16, dropout: float = 0.3, reduction: int = 8) -> ImageClassifier:
    return vgg(classes, size, 16, width, dropout, lambda channels: CBAM(channels, reduction))


@register(
    "vgg19",
    title="VGG-19",
    summary="Sixteen 3x3 convolutions with batch norm at {share} of the published width, dropout before the end.",
    **_VGG | {"imagenet": "vgg19_bn"},
)
def vgg19(
    classes: int, size: int, width: int = 16, dropout: float = 0.3, dense: Sequence[int] | None = None
) -> ImageClassifier:
    return vgg(classes, size, 19, width, dropout, dense=dense)
