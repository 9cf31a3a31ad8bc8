"""Pictures made small by averaging over areas: what finders of likenesses and small models look at."""

import numpy as np


def thumbnails(images: np.ndarray, side: int) -> np.ndarray:
    """``images`` uint8 (n, S, S, 3) averaged over areas to float32 (n, side, side, 3), 0 to 255."""
    weight = _weights(images.shape[1], side)
    rows = np.tensordot(images.astype(np.float32), weight, (1, 1))  # (n, S, 3, side)
    return np.tensordot(rows, weight, (1, 1)).transpose(0, 2, 3, 1)


def _weights(size: int, side: int) -> np.ndarray:
    """(side, size): how much of each of ``size`` pixels goes into each of ``side``; rows add up to 1."""
    edge, pixel = np.linspace(0, size, side + 1), np.arange(size)
    covered = np.minimum(edge[1:, None], pixel + 1) - np.maximum(edge[:-1, None], pixel)
    return (np.maximum(covered, 0) * side / size).astype(np.float32)
