"""A compact residual CNN with squeeze-and-excitation (Hu, Shen, Sun 2018, arXiv:1709.01507).

Its colour balance gives every image the same bright background and the same dark nucleus, whatever light and stain it
was taken in: a stretch between percentiles of each channel, as a gain and an offset, white balance on the plasma (the
brightest 5 %) and on the nucleus (the darkest 2 %). Images of one laboratory differ as much in light as laboratories
do, so each is balanced by its own pixels.
"""

from functools import partial

import torch
from torch import Tensor, nn

from core.models.attention import SqueezeExcitation
from core.models.base import ImageClassifier
from core.models.compact import compact_network
from core.models.registry import register

# Median over BloodMNIST's training pictures (R, G, B in 0 to 1), so that those change least.
TARGET_BRIGHT = (1.0, 0.898, 0.796)
TARGET_DARK = (0.271, 0.106, 0.514)
BRIGHT_FRACTION, DARK_FRACTION = 0.05, 0.02  # shares of a picture's pixels
_STEP = 2  # every second pixel a row and column tells as much
_MIN_SPAN = 0.05  # span of a channel that is not stretched further: an empty picture stays empty


class ColourBalance(nn.Module):
    """Pictures float (N, 3, S, S) in [0, 1] to balanced ones, which may leave the range slightly.

    While training the two ends vary by ``jitter`` (uniform, in units of the full range), for no balance is exact.
    """

    bright: Tensor
    dark: Tensor

    def __init__(self, jitter: float = 0.06) -> None:
        super().__init__()
        self.jitter = jitter
        # Not stored: the constants belong to the architecture, and weights of a network without it fit.
        self.register_buffer("bright", torch.tensor(TARGET_BRIGHT).view(1, 3, 1), persistent=False)
        self.register_buffer("dark", torch.tensor(TARGET_DARK).view(1, 3, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        pixels = x[:, :, ::_STEP, ::_STEP].flatten(2)
        count = int(pixels.shape[2])  # an exporter traces it as a constant: a graph is for one size
        high = pixels.topk(max(1, round(BRIGHT_FRACTION * count)), dim=2).values[:, :, -1:]
        low = pixels.topk(max(1, round(DARK_FRACTION * count)), dim=2, largest=False).values[:, :, -1:]
        bright, dark = self._targets(x)
        gain = (bright - dark) / (high - low).clamp_min(_MIN_SPAN)
        return (x - low.unsqueeze(3)) * gain.unsqueeze(3) + dark.unsqueeze(3)

    def _targets(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if not self.training or not self.jitter:
            return self.bright, self.dark
        moved = (torch.rand(2, len(x), 3, 1, device=x.device) * 2 - 1) * self.jitter
        return self.bright + moved[0], self.dark + moved[1]


@register(
    "cnn_se",
    title="CNN + SE",
    family="Attention CNN",
    summary="A compact residual CNN whose channels are gated by squeeze-and-excitation.",
    paper="Hu, Shen and Sun 2018, Squeeze-and-excitation networks",
    paper_url="https://arxiv.org/abs/1709.01507",
    published={64: 0.9503},
    tunable={"width": ("int", 16, 48), "dropout": ("float", 0.0, 0.5), "reduction": ("choice", 4, 8, 16)},
)
def cnn_se(
    classes: int, size: int, width: int = 32, dropout: float = 0.0, reduction: int = 8, balanced: bool | None = None
) -> ImageClassifier:
    """``balanced``: whether each picture's light and stain are evened out first, for cells of any laboratory."""
    attention = partial(SqueezeExcitation, reduction=reduction)
    return compact_network(classes, size, width, dropout, attention, ColourBalance() if balanced else None)
