"""Gives every picture the same bright background and the same dark nucleus, whatever light and stain it was taken in.

A stretch between percentiles of each channel, as a gain and an offset: white balance on the plasma (the brightest 5 %)
and on the nucleus (the darkest 2 %). Pictures of one laboratory differ as much in light as laboratories do, so each is
balanced by its own pixels, and a network that learns from balanced pictures meets others' as it met its own.
"""

import torch
from torch import Tensor, nn

# Median over BloodMNIST's training pictures (R, G, B in 0 to 1), so that those change least.
BRIGHT = (1.0, 0.898, 0.796)
DARK = (0.271, 0.106, 0.514)
BRIGHTEST, DARKEST = 0.05, 0.02  # shares of a picture's pixels
_STEP = 2  # every second pixel a row and column tells as much
_LEAST = 0.05  # span of a channel that is not stretched further: an empty picture stays empty


class ColourBalance(nn.Module):
    """Pictures float (N, 3, S, S) in [0, 1] to balanced ones, which may leave the range slightly.

    While training the two ends vary by ``jitter`` (uniform, in units of the full range), for no balance is exact.
    """

    def __init__(self, jitter: float = 0.06) -> None:
        super().__init__()
        self.jitter = jitter
        # Not stored: the constants belong to the architecture, and weights of a network without it fit.
        self.register_buffer("bright", torch.tensor(BRIGHT).view(1, 3, 1), persistent=False)
        self.register_buffer("dark", torch.tensor(DARK).view(1, 3, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        pixels = x[:, :, ::_STEP, ::_STEP].flatten(2)
        count = int(pixels.shape[2])  # an exporter traces it as a constant: a graph is for one size
        high = pixels.topk(max(1, round(BRIGHTEST * count)), dim=2).values[:, :, -1:]
        low = pixels.topk(max(1, round(DARKEST * count)), dim=2, largest=False).values[:, :, -1:]
        bright, dark = self._ends(x)
        gain = (bright - dark) / (high - low).clamp_min(_LEAST)
        return (x - low.unsqueeze(3)) * gain.unsqueeze(3) + dark.unsqueeze(3)

    def _ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if not self.training or not self.jitter:
            return self.bright, self.dark
        moved = (torch.rand(2, len(x), 3, 1, device=x.device) * 2 - 1) * self.jitter
        return self.bright + moved[0], self.dark + moved[1]
