"""Augmentation of a whole batch at once, on the device where the pictures lie.

Geometry (flips and quarter turns, a free rotation, scale, shift) is one affine map a picture,
sampled once; colour is a gain and a bias a channel. Every draw comes from the generator given.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.training.stain import Stain, restain


@dataclass(frozen=True)
class Recipe:
    """How far pictures are varied; each draw is uniform in +- the figure.

    ``turns``: one of the 8 flips and quarter turns; ``rotation`` in radians; ``scale`` and ``gain``
    relative; ``shift`` as a share of the side, in ``whole_pixels`` if so asked; ``bias`` in units of the
    full range; ``stain`` how far stain, light and focus are. Turns and
    whole-pixel shifts resample nothing: every pixel keeps its value. Free rotation and scale smooth a picture
    slightly, which at 28 px makes it unlike the unsmoothed ones of val and test.
    """

    turns: bool = True
    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    whole_pixels: bool = False
    gain: float = 0.0
    bias: float = 0.0
    stain: Stain | None = None

    @property
    def moves(self) -> bool:
        """Whether more than flips and quarter turns is asked for."""
        return bool(self.rotation or self.scale or self.shift)


RECIPES: dict[str, Recipe] = {
    "none": Recipe(turns=False),
    "flips": Recipe(),
    "sharp": Recipe(shift=0.10, whole_pixels=True, gain=0.12, bias=0.03),
    "standard": Recipe(rotation=0.4, scale=0.12, shift=0.10, gain=0.12, bias=0.03),
    # For cells of laboratories that were never seen; size stays a cue, so scale varies little.
    "stain": Recipe(rotation=0.4, scale=0.12, shift=0.10, stain=Stain()),
}


def augment(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Varied copies of ``images``, float (N, 3, S, S) in [0, 1]; values may leave the range slightly.

    ``generator`` lives on the CPU whatever the device, so that a seed means the same everywhere.
    """
    if recipe.moves:
        images = _warp(images, recipe, generator)
    elif recipe.turns:
        images = _turn(images, generator)
    if recipe.gain or recipe.bias:
        n = len(images)
        gain = 1 + _uniform((n, 3, 1, 1), recipe.gain, generator).to(images.device)
        bias = _uniform((n, 3, 1, 1), recipe.bias, generator).to(images.device)
        images = torch.addcmul(bias, images, gain)
    if recipe.stain:
        images = restain(images, recipe.stain, generator)
    return images


def _uniform(shape: tuple[int, ...], limit: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * limit


def _warp(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    n = len(images)
    angle = _uniform((n,), recipe.rotation, generator)
    flip = torch.ones(n)
    if recipe.turns:
        angle = angle + torch.randint(4, (n,), generator=generator) * (math.pi / 2)
        flip = torch.randint(2, (n,), generator=generator) * 2.0 - 1
    scale = 1 + _uniform((n,), recipe.scale, generator)
    shift = _uniform((2, n), 2 * recipe.shift, generator)  # the sampling grid spans -1 to 1
    if recipe.whole_pixels:
        pixel = 2 / images.shape[-1]
        shift = (shift / pixel).round() * pixel
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    maps = torch.stack([cos * flip, -sin, shift[0], sin * flip, cos, shift[1]], 1).view(n, 2, 3)
    grid = F.affine_grid(maps.to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _turn(images: Tensor, generator: torch.Generator) -> Tensor:
    """One of the 8 symmetries of the square for each picture, without resampling."""
    kind = torch.randint(8, (len(images),), generator=generator)
    turned = torch.empty_like(images)
    for k in range(8):
        chosen = (kind == k).nonzero().flatten().to(images.device)
        part = torch.rot90(images[chosen], k % 4, (2, 3))
        turned[chosen] = part.flip(3) if k >= 4 else part
    return turned
