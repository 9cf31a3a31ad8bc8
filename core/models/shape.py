"""Shape of the nucleus: what the stain darkens most in the green channel."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.models.brightness import counts, otsu
from core.models.colour import CHANNELS, saturation


class NucleusShape(nn.Module):
    """Area, place, elongation, outline, lobes and colour of the nucleus, and the colour of what surrounds it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        place = (torch.arange(size).float() + 0.5) / size - 0.5
        self.register_buffer("down", place.view(-1, 1).expand(size, size).contiguous(), persistent=False)
        self.register_buffer("right", place.view(1, -1).expand(size, size).contiguous(), persistent=False)
        shape = (
            "Area of the nucleus",
            "Threshold of the nucleus",
            "Nucleus off the centre",
            "Long axis of the nucleus",
            "Short axis of the nucleus",
            "Elongation of the nucleus",
            "Outline of the nucleus",
            "Outline against area of the nucleus",
            "Lobes less holes of the nucleus",
            "Nucleus within the disc of its area",
            "Spread of the nucleus around its centre",
            "Kurtosis of the nucleus around its centre",
            "Hollow centre of the nucleus",
        )
        body = ("Area of the cytoplasm", "Nucleus against cytoplasm", "Threshold of the cytoplasm")
        parts = ("nucleus", "cytoplasm", "surroundings")
        dense = tuple(f"{c.capitalize()} stain of the {part}" for part in parts for c in CHANNELS)
        uneven = tuple(f"Unevenness of {c} in the {part}" for part in parts[:2] for c in CHANNELS)
        self.names = (*shape, *body, *dense, *uneven)
        self.groups = ("Shape of the nucleus",) * len(shape) + ("Nucleus and cytoplasm",) * (
            len(body) + len(dense) + len(uneven)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        green = pixels[:, 1]
        threshold = otsu(counts(green), self.size**2)
        mask = (green <= threshold.view(-1, 1, 1)).float()
        shape = self._shape(mask, threshold)
        # The cytoplasm: of what is no nucleus, what is coloured more than the picture's own best threshold.
        coloured = saturation(pixels) * (1 - mask)
        strong = otsu(counts(coloured), self.size**2)
        body = (coloured > strong.view(-1, 1, 1)).float() * (1 - mask)
        rest = (1 - mask) * (1 - body)
        area, around = mask.mean((1, 2)), body.mean((1, 2))
        density = -torch.log((pixels + 1) / 256)
        stain, uneven = [], []
        for part in (mask, body, rest):
            weight = part.unsqueeze(1)
            n = weight.sum((2, 3)).clamp(min=1)
            mean = (density * weight).sum((2, 3)) / n
            stain.append(mean)
            apart = (density - mean.unsqueeze(2).unsqueeze(3)) ** 2
            uneven.append(((apart * weight).sum((2, 3)) / n).sqrt())
        sizes = torch.stack([around, area / (area + around), strong / 255], 1)
        return torch.cat([shape, sizes, *stain, *uneven[:2]], 1)

    def _shape(self, mask: Tensor, threshold: Tensor) -> Tensor:
        """(N, 13) of ``mask`` 0 or 1 (N, S, S), which is never empty; lengths in sides of the picture."""
        area = mask.mean((1, 2))
        n = mask.sum((1, 2))
        y, x = (mask * self.down).sum((1, 2)) / n, (mask * self.right).sum((1, 2)) / n
        dy, dx = self.down - y.view(-1, 1, 1), self.right - x.view(-1, 1, 1)
        yy, xx, xy = ((mask * m).sum((1, 2)) / n for m in (dy * dy, dx * dx, dy * dx))
        root = (((yy - xx) / 2) ** 2 + xy**2).sqrt()
        long, short = (yy + xx) / 2 + root, ((yy + xx) / 2 - root).clamp(min=1e-6)
        padded = F.pad(mask, (1, 1, 1, 1))
        edges = (padded[:, 1:] - padded[:, :-1]).abs().sum((1, 2)) + (padded[:, :, 1:] - padded[:, :, :-1]).abs().sum(
            (1, 2)
        )
        outline = edges / self.size
        away = dy * dy + dx * dx
        radius = area / math.pi
        disc = (away <= radius.view(-1, 1, 1)).float()
        inner = (away <= radius.view(-1, 1, 1) / 4).float()
        spread = yy + xx
        fourth = (mask * away**2).sum((1, 2)) / n / spread.clamp(min=1e-6) ** 2
        return torch.stack(
            [
                area,
                threshold / 255,
                (y * y + x * x).sqrt(),
                long.clamp(min=0).sqrt(),
                short.sqrt(),
                (1 - short / long.clamp(min=1e-6)).clamp(min=0).sqrt(),
                outline,
                outline**2 / (4 * math.pi * area),
                euler(padded),
                (mask * disc).sum((1, 2)) / n,
                spread / radius,
                fourth,
                (mask * inner).sum((1, 2)) / inner.sum((1, 2)).clamp(min=1),
            ],
            1,
        )


def euler(padded: Tensor) -> Tensor:
    """Parts less holes (N,) of masks 0 or 1 (N, S, S) with an empty rim; corners connect.

    Counted from 2 x 2 windows: Gray 1971, doi:10.1109/T-C.1971.223289.
    """
    a, b, c, d = padded[:, :-1, :-1], padded[:, :-1, 1:], padded[:, 1:, :-1], padded[:, 1:, 1:]
    count = a + b + c + d
    diagonal = ((count == 2) & (a == d)).float()
    single = (count == 1).float()
    three = (count == 3).float()
    return (single - three - 2 * diagonal).sum((1, 2)) / 4
