"""The eight views of a picture: its flips and quarter turns, exact to the pixel.

A cell under the microscope has no upright side, so all eight show the same cell; averaging the answers to
all of them is test-time augmentation (Krizhevsky et al. 2012; here over the symmetries of the square that
training draws from as well).
"""

from collections.abc import Iterator

import numpy as np

VIEWS = 8


def views(images: np.ndarray, count: int = VIEWS) -> Iterator[np.ndarray]:
    """The first ``count`` (1 to 8) views of ``images`` (N, S, S, C), the first as given, all of that shape.

    View k is k quarter turns anticlockwise, from the fifth on also mirrored left to right. Every pixel keeps
    its value. Views share memory with ``images``.
    """
    for kind in range(count):
        turned = np.rot90(images, kind % 4, axes=(1, 2))
        yield turned[:, :, ::-1] if kind >= 4 else turned
