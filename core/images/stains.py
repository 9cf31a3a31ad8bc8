"""Do the crops of one batch plainly come from two stains? Told from their colours alone, measured against each crop's
own background and seen along the directions in which laboratories differ while the cells of one hardly do.

One laboratory's cells differ too, by class, by slide, by lamp. So two stains are said only where two heaps of crops are
far apart, by more than the cells of any one laboratory that we know are, and each holds some.
"""

from dataclasses import dataclass

import numpy as np

MIN_CROPS = 5  # of a stain; fewer are odd cells
_MIN_SHARE = 0.12  # of the crops, in the smaller heap
_MIN_DISTANCE = 4.5  # between the heaps' middles, in deviations of one laboratory's cells; alone they make up to 4.0
_STEPS = 25
_BACKGROUND = 92  # percentile of each channel
_PARTS = ((0.88, 0.98), (0.7, 0.85), (0.4, 0.65))  # ranks of the pixels by stain: nucleus, its rim, the rest
# From `colours` to places whose unit is the deviation within a laboratory: the linear discriminants (Fisher 1936) of
# five laboratories, BloodMNIST's val cells, BCCD, Chula, Raabin and bone marrow.
_AXES = np.array(
    [
        [18.3, 0.3, -3.2],
        [0.1, 17.8, 2.0],
        [4.5, 6.5, -1.3],
        [0.5, -4.2, -2.4],
        [4.7, 6.4, 5.5],
        [6.7, -0.9, -2.8],
        [3.6, 5.2, -7.4],
        [3.1, -6.5, 12.6],
        [-3.3, 2.1, 0.6],
        [0.1, -0.3, 0.8],
        [0.0, 0.1, -0.8],
        [-1.7, -5.9, 0.0],
    ]
)


@dataclass(frozen=True)
class StainGroups:
    """Two stains in one batch: ``second`` bool (N,), which crops have the rarer; ``distance`` between them, in
    deviations of one laboratory's cells.
    """

    second: np.ndarray
    distance: float

    @property
    def note(self) -> str:
        """What to tell a person."""
        rarer, number = int(self.second.sum()), len(self.second)
        return (
            f"These cells have two stains: {number - rarer:,} have one, {rarer:,} another. A laboratory's profile "
            "holds for one stain: use them apart."
        )


def stain_groups(crops: np.ndarray) -> StainGroups | None:
    """The two stains of ``crops`` uint8 (N, S, S, 3) of single cells, S from 28 on; None where it is plainly not two.

    The crops may be of any classes. A few crops are never parted.
    """
    if len(crops) < 2 * MIN_CROPS:
        return None
    places = colours(crops) @ _AXES
    best: StainGroups | None = None
    centred = places - places.mean(0)
    for axis in np.linalg.svd(centred, full_matrices=False)[2]:
        heap = _two_heaps(places, centred @ axis > 0)
        count = int(min(heap.sum(), (~heap).sum()))
        if count < max(MIN_CROPS, _MIN_SHARE * len(crops)):
            continue
        distance = float(np.linalg.norm(places[heap].mean(0) - places[~heap].mean(0)))
        if distance >= (best.distance if best else _MIN_DISTANCE):
            best = StainGroups(heap if heap.sum() == count else ~heap, distance)
    return best


def colours(crops: np.ndarray) -> np.ndarray:
    """Numbers float (N, 12) on the colours of ``crops`` uint8 (N, S, S, 3): shares of red and blue in the optical
    density of three parts by strength of stain, the background's tint, the parts' densities, the background's light.
    """
    pixels = crops.reshape(len(crops), -1, 3)[:, ::3].astype(np.float32)
    background = np.percentile(pixels, _BACKGROUND, axis=1)
    density = np.log((background[:, None] + 4) / (pixels + 4)).clip(0)
    order = np.argsort(density.sum(2), axis=1)
    count = order.shape[1]
    parts = [
        np.take_along_axis(density, order[:, int(low * count) : int(high * count), None], 1).mean(1)
        for low, high in _PARTS
    ]
    shares = [part[:, (0, 2)] / (part.sum(1, keepdims=True) + 0.03) for part in parts]
    light = np.log(background + 1)
    totals = np.log(np.stack([part.sum(1) for part in parts], 1) + 0.1)
    return np.concatenate([*shares, light[:, (0, 2)] - light[:, 1:2], totals, light[:, 1:2]], 1)


def _two_heaps(places: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Which of ``places`` (N, K) lie in the first of two heaps (k-means), from a first guess: bool (N,)."""
    heap = start
    for _ in range(_STEPS):
        if min(heap.sum(), (~heap).sum()) < 2:
            break
        first, second = places[heap].mean(0), places[~heap].mean(0)
        again = ((places - first) ** 2).sum(1) < ((places - second) ** 2).sum(1)
        if (again == heap).all():
            break
        heap = again
    return heap
