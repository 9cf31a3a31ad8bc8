"""A light embedding of pictures that knows no labels: how much of each of some learnt small patches, and where.

Patches are whitened and clustered, each picture is described by its likeness to every cluster (the 'triangle'
activation), averaged over three rings around the middle and taken at its greatest. Coates, Ng and Lee 2011, An
analysis of single-layer networks in unsupervised feature learning, https://proceedings.mlr.press/v15/coates11a.html.
Computed from pixels alone, so that classifiers on it can be fitted out of fold; seconds for 17,000 pictures.
"""

from dataclasses import dataclass

import numpy as np

from core.datasets.rows import Rows
from core.datasets.thumbnails import thumbnails

SIDE = 32  # pictures are looked at no larger than this
PATCH, STRIDE = 6, 2
PATCHES = 240
SAMPLE, CUTS = 4000, 20_000
WHITE = 0.002  # added to the variances (of levels 0 to 1) when whitening, against noise
LEAST = 0.5  # deviations above its mean that a likeness must reach to count
RINGS = (0.0, 0.18, 0.33, 1.0)  # of the side, from the middle
CHUNK = 128


@dataclass(frozen=True)
class Patches:
    """Learnt patches: ``weight`` float32 (P * P * 3, K) and ``bias`` (K,) give a likeness to each of K."""

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def learn(cls, images: np.ndarray | Rows, seed: int = 0) -> "Patches":
        """From ``images`` uint8 (N, S, S, 3), a seeded sample of them."""
        from sklearn.cluster import MiniBatchKMeans

        draws = np.random.default_rng(seed)
        small = _small(images[np.sort(draws.permutation(len(images))[:SAMPLE])])
        picture = draws.integers(0, len(small), CUTS)
        top, left = draws.integers(0, small.shape[1] - PATCH + 1, (2, CUTS))
        cuts = np.lib.stride_tricks.sliding_window_view(small, (PATCH, PATCH), axis=(1, 2))
        cuts = cuts[picture, top, left].reshape(CUTS, -1)
        mean = cuts.mean(0)
        variances, axes = np.linalg.eigh(np.cov((cuts - mean).T))
        whiten = (axes / np.sqrt(np.maximum(variances, 0) + WHITE)) @ axes.T
        clusters = MiniBatchKMeans(PATCHES, random_state=seed, n_init=1, max_iter=20, batch_size=2048)
        centres = clusters.fit((cuts - mean) @ whiten).cluster_centers_
        # Half the squared distance to a centre, without what is the same for all centres.
        bias = -(mean @ whiten @ centres.T) - (centres**2).sum(1) / 2
        return cls((whiten @ centres.T).astype(np.float32), bias.astype(np.float32))

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Features float16 (n, 4 K) of ``images`` uint8 (n, S, S, 3)."""
        parts = [self._embed(_small(images[start : start + CHUNK])) for start in range(0, len(images), CHUNK)]
        return np.concatenate(parts).astype(np.float16)

    def _embed(self, small: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(small, (PATCH, PATCH), axis=(1, 2))[:, ::STRIDE, ::STRIDE]
        number, down, across = windows.shape[:3]
        like = windows.reshape(number * down * across, -1) @ self.weight + self.bias
        like -= like.mean(1, keepdims=True)
        like /= like.std(1, keepdims=True) + 1e-6
        like = np.maximum(like - LEAST, 0).reshape(number, down * across, -1)
        away = np.hypot(*np.meshgrid(_centred(down), _centred(across), indexing="ij")).ravel()
        rings = [(away >= start) & (away < end) for start, end in zip(RINGS, RINGS[1:], strict=False)]
        found = [like[:, ring].mean(1) if ring.any() else np.zeros_like(like[:, 0]) for ring in rings]
        return np.sqrt(np.concatenate([*found, like.max(1)], 1))


def _centred(steps: int) -> np.ndarray:
    return (np.arange(steps) + 0.5) / steps - 0.5


def _small(images: np.ndarray) -> np.ndarray:
    """Levels 0 to 1, float32 (n, s, s, 3), s at least PATCH and at most SIDE."""
    side = min(max(images.shape[1], PATCH), SIDE)
    return (images if images.shape[1] == side else thumbnails(images, side)).astype(np.float32) / 255
