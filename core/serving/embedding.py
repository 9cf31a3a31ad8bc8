"""Where a network puts pictures: the mean of its last feature map, one vector a picture."""

from collections.abc import Callable

import numpy as np

from core.progress import Progress
from core.runs import Run
from core.serving import engine


def has_embedding(run: Run) -> bool:
    """Whether the run is one network with a feature map of its own: trees have none, combinations several."""
    return run.kind == "network"


def embed(run: Run, images: np.ndarray, report: Callable[[Progress], None] | None = None) -> np.ndarray:
    """Vectors float32 (N, K) of ``images`` uint8 (N, S, S, 3): the last feature map, averaged over its places.

    ``report`` is told after each batch how many pictures are done. Raises `EngineError`.
    """
    parts = []
    for start in range(0, max(1, len(images)), engine.BATCH):
        parts.append(engine.features(run, images[start : start + engine.BATCH]).mean((2, 3)))
        if report:
            report(Progress(min(start + engine.BATCH, len(images)), len(images), unit="picture"))
    return np.concatenate(parts)
