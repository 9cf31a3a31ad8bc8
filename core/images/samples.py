"""From samples of any depth and kind to 8-bit pictures, with a note of what was done to them.

`SampledPicture` stands for a `PIL.Image.Image` where that has no mode for what a file holds: 16 bits of colour, signed
or wide numbers, fractions, channels that lie apart. Only the part that is asked for is scaled, so that a large picture
is never there twice.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

_FEW_LEVELS = 16  # of 256: what spans fewer is stretched


class UnsupportedError(ValueError):
    """A sound file of a kind that isn't read here; the text names the kind, for a person."""


class SampledPicture:
    """``planes``: arrays (H, W), or one (H, W, C); 1 is grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. ``bits``: the
    depth that the file states, None to tell it from the values. ``inverted``: the least value is white.
    ``premultiplied``: colours are already weighted by alpha. ``notes``: what is done to the values. Raises
    `UnsupportedError` for numbers that make no picture.
    """

    def __init__(
        self,
        planes: Sequence[np.ndarray],
        bits: int | None = None,
        inverted: bool = False,
        premultiplied: bool = False,
    ):
        self._planes = list(planes)
        first = self._planes[0]
        channels = len(self._planes) if first.ndim == 2 else first.shape[2]
        if channels > 4:
            raise UnsupportedError(f"a picture of {channels} channels")
        self.size = (first.shape[1], first.shape[0])
        self.mode = ("L", "LA", "RGB", "RGBA")[channels - 1]
        self.info: dict[str, bytes] = {}
        self.notes: list[str] = []
        self._inverted, self._premultiplied = inverted, premultiplied and channels in (2, 4)
        self._low, self._top = self._range(bits)
        self._alpha_top = self._alpha_range()
        if inverted:
            self.notes.append("the file counts from white to black: its values were turned round")

    def getbands(self) -> tuple[str, ...]:
        """The names of the channels."""
        return tuple(self.mode)

    def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
        """The 8-bit picture within ``box`` (left, top, right, bottom)."""
        left, top, right, bottom = box
        parts = [p[top:bottom, left:right] for p in self._planes]
        whole = parts[0] if parts[0].ndim == 3 else np.stack(parts, axis=-1)
        colours = self._colours(whole)
        values = whole[..., :colours]
        if values.dtype == np.uint8 and (self._low, self._top) == (0, 255):
            scaled = values
        else:
            values = values.astype(np.float32 if values.dtype.itemsize <= 2 else np.float64)
            values = np.where(np.isfinite(values), values, self._top)
            span = (values - self._low) * (255 / (self._top - self._low))
            scaled = np.round(np.clip(span, 0, 255)).astype(np.uint8)
        if self._inverted:
            scaled = 255 - scaled
        if colours < whole.shape[2]:
            alpha = np.clip(whole[..., colours:].astype(np.float64) * (255 / self._alpha_top), 0, 255)
            alpha = np.round(alpha).astype(np.uint8)
            if self._premultiplied:
                share = np.maximum(alpha, 1) / 255
                scaled = np.clip(np.round(scaled / share), 0, 255).astype(np.uint8)
            scaled = np.concatenate([scaled, alpha], axis=-1)
        return Image.fromarray(np.ascontiguousarray(scaled[..., 0] if scaled.shape[2] == 1 else scaled))

    def alpha_extrema(self) -> tuple[int, int]:
        """The least and greatest alpha, of 255."""
        alpha = self._channels(len(self.mode) - 1)
        low, high = (round(float(v) * 255 / self._alpha_top) for v in (alpha.min(), alpha.max()))
        return low, high

    def _colours(self, whole: np.ndarray) -> int:
        return whole.shape[2] - (self.mode in ("LA", "RGBA"))

    def _channels(self, number: int) -> np.ndarray:
        first = self._planes[0]
        return first[..., number] if first.ndim == 3 else self._planes[number]

    def _alpha_range(self) -> float:
        if self.mode not in ("LA", "RGBA"):
            return 255.0
        alpha = self._channels(len(self.mode) - 1)
        high = float(np.nan_to_num(alpha.max()))
        if alpha.dtype.kind in "iu":
            return next((2.0**b - 1 for b in (8, 10, 12, 14, 16, 32) if high < 2**b), high)
        return max(high, 1.0)

    def _range(self, bits: int | None) -> tuple[float, float]:
        """What becomes black and white.

        The range is that of the smallest common bit depth that holds the values, because cameras store 10 or 12 bits
        in files of 16. Fractions are taken as 0 to 1 if they fit there, else from their least to their greatest value,
        and so is what would span a few grey levels only.
        """
        colours = [self._channels(n) for n in range(len(self.mode) - (self.mode in ("LA", "RGBA")))]
        kind, size = colours[0].dtype.kind, colours[0].dtype.itemsize
        if kind not in "iufb":
            raise UnsupportedError(
                "a picture of complex numbers" if kind == "c" else f"a picture of {colours[0].dtype}"
            )
        if kind == "u" and size == 1 and bits in (None, 8):
            return 0, 255
        if kind == "b":
            return 0, 1
        low, high = _extrema(colours, self.notes)
        what = "grey values" if len(colours) == 1 else "values"
        if kind == "i" and low < 0 and size == 1:
            self.notes.append("signed 8-bit values: the least was taken as black")
            return -128, 127
        if kind == "f" and low >= 0 and high <= 1:
            low_end, top, depth = 0.0, 1.0, "fractions"
        elif low >= 0 and bits and bits <= 32 and high < 2**bits:
            low_end, top, depth = 0.0, 2.0**bits - 1, f"{bits} bits"
        elif low >= 0 and high <= 65_535:
            deep = next(b for b in (8, 10, 12, 14, 16) if high < 2**b)
            low_end, top, depth = 0.0, 2.0**deep - 1, f"{deep} bits"
        else:
            low_end, top, depth = low, max(high, low + 1), "wide range"
        if (high - low) * 255 < _FEW_LEVELS * (top - low_end) and depth != "8 bits" and high > low:
            self.notes.append(f"{what} span only {low:g} to {high:g} ({depth}): they were stretched to 8 bits")
            return low, high
        if depth != "8 bits":
            self.notes.append(f"{what} of more than 8 bits ({depth}) were scaled to 8")
        return low_end, top


def _extrema(colours: Sequence[np.ndarray], notes: list[str]) -> tuple[float, float]:
    if colours[0].dtype.kind != "f":
        return float(min(c.min() for c in colours)), float(max(c.max() for c in colours))
    lows, highs, missing = [], [], 0
    for plane in colours:
        for top in range(0, len(plane), 256):  # in parts, so that no copy of the whole is made
            part = plane[top : top + 256]
            real = part[np.isfinite(part)]
            missing += part.size - real.size
            if real.size:
                lows.append(float(real.min()))
                highs.append(float(real.max()))
    if not lows:
        raise UnsupportedError("a picture without a single number (all its values are NaN)")
    if missing:
        notes.append(f"{missing:,} values that are no numbers were taken as the greatest")
    low, high = min(lows), max(highs)
    if high - low > 1e300:
        raise UnsupportedError("a picture of numbers too large to be told apart")
    return low, high
