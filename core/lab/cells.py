"""A laboratory's cells as a network sees them: probabilities and embedding, averaged over turned views."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.datasets import get_dataset
from core.errors import HemaLensError
from core.evaluation import softmax
from core.progress import Progress, Report, silent
from core.runs import Run
from core.serving import engine
from core.serving.embedding import has_embedding
from core.serving.framing import frame_batch
from core.serving.scale import Scale
from core.serving.views import views

VIEWS = 4  # quarter turns; eight cost twice as much and tell a strange cell no better


@dataclass(frozen=True)
class LabCells:
    """N cells of one laboratory as a run of C classes and K features reads them.

    ``frames`` uint8 (N, S, S, 3), ``probabilities`` float64 (N, C), ``embeddings`` float32 (N, K). ``groups``: name of
    each cell's slide or person, None where nothing tells. ``scale``: how they were framed; ``missing``: numbers of the
    pictures in which no cell was found. ``boxes``: left, top, right, bottom of each frame in its picture, in px.
    """

    frames: np.ndarray
    probabilities: np.ndarray
    embeddings: np.ndarray
    scale: Scale
    groups: tuple[str, ...] | None = None
    missing: tuple[int, ...] = ()
    boxes: tuple[tuple[int, int, int, int], ...] | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def some(self, chosen: np.ndarray) -> "LabCells":
        """The cells ``chosen`` (int indexes), as a batch of their own."""
        groups = tuple(self.groups[i] for i in chosen) if self.groups else None
        missing = tuple(np.flatnonzero(np.isin(chosen, self.missing)).tolist())
        boxes = tuple(self.boxes[i] for i in chosen) if self.boxes else None
        return LabCells(
            self.frames[chosen],
            self.probabilities[chosen],
            self.embeddings[chosen],
            self.scale,
            groups,
            missing,
            boxes,
        )


def networks(run: Run) -> tuple[Run, ...]:
    """The networks that look at a cell for ``run``: itself, or the members of a combination.

    Raises `HemaLensError` for a run that is none and has none.
    """
    found = run.members or (run,)
    if not all(has_embedding(network) for network in found):
        raise HemaLensError(
            f"{run.name} is no network: only networks can learn to read a laboratory. Choose another model."
        )
    return found


def look(run: Run, frames: np.ndarray, report: Report = silent) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities float64 (N, C) and embedding float32 (N, K) of ``frames`` uint8 (N, S, S, 3), mean of the views.

    A network's embedding is the mean of the last feature map and its deviation over the places: how evenly a feature
    lies over the cell tells classes apart that a mean alone confuses, such as granules and smudges. An earlier map's
    texture stands behind it, where the graph gives it. That of a combination is its members' side by side. Raises
    `HemaLensError` for a run without an embedding, `EngineError`.
    """
    asked = networks(run)
    step = engine.BATCH // VIEWS
    probabilities, embeddings = [], []
    for start in range(0, max(1, len(frames)), step):
        part = frames[start : start + step]
        seen = np.concatenate(list(views(part, VIEWS)))
        found = [_look_once(network, seen) for network in asked]
        probabilities.append(np.mean([p.reshape(VIEWS, len(part), -1).mean(0) for p, _ in found], axis=0))
        embeddings.append(np.concatenate([e.reshape(VIEWS, len(part), -1).mean(0) for _, e in found], axis=1))
        report(Progress(min(start + step, len(frames)), len(frames), "looking at the cells", "cell"))
    return np.concatenate(probabilities), np.concatenate(embeddings)


def _look_once(network: Run, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, vectors = engine.answers(network, images, spread=True)
    if vectors is None:
        raise HemaLensError(f"the graph of {network.name} has no feature map: train it again, or choose another model.")
    return softmax(logits), vectors


def read_cells(
    run: Run,
    pictures: Sequence[np.ndarray],
    groups: Sequence[str] | None = None,
    side: float | None = None,
    report: Report = silent,
) -> LabCells:
    """Frame ``pictures`` uint8 (H, W, 3) of one laboratory at one scale (or ``side`` px) and look at them."""
    framed = frame_batch(pictures, get_dataset(run.dataset), run.size, side)
    probabilities, embeddings = look(run, framed.pixels, report)
    return LabCells(
        framed.pixels,
        probabilities,
        embeddings,
        framed.scale,
        tuple(groups) if groups else None,
        framed.missing,
        tuple(f.box for f in framed.frames),
    )
