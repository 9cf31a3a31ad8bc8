"""The run that laboratories teach, and the cells of its own laboratory that keep it from forgetting."""

from core.lab.head import Anchors
from core.runs import Run, RunNotFound, best_run, list_runs
from core.serving.domain import trusted
from core.serving.embedding import has_embedding

ROBUST = "stain"  # the augmentation that makes a run ready for other laboratories


def is_robust(run: Run) -> bool:
    """Whether the run was trained for cells of any laboratory."""
    return run.config["train"].get("augment") == ROBUST


def base_run(dataset: str) -> Run:
    """The run to teach: best on val of those made for any laboratory, else of all networks. Raises `RunNotFound`."""
    networks = [run for run in trusted(list_runs(dataset)) if has_embedding(run)]
    found = best_run([run for run in networks if is_robust(run)] or networks)
    if found is None:
        raise RunNotFound(
            f"no network for {dataset!r} is here yet: train one with `python -m core train --dataset {dataset}`"
        )
    return found


def home_anchors(run: Run) -> Anchors | None:
    """The run's anchors, None where it has none."""
    return None
