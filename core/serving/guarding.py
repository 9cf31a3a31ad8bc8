"""A run's guard: read with the run, made from the cells that it was trained and chosen on."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from core.datasets import LoadedDataset, Split
from core.errors import HemaLensError
from core.evaluation import softmax
from core.progress import Progress, Report, silent
from core.runs import Run
from core.serving import engine
from core.serving.embedding import has_embedding
from core.serving.guard import Guard, Voice, fit_guard, voices
from core.serving.own_cells import own_cells
from core.serving.predict import Answers, sure_threshold

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
    total, done = len(train) + len(val), 0

    def ask(part: Split) -> tuple[np.ndarray, np.ndarray | None]:
        nonlocal done
        parts = []
        for start in range(0, len(part), engine.BATCH):
            parts.append(engine.answers(run, part.images[start : start + engine.BATCH]))
            done += len(parts[-1][0])
            report(Progress(done, total, "looking at known cells", "image"))
        logits, embeddings = zip(*parts, strict=True)
        return np.concatenate(logits), None if embeddings[0] is None else np.concatenate(embeddings)

    _, embeddings = ask(train)
    logits, val_embeddings = ask(val)
    if embeddings is None or val_embeddings is None:
        raise HemaLensError(f"the graph of {run.name} has no feature map: train it again, then make its guard")
    guard = fit_guard(embeddings, train.labels, val_embeddings, softmax(logits), val.labels, train.images, val.images)
    guard.save(run.guard_path)
    return guard


def _some(part: Split, most: int) -> Split:
    """At most ``most`` cells of ``part``, spread evenly over it: its order says nothing of the class."""
    chosen = np.unique(np.linspace(0, len(part) - 1, most).astype(int)) if len(part) > most else np.arange(len(part))
    return Split(np.asarray(part.images[chosen]), np.asarray(part.labels)[chosen], part.ids[chosen])
