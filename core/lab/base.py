"""The run that laboratories teach, and the cells of its own laboratory that keep it from forgetting."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from core.errors import HemaLensError
from core.lab.cells import look, networks
from core.lab.head import Anchors
from core.progress import Report, silent
from core.runs import Run, RunNotFound, list_runs
from core.serving.domain import trusted
from core.serving.own_cells import own_cells

PER_CLASS = 40  # anchors


def base_run(dataset: str) -> Run:
    """The run to teach: of those made for any laboratory one with anchors, a combination, then the best on val.

    Several networks see more than one, and without anchors what no label speaks of is forgotten. Where no run is made
    for it, the best network. Raises `RunNotFound`.
    """
    there = [run for run in trusted(list_runs(dataset)) if _can_learn(run)]
    robust = [run for run in there if run.robust]
    single = [run for run in there if run.kind == "network"]
    if not (robust or single):
        raise RunNotFound(
            f"no network for {dataset!r} is here yet: train one with `python -m core train --dataset {dataset}`"
        )
    return max(robust or single, key=_worth)


def _worth(run: Run) -> tuple[bool, int, float]:
    return run.anchors_path.exists(), len(run.members), run.metrics["val"]["accuracy"]


def _can_learn(run: Run) -> bool:
    try:
        return bool(networks(run))
    except HemaLensError:
        return False


def home_anchors(run: Run) -> Anchors | None:
    """The run's anchors, None where it has none. Raises `HemaLensError` where their file is broken."""
    try:
        changed = run.anchors_path.stat().st_mtime_ns
    except OSError:
        return None
    return _read(run.anchors_path, changed)


@lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> Anchors:
    try:
        found = load_file(path)
        return Anchors(
            found["embeddings"].astype(np.float32), found["probabilities"].astype(float), found["labels"].astype(int)
        )
    except Exception as error:  # safetensors raises a kind of its own that derives from Exception only
        raise HemaLensError(
            f"{path} can't be read. Make it anew: python -m core lab anchors {path.parent.name}"
        ) from error


def make_anchors(run: Run, report: Report = silent) -> Anchors:
    """`PER_CLASS` cells of each class of the run's train split, as the run sees them, stored in its folder.

    Raises `HemaLensError` where the very cells are not on this computer.
    """
    train = own_cells(run)["train"]
    rng = np.random.default_rng(0)
    labels = np.asarray(train.labels)
    chosen = np.sort(np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:PER_CLASS] for c in set(labels)]))
    probabilities, embeddings = look(run, np.asarray(train.images[chosen]), report)
    arrays = {
        "embeddings": embeddings.astype(np.float16),
        "probabilities": probabilities.astype(np.float16),
        "labels": labels[chosen].astype(np.uint8),
    }
    temporary = run.anchors_path.with_suffix(".tmp")
    save_file(arrays, temporary)
    temporary.chmod(0o644)
    temporary.replace(run.anchors_path)
    return Anchors(embeddings, probabilities, labels[chosen].astype(int))
