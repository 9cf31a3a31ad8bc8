"""Texture of a grey picture from its co-occurrence matrices (Haralick et al. 1973, doi:10.1109/TSMC.1973.4309314).

Written with matrix products of one-hot grey levels, so that training computes it with torch and serving
with the very same graph; the numbers are those of ``skimage.feature.graycomatrix`` and ``graycoprops``.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ANGLES = (0, 45, 90, 135)
PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
FLAT = 1e-9  # variance of the levels below which a picture has one level only


def grey(pixels: Tensor) -> Tensor:
    """Whole grey values 0 to 255, float (N, S, S), of ``pixels`` float (N, 3, S, S) with whole values 0 to 255.

    The weights are Pillow's (ITU-R 601 in 1/65536); all sums stay below 2**24, so that float32 is exact and
    every engine finds the same value.
    """
    red, green, blue = pixels.unbind(1)
    return torch.floor((red * 19595 + green * 38470 + blue * 7471 + 32768) / 65536)


def one_hot(values: Tensor, levels: int) -> Tensor:
    """0 or 1, float (N, levels, ...): which of the whole numbers below ``levels`` each of ``values`` (N, ...) is."""
    numbers = torch.arange(levels, device=values.device).view(1, -1, *(1,) * (values.ndim - 1))
    return (values.unsqueeze(1) == numbers).float()


def offset(distance: int, angle: int) -> tuple[int, int]:
    """(rows, columns) of the step ``distance`` px at ``angle`` degrees, rounded as scikit-image does."""
    turn = math.radians(angle)
    return round(math.sin(turn) * distance), round(math.cos(turn) * distance)


class Cooccurrence(nn.Module):
    """Five properties of the symmetric co-occurrence matrices at several distances.

    Of the four angles the mean and the range are kept, which a quarter turn or a mirror leaves as they are.
    """

    def __init__(self, size: int, levels: int = 16, distances: Sequence[int] = (1, 2, 4)) -> None:
        super().__init__()
        self.size, self.levels = size, levels
        self.offsets = [offset(d, a) for d in distances for a in ANGLES]
        # Rows are joined with so many empty pixels between them that no step leads from one row to the next.
        self.gap = max(abs(right) for _, right in self.offsets)
        self.reach = max(down * (size + self.gap) + right for down, right in self.offsets)
        self.distances = tuple(distances)
        steps = torch.arange(levels).float()
        apart = steps.view(-1, 1) - steps.view(1, -1)
        weights = torch.stack([apart**2, apart.abs(), 1 / (1 + apart**2)]).flatten(1).T
        self.register_buffer("weights", weights, persistent=False)  # (levels * levels, 3)
        self.register_buffer("steps", steps, persistent=False)
        kinds = [
            (name, place)
            for name in PROPERTIES
            for place in (*(f"{d} px" for d in distances), *self._ranges(distances))
        ]
        self.names = tuple(f"{name.capitalize()}, {place}" for name, place in kinds)
        self.groups = tuple(f"Texture: {name}" for name, _ in kinds)

    @staticmethod
    def _ranges(distances: Sequence[int]) -> list[str]:
        return [f"{d} px, range over angles" for d in distances]

    def matrices(self, values: Tensor) -> Tensor:
        """Shares (N, distances * angles, levels, levels) of neighbouring levels in ``values`` (N, S, S), 0 to 255."""
        hot = F.pad(one_hot(torch.floor(values * (self.levels / 256)), self.levels), (0, self.gap)).flatten(2)
        length = self.size * (self.size + self.gap)
        behind = F.pad(hot, (0, self.reach))
        found = []
        for down, right in self.offsets:
            step = down * (self.size + self.gap) + right
            counts = hot @ behind[:, :, step : step + length].transpose(1, 2)
            pairs = 2 * (self.size - down) * (self.size - abs(right))
            found.append((counts + counts.transpose(1, 2)) / pairs)
        return torch.stack(found, 1)

    def properties(self, values: Tensor) -> Tensor:
        """(N, 5, distances, angles): `PROPERTIES` of each matrix of ``values`` (N, S, S), whole, 0 to 255."""
        shares = self.matrices(values)
        contrast, dissimilarity, homogeneity = (shares.flatten(2) @ self.weights).unbind(2)
        energy = (shares**2).sum((2, 3)).sqrt()
        levels = shares.sum(3)
        mean = (levels * self.steps).sum(2, keepdim=True)
        variance = (levels * (self.steps - mean) ** 2).sum(2)
        # In a symmetric matrix the mean of (i - j)**2 is 2 variance (1 - correlation).
        correlation = torch.where(variance > FLAT, 1 - contrast / (2 * variance.clamp(min=FLAT)), 1.0)
        found = torch.stack([contrast, dissimilarity, homogeneity, energy, correlation], 1)
        return found.unflatten(2, (len(self.distances), len(ANGLES)))

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 5 * 2 * distances) in the order of ``names``."""
        found = self.properties(grey(pixels))
        return torch.cat([found.mean(3), found.amax(3) - found.amin(3)], 2).flatten(1)
