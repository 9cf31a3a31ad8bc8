"""Runs and profiles as accidents and attackers leave them: a sound one, and what is done to a copy."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from core.storage import read_tensors

Tamper = Callable[[Path], object]


def _put(content: Any, path: str, value: Any) -> None:
    *way, last = path.split(".")
    for key in way:
        content = content[key]
    if value is ...:
        del content[last]
    else:
        content[last] = value


def _json(name: str, path: str, value: Any) -> Tamper:
    def tamper(run: Path) -> None:
        content = json.loads((run / name).read_text())
        _put(content, path, value)
        (run / name).write_text(json.dumps(content))

    return tamper


def _bytes(name: str, content: bytes) -> Tamper:
    return lambda run: (run / name).write_bytes(content)


def _cut(name: str) -> Tamper:
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[: (run / name).stat().st_size // 2])


def _gone(name: str) -> Tamper:
    return lambda run: (run / name).unlink()


def _flip(name: str) -> Tamper:
    def tamper(run: Path) -> None:
        content = bytearray((run / name).read_bytes())
        content[len(content) // 2] ^= 0xFF
        (run / name).write_bytes(content)

    return tamper


def _folder_instead(name: str) -> Tamper:
    def tamper(run: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()

    return tamper


NAN, INFINITE = float("nan"), float("inf")
NESTED = b"[" * 100_000
# What a run's folder may have been through; each makes it unusable.
RUNS: dict[str, Tamper] = {
    **{
        f"config {path} {str(value)[:20]!r}": _json("config.json", path, value)
        for path, value in (
            ("dataset.name", "../../.."),
            ("dataset.name", "a/b"),
            ("dataset.name", 5),
            ("dataset.size", 10**9),
            ("dataset.size", 0),
            ("dataset.size", -28),
            ("dataset.size", 28.0),
            ("dataset.size", "28"),
            ("dataset.size", True),
            ("dataset.size", NAN),
            ("dataset.codes", []),
            ("dataset.codes", ["BA"]),
            ("dataset.codes", ["BA"] * 8),
            ("dataset.codes", "BAEOERBI"),
            ("dataset.codes", [f"C{i}" for i in range(5000)]),
            ("dataset.codes", None),
            ("dataset.provenance", "here"),
            ("dataset.provenance.label", ["x"]),
            ("dataset", []),
            ("dataset", ...),
            ("train", ...),
            ("train", "cnn"),
            ("train.model", None),
            ("model.title", {"a": 1}),
            ("model.title", "red\x1b[31m"),
            ("model", None),
            ("created", 5),
            ("kind", "poem"),
            ("kind", 7),
            ("tta_views", 10**9),
            ("files", ["weights.safetensors"]),
            ("versions", 3),
            ("files", {"../../etc/passwd": "0" * 16}),
        )
    },
    "a combination of nothing": _json("config.json", "kind", "combination"),
    **{
        f"metrics {path} {str(value)[:20]!r}": _json("metrics.json", path, value)
        for path, value in (
            ("val.accuracy", NAN),
            ("val.accuracy", INFINITE),
            ("val.accuracy", 1.5),
            ("val.accuracy", "high"),
            ("val", ...),
            ("test", None),
            ("test.accuracy_interval", [0.1]),
            ("test.n", -1),
            ("test.confusion", [[1]]),
            ("test.confusion", {}),
            ("test.per_class", {"sensitivity": [0.5]}),
            ("parameters", "many"),
            ("train_seconds", -5),
            ("latency", {"batch1_ms": "fast"}),
            ("device", 0),
        )
    },
    **{
        f"{name} is empty": _bytes(name, b"")
        for name in ("config.json", "metrics.json", "predictions.npz", "history.csv")
    },
    **{f"{name} is cut off": _cut(name) for name in ("config.json", "metrics.json", "predictions.npz", "model.onnx")},
    **{
        f"{name} is gone": _gone(name)
        for name in ("metrics.json", "predictions.npz", "model.onnx", "weights.safetensors")
    },
    **{f"{name} has a flipped byte": _flip(name) for name in ("predictions.npz", "history.csv", "model.onnx")},
    "config.json nests": _bytes("config.json", NESTED),
    "metrics.json nests": _bytes("metrics.json", b'{"val":' * 50_000),
    "config.json is a list": _bytes("config.json", b"[]"),
    "config.json is no text": _bytes("config.json", b"\xff\xfe\x00"),
    "metrics.json is null": _bytes("metrics.json", b"null"),
    "metrics.json is a folder": _folder_instead("metrics.json"),
    "config.json is a folder": _folder_instead("config.json"),
    "robustness.json says nothing": _bytes("robustness.json", b"{}"),
    "importances.json is no JSON": _bytes("importances.json", b"{"),
    "external_validation.json is of another kind": _bytes("external_validation.json", b'{"laboratories": 5}'),
    "gate_means.safetensors are none": _bytes("gate_means.safetensors", b"\x00" * 20),
    "card.md is no text": _bytes("card.md", b"\xff\xfe"),
}


def _facts(path: str, value: Any) -> Tamper:
    def tamper(file: Path) -> None:
        arrays, metadata = read_tensors(file, 2**24)
        facts = json.loads(metadata["profile"])
        _put(facts, path, value)
        save_file(arrays, file, {"profile": json.dumps(facts)})

    return tamper


def _array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Tamper:
    def tamper(file: Path) -> None:
        arrays, metadata = read_tensors(file, 2**24)
        save_file(arrays | {name: np.ascontiguousarray(change(arrays[name]))}, file, metadata)

    return tamper


def _filled(value: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda array: np.full_like(array, value)


def _without_facts(file: Path) -> None:
    save_file(load_file(file), file)


# What a profile's file may have been through; each makes it unusable.
PROFILES: dict[str, Tamper] = {
    **{
        f"{path} {str(value)[:20]!r}": _facts(path, value)
        for path, value in (
            ("created", 5),
            ("created", "yesterday"),
            ("created", None),
            ("name", 5),
            ("name", "../up"),
            ("name", "another"),
            ("name", ""),
            ("run", "../../run"),
            ("run", "/etc/passwd"),
            ("run", None),
            ("dataset", "../../.."),
            ("dataset", ""),
            ("codes", []),
            ("codes", ["BA"]),
            ("codes", "BA"),
            ("codes", [1] * 8),
            ("side", 1e9),
            ("side", 0),
            ("side", -1),
            ("side", NAN),
            ("side", INFINITE),
            ("side", "wide"),
            ("cells", -1),
            ("cells", 1.5),
            ("cells", "all"),
            ("labelled", []),
            ("labelled", {"XX": 5}),
            ("labelled", {"BA": NAN}),
            ("labelled", {"BA": -1}),
            ("confidence_threshold", -1),
            ("confidence_threshold", NAN),
            ("confidence_threshold", "high"),
            ("temperature", 0),
            ("temperature", NAN),
            ("temperature", -1),
            ("temperature", ...),
            ("before", [1, 2, 3]),
            ("after", [0.5]),
            ("after", "good"),
            ("unnamed", -3),
            ("calibration_error", 7),
            ("in_distribution_share", "all"),
            ("specimen", "soup"),
            ("left_out", [[0, 99, True]]),
            ("left_out", 5),
            ("detector", "{"),
            ("detector", {}),
            ("version", 99),
            ("version", "5"),
            ("version", ...),
            ("unheard_of", 1),
        )
    },
    "head.weights is not finite": _array("head.weights", _filled(NAN)),
    "head.weights is of another shape": _array("head.weights", lambda array: array[:-1]),
    "head.centre is infinite": _array("head.centre", _filled(INFINITE)),
    "head.spread is 0": _array("head.spread", _filled(0)),
    "head.prior is below 0": _array("head.prior", _filled(-1)),
    "head.prior is of another shape": _array("head.prior", lambda array: array[:2]),
    "no facts": _without_facts,
    "empty": lambda file: file.write_bytes(b""),
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:200]),
    "no tensors": lambda file: file.write_bytes(b"PK\x03\x04" * 100),
    "a header of 2 EiB": lambda file: file.write_bytes(b"\xff" * 7 + b"\x1f" + b"{" * 100),
    "far too large": lambda file: file.write_bytes(b"\x00" * (5 * 2**20)),
}


def tampered_run(sound: Path, folder: Path, tamper: Tamper) -> Path:
    """A copy ``folder`` of the run in ``sound`` after ``tamper``."""
    shutil.copytree(sound, folder)
    tamper(folder)
    return folder
