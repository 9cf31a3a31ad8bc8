"""Stains, cameras and light of other laboratories, drawn for a whole batch at once.

What absorbs light adds up in optical density (Ruifrok and Johnston 2001), so strength of stain is a gain there and
cross-talk of dyes a mixture of its channels, as in the colour augmentation of Tellez et al. 2019 (arXiv:1902.06543).
The rest is camera and optics: the tint of the light, gamma, contrast, saturation, focus.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

DARKEST = 1 / 255  # light that still comes through the darkest dye


@dataclass(frozen=True)
class Stain:
    """How far a stain is varied; each draw is uniform in +- the figure.

    ``gain``: logarithm of a factor on each channel's optical density; ``mixing``: share of each other channel's
    density that is added; ``tint``: share by which the light of a channel may be dimmed; ``gamma``, ``contrast``,
    ``saturation``: logarithm of the exponent or factor; ``blur``: largest share (0 to 1) of a 3 x 3 blur, in half of
    the pictures, done twice.
    """

    gain: float = 0.35
    mixing: float = 0.1
    tint: float = 0.2
    gamma: float = 0.3
    contrast: float = 0.25
    saturation: float = 0.45
    blur: float = 1.0


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
        share = draw((n, 1, 1, 1), stain.blur).clamp_min(0)
        for _ in range(2):
            out = torch.lerp(out, F.avg_pool2d(F.pad(out, (1, 1, 1, 1), "replicate"), 3, 1), share)
    return out.clamp(0, 1)
