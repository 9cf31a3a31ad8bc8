"""Maps drawn over a picture: enlarged, coloured, blended. Needs numpy and Pillow only.

The colour scales are perceptually even, so that equal steps of the map look like equal steps
(viridis, magma, inferno by S. van der Walt and N. Smith; cividis by Nuñez et al. 2018,
https://doi.org/10.1371/journal.pone.0199239; all CC0).
"""

from typing import Literal

import numpy as np
from PIL import Image

Interpolation = Literal["smooth", "blocks"]

# Ten even steps of each published table; steps in between are interpolated linearly.
_STEPS = {
    "viridis": "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725",
    "magma": "000004 180f3d 440f76 721f81 9e2f7f cd4071 f1605d fd9668 feca8d fcfdbf",
    "inferno": "000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 f7d13d fcffa4",
    "cividis": "00224e 123570 3b496c 575d6d 707173 8a8678 a59c74 c3b369 e1cc55 fee838",
}
COLOUR_MAPS = tuple(_STEPS)


def colour_table(name: str) -> np.ndarray:
    """The colour scale ``name`` as uint8 (256, 3), from least to most."""
    if name not in _STEPS:
        raise ValueError(f"no colour scale is called {name!r}; there are: {', '.join(COLOUR_MAPS)}")
    steps = np.array([[int(s[i : i + 2], 16) for i in (0, 2, 4)] for s in _STEPS[name].split()], float)
    places = np.linspace(0, len(steps) - 1, 256)
    channels = [np.interp(places, np.arange(len(steps)), steps[:, c]) for c in range(3)]
    return np.stack(channels, 1).round().astype(np.uint8)


def upsample_map(values: np.ndarray, height: int, width: int, interpolation: Interpolation = "smooth") -> np.ndarray:
    """``values`` (h, w) enlarged to float32 (height, width).

    'smooth' interpolates bilinearly between the centres of the map's fields (constant beyond the outermost
    centres); 'blocks' shows each field as one block, its true resolution.
    """
    resample = {"smooth": Image.Resampling.BILINEAR, "blocks": Image.Resampling.NEAREST}[interpolation]
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize((width, height), resample))


def apply_colour_map(values: np.ndarray, colour_map: str = "viridis") -> np.ndarray:
    """``values`` (h, w) from 0 to 1 (clipped; NaN counts as 0) as colours uint8 (h, w, 3)."""
    index = np.nan_to_num(np.clip(values, 0, 1), nan=0.0)
    return colour_table(colour_map)[(index * 255).round().astype(np.uint8)]


def overlay(
    picture: np.ndarray,
    values: np.ndarray,
    *,
    colour_map: str = "viridis",
    opacity: float = 0.5,
    interpolation: Interpolation = "smooth",
    fade: bool = False,
) -> np.ndarray:
    """``values`` (h, w) from 0 to 1 over ``picture`` uint8 (H, W, 3); uint8 (H, W, 3).

    Each pixel is (1 - a) x picture + a x colour of the enlarged map, rounded. The weight a is ``opacity``;
    with ``fade`` it is opacity x min(1, 2 x value), so that the picture keeps its own colours where the map
    says nothing and the upper half of the scale is drawn in full.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must lie between 0 and 1, not {opacity}")
    large = upsample_map(values, picture.shape[0], picture.shape[1], interpolation)
    weight = opacity * np.clip(2 * np.nan_to_num(large), 0, 1)[..., None] if fade else np.float32(opacity)
    mixed = (1 - weight) * picture.astype(np.float32) + weight * apply_colour_map(large, colour_map).astype(np.float32)
    return np.clip(mixed.round(), 0, 255).astype(np.uint8)
