"""The alarm for abnormal cells: may this be a blast or another immature or malignant cell that no class stands for?

A direction on the network's embedding, learnt from blasts against normal cells of several laboratories, and a limit
that normal cells hardly pass. It stands beside the classes, not among them, so that no prior, profile or confidence
silences it: whoever teaches a laboratory's cells changes what cells are named, never whether the alarm is raised. It is
one small ONNX graph in the run's folder, from an embedding to a score.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from core.errors import HemaLensError, plain_reason
from core.runs import Run
from core.storage import cached_file

INPUT, OUTPUT = "embedding", "score"
RAISED_FROM = 0.5  # score: the graph is scaled so that this is its limit
_MAX_BYTES = 4 * 2**20
_MAX_FEATURES = 100_000


class InvalidAlarm(HemaLensError):
    """An alarm's file can't be read; the message says what to do."""


@dataclass(frozen=True)
class Alarm:
    """What the alarm says of one cell: ``score`` 0 to 1, None where the run has no alarm; ``raised`` from
    `RAISED_FROM` on.
    """

    score: float | None = None

    @property
    def raised(self) -> bool:
        """Whether the cell may be abnormal: somebody must look at it."""
        return self.score is not None and self.score >= RAISED_FROM


class AbnormalCellAlarm:
    """The graph of one run, ready to be asked."""

    def __init__(self, path: Path) -> None:
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise ValueError("it is far larger than an alarm")
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            self._session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
            (given,), (made,) = self._session.get_inputs(), self._session.get_outputs()
            if (given.name, made.name) != (INPUT, OUTPUT) or len(given.shape) != 2:
                raise ValueError(f"it does not take '{INPUT}' and give '{OUTPUT}'")
            self.features = int(given.shape[1])
            if self.features > _MAX_FEATURES or self.scores(np.zeros((2, self.features), np.float32)).shape != (2,):
                raise ValueError("it does not give one score a cell")
        except FileNotFoundError:
            raise
        except Exception as error:  # ONNX Runtime raises kinds of its own that derive from Exception only
            raise InvalidAlarm(
                f"{path} can't be read ({plain_reason(error)}). Restore the run's folder, or make it anew: "
                "python -m core alarm RUN"
            ) from error

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """Float64 (N,) in 0 to 1 of ``embeddings`` float32 (N, K). Raises `InvalidAlarm` where K is another network's.

        A score that is no number counts as 1: what can't be told is looked at.
        """
        if embeddings.shape[1] != self.features:
            raise InvalidAlarm(
                f"the alarm takes {self.features} numbers a cell, the network gives {embeddings.shape[1]}: they are "
                "not of one run. Make it anew: python -m core alarm RUN"
            )
        (scores,) = self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(embeddings, np.float32)})
        return np.clip(np.nan_to_num(scores.astype(np.float64).ravel(), nan=1.0), 0, 1)


def alarm_of(run: Run) -> AbnormalCellAlarm | None:
    """The alarm of ``run``, opened once; None for a run without. Raises `InvalidAlarm` where the file is broken."""
    try:
        return _open(run.alarm_path)
    except FileNotFoundError:
        return None


def alarm_figures_of(run: Run) -> dict[str, Any]:
    """What the alarm of ``run`` did on test cells (`core.training.alarm.alarm_figures`); {} where nobody measured it,
    or what was kept can't be read.
    """
    try:
        figures = json.loads(run.alarm_path.with_suffix(".json").read_text(encoding="utf-8"))
        shares = [*figures["test"].values(), *figures["left_out"].values()]
        sound = all(0 <= share["raised"] <= 1 and isinstance(share["cells"], int) for share in shares)
        sound = sound and all(0 <= area <= 1 for area in figures["auroc"].values()) and isinstance(figures["seed"], int)
        return figures if sound else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


@cached_file(maxsize=32)
def _open(path: Path) -> AbnormalCellAlarm:
    return AbnormalCellAlarm(path)
