"""Studies: many small trainings that answer one question (which settings, which ingredient, which seed).

A study is one JSON file, ``<root>/<dataset>/studies/<name>.json``, beside the runs of its data set. It holds results
only; what a search needs to go on lies elsewhere. Neither torch nor streamlit is imported.
"""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core import paths
from core.errors import HemaLensError, plain_reason
from core.runs import in_current_words
from core.schema import COUNT, DATASET, NAME, SHARE, SIDE, TEXT, Schema, list_of, optional, record
from core.storage import write_json

FOLDER = "studies"
KINDS = ("tune", "ablation", "seeds")
STATES = ("complete", "pruned", "failed")

log = logging.getLogger(__name__)


class InvalidStudy(HemaLensError):
    """A study that can't be written or read; the message says what is wrong."""


@dataclass(frozen=True)
class Trial:
    """One training of a study.

    ``score`` and ``test`` are accuracies in 0 to 1 (None: not measured), ``seconds`` its run time
    (without the waits for other programs where the CPU did the work) and ``epochs`` how far it went
    (folds in a cross-validation). ``label`` names the variant in an ablation and is empty elsewhere.
    ``state``: 'complete', 'pruned' (given up early, its score is the last one seen) or 'failed'.
    """

    number: int
    params: Mapping[str, Any]
    seed: int
    score: float | None
    seconds: float
    epochs: int
    state: str = "complete"
    label: str = ""
    test: float | None = None


@dataclass(frozen=True)
class Study:
    """A study as its file holds it.

    ``kind``: 'tune' (a search over ``parameters``), 'ablation' (labelled variants, several seeds each)
    or 'seeds' (one recipe, several seeds). ``parameters`` maps each name to its range: ``{"kind":
    "float" | "int", "low", "high", "log"}`` or ``{"kind": "choice", "choices": [...]}``. ``base`` holds
    the settings that all trials share, ``note`` is a sentence on how it was made.
    """

    name: str
    kind: str
    title: str
    dataset: str
    size: int
    model: str
    provenance: Mapping[str, str]
    metric: str
    device: str
    created: str
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trials: tuple[Trial, ...] = ()
    base: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise InvalidStudy(
                f"a study can't be called {self.name!r}: use letters, digits, points, dashes and underscores only"
            )
        if self.kind not in KINDS:
            raise InvalidStudy(f"study {self.name} is of kind {self.kind!r}: it must be one of {', '.join(KINDS)}")
        unknown_states = sorted({trial.state for trial in self.trials} - set(STATES))
        if unknown_states:
            raise InvalidStudy(
                f"study {self.name} has trials in state {', '.join(unknown_states)}, not {', '.join(STATES)}"
            )

    @property
    def complete(self) -> tuple[Trial, ...]:
        """The trials that ran to their end and have a score."""
        return tuple(t for t in self.trials if t.state == "complete" and t.score is not None)

    @property
    def best(self) -> Trial | None:
        """The complete trial with the highest score (the first of equals), None where there is none."""
        return max(self.complete, key=lambda t: (t.score or 0.0, -t.number), default=None)

    @property
    def seconds(self) -> float:
        """Run time of all trials together."""
        return sum(trial.seconds for trial in self.trials)

    def by_label(self) -> dict[str, tuple[Trial, ...]]:
        """The complete trials of each variant, in the order in which the variants first appear."""
        groups: dict[str, list[Trial]] = {}
        for trial in self.complete:
            groups.setdefault(trial.label, []).append(trial)
        return {label: tuple(trials) for label, trials in groups.items()}


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean of ``values`` and its ``confidence`` interval by Student's t: (mean, low, high), in their unit.

    The interval speaks of what another seed would give. Raises ValueError for fewer than two values.
    """
    from scipy.special import stdtrit

    n = len(values)
    if n < 2:
        raise ValueError("an interval needs two values or more")
    mean = math.fsum(values) / n
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * deviation / math.sqrt(n)
    return mean, mean - half, mean + half


def study_path(root: Path, dataset: str, name: str) -> Path:
    """Where ``root`` keeps the study ``name`` of ``dataset``."""
    return root / dataset / FOLDER / f"{name}.json"


def write_study(root: Path, study: Study) -> Path:
    """Write ``study`` under ``root``, in place of an older one of its name; returns the file.

    A reader sees the old file or the new one, never half of one.
    """
    content = asdict(study)
    content["trials"] = [_trial_json(trial) for trial in sorted(study.trials, key=lambda t: t.number)]
    path = study_path(root, study.dataset, study.name)
    write_json(path, {key: value for key, value in content.items() if value not in ("", {}) or key == "parameters"})
    return path


def read_study(path: Path) -> Study:
    """The study in the file ``path``; raises `InvalidStudy` where it is none."""
    try:
        content = _STUDY.read(path)
        content["base"] = in_current_words(content.get("base", {}))
        content["trials"] = tuple(Trial(**trial) for trial in content["trials"])
        return Study(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidStudy) as error:
        raise InvalidStudy(
            f"{path} can't be read as a study ({plain_reason(error)}); delete it or write it anew"
        ) from error


_NUMBER = {"type": "number", "minimum": 0, "maximum": 10**12}
_TRIAL = record(
    {"number": COUNT, "params": {"type": "object"}, "seed": {"type": "integer"}, "seconds": _NUMBER, "epochs": COUNT},
    {"score": optional(SHARE), "state": {"enum": list(STATES)}, "label": TEXT, "test": optional(SHARE)},
    closed=True,
)
_PARAMETER = record({"kind": {"enum": ["float", "int", "choice"]}})
_STUDY = Schema(
    record(
        {
            **dict.fromkeys(("title", "model", "metric", "device", "created"), TEXT),
            "name": NAME,
            "kind": {"enum": list(KINDS)},
            "dataset": DATASET,
            "size": SIDE,
            "provenance": {"type": "object", "additionalProperties": TEXT},
            "trials": list_of(_TRIAL, 100_000),
        },
        {
            "parameters": {
                "type": "object",
                "additionalProperties": record({"kind": {"enum": ["float", "int", "choice"]}}),
            },
            "base": {"type": "object"},
            "note": TEXT,
        },
        closed=True,
    )
)


def damaged_studies() -> dict[Path, str]:
    """The files among a user's own studies that can't be read, each with the reason."""
    damaged = {}
    for path in sorted(paths.user_runs_root().glob(f"*/{FOLDER}/*.json")):
        try:
            read_study(path)
        except InvalidStudy as error:
            damaged[path] = str(error)
    return damaged


def list_studies(dataset: str | None = None, *, shipped_only: bool = False) -> list[Study]:
    """All studies, by data set, kind and name; of one data set if given, without the user's own if so asked.

    Where a user's own study has the name of a shipped one, their own stands. A file that is no study is
    left out and told in the log.
    """
    by_name: dict[tuple[str, str], Study] = {}
    for root in (paths.shipped_runs_root(), *([] if shipped_only else [paths.user_runs_root()])):
        for path in sorted(root.glob(f"{dataset or '*'}/{FOLDER}/*.json")):
            try:
                study = read_study(path)
            except InvalidStudy as error:
                log.warning("%s", error)
                continue
            by_name[study.dataset, study.name] = study
    return sorted(by_name.values(), key=lambda s: (s.dataset, KINDS.index(s.kind), s.name))


def _trial_json(trial: Trial) -> dict[str, Any]:
    content = asdict(trial)
    content["seconds"] = round(trial.seconds, 2)
    for name in ("score", "test"):
        if content[name] is not None:
            content[name] = round(content[name], 6) if math.isfinite(content[name]) else None
    if trial.test is None:
        del content["test"]
    return content
