"""MobileNetV2 for small pictures (Sandler et al. 2018, arXiv:1801.04381)."""

from collections.abc import Sequence

from torch import nn
from torchvision.models import MobileNetV2
from torchvision.ops import Conv2dNormActivation

from core.models.base import ImageClassifier, pooled_head
from core.models.registry import register

PUBLISHED_STEM = 32
# expansion, channels, repeats, stride: the published table with two of its five reductions left out
BLOCKS = [[1, 16, 1, 1], [6, 24, 2, 1], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 1], [6, 320, 1, 1]]


@register(
    "mobilenet_v2",
    title="MobileNetV2",
    family="Light network",
    summary="Inverted residuals with depthwise convolutions, at {share} of the published width.",
    paper="Sandler et al. 2018, MobileNetV2: inverted residuals and linear bottlenecks",
    paper_url="https://arxiv.org/abs/1801.04381",
    learning_rate=0.2,
    imagenet="mobilenet_v2",
    published_width=PUBLISHED_STEM,
    tunable={"width": ("int", 8, 24), "dropout": ("float", 0.0, 0.5)},
)
def mobilenet_v2(
    classes: int, size: int, width: int = 16, dropout: float = 0.2, dense: Sequence[int] | None = None
) -> ImageClassifier:
    """torchvision's blocks; ``width`` is the stem's (published: 32), to which all channels are scaled.

    The stem has stride 1 up to 32 px, else 2; the last convolution yields 20 times the width. Layers of ``dense``
    units may stand between its averages and the classes.
    """
    published = MobileNetV2(num_classes=classes, width_mult=width / PUBLISHED_STEM, inverted_residual_setting=BLOCKS)
    features = published.features
    if size <= 32:
        features[0][0].stride = (1, 1)
    outputs = 20 * width
    features[-1] = Conv2dNormActivation(features[-1][0].in_channels, outputs, 1, activation_layer=nn.ReLU6)
    return ImageClassifier(features, pooled_head(outputs, classes, dropout, dense or ()))
