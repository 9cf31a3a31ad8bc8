"""The run folder: the one thing that passes from training to use.

This module alone knows the folder's file names. It imports neither torch nor streamlit. A run is written into a
temporary folder and renamed when complete, so a folder that exists is whole.
"""

import csv
import gzip
import hashlib
import io
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core import paths
from core.errors import HemaLensError, plain_reason
from core.schema import (
    CODES,
    COUNT,
    DATASET,
    MAX_BYTES,
    NAME,
    SHARE,
    SHARE_OR_NONE,
    SIDE,
    TEXT,
    Schema,
    check_numbers,
    check_shape,
    list_of,
    parse_json,
    read_bytes,
    record,
)
from core.storage import MAKING, cached_file, read_tensors, save_tensors, swap_folder, write_json

CONFIG = "config.json"
METRICS = "metrics.json"
HISTORY = "history.csv"
PREDICTIONS = "predictions.npz"
WEIGHTS = "weights.safetensors"
ONNX = "model.onnx"
PACKED_ONNX = "model.onnx.gz"  # a graph that holds all its weights itself: trees shrink to a sixth
GATE_MEANS = "gate_means.safetensors"
IMPORTANCES = "importances.json"
ROBUSTNESS = "robustness.json"
OOD = "ood.safetensors"
ALARM = "alarm.onnx"
EXTERNAL_CALIBRATION = "external_calibration.json"
EXTERNAL_VALIDATION = "external_validation.json"
EXEMPLARS = "exemplars.safetensors"
CARD = "card.md"
STAIN_AUGMENTATION = "stain"  # the augmentation that makes a network ready for other laboratories
REQUIRED = (CONFIG, METRICS, PREDICTIONS)  # and the graph, unless it answers through its members

# What files and keys were called in runs of former versions, which are read all the same.
FORMER_FILES = {
    OOD: "guard.safetensors",
    EXEMPLARS: "anchors.safetensors",
    EXTERNAL_VALIDATION: "elsewhere.json",
    ROBUSTNESS: "corruptions.json",
}
FORMER_KEYS = {
    "start": "warm_start",
    "teacher": "distill_from",
    "teaching": "distill_alpha",
    "beside": "auxiliary",
    "beside_share": "auxiliary_fraction",
    "views": "tta_views",
    "chosen_on_val": "selected_on_val",
}


def in_current_words(content: Mapping[str, Any]) -> dict[str, Any]:
    """``content``, a stored configuration or its ``train`` part, with the keys of `FORMER_KEYS` as they are now."""
    return {FORMER_KEYS.get(key, key): value for key, value in content.items()}


class DamagedRun(HemaLensError):
    """A run's file is missing, damaged, or holds what can't be; the message says which and what to do."""


class RunNotFound(HemaLensError):
    """No run has the name asked for; the message names the nearest ones."""


@dataclass(frozen=True)
class Predictions:
    """A run's answers on one split: ``ids`` str (N,), ``labels`` int (N,), ``logits`` float32 (N, C)."""

    ids: np.ndarray
    labels: np.ndarray
    logits: np.ndarray

    def rounded(self) -> "Predictions":
        """As the stored run gives them back, with logits of half precision: figures are computed from these."""
        return replace(self, logits=self.logits.astype(np.float16).astype(np.float32))


@dataclass(frozen=True)
class Run:
    """A run on disk. Files are read on first use and kept."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's name: model, size and six digits that stand for its configuration and data."""
        return self.path.name

    @property
    def version(self) -> str:
        """A hash that changes whenever a file of the run, or of a member, is replaced: what caches go by."""
        marks = [str(self.path)]
        with suppress(OSError), os.scandir(self.path) as files:
            for file in sorted(files, key=lambda file: file.name):
                with suppress(OSError):  # being replaced at this moment
                    stat = file.stat()
                    marks.append(f"{file.name} {stat.st_mtime_ns} {stat.st_size}")
        with suppress(RunNotFound, OSError, ValueError):
            marks += [member.version for member in self.members]
        return hashlib.sha256("\n".join(marks).encode()).hexdigest()[:16]

    @property
    def dataset(self) -> str:
        """The registered name of its data set."""
        return self.config["dataset"]["name"]

    @property
    def size(self) -> int:
        """Side of the pictures it takes, in pixels."""
        return int(self.config["dataset"]["size"])

    @property
    def model(self) -> str:
        """The registered name of its model."""
        return self.config["train"]["model"]

    @property
    def kind(self) -> str:
        """What kind of model it is: 'network', 'classical' or 'combination'."""
        return self.config.get("kind", "network")

    @cached_property
    def members(self) -> "tuple[Run, ...]":
        """The runs that a combination asks, () for any other kind: beside it, else the user's own, else shipped.

        Raises `RunNotFound` where one of them is gone.
        """
        members = []
        for name in self.config.get("members", ()):
            member = self._neighbour(name)
            if member is None:
                raise RunNotFound(
                    f"{self.name} combines several models, of which {name} is missing: restore its folder beside it, "
                    "combine those that are left, or choose another model"
                )
            members.append(member)
        return tuple(members)

    def _neighbour(self, name: str) -> "Run | None":
        """The run ``name`` that this one was made of: beside it, else the user's own, else shipped."""
        roots = (paths.user_runs_root(), paths.shipped_runs_root())
        folders = (self.path.parent / name, *(root / self.dataset / name for root in roots))
        return next((Run(folder) for folder in folders if folder.is_dir() and not fault_of(folder, member=True)), None)

    @property
    def tta_views(self) -> int:
        """How many flips and quarter turns of a picture its answer is averaged over: 1 or 8."""
        return int(self.config.get("tta_views", 1))

    @property
    def title(self) -> str:
        """What a person reads, for instance 'CNN + SE, 64 px'."""
        return f"{self.config['model']['title']}, {self.size} px"

    @property
    def provenance(self) -> str:
        """The label of the data that it was trained and scored on."""
        return self.config["dataset"]["provenance"]["label"]

    @property
    def codes(self) -> tuple[str, ...]:
        """The classes that it knows, in the order of its answers: all or some of its data set's."""
        return tuple(self.config["dataset"]["codes"])

    @property
    def scheme(self) -> str:
        """The way in which its data set was split; '' where that comes split."""
        return self.config["dataset"].get("scheme", "")

    @property
    def any_laboratory(self) -> bool:
        """Whether it was trained for cells of any laboratory; a combination is when all its members are."""
        return all(run.config["train"].get("augment") == STAIN_AUGMENTATION for run in self.members or (self,))

    @property
    def shipped(self) -> bool:
        """Whether it came with HemaLens; else it is a user's own."""
        return self.path.is_relative_to(paths.shipped_runs_root())

    @cached_property
    def config(self) -> dict[str, Any]:
        """What ``config.json`` says, a former version's in the words of this one."""
        try:
            config = in_current_words(parse_json(read_bytes(self.path / CONFIG)))
            return config | ({"train": in_current_words(config["train"])} if "train" in config else {})
        except FileNotFoundError:
            raise
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise self._damaged(CONFIG, error) from error

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What ``metrics.json`` says: figures of 'val' and 'test' (`core.evaluation.metrics.score`), cost, device."""
        try:
            return parse_json(read_bytes(self.path / METRICS))
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise self._damaged(METRICS, error) from error

    def _damaged(self, name: str, error: BaseException) -> DamagedRun:
        return DamagedRun(
            f"the run {self.name} is damaged: {name} can't be used ({plain_reason(error)}). Restore its folder, train "
            "it again, or delete it"
        )

    def check_file(self, name: str, content: bytes | None = None) -> None:
        """Raises `DamagedRun` where the file ``name``, of that ``content`` if it was read, is not as it was written.

        Runs of former versions didn't write down how their files were.
        """
        known = self.config.get("files", {}).get(name)
        if known is None:
            return
        try:
            found = _content_hash(self.path / name) if content is None else hash_bytes(content)
            if found != known:
                raise ValueError("its content is not what was written")
        except (OSError, ValueError) as error:
            raise self._damaged(name, error) from error

    @property
    def training_seconds(self) -> float:
        """Time of all trainings behind it: its own or its members', and of the runs that they began at (warm start).

        A run that is no longer there is not counted.
        """
        trained: dict[str, Run] = {}
        pending: list[Run | None] = [*(self.members or (self,))]
        while pending:
            run = pending.pop()
            if run and run.name not in trained:
                trained[run.name] = run
                start = run.config["train"].get("warm_start")
                pending.append(run._neighbour(start) if start else None)
        return sum(run.metrics["train_seconds"] for run in trained.values())

    @cached_property
    def history(self) -> dict[str, np.ndarray]:
        """A column an entry: epoch, learning_rate, train_loss, train_accuracy, val_loss, val_accuracy, seconds.

        {} where nothing was trained epoch by epoch.
        """
        if not (self.path / HISTORY).exists():
            return {}
        with open(self.path / HISTORY, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {k: np.array([float(r[k]) for r in rows]) for k in (rows[0] if rows else ())}

    def predictions(self, split: str) -> Predictions:
        """Stored answers on ``split`` ('val' or 'test')."""
        try:
            content = read_bytes(self.path / PREDICTIONS, _MAX_PREDICTIONS)
            self.check_file(PREDICTIONS, content)
            _check_archive(content)
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                ids, labels, logits = (arrays[f"{split}_{part}"] for part in ("ids", "labels", "logits"))
            check_numbers({"labels": labels, "logits": logits})
            check_shape("ids", ids, len(labels))
            check_shape("logits", logits, len(labels), len(self.codes))
            if ids.dtype.kind != "U" or labels.dtype.kind not in "ui" or labels.ndim != 1:
                raise ValueError("its ids are no text, or its labels no classes")
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.codes):
                raise ValueError("a label is none of its classes")
        except DamagedRun:
            raise
        except Exception as error:  # a damaged archive raises what it likes
            raise self._damaged(PREDICTIONS, error) from error
        return Predictions(ids, labels.astype(int), logits.astype("f4"))

    def weights(self) -> dict[str, np.ndarray]:
        """The network's tensors as float32 arrays. Raises `DamagedRun`."""
        self.check_file(WEIGHTS)
        return {k: v.astype("f4") if v.dtype == np.float16 else v for k, v in self._tensors(WEIGHTS).items()}

    def _tensors(self, name: str) -> dict[str, np.ndarray]:
        try:
            return read_tensors(self.path / name, _MAX_WEIGHTS)[0]
        except (OSError, ValueError) as error:
            raise self._damaged(name, error) from error

    def gate_means(self) -> dict[str, np.ndarray]:
        """Mean channel gates by stage over val images of each class, (classes, channels); {} where it has none."""
        path = self.path / GATE_MEANS
        return {k: v.astype("f4") for k, v in self._tensors(GATE_MEANS).items()} if path.exists() else {}

    def _read_further(self) -> list[Callable[[], object]]:
        """What reads the files of a run that not every run has."""

        def read_history() -> None:
            check_numbers(self.history)

        def read_card() -> None:
            if len(self.card) > MAX_BYTES:
                raise ValueError("its card is far too long")

        return [read_history, read_card, self.gate_means, self.importances, self.robustness, self.external_validation]

    def importances(self) -> dict[str, Any] | None:
        """What the answers of a classical run rest on, see `core.training.classical.feature_importances`; None for
        others.
        """
        path = self.path / IMPORTANCES
        return self._read(path, _IMPORTANCES) if path.exists() else None

    def _read(self, path: Path, schema: Schema) -> Any:
        try:
            return schema.read(path)
        except (OSError, ValueError) as error:
            raise self._damaged(path.name, error) from error

    def robustness(self) -> dict[str, Any] | None:
        """What spoilt pictures cost it, see `core.evaluation.robustness.robustness_summary`; None where nobody measured
        it.
        """
        path = self._file(ROBUSTNESS)
        if not path.exists():
            return None
        figures = self._read(path, _ROBUSTNESS)
        if "of" in figures:  # its name in former versions
            figures["test_images"] = figures.pop("of")
        return figures

    def external_validation(self) -> list[dict[str, Any]]:
        """How other laboratories' cells are read with it, before and after teaching; [] where nobody measured it.

        An entry a laboratory: ``laboratory``, ``cells`` scored a draw, ``draws``, ``answers``, ``before``, ``after``
        (means over natural differentials, 0 to 1, of the share that is right).
        """
        path = self._file(EXTERNAL_VALIDATION)
        return self._read(path, _EXTERNAL_VALIDATION)["laboratories"] if path.exists() else []

    @property
    def ood_path(self) -> Path:
        """The file of its `core.inference.ood.OODDetector`, which trees and combinations don't have."""
        return self._file(OOD)

    @property
    def alarm_path(self) -> Path:
        """The file of its `core.inference.alarm.AbnormalCellAlarm`, which need not exist."""
        return self.path / ALARM

    @property
    def external_calibration_path(self) -> Path:
        """The file of its `core.inference.laboratory.ExternalCalibration`, which need not exist."""
        return self.path / EXTERNAL_CALIBRATION

    @property
    def exemplars_path(self) -> Path:
        """The file of its exemplars for other laboratories (`core.adaptation.head`), which need not exist."""
        return self._file(EXEMPLARS)

    def _file(self, name: str) -> Path:
        """The file ``name``, under its former name where only that is there."""
        path, former = self.path / name, self.path / FORMER_FILES[name]
        return former if former.exists() and not path.exists() else path

    @property
    def onnx_path(self) -> Path:
        """The file of the served graph, which may be packed: see `graph`."""
        packed = self.path / PACKED_ONNX
        return packed if packed.exists() else self.path / ONNX

    def graph(self) -> tuple[bytes, bytes | None]:
        """What ONNX Runtime opens: the graph, and the content of `WEIGHTS` that it refers to, None where there is none.

        Read, not mapped, so that whoever replaces or truncates a served file ends no process. Raises `DamagedRun`,
        FileNotFoundError.
        """
        path, weights = self.onnx_path, None
        try:
            content = read_bytes(path, _MAX_WEIGHTS)
            self.check_file(path.name, content)
            if path.name == PACKED_ONNX:
                content = _unpacked(content)
            if (self.path / WEIGHTS).exists() or WEIGHTS in self.config.get("files", {}):
                weights = read_bytes(self.path / WEIGHTS, _MAX_WEIGHTS)
                self.check_file(WEIGHTS, weights)
            return content, weights
        except FileNotFoundError:
            raise
        except (OSError, ValueError, EOFError, zlib.error) as error:
            raise self._damaged(path.name, error) from error

    @property
    def weights_hash(self) -> str:
        """A hash of the network's weights, by which files made from its answers know it; '' where it has none."""
        try:
            return _content_hash(self.path / WEIGHTS)
        except FileNotFoundError:
            return ""

    @property
    def card(self) -> str:
        """Its model card in Markdown, '' where it has none."""
        path = self.path / CARD
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @cached_property
    def model_bytes(self) -> int:
        """Size on disk of what is needed to serve the run: graph and weights, a combination's are its members'."""
        if self.members:
            return sum(member.model_bytes for member in dict.fromkeys(self.members))
        return sum(f.stat().st_size for f in (self.onnx_path, self.path / WEIGHTS) if f.exists())


@cached_file(maxsize=1024)
def _content_hash(path: Path) -> str:
    return hash_bytes(path.read_bytes())


def hash_bytes(content: bytes) -> str:
    """The hash by which runs know their files: 16 hexadecimal digits of SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]


_MAX_WEIGHTS, _MAX_GRAPH, _MAX_PREDICTIONS = 2**31, 2**30, 2**28  # bytes


def _unpacked(content: bytes) -> bytes:
    """What was packed by `_pack`, at most `_MAX_GRAPH` bytes of it. Raises ValueError, zlib.error."""
    unpacker = zlib.decompressobj(wbits=31)
    unpacked = unpacker.decompress(content, _MAX_GRAPH)
    if not unpacker.eof:
        raise ValueError("it is cut off, or far larger than a graph")
    return unpacked


def _check_archive(content: bytes) -> None:
    """Raises ValueError where the arrays in a ``.npz`` would take more than predictions may."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _MAX_PREDICTIONS:
            raise ValueError("it is far larger than predictions")


def list_runs(
    dataset: str | None = None, size: int | None = None, *, shipped_only: bool = False, thorough: bool = False
) -> list[Run]:
    """All whole runs, shipped ones first, then by descending val accuracy; of one data set or size if given.

    Where a user's own run has the name of a shipped one, which is the same configuration trained anew, their own
    stands, unless ``shipped_only``. A combination that lacks a member can't answer and is not whole. What is damaged is
    left out (`damaged_runs` names it); ``thorough`` as in `fault_of`.
    """
    by_name: dict[tuple[str, str], Run] = {}
    for root in (paths.shipped_runs_root(), *(() if shipped_only else (paths.user_runs_root(),))):
        for path in _run_folders(root, dataset):
            if not fault_of(path, thorough=thorough):
                by_name[path.parent.name, path.name] = Run(path)
    runs = (run for run in by_name.values() if size is None or run.size == size)
    return sorted(runs, key=lambda r: (not r.shipped, -r.metrics["val"]["accuracy"], r.name))


def fault_of(path: Path, *, member: bool = False, thorough: bool = False) -> str:
    """Why the folder ``path`` is no run that can be used, as a sentence's end; '' where it can.

    A ``member`` of a combination is none itself. ``thorough`` reads all but the weights, which are checked when they
    are loaded.
    """
    run = Run(path)
    try:
        for name in REQUIRED:
            if not (path / name).is_file():
                return f"{name} is missing"
        _CONFIG.check(run.config)
        _METRICS.check(run.metrics)
        for split in ("val", "test"):
            _check_scores(run.metrics[split], len(run.codes))
        if missing := [name for name in run.config.get("files", {}) if not (path / name).is_file()]:
            return f"it is incomplete: {_missing_text(run, missing)}"
        if run.kind == "combination":
            if member:
                return "it is a combination, which can't be a member"
            if not run.members:
                return "it combines nothing"
            if alien := [m.name for m in run.members if (m.codes, m.size) != (run.codes, run.size)]:
                return f"its member {alien[0]} knows other classes or another size"
        elif not run.onnx_path.is_file():
            return f"{run.onnx_path.name} is missing"
        if thorough:
            for name in run.config.get("files", {}):
                if name != WEIGHTS:
                    run.check_file(name)
            for split in ("val", "test"):
                run.predictions(split)
            for read in run._read_further():
                read()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, HemaLensError) as error:
        return plain_reason(error)
    return ""


def _missing_text(run: "Run", missing: Sequence[str]) -> str:
    if missing == [OOD]:
        return f"its {OOD} is missing, without which it takes anything for a cell (python -m core ood {run.path})"
    return f"{', '.join(missing)} is missing"


def _check_scores(scores: Mapping[str, Any], classes: int) -> None:
    """Raises ValueError where tables by class are of other classes, or hold what is no count or no share."""
    confusion, measures = scores.get("confusion", []), list(scores.get("per_class", {}).values())
    if any(type(row) is not list or len(row) != classes for row in [*([confusion] if confusion else []), *confusion]):
        raise ValueError(f"its confusion matrix is not of {classes} classes")
    if any(type(count) is not int or count < 0 for row in confusion for count in row):
        raise ValueError("its confusion matrix holds what is no count")
    if any(len(row) != classes for row in measures):
        raise ValueError(f"its figures are not of {classes} classes")
    if any(
        not (share is None or (type(share) in (int, float) and 0 <= share <= 1)) for row in measures for share in row
    ):
        raise ValueError("its figures by class hold what is no share")


def damaged_runs() -> dict[Path, str]:
    """The folders among a user's own runs that can't be used, each with the reason."""
    return {path: reason for path in _run_folders(paths.user_runs_root()) if (reason := fault_of(path, thorough=True))}


def _run_folders(root: Path, dataset: str | None = None) -> list[Path]:
    """All folders under ``root`` that are runs or were meant to be: hidden ones are still being written."""
    found = root.glob(f"{dataset or '*'}/[!.]*")
    return sorted(path for path in found if path.is_dir() and path.name not in _NO_RUNS)


_NO_RUNS = ("studies", "generator")  # what lies beside the runs of a data set
_SCORES = record(
    {"accuracy": SHARE, "accuracy_interval": list_of(SHARE, 2, 2), "n": COUNT},
    {
        **dict.fromkeys(("balanced_accuracy", "macro_f1", "macro_auroc", "ece"), SHARE_OR_NONE),
        "confusion": {"type": "array"},  # what these two hold is checked faster by `_check_scores`
        "per_class": {"type": "object", "additionalProperties": {"type": "array"}},
    },
)
_NUMBERS = list_of({"type": ["number", "null"]}, 100_000)
_IMPORTANCES = Schema(
    record(
        {"features": list_of(TEXT, 100_000), "importance": _NUMBERS},
        {"groups": list_of(TEXT, 100_000), "group_importance": {"type": "object"}, "split": TEXT, "images": COUNT},
    )
)
_ROBUSTNESS = Schema(
    record(
        {"clean": record({"accuracy": SHARE}), "corruptions": {"type": "object", "additionalProperties": record({})}},
        {"mean_accuracy": SHARE, "size": SIDE, "n": COUNT, "provenance": TEXT, "split": TEXT},
    )
)
_EXTERNAL_VALIDATION = Schema(
    record(
        {
            "laboratories": list_of(
                record({"laboratory": TEXT, "before": SHARE, "after": SHARE, "cells": COUNT, "answers": COUNT}), 1000
            )
        }
    )
)
_POSITIVE = {"type": "number", "exclusiveMinimum": 0, "maximum": 10**9}
_ANY_NUMBER = {"type": ["number", "null"], "minimum": 0, "maximum": 10**12}
_METRICS = Schema(
    record(
        {"val": _SCORES, "test": _SCORES},
        {
            "parameters": COUNT | {"type": ["integer", "null"]},
            "train_seconds": _ANY_NUMBER,
            "images_per_second": _ANY_NUMBER,
            "device": TEXT,
            "bf16": {"type": "boolean"},
            "epochs": COUNT,
            "best_epoch": COUNT,
            "temperature": _POSITIVE,
            "latency": {
                "type": "object",
                "properties": {"engine": TEXT, "machine": TEXT},
                "additionalProperties": _ANY_NUMBER,
            },
        },
    )
)
_PROVENANCE = record({"label": TEXT}, {"kind": TEXT, "content_hash": TEXT})
_CONFIG = Schema(
    record(
        {
            "train": record({"model": TEXT}, {"warm_start": TEXT, "augment": TEXT, "distill_from": TEXT}),
            "model": record(
                {"title": TEXT},
                dict.fromkeys(("name", "family", "summary", "paper", "paper_url"), TEXT),
            ),
            "dataset": record(
                {"name": DATASET, "size": SIDE, "codes": CODES, "provenance": _PROVENANCE},
                {"title": TEXT, "scheme": TEXT, "counts": {"type": "object", "additionalProperties": COUNT}},
            ),
        },
        {
            "name": TEXT,
            "kind": {"enum": ["network", "classical", "combination"]},
            "members": list_of(NAME, 64),
            "tta_views": {"enum": [1, 8]},
            "selected_on_val": {"type": "boolean"},
            "versions": {"type": "object", "additionalProperties": TEXT},
            "created": TEXT,
            "files": {"type": "object", "additionalProperties": {"type": "string"}, "propertyNames": NAME},
            "auxiliary": record({"name": TEXT}, {"title": TEXT, "provenance": _PROVENANCE}),
        },
    )
)


def existing_run(dataset: str, name: str) -> Run | None:
    """The run of ``dataset`` that is called exactly ``name``, None where there is none."""
    return next((run for run in list_runs(dataset) if run.name == name), None)


def find_run(name: str | os.PathLike, dataset: str | None = None) -> Run:
    """The run called ``name``: a folder, a full name, or the beginning of exactly one name.

    Raises `RunNotFound`, whose message lists what exists.
    """
    path = Path(name)
    if (path / CONFIG).exists():
        run = Run(path.resolve())
        _check_usable(run)
        return run
    runs = list_runs(dataset)
    matches = [r for r in runs if r.name == str(name)] or [r for r in runs if r.name.startswith(str(name))]
    if len(matches) == 1:
        return matches[0]
    for root in (paths.user_runs_root(), paths.shipped_runs_root()):
        for folder in _run_folders(root, dataset):
            if folder.name == str(name):
                _check_usable(Run(folder))
    problem = "several runs begin with" if matches else "no run is called"
    names = ", ".join(r.name for r in (matches or runs)) or "none yet: train one with `python -m core train`"
    raise RunNotFound(f"{problem} {str(name)!r}; there are: {names}")


def _check_usable(run: Run) -> None:
    """Raises `DamagedRun` where the run can't be shown and asked; one that only lacks its detector can be mended."""
    if (reason := fault_of(run.path)) and OOD not in reason:
        raise DamagedRun(f"the run {run.name} can't be used: {reason}. Restore its folder, train it again or delete it")


def default_run(dataset: str = "bloodmnist") -> Run:
    """The run that answers when none is named, by `preferred_run`'s rule. Raises `RunNotFound` where there is none."""
    best = preferred_run(list_runs(dataset))
    if best is None:
        raise RunNotFound(f"no run for {dataset!r} yet: train one with `python -m core train --dataset {dataset}`")
    return best


def best_run(runs: Iterable[Run]) -> Run | None:
    """The single network of ``runs`` that is best on val (test must not choose).

    A combination may be better on val, but takes many times as long for an answer and has no maps of its
    own: it is best only where there is no network at all.
    """
    return max(runs, key=lambda r: (r.kind == "network", r.metrics["val"]["accuracy"]), default=None)


def preferred_run(runs: Iterable[Run]) -> Run | None:
    """The run of ``runs`` to answer for uploads, which may come from anywhere: a robust network before the best one."""
    runs = list(runs)
    return best_run([run for run in runs if run.kind == "network" and run.any_laboratory] or runs)


def write_run(
    root: Path,
    name: str,
    *,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    predictions: Mapping[str, Predictions],
    card: Callable[[Run], str] | None = None,
    history: Sequence[Mapping[str, float]] = (),
    weights: Mapping[str, np.ndarray] | None = None,
    gate_means: Mapping[str, np.ndarray] | None = None,
    importances: Mapping[str, Any] | None = None,
    export: Callable[[Path, Path], object] | None = None,
    complete: Callable[[Run], object] | None = None,
) -> Run:
    """Write a whole run to ``root/<dataset>/name`` and return it; an older run of that name is replaced.

    ``export(graph, weights)`` must write the served graph to the path ``graph``; ``weights`` is the path of the
    stored weights, which the graph may refer to (same folder). ``card`` and ``complete`` are given the run as far as it
    is: the one returns the text of its card, the other adds the files that are made by asking the graph. What any of
    them raises leaves no folder. What a kind of run does not have is left out.
    """
    parent = root / config["dataset"]["name"]
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{name}{MAKING}", dir=parent))
    try:
        folder.chmod(0o755)
        write_json(folder / CONFIG, config)
        write_json(folder / METRICS, metrics)
        if history:
            with open(folder / HISTORY, "w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, list(history[0]))
                table.writeheader()
                table.writerows(history)
        arrays: dict[str, Any] = {}
        for split, answers in predictions.items():
            arrays[f"{split}_ids"] = answers.ids
            arrays[f"{split}_labels"] = answers.labels.astype(np.uint8)
            arrays[f"{split}_logits"] = answers.logits.astype(np.float16)
        np.savez_compressed(folder / PREDICTIONS, **arrays)
        if weights:
            save_tensors(folder / WEIGHTS, weights)
        if gate_means:
            save_tensors(folder / GATE_MEANS, {k: v.astype(np.float16) for k, v in gate_means.items()})
        if importances:
            write_json(folder / IMPORTANCES, importances)
        if export:
            export(folder / ONNX, folder / WEIGHTS)
            if not weights:
                _pack(folder / ONNX, folder / PACKED_ONNX)
        if complete:
            complete(Run(folder))
        _seal(folder)
        if card:  # it speaks of what the run then has
            (folder / CARD).write_text(card(Run(folder)), encoding="utf-8")
        final = parent / name
        swap_folder(folder, final)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Run(final)


_SEALED = (HISTORY, PREDICTIONS, WEIGHTS, ONNX, PACKED_ONNX, GATE_MEANS, IMPORTANCES, OOD)  # never written to again


def _seal(folder: Path) -> None:
    """Write down in its configuration how the files of the run in ``folder`` are."""
    config = parse_json(read_bytes(folder / CONFIG))
    files = {name: hash_bytes((folder / name).read_bytes()) for name in sorted(_SEALED) if (folder / name).exists()}
    write_json(folder / CONFIG, config | {"files": files})


def seal_run(run: Run) -> Run:
    """Have a run of a former version know how its files are, or one whose file was made anew; its own configuration
    alone is written.
    """
    _seal(run.path)
    return Run(run.path)


def replace_sealed(run: Run, name: str, write: Callable[[Path], object]) -> None:
    """Have ``write`` make the file ``name`` of ``run`` anew, given its path.

    Its hash goes first and comes last: killed in between, the run is one that doesn't know this file, never a damaged
    one.
    """
    sealed = dict(run.config.get("files", {}))
    if name in sealed:
        write_json(run.path / CONFIG, run.config | {"files": {k: v for k, v in sealed.items() if k != name}})
    write(run.path / name)
    if sealed:
        files = sealed | {name: hash_bytes((run.path / name).read_bytes())}
        write_json(run.path / CONFIG, run.config | {"files": files})


def _pack(path: Path, packed: Path) -> None:
    """Compress ``path`` into ``packed``; the same content gives the same file."""
    packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()


def update_metrics(run: Run, **entries: Any) -> Run:
    """Add or replace top-level entries of a run's metrics (for instance measured latency)."""
    write_json(run.path / METRICS, {**run.metrics, **entries})
    return Run(run.path)


def write_external_validation(run: Run, laboratories: Sequence[Mapping[str, Any]]) -> None:
    """Store what `Run.external_validation` reads; older figures are replaced."""
    write_json(run.path / EXTERNAL_VALIDATION, {"laboratories": list(laboratories)})


def write_robustness(run: Run, figures: Mapping[str, Any]) -> None:
    """Store what `Run.robustness` reads; older figures are replaced."""
    write_json(run.path / ROBUSTNESS, figures)
