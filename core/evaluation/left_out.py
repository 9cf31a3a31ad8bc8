"""Leaving one class out: a network that never met a class should say of its cells that it does not know them.

One network a class is trained without it, and the cells of the class are told from test cells of the others by how odd
they look. The area under the ROC curve is the chance that a cell of the unknown class looks odder than a known one. The
figures are one JSON file, ``<root>/<dataset>/left_out_class.json``, beside the runs of the data set.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import HemaLensError, plain_reason
from core.storage import write_json

FILE = "left_out_class.json"
TIMES = ("one", "batch")


class InvalidLeftOut(HemaLensError):
    """A file of left-out classes can't be read; the message says what is wrong."""


@dataclass(frozen=True)
class Area:
    """An area under the ROC curve and its 95 % interval, each in 0 to 1."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.value <= self.high <= 1:
            raise ValueError(f"{self.low} <= {self.value} <= {self.high} is no interval within 0 to 1")


@dataclass(frozen=True)
class LeftOutClass:
    """What a network that never saw class ``code`` makes of ``cells`` test cells of it and ``known_cells`` others.

    ``areas``: how well each score tells the two apart, by the score's title, the detector's first. ``flagged`` and
    ``false_alarms``: the share of either that the detector calls out of distribution, ``accuracy`` that on the known
    cells (with its 95 % interval), all 0 to 1. ``train_seconds`` of the training, on a machine that may have been busy.
    """

    code: str
    cells: int
    known_cells: int
    areas: Mapping[str, Area]
    flagged: float
    false_alarms: float
    accuracy: float
    accuracy_interval: tuple[float, float]
    train_seconds: float

    def __post_init__(self) -> None:
        shares = (self.flagged, self.false_alarms, self.accuracy, *self.accuracy_interval)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError(f"{self.code}: a share is not within 0 to 1")
        if self.cells < 1 or self.known_cells < 1 or not self.areas:
            raise ValueError(f"{self.code}: no cells or no scores")
        if not (math.isfinite(self.train_seconds) and self.train_seconds >= 0):
            raise ValueError(f"{self.code}: {self.train_seconds} s is no time")


@dataclass(frozen=True)
class LeftOutStudy:
    """All classes of a data set that were left out in turn, by one recipe.

    ``provenance``: kind, label and content hash of the whole data set; ``train``: the recipe, as a run's
    configuration has it, and whether the networks average each picture to ``half`` its side first; ``parameters`` of a
    network. ``milliseconds`` of one core for a cell, 'one' at a time and in a 'batch' of 64, network and detector
    together. ``scores``: by the title of a score what it is.
    """

    dataset: str
    size: int
    provenance: Mapping[str, str]
    train: Mapping[str, Any]
    parameters: int
    milliseconds: Mapping[str, float]
    machine: str
    created: str
    scores: Mapping[str, str]
    classes: tuple[LeftOutClass, ...]

    def __post_init__(self) -> None:
        codes = [entry.code for entry in self.classes]
        if not codes or len(set(codes)) < len(codes):
            raise ValueError(f"{codes} are not classes, each once")
        if any(tuple(entry.areas) != tuple(self.scores) for entry in self.classes):
            raise ValueError("the classes have not the same scores")
        if not all(math.isfinite(self.milliseconds[key]) and self.milliseconds[key] > 0 for key in TIMES):
            raise ValueError(f"{dict(self.milliseconds)} are no times")
        if not {"kind", "label", "content_hash"} <= set(self.provenance):
            raise ValueError("the data's provenance is missing")
        if not {"model", "epochs", "seed", "half"} <= set(self.train):
            raise ValueError("the recipe is missing")


def write_left_out(root: Path, study: LeftOutStudy) -> Path:
    """Write ``study`` under ``root`` in place of an older one of its data set; returns the file."""
    path = root / study.dataset / FILE
    write_json(path, asdict(study))
    return path


def read_left_out(path: Path) -> LeftOutStudy:
    """The study in the file ``path``; raises `InvalidLeftOut` where it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["classes"] = tuple(_left_out_class(entry) for entry in content["classes"])
        return LeftOutStudy(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidLeftOut(
            f"{path} can't be read as figures of left-out classes ({plain_reason(error)}); write it anew"
        ) from error


def _left_out_class(entry: dict[str, Any]) -> LeftOutClass:
    low, high = entry["accuracy_interval"]
    areas = {title: Area(**area) for title, area in entry["areas"].items()}
    return LeftOutClass(**{**entry, "areas": areas, "accuracy_interval": (low, high)})
