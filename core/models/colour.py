"""Colour of a cell: statistics, histogram, and how colour changes from its centre to the rim."""

import itertools

import torch
from torch import Tensor, nn

from core.models.brightness import counts, percentiles
from core.models.texture import one_hot

CHANNELS = ("red", "green", "blue")
SHOWN = (5, 25, 50, 75, 95)


def saturation(pixels: Tensor) -> Tensor:
    """Whole values 0 to 255, float (N, S, S): greatest minus least channel of ``pixels`` (N, 3, S, S)."""
    return pixels.amax(1) - pixels.amin(1)


class ColourStatistics(nn.Module):
    """Mean, spread and percentiles of red, green, blue and of their range, and how the channels go together."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.pixels = size * size
        parts = (*CHANNELS, "strength of colour")
        kinds = ("mean", "spread", *(f"percentile {p}" for p in SHOWN))
        pairs = ("red and green", "red and blue", "green and blue")
        self.names = (
            *(f"{part.capitalize()}, {kind}" for part in parts for kind in kinds),
            *(f"Correlation of {pair}" for pair in pairs),
        )
        self.groups = ("Colour",) * len(self.names)

    def forward(self, pixels: Tensor) -> Tensor:
        found, centred, spreads = [], [], []
        for values in (*pixels.unbind(1), saturation(pixels)):
            flat = values.flatten(1) / 255
            mean = flat.mean(1, keepdim=True)
            centred.append(flat - mean)
            spreads.append((centred[-1] ** 2).mean(1, keepdim=True).sqrt())
            found += [mean, spreads[-1], percentiles(counts(values), self.pixels, SHOWN) / 255]
        for a, b in ((0, 1), (0, 2), (1, 2)):
            together = (centred[a] * centred[b]).mean(1, keepdim=True)
            found.append(together / (spreads[a] * spreads[b]).clamp(min=1e-6))
        return torch.cat(found, 1)


class ColourHistogram(nn.Module):
    """The share of pixels in each cell of a coarse grid over red, green and blue (Swain and Ballard 1991).

    doi:10.1007/BF00130487
    """

    def __init__(self, size: int, levels: int = 4) -> None:
        super().__init__()
        self.pixels = size * size
        self.levels = levels
        bounds = [f"{256 * i // levels}-{256 * (i + 1) // levels - 1}" for i in range(levels)]
        self.names = tuple(f"Pixels of red {r}, green {g}, blue {b}" for r, g, b in itertools.product(bounds, repeat=3))
        self.groups = ("Colour histogram",) * len(self.names)

    def forward(self, pixels: Tensor) -> Tensor:
        red, green, blue = torch.floor(pixels.flatten(2) * (self.levels / 256)).unbind(1)
        rest = one_hot(green * self.levels + blue, self.levels**2)
        return (one_hot(red, self.levels) @ rest.transpose(1, 2)).flatten(1) / self.pixels


class RadialProfile(nn.Module):
    """Mean and spread of each channel in rings around the picture's centre, where the cell lies."""

    def __init__(self, size: int, rings: int = 6) -> None:
        super().__init__()
        middle = torch.arange(size).float() - (size - 1) / 2
        away = (middle.view(-1, 1) ** 2 + middle.view(1, -1) ** 2).sqrt() / (size / 2)
        ring = (away * rings).floor().clamp(max=rings)  # the corners are one more ring
        inside = torch.stack([(ring == r).float() for r in range(rings + 1)]).flatten(1)
        self.register_buffer("inside", inside, persistent=False)  # (rings + 1, S * S)
        self.register_buffer("weights", (inside / inside.sum(1, keepdim=True)).T.contiguous(), persistent=False)
        places = ("centre", *(f"ring {r + 1}" for r in range(1, rings)), "corners")
        self.names = tuple(
            f"{channel.capitalize()} at {place}, {kind}"
            for kind in ("mean", "spread")
            for channel in CHANNELS
            for place in places
        )
        self.groups = ("Colour from centre to rim",) * len(self.names)

    def forward(self, pixels: Tensor) -> Tensor:
        flat = pixels.flatten(2) / 255
        mean = flat @ self.weights
        spread = ((flat - mean @ self.inside) ** 2 @ self.weights).sqrt()
        return torch.cat([mean.flatten(1), spread.flatten(1)], 1)
