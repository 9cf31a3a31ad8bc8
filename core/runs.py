"""The run folder: the one thing that passes from training to use.

This module alone knows the folder's file names. It imports neither torch nor streamlit. A run is written into a
temporary folder and renamed when complete, so a folder that exists is whole.
"""

import csv
import gzip
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from core import paths
from core.errors import HemaLensError
from core.storage import cached_file, save_tensors, write_json

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
        return next((Run(folder) for folder in folders if _is_whole(folder)), None)

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
        config = in_current_words(json.loads((self.path / CONFIG).read_text(encoding="utf-8")))
        return config | ({"train": in_current_words(config["train"])} if "train" in config else {})

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What ``metrics.json`` says: figures of 'val' and 'test' (`core.evaluation.metrics.score`), cost, device."""
        return json.loads((self.path / METRICS).read_text(encoding="utf-8"))

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
        with np.load(self.path / PREDICTIONS, allow_pickle=False) as arrays:
            return Predictions(
                arrays[f"{split}_ids"], arrays[f"{split}_labels"].astype(int), arrays[f"{split}_logits"].astype("f4")
            )

    def weights(self) -> dict[str, np.ndarray]:
        """The network's tensors as float32 arrays."""
        return {k: v.astype("f4") if v.dtype == np.float16 else v for k, v in load_file(self.path / WEIGHTS).items()}

    def gate_means(self) -> dict[str, np.ndarray]:
        """Mean channel gates by stage over val images of each class, (classes, channels); {} where it has none."""
        path = self.path / GATE_MEANS
        return {k: v.astype("f4") for k, v in load_file(path).items()} if path.exists() else {}

    def importances(self) -> dict[str, Any] | None:
        """What the answers of a classical run rest on, see `core.training.classical.feature_importances`; None for
        others.
        """
        path = self.path / IMPORTANCES
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def robustness(self) -> dict[str, Any] | None:
        """What spoilt pictures cost it, see `core.evaluation.robustness.robustness_summary`; None where nobody measured
        it.
        """
        path = self._file(ROBUSTNESS)
        if not path.exists():
            return None
        figures = json.loads(path.read_text(encoding="utf-8"))
        if "of" in figures:  # its name in former versions
            figures["test_images"] = figures.pop("of")
        return figures

    def external_validation(self) -> list[dict[str, Any]]:
        """How other laboratories' cells are read with it, before and after teaching; [] where nobody measured it.

        An entry a laboratory: ``laboratory``, ``cells`` scored a draw, ``draws``, ``answers``, ``before``, ``after``
        (means over natural differentials, 0 to 1, of the share that is right).
        """
        path = self._file(EXTERNAL_VALIDATION)
        return json.loads(path.read_text(encoding="utf-8"))["laboratories"] if path.exists() else []

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

    def graph(self) -> str | bytes:
        """What ONNX Runtime opens: the path of the graph, which refers to the weights beside it, or its content."""
        path = self.onnx_path
        return gzip.decompress(path.read_bytes()) if path.name == PACKED_ONNX else str(path)

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


@cached_file(maxsize=64)
def _content_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def list_runs(dataset: str | None = None, size: int | None = None, *, shipped_only: bool = False) -> list[Run]:
    """All whole runs, shipped ones first, then by descending val accuracy; of one data set or size if given.

    Where a user's own run has the name of a shipped one, which is the same configuration trained anew, their own
    stands, unless ``shipped_only``. A combination that lacks a member can't answer and is not whole.
    """
    by_name: dict[tuple[str, str], Run] = {}
    for root in (paths.shipped_runs_root(), *(() if shipped_only else (paths.user_runs_root(),))):
        for path in sorted(root.glob(f"{dataset or '*'}/[!.]*")):  # a hidden folder is still being written
            if _is_whole(path):
                by_name[path.parent.name, path.name] = Run(path)
    runs = (run for run in by_name.values() if size is None or run.size == size)
    return sorted(runs, key=lambda r: (not r.shipped, -r.metrics["val"]["accuracy"], r.name))


def _is_whole(path: Path) -> bool:
    """Whether the folder ``path`` holds all that a run of its kind needs to be shown and to answer."""
    if not all((path / f).exists() for f in REQUIRED):
        return False
    run = Run(path)
    if run.kind != "combination":
        return run.onnx_path.exists()
    try:
        return bool(run.members)
    except RunNotFound:
        return False


def existing_run(dataset: str, name: str) -> Run | None:
    """The run of ``dataset`` that is called exactly ``name``, None where there is none."""
    return next((run for run in list_runs(dataset) if run.name == name), None)


def find_run(name: str | os.PathLike, dataset: str | None = None) -> Run:
    """The run called ``name``: a folder, a full name, or the beginning of exactly one name.

    Raises `RunNotFound`, whose message lists what exists.
    """
    path = Path(name)
    if (path / CONFIG).exists():
        return Run(path.resolve())
    runs = list_runs(dataset)
    matches = [r for r in runs if r.name == str(name)] or [r for r in runs if r.name.startswith(str(name))]
    if len(matches) == 1:
        return matches[0]
    problem = "several runs begin with" if matches else "no run is called"
    names = ", ".join(r.name for r in (matches or runs)) or "none yet: train one with `python -m core train`"
    raise RunNotFound(f"{problem} {str(name)!r}; there are: {names}")


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
    folder = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent))
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
        if card:  # it speaks of what the run then has
            (folder / CARD).write_text(card(Run(folder)), encoding="utf-8")
        final, former = parent / name, folder.with_name(f"{folder.name}-former")
        if final.exists():
            final.rename(former)  # in one step: no half of it is ever there
        folder.rename(final)
        shutil.rmtree(former, ignore_errors=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Run(final)


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
