"""Brightness of a picture's pixels, and how much of it the cell fills."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core.models.texture import grey, one_hot

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
DARKER_THAN = (96, 128, 160, 192, 224)


def counts(values: Tensor) -> Tensor:
    """How many of each of ``values`` (N, ...), whole, 0 to 255, have each value: float (N, 256).

    The product of two tables of 16 digits each takes far less time than a table of 256 or than sorting.
    """
    flat = values.flatten(1)
    high = torch.floor(flat / 16)
    return (one_hot(high, 16) @ one_hot(flat - 16 * high, 16).transpose(1, 2)).flatten(1)


def percentiles(counted: Tensor, pixels: int, wanted: Sequence[int]) -> Tensor:
    """The values (N, len(wanted)) at so many percent of the ranks of ``pixels`` values with `counts` ``counted``."""
    below = counted.cumsum(1)
    return torch.stack([(below <= round((pixels - 1) * p / 100)).float().sum(1) for p in wanted], 1)


def otsu(counted: Tensor, pixels: int) -> Tensor:
    """The threshold (N,) that parts ``pixels`` values with `counts` ``counted`` (N, 256) best into two.

    Low values go up to it, high ones lie above (Otsu 1979, doi:10.1109/TSMC.1979.4310076). Where all are alike it
    is their value, so that there always are low ones.
    """
    number = counted.cumsum(1)
    amount = (counted * torch.arange(256, device=counted.device)).cumsum(1)
    gap = amount[:, -1:] * (number / pixels) - amount
    between = gap**2 / (number * (pixels - number)).clamp(min=1)
    least = (number == 0).float().sum(1)
    return torch.maximum(between.argmax(1).float(), least)


class Brightness(nn.Module):
    """Moments, percentiles, entropy and histogram of the grey values, all in 0 to 1 but skewness and entropy."""

    def __init__(self, size: int, bins: int = 16) -> None:
        super().__init__()
        self.pixels = size * size
        self.bins = bins
        bounds = [f"{256 * b // bins} to {256 * (b + 1) // bins - 1}" for b in range(bins)]
        self.names = (
            "Mean brightness",
            "Spread of brightness",
            "Skewness of brightness",
            *(f"Brightness, percentile {p}" for p in PERCENTILES),
            "Entropy of brightness",
            *(f"Pixels of brightness {b}" for b in bounds),
        )
        self.groups = ("Brightness",) * len(self.names)

    def forward(self, pixels: Tensor) -> Tensor:
        values = grey(pixels)
        counted = counts(values)
        flat = values.flatten(1) / 255
        mean = flat.mean(1, keepdim=True)
        centred = flat - mean
        spread = (centred**2).mean(1, keepdim=True).sqrt()
        skewness = (centred**3).mean(1, keepdim=True) / spread.clamp(min=1e-3) ** 3
        shares = counted.unflatten(1, (self.bins, -1)).sum(2) / self.pixels
        entropy = -(shares * shares.clamp(min=1e-9).log2()).sum(1, keepdim=True)
        return torch.cat(
            [mean, spread, skewness, percentiles(counted, self.pixels, PERCENTILES) / 255, entropy, shares], 1
        )


class CellSize(nn.Module):
    """The share of the picture that is darker than fixed values and than its own best threshold; its extent."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.pixels = size * size
        self.names = (
            *(f"Pixels darker than {t}" for t in DARKER_THAN),
            "Share of the dark part",
            "Threshold of the dark part",
            "Extent of the dark part",
        )
        self.groups = ("Size of the cell",) * len(self.names)
        middle = torch.arange(size).float() / (size - 1) - 0.5
        self.register_buffer("away", middle.view(-1, 1) ** 2 + middle.view(1, -1) ** 2, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        values = grey(pixels)
        fixed = torch.stack([(values < t).float().mean((1, 2)) for t in DARKER_THAN], 1)
        threshold = otsu(counts(values), self.pixels)
        dark = (values <= threshold.view(-1, 1, 1)).float()
        share = dark.mean((1, 2))
        extent = ((dark * self.away).mean((1, 2)) / share).sqrt()
        return torch.cat([fixed, torch.stack([share, threshold / 255, extent], 1)], 1)
