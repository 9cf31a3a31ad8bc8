"""One `train` for every kind of model."""

from collections.abc import Callable
from pathlib import Path

from core.models import get_model
from core.progress import Report, silent
from core.runs import Run
from core.training import classical, loop
from core.training.config import BadConfig, TrainConfig

_TRAINERS: dict[str, Callable[..., Run]] = {"network": loop.train, "classical": classical.train}


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    force: bool = False,
    root: Path | None = None,
    report: Report = silent,
) -> Run:
    """Train ``config`` in its kind's own way: networks as `core.training.loop` says, trees as `classical` does.

    A configuration that has a run is returned untouched unless ``force``. Raises what these raise, and `BadConfig`
    for a combination, which is not trained.
    """
    kind = get_model(config.model).kind
    if kind not in _TRAINERS:
        raise BadConfig(f"model can't be {config.model!r}: it is made of other runs, with `python -m core combine`")
    return _TRAINERS[kind](config, resume=resume, force=force, root=root, report=report)
