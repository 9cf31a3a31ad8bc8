"""Where vectors of known classes lie and how they spread, in a few thousand numbers: Gaussians of one covariance."""

from dataclasses import dataclass

import numpy as np

_ROOM = 21_000  # numbers that the directions may take: 42 kB in float16
_SMALLEST = 1e-6
_FARTHEST = 60_000.0  # spreads; float16 ends a little beyond


@dataclass(frozen=True)
class Cloud:
    """Where vectors of K numbers of c classes lie, and how they spread: Gaussians of one covariance.

    ``origin`` and ``scale`` float32 (K,): what is taken off each number, and the spread it is measured by; ``means``
    float16 (c, K) of the classes in these terms; ``directions`` float16 (K, r) orthonormal, ``gains`` float32 (r,) one
    over the spread along each, ``rest`` one over the variance in all others. ``usual``: the squared distance that
    counts as 1.
    """

    origin: np.ndarray
    scale: np.ndarray
    means: np.ndarray
    directions: np.ndarray
    gains: np.ndarray
    rest: float
    usual: float = 1.0

    def distances(self, vectors: np.ndarray) -> np.ndarray:
        """Squared distance of ``vectors`` (N, K) to the mean of each class, in units of ``usual``: float64 (N, c)."""
        centred = ((vectors - self.origin) / self.scale).astype(np.float32)
        directions, found = self.directions.astype(np.float32), []
        for mean in self.means.astype(np.float32):
            away = centred - mean
            along = away @ directions
            beside = np.maximum((away**2).sum(1) - (along**2).sum(1), 0)
            found.append(((along * self.gains) ** 2).sum(1) + self.rest * beside)
        return np.stack(found, axis=1).astype(np.float64) / self.usual


def fit_cloud(vectors: np.ndarray, labels: np.ndarray, shrink: float) -> Cloud:
    """The cloud of ``vectors`` (M, K) with ``labels`` int (M,), ``usual`` left at 1.

    The correlation within the classes is drawn towards independence by ``shrink`` (0 to 1), or further where there
    are few vectors for K numbers. Where K is large only the directions of the largest spread are kept, and all
    others share one variance (Tipping and Bishop 1999, doi:10.1111/1467-9868.00196).
    """
    present, place = np.unique(labels, return_inverse=True)
    vectors = vectors.astype(np.float64)
    many, numbers = vectors.shape
    centres = np.stack([vectors[place == k].mean(0) for k in range(len(present))])
    within = vectors - centres[place]
    # A number that never varies has no spread to measure by: a small part of the others' stands in for it.
    spread = within.std(0)
    scale = np.maximum(spread, max(0.01 * spread.mean(), _SMALLEST)).astype(np.float32)
    within /= scale
    shrink = max(shrink, numbers / (numbers + many))
    covariance = (1 - shrink) * within.T @ within / many + shrink * np.eye(numbers)
    variances, axes = np.linalg.eigh(covariance)
    kept = min(numbers, max(1, _ROOM // numbers))
    rest = float(variances[: numbers - kept].mean()) if kept < numbers else 1.0
    origin = vectors.mean(0).astype(np.float32)
    return Cloud(
        origin,
        scale,
        np.clip((centres - origin) / scale, -_FARTHEST, _FARTHEST).astype(np.float16),
        np.ascontiguousarray(axes[:, numbers - kept :].astype(np.float16)),
        (1 / np.sqrt(variances[numbers - kept :])).astype(np.float32),
        1 / rest,
    )
