"""An Inception-v3 style network for small pictures (Szegedy et al. 2016, arXiv:1512.00567).

The modules are torchvision's, thinned to a quarter of their channels; the stem keeps a quarter of the
published reduction, since our pictures are a fifth to a tenth as wide as the 299 px it was made for.
"""

from functools import partial

from torch import nn
from torchvision.models.inception import BasicConv2d, InceptionA, InceptionB, InceptionC, InceptionD, InceptionE

from core.models.base import ImageClassifier, pooled_head
from core.models.registry import register

PUBLISHED_STEM = 32


def _thin(inputs: int, outputs: int, *, width: int, **options) -> BasicConv2d:
    """torchvision's convolution with its channels scaled by ``width`` / 32 (the picture's three stay)."""
    return BasicConv2d(
        inputs if inputs == 3 else inputs * width // PUBLISHED_STEM, outputs * width // PUBLISHED_STEM, **options
    )


@register(
    "inception_v3",
    title="Inception-v3 style",
    family="Multi-branch network",
    summary="Inception modules with parallel branches, at {share} of the published width and half the depth.",
    paper="Szegedy et al. 2016, Rethinking the Inception architecture for computer vision",
    paper_url="https://arxiv.org/abs/1512.00567",
    published={64: 0.8802},
    published_width=PUBLISHED_STEM,
    learning_rate=0.2,
    tunable={"width": ("choice", 4, 8, 12), "dropout": ("float", 0.0, 0.5)},
)
def inception_v3(classes: int, size: int, width: int = 8, dropout: float = 0.2) -> ImageClassifier:
    """Stem, two A modules, B, two C modules, D, one E module; ``width`` is the stem's (published: 32), in fours."""
    convolution = partial(_thin, width=width)
    body = nn.Sequential(
        convolution(3, 32, kernel_size=3, stride=1 if size <= 32 else 2, padding=1),
        convolution(32, 64, kernel_size=3, padding=1),
        nn.MaxPool2d(2),
        convolution(64, 192, kernel_size=3, padding=1),
        InceptionA(192, 32, conv_block=convolution),
        InceptionA(256, 64, conv_block=convolution),
        InceptionB(288, conv_block=convolution),
        InceptionC(768, 128, conv_block=convolution),
        InceptionC(768, 192, conv_block=convolution),
        InceptionD(768, conv_block=convolution),
        InceptionE(1280, conv_block=convolution),
    )
    return ImageClassifier(body, pooled_head(2048 * width // PUBLISHED_STEM, classes, dropout))
