"""A vision transformer for small pictures (Dosovitskiy et al. 2021, arXiv:2010.11929).

Tokens come from a few convolutions instead of one large patch (Xiao et al. 2021, arXiv:2106.14881), and
their mean instead of a class token is read (Zhai et al. 2022, arXiv:2106.04560): both help most where
pictures are few.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.base import ImageClassifier, pooled_head
from core.models.compact import conv_norm
from core.models.registry import register


class SelfAttention(nn.Module):
    """Multi-head self-attention of tokens (N, L, D) (Vaswani et al. 2017, arXiv:1706.03762)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project_in(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return self.project_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Encoder(nn.Module):
    """A pre-norm transformer layer: attention, then a GELU network of ``expansion`` times the width."""

    def __init__(self, width: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), SelfAttention(width, heads), nn.Dropout(dropout))
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, expansion * width),
            nn.GELU(),
            nn.Linear(expansion * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        return x + self.perceptron(x)


class Transformer(nn.Module):
    """Maps (N, D, g, g) through position embedding and encoders to maps (N, D, g, g)."""

    def __init__(self, width: int, side: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.positions = nn.Parameter(0.02 * torch.randn(1, width, side, side))
        self.encoders = nn.Sequential(*(Encoder(width, heads, 2, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.positions
        side = x.shape[2:]
        return self.norm(self.encoders(x.flatten(2).transpose(1, 2))).transpose(1, 2).unflatten(2, side)


@register(
    "vit",
    title="Vision transformer",
    family="Transformer",
    summary="A transformer ({layers} layers of {width} channels) over 7 x 7 or 8 x 8 tokens from a convolutional stem.",
    paper="Dosovitskiy et al. 2021, An image is worth 16x16 words",
    paper_url="https://arxiv.org/abs/2010.11929",
    optimizer="adamw",
    learning_rate=2e-3,
    weight_decay=0.05,
    epochs=40,
    tunable={
        "width": ("choice", 64, 96, 128),
        "layers": ("int", 2, 6),
        "heads": ("choice", 2, 4, 8),
        "dropout": ("float", 0.0, 0.3),
    },
)
def vit(
    classes: int, size: int, width: int = 96, layers: int = 5, heads: int = 4, dropout: float = 0.1
) -> ImageClassifier:
    """The stem halves the picture two times up to 32 px, else three times."""
    strides = (2, 2) if size <= 32 else (2, 2, 2)
    stem: list[nn.Module] = []
    channels, side = 3, size
    for i, stride in enumerate(strides):
        outputs = width // 2 ** (len(strides) - 1 - i)
        stem += [conv_norm(channels, outputs, 3, stride), nn.ReLU()]
        channels, side = outputs, (side + 1) // 2
    return ImageClassifier(
        nn.Sequential(*stem, Transformer(channels, side, layers, heads, dropout)), pooled_head(channels, classes)
    )
