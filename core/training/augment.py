"""Augmentation of a whole batch at once, on the device where the images lie.

Geometry (flips and quarter turns, a free rotation, scale, shift) is one affine map an image, sampled once; colour is a
gain and a bias a channel. Stains of other laboratories are drawn in optical density, where what absorbs light adds up
(Ruifrok and Johnston 2001): strength of stain is a gain there and cross-talk of dyes a mixture of its channels, as in
Tellez et al. 2019 (arXiv:1902.06543). Every draw comes from the generator given.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_TRANSMISSION = 1 / 255  # light that still comes through the darkest dye
_BLUR_RADIUS = 3  # px to each side that a blur reaches


@dataclass(frozen=True)
class StainJitter:
    """How far a stain is varied; each draw is uniform in +- the figure.

    ``gain``: logarithm of a factor on each channel's optical density; ``mixing``: share of each other channel's
    density that is added; ``tint``: share by which the light of a channel may be dimmed; ``gamma``, ``contrast``,
    ``saturation``: logarithm of the exponent or factor; ``blur``: largest deviation, in shares of the side, of a
    Gaussian blur in half of the pictures; ``noise``: largest deviation of noise a pixel, in units of the full range;
    ``grey``: share of the pictures that lose some or all colour, to a grey of any mixture of the channels.
    """

    gain: float = 0.6
    mixing: float = 0.25
    tint: float = 0.3
    gamma: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.6
    blur: float = 0.025
    noise: float = 0.06
    grey: float = 0.35


def jitter_stain(images: Tensor, jitter: StainJitter, generator: torch.Generator) -> Tensor:
    """Pictures, float (N, 3, S, S) in [0, 1], as another laboratory might have them; the range is kept."""
    n = len(images)

    def draw(shape: tuple[int, ...], limit: float) -> Tensor:
        return ((torch.rand(shape, generator=generator) * 2 - 1) * limit).to(images.device)

    density = -images.clamp(MIN_TRANSMISSION, 1).log()
    mixture = torch.diag_embed(draw((n, 3), jitter.gain).exp())
    mixture = mixture + draw((n, 3, 3), jitter.mixing) * (1 - torch.eye(3, device=images.device))
    density = torch.einsum("nij,njhw->nihw", mixture, density).clamp_min(0)
    light = 1 - draw((n, 3, 1, 1), jitter.tint).abs()
    exponent = draw((n, 1, 1, 1), jitter.gamma).exp()
    out = (light.log() - density).mul_(exponent).exp_()
    mean = out.mean((1, 2, 3), keepdim=True)
    out = mean + (out - mean) * draw((n, 1, 1, 1), jitter.contrast).exp()
    grey = out.mean(1, keepdim=True)
    out = grey + (out - grey) * draw((n, 1, 1, 1), jitter.saturation).exp()
    if jitter.blur:
        out = _blur(out, jitter.blur * images.shape[-1], generator)
    if jitter.noise:
        out = out + _noise(out.shape, jitter.noise, generator).to(out.device)
    if jitter.grey:
        out = _desaturate(out, jitter.grey, generator)
    return out.clamp(0, 1)


def _blur(images: Tensor, max_sigma: float, generator: torch.Generator) -> Tensor:
    """Half of the pictures out of focus: Gaussian of a deviation up to ``max_sigma`` px."""
    n, channels, height, width = images.shape
    deviation = torch.rand(n, generator=generator) * max_sigma * (torch.rand(n, generator=generator) < 0.5)
    offsets = torch.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1.0)
    kernel = torch.exp(-(offsets**2) / (2 * deviation[:, None].clamp_min(0.05) ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).to(images)
    # A group a picture: its channels are blurred by its own kernel.
    padded = F.pad(images, (_BLUR_RADIUS,) * 4, "reflect").transpose(0, 1)
    rows = F.conv2d(padded, kernel.view(n, 1, 1, -1), groups=n)
    return F.conv2d(rows, kernel.view(n, 1, -1, 1), groups=n).transpose(0, 1)


def _noise(shape: torch.Size, max_sigma: float, generator: torch.Generator) -> Tensor:
    """Noise of a deviation of its own for each picture, mostly little."""
    strength = torch.rand(shape[0], 1, 1, 1, generator=generator) ** 2 * max_sigma
    return torch.randn(shape, generator=generator) * strength


def _desaturate(images: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """A ``fraction`` of the pictures with less colour: what is told without colour holds for any stain."""
    n = len(images)
    loss = torch.rand(n, 1, 1, 1, generator=generator).sqrt() * (torch.rand(n, 1, 1, 1, generator=generator) < fraction)
    weights = torch.rand(n, 3, 1, 1, generator=generator)
    weights = (weights / weights.sum(1, keepdim=True)).to(images.device)
    return torch.lerp(images, (images * weights).sum(1, keepdim=True), loss.to(images.device))


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are varied; each draw is uniform in +- the figure.

    ``dihedral``: one of the 8 flips and quarter turns; ``rotation`` in radians; ``scale`` and ``gain``
    relative; ``shift`` as a share of the side, in ``whole_pixels`` if so asked; ``bias`` in units of the
    full range; ``stain`` how far stain, light and focus are. Turns and
    whole-pixel shifts resample nothing: every pixel keeps its value. Free rotation and scale smooth a picture
    slightly, which at 28 px makes it unlike the unsmoothed ones of val and test.
    """

    dihedral: bool = True
    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    whole_pixels: bool = False
    gain: float = 0.0
    bias: float = 0.0
    stain: StainJitter | None = None

    @property
    def is_affine(self) -> bool:
        """Whether more than flips and quarter turns is asked for."""
        return bool(self.rotation or self.scale or self.shift)


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Augmentation(dihedral=False),
    "flips": Augmentation(),
    "sharp": Augmentation(shift=0.10, whole_pixels=True, gain=0.12, bias=0.03),
    "standard": Augmentation(rotation=0.4, scale=0.12, shift=0.10, gain=0.12, bias=0.03),
    # For cells of laboratories that were never seen; size stays a cue, so scale varies little.
    "stain": Augmentation(rotation=0.4, scale=0.12, shift=0.10, stain=StainJitter()),
}


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Varied copies of ``images``, float (N, 3, S, S) in [0, 1]; values may leave the range slightly.

    ``generator`` lives on the CPU whatever the device, so that a seed means the same everywhere.
    """
    if augmentation.is_affine:
        images = _affine(images, augmentation, generator)
    elif augmentation.dihedral:
        images = _dihedral(images, generator)
    if augmentation.gain or augmentation.bias:
        n = len(images)
        gain = 1 + _uniform((n, 3, 1, 1), augmentation.gain, generator).to(images.device)
        bias = _uniform((n, 3, 1, 1), augmentation.bias, generator).to(images.device)
        images = torch.addcmul(bias, images, gain)
    if augmentation.stain:
        images = jitter_stain(images, augmentation.stain, generator)
    return images


def _uniform(shape: tuple[int, ...], limit: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * limit


def _affine(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    n = len(images)
    angle = _uniform((n,), augmentation.rotation, generator)
    flip = torch.ones(n)
    if augmentation.dihedral:
        angle = angle + torch.randint(4, (n,), generator=generator) * (math.pi / 2)
        flip = torch.randint(2, (n,), generator=generator) * 2.0 - 1
    scale = 1 + _uniform((n,), augmentation.scale, generator)
    shift = _uniform((2, n), 2 * augmentation.shift, generator)  # the sampling grid spans -1 to 1
    if augmentation.whole_pixels:
        pixel = 2 / images.shape[-1]
        shift = (shift / pixel).round() * pixel
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    maps = torch.stack([cos * flip, -sin, shift[0], sin * flip, cos, shift[1]], 1).view(n, 2, 3)
    grid = F.affine_grid(maps.to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _dihedral(images: Tensor, generator: torch.Generator) -> Tensor:
    """One of the 8 symmetries of the square for each picture, without resampling."""
    symmetry = torch.randint(8, (len(images),), generator=generator)
    turned = torch.empty_like(images)
    for k in range(8):
        chosen = (symmetry == k).nonzero().flatten().to(images.device)
        part = torch.rot90(images[chosen], k % 4, (2, 3))
        turned[chosen] = part.flip(3) if k >= 4 else part
    return turned
