"""Stains, cameras and light of other laboratories, drawn for a whole batch at once.

What absorbs light adds up in optical density (Ruifrok and Johnston 2001), so strength of stain is a gain there and
cross-talk of dyes a mixture of its channels, as in the colour augmentation of Tellez et al. 2019 (arXiv:1902.06543).
The rest is camera and optics: the tint of the light, gamma, contrast, saturation, focus, noise. How strong it must be
was found by how cells of three laboratories are read (``benchmarks/README.md``).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

DARKEST = 1 / 255  # light that still comes through the darkest dye
_REACH = 3  # px to each side that a blur reaches


@dataclass(frozen=True)
class Stain:
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


def restain(images: Tensor, stain: Stain, generator: torch.Generator) -> Tensor:
    """Pictures, float (N, 3, S, S) in [0, 1], as another laboratory might have them; the range is kept."""
    n = len(images)

    def draw(shape: tuple[int, ...], limit: float) -> Tensor:
        return ((torch.rand(shape, generator=generator) * 2 - 1) * limit).to(images.device)

    density = -images.clamp(DARKEST, 1).log()
    mixture = torch.diag_embed(draw((n, 3), stain.gain).exp())
    mixture = mixture + draw((n, 3, 3), stain.mixing) * (1 - torch.eye(3, device=images.device))
    density = torch.einsum("nij,njhw->nihw", mixture, density).clamp_min(0)
    light = 1 - draw((n, 3, 1, 1), stain.tint).abs()
    exponent = draw((n, 1, 1, 1), stain.gamma).exp()
    out = (light.log() - density).mul_(exponent).exp_()
    mean = out.mean((1, 2, 3), keepdim=True)
    out = mean + (out - mean) * draw((n, 1, 1, 1), stain.contrast).exp()
    grey = out.mean(1, keepdim=True)
    out = grey + (out - grey) * draw((n, 1, 1, 1), stain.saturation).exp()
    if stain.blur:
        out = _blurred(out, stain.blur * images.shape[-1], generator)
    if stain.noise:
        out = out + _noise(out.shape, stain.noise, generator).to(out.device)
    if stain.grey:
        out = _greyed(out, stain.grey, generator)
    return out.clamp(0, 1)


def _blurred(images: Tensor, widest: float, generator: torch.Generator) -> Tensor:
    """Half of the pictures out of focus: Gaussian of a deviation up to ``widest`` px."""
    n, channels, height, width = images.shape
    deviation = torch.rand(n, generator=generator) * widest * (torch.rand(n, generator=generator) < 0.5)
    places = torch.arange(-_REACH, _REACH + 1.0)
    kernel = torch.exp(-(places**2) / (2 * deviation[:, None].clamp_min(0.05) ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).to(images)
    # A group a picture: its channels are blurred by its own kernel.
    padded = F.pad(images, (_REACH,) * 4, "reflect").transpose(0, 1)
    rows = F.conv2d(padded, kernel.view(n, 1, 1, -1), groups=n)
    return F.conv2d(rows, kernel.view(n, 1, -1, 1), groups=n).transpose(0, 1)


def _noise(shape: torch.Size, most: float, generator: torch.Generator) -> Tensor:
    """Noise of a deviation of its own for each picture, mostly little."""
    strength = torch.rand(shape[0], 1, 1, 1, generator=generator) ** 2 * most
    return torch.randn(shape, generator=generator) * strength


def _greyed(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A ``share`` of the pictures with less colour: what is told without colour holds for any stain."""
    n = len(images)
    loss = torch.rand(n, 1, 1, 1, generator=generator).sqrt() * (torch.rand(n, 1, 1, 1, generator=generator) < share)
    weights = torch.rand(n, 3, 1, 1, generator=generator)
    weights = (weights / weights.sum(1, keepdim=True)).to(images.device)
    return torch.lerp(images, (images * weights).sum(1, keepdim=True), loss.to(images.device))
