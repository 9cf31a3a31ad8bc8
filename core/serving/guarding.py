"""A run's guard: read with the run, made from the cells that it was trained and chosen on."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from core.datasets import LoadedDataset, Split
from core.datasets.rows import Rows
from core.errors import HemaLensError
from core.evaluation import softmax
from core.evaluation.conformal import class_thresholds
from core.progress import Progress, Report, silent
from core.runs import Run
from core.serving import engine
from core.serving.embedding import has_embedding
from core.serving.guard import BadGuard, Guard, Voice, fit_guard, voices
from core.serving.own_cells import own_cells
from core.serving.predict import Answers, sure_threshold
from core.serving.views import VIEWS, views

MOST_CELLS = 4000  # of the train split: more tell where the classes lie no better, and take longer


def guard_of(run: Run) -> Guard | None:
    """The guard of ``run``, read once; None for one without: trees, combinations, runs of older versions.

    Raises `BadGuard` where the file is broken.
    """
    try:
        changed = run.guard_path.stat().st_mtime_ns
    except OSError:
        return None
    return _read(str(run.guard_path), changed)


def list_thresholds(run: Run) -> np.ndarray:
    """From which probability on a class belongs into the short list of an answer of ``run``: float (C,).

    Its guard's; without one that can be read, from its validation cells, see `class_thresholds`.
    """
    try:
        guard = guard_of(run)
    except BadGuard:
        guard = None
    return guard.thresholds if guard else _thresholds(run)


@lru_cache(maxsize=64)
def _thresholds(run: Run) -> np.ndarray:
    stored = run.predictions("val")
    found = class_thresholds(stored.labels, softmax(stored.logits))
    found.setflags(write=False)
    return found


@lru_cache(maxsize=32)
def _read(path: str, changed: int) -> Guard:
    return Guard.load(Path(path))


def voiced(run: Run, answers: Answers, frames: np.ndarray) -> list[Voice]:
    """How each of ``answers`` of ``run`` to ``frames`` uint8 (N, S, S, 3) may be said."""
    return voices(guard_of(run), answers.probabilities, answers.embeddings, frames, sure_threshold(run))


def make_guard(run: Run, data: LoadedDataset | None = None, report: Report = silent) -> Guard:
    """The guard of the network ``run`` from its train and val cells, stored in its folder.

    ``data`` is the data set that it was trained on, loaded where it isn't given. Raises `HemaLensError` for a run
    that has no embedding, `DatasetUnavailable` where the very cells are not on this computer.
    """
    if not has_embedding(run):
        raise HemaLensError(
            f"{run.name} is no single network: only a network puts cells where strange ones can be told. Its answers "
            "stay sure or unsure; for a combination name one of its members."
        )
    data = data or own_cells(run)
    train = _some(data["train"], MOST_CELLS)
    val = data["val"]
    total, done = len(train) + VIEWS * len(val), 0

    def ask(images: np.ndarray | Rows) -> tuple[np.ndarray, np.ndarray | None]:
        nonlocal done
        parts = []
        for start in range(0, len(images), engine.BATCH):
            parts.append(engine.answers(run, images[start : start + engine.BATCH]))
            done += len(parts[-1][0])
            report(Progress(done, total, "looking at known cells", "image"))
        logits, embeddings = zip(*parts, strict=True)
        return np.concatenate(logits), None if embeddings[0] is None else np.concatenate(embeddings)

    _, embeddings = ask(train.images)
    turned = [ask(seen) for seen in views(np.asarray(val.images[:]))]
    val_embeddings = turned[0][1]
    if embeddings is None or val_embeddings is None:
        raise HemaLensError(f"the graph of {run.name} has no feature map: train it again, then make its guard")
    # A cell has no upright side: each counts as it is read from the side that tells it worst.
    probabilities = np.stack([softmax(logits) for logits, _ in turned])
    cells = np.arange(len(val))
    worst = probabilities[:, cells, val.labels].argmin(0)
    guard = fit_guard(
        embeddings, train.labels, val_embeddings, probabilities[worst, cells], val.labels, train.images, val.images
    )
    guard.save(run.guard_path)
    return guard


def _some(part: Split, most: int) -> Split:
    """At most ``most`` cells of ``part``, spread evenly over it: its order says nothing of the class."""
    chosen = np.unique(np.linspace(0, len(part) - 1, most).astype(int)) if len(part) > most else np.arange(len(part))
    return Split(np.asarray(part.images[chosen]), np.asarray(part.labels)[chosen], part.ids[chosen])
