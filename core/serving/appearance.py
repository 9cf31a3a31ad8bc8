"""What framed pictures look like in a few dozen numbers: colour, scale and texture, without any model.

A network may squash what it never met into something familiar (a blank picture becomes a platelet); these numbers
can't, and they say in words what is unusual.
"""

import numpy as np

KINDS = ("colour", "scale", "texture")

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_COARSEST = 4  # px: bands of detail are taken down to pictures of this side
_FINE = 2  # bands of detail that count as texture; coarser ones tell the size of things
_EPSILON = 0.002  # of the range of a channel: less is below one grey level
_CHUNK = 256


def kinds(size: int) -> np.ndarray:
    """Which of `KINDS` each number of `appearance` tells of, for frames of ``size`` px: str (F,)."""
    bands, side = 0, size
    while side >= _COARSEST:
        bands, side = bands + 1, side // 2
    coarse = max(0, bands - _FINE)
    return np.repeat(KINDS, [3 * len(_QUANTILES) + 8, 4 + coarse, bands - coarse + 4])


def appearance(frames: np.ndarray) -> np.ndarray:
    """Numbers float32 (N, F) of ``frames`` uint8 (N, S, S, 3), in the order of `kinds`.

    Colour: quantiles of each channel, mean, spread and quantiles of red and of blue against green. Scale: how large,
    how spread and how far from the middle the dark part of the picture is, how much of the border it takes, and the
    contrast of coarse detail. Texture: contrast of fine detail, steepness of edges.
    """
    size = frames.shape[1]
    parts = [_appearance(frames[start : start + _CHUNK]) for start in range(0, len(frames), _CHUNK)]
    return np.concatenate(parts) if parts else np.zeros((0, len(kinds(size))), np.float32)


def _appearance(frames: np.ndarray) -> np.ndarray:
    pictures = frames.astype(np.float32) / 255
    coarse, fine = _detail(pictures[..., 1])
    return np.concatenate([_colour(frames), _dark_part(frames[..., 1]), coarse, fine, _edges(pictures)], axis=1)


def _colour(frames: np.ndarray) -> np.ndarray:
    channels = frames.reshape(len(frames), -1, 3).transpose(0, 2, 1)
    against_green = channels[:, (0, 2)].astype(np.int16) - channels[:, 1:2]
    spread = np.log(against_green.std(axis=2) / 255 + 0.01)
    numbers = (
        _quantiles(channels, _QUANTILES).reshape(len(frames), -1),
        against_green.mean(axis=2) / 255,
        spread,
        _quantiles(against_green, (0.05, 0.95)).reshape(len(frames), -1),
    )
    return np.concatenate(numbers, axis=1, dtype=np.float32)


def _quantiles(values: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Of integers (N, c, n), along the last axis and in 0 to 1: (N, c, shares). Whole numbers sort fast."""
    ranked = np.sort(np.ascontiguousarray(values), axis=-1, kind="stable")
    places = np.rint(np.array(shares) * (values.shape[-1] - 1)).astype(int)
    return ranked[..., places] / 255


def _dark_part(green: np.ndarray) -> np.ndarray:
    """Area, spread, distance from the middle, and share of the border of what is darker than halfway: (N, 4)."""
    size = green.shape[1]
    low, high = np.moveaxis(_quantiles(green.reshape(len(green), 1, -1), (0.02, 0.98))[:, 0], -1, 0) * 255
    dark = (green < ((low + high) / 2)[:, None, None]).astype(np.float32)
    at = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    share = 1 / np.maximum(dark.sum((1, 2)), 1)
    rows, columns = dark.sum(2), dark.sum(1)
    y, x = (rows @ at) * share, (columns @ at) * share
    spread = np.sqrt(np.maximum((rows @ at**2 + columns @ at**2) * share - x**2 - y**2, 0))
    border = np.concatenate([dark[:, 0], dark[:, -1], dark[:, :, 0], dark[:, :, -1]], axis=1).mean(1)
    return np.stack([dark.mean((1, 2)), spread, np.hypot(x, y), border], axis=1)


def _detail(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log contrast of the detail lost at each halving of ``grey`` (N, S, S): the coarse ones, the fine ones."""
    bands = []
    while grey.shape[1] >= _COARSEST:
        half = grey.shape[1] // 2
        whole = grey[:, : 2 * half, : 2 * half]
        smaller = whole.reshape(len(grey), half, 2, half, 2).mean((2, 4))
        lost = whole - smaller.repeat(2, axis=1).repeat(2, axis=2)
        bands.append(np.log(lost.std((1, 2)) + _EPSILON))
        grey = smaller
    logs = np.stack(bands, axis=1)
    return logs[:, _FINE:], logs[:, :_FINE]


def _edges(pictures: np.ndarray) -> np.ndarray:
    """Log steepness down, across, at the steepest twentieth, and of the second difference: (N, 4)."""
    green = pictures[..., 1]
    down, across = np.abs(np.diff(green, axis=1)), np.abs(np.diff(green, axis=2))
    flat = down.reshape(len(down), -1)
    place = round(0.95 * (flat.shape[1] - 1))
    steep = np.partition(flat, place, axis=1)[:, place]
    second = np.abs(np.diff(pictures, axis=1, n=2)).mean((1, 2, 3))
    return np.log(np.stack([down.mean((1, 2)), across.mean((1, 2)), steep, second], axis=1) + _EPSILON)
