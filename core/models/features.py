"""Sets of features that classical models decide by: one definition for training and for the served graph."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from core.models.brightness import Brightness, CellSize
from core.models.colour import ColourHistogram, ColourStatistics, RadialProfile
from core.models.shape import NucleusShape
from core.models.texture import Cooccurrence

STEPS = 2**14  # to the unit: a pixel of a 64 px picture is four of them


class FeatureSet(nn.Module):
    """Several families of features side by side.

    Input: float (N, 3, S, S) with the whole values 0 to 255 of RGB pictures. Output: float (N, K). ``names`` and
    ``groups`` say of each of the K features what it is and which family it belongs to. No feature changes by a
    quarter turn or a mirror but for rounding, so that training on turned copies would add nothing.
    """

    def __init__(self, families: Sequence[nn.Module]) -> None:
        super().__init__()
        self.families = nn.ModuleList(families)
        self.names: tuple[str, ...] = sum((f.names for f in families), ())
        self.groups: tuple[str, ...] = sum((f.groups for f in families), ())

    def forward(self, pixels: Tensor) -> Tensor:
        found = torch.cat([family(pixels) for family in self.families], 1)
        # Sums in another order differ in the last digits: rounded, they fall on the same side of a split.
        return torch.round(found * STEPS) / STEPS


def grey_and_texture(size: int) -> FeatureSet:
    """What a grey picture gives: co-occurrence texture, brightness, and the size of the cell."""
    return FeatureSet([Cooccurrence(size), Brightness(size), CellSize(size)])


def colour_and_shape(size: int) -> FeatureSet:
    """`grey_and_texture`, and beside it colour, its change from the centre to the rim, nucleus and cytoplasm."""
    more = [ColourStatistics(size), ColourHistogram(size), RadialProfile(size), NucleusShape(size)]
    return FeatureSet([*grey_and_texture(size).families, *more])


FEATURE_SETS: dict[str, Callable[[int], FeatureSet]] = {"grey": grey_and_texture, "colour": colour_and_shape}
