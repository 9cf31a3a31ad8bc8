"""Runs a stored graph with ONNX Runtime, on the CPU, without torch.

A graph takes ``image`` uint8 (N, S, S, 3) and gives ``logits`` (N, C) and ``features`` (N, K, h, w), the last feature
map; some also ``texture`` (N, T), what an earlier map holds. Normalisation lies inside the graph, so that it can't
drift from the weights. A combination has no graph of its own: its members are asked, and their probabilities averaged.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from core.errors import HemaLensError
from core.evaluation import softmax
from core.runs import Run, RunNotFound
from core.serving.views import views

BATCH = 64
MAX_SESSIONS = 32
MAX_THREADS = 8
SPIN = 50  # microseconds for which a helping thread stays awake for the next layer
INPUT = "image"
SMALLEST = 1e-12  # probability: its log is still a number

ort.set_default_logger_severity(4)  # its messages are told again as EngineError, in plain words

_sessions: OrderedDict[tuple[str, int], ort.InferenceSession] = OrderedDict()
_lock = threading.Lock()


class EngineError(HemaLensError):
    """A run's graph is missing, broken or does not fit the pictures; the message says what to do."""


def load(run: Run) -> None:
    """Open the graph of ``run`` (or its members') now, so that the first answer needn't wait. Raises `EngineError`."""
    for answering in _members(run) or (run,):
        _session(answering)


def threads() -> int:
    """Threads that one answer may use at most."""
    return min(MAX_THREADS, _usable_cores())


def logits(run: Run, images: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """Scores float32 (N, C) of ``images`` uint8 (N, S, S, 3), ``batch`` at a time. Raises `EngineError`.

    A combination's are the log of the mean probability over its members and views, divided by the
    temperature that its val images asked for.
    """
    if members := _members(run):
        scores = np.log(mean_probabilities(members, run.views, images, batch)) / run.metrics["temperature"]
        return scores.astype(np.float32)
    return _outputs(run, images, ("logits",), batch)[0]


def answers(
    run: Run, images: np.ndarray, batch: int = BATCH, spread: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """What `logits` gives, and the embedding float32 (N, K) from the same pass: the last feature map's mean.

    With ``spread`` the map's deviation over its places stands behind the mean, and behind that the texture, where the
    graph gives it: (N, 2 K + T). The embedding is None for a combination and for a graph without feature map. Raises
    `EngineError`.
    """
    if run.kind == "combination" or "features" not in _given(run):
        return logits(run, images, batch), None
    asked = ["logits", "features", *(["texture"] if spread and "texture" in _given(run) else [])]
    scores, pooled = [], []
    for start in _starts(images, batch):
        found, last, *texture = _outputs(run, images[start : start + batch], asked, batch)
        scores.append(found)
        pooled.append(np.concatenate([last.mean((2, 3)), *([last.std((2, 3)), *texture] if spread else [])], 1))
    return np.concatenate(scores), np.concatenate(pooled)


def features(run: Run, images: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """The last feature map float32 (N, K, h, w) of ``images`` uint8 (N, S, S, 3). Raises `EngineError`."""
    if run.kind == "combination":
        raise EngineError(
            f"{run.name} combines the answers of several models or views and has no feature map of its own: "
            "choose one of its members."
        )
    return _outputs(run, images, ("features",), batch)[0]


def mean_probabilities(members: Sequence[Run], count: int, images: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """Mean over ``members`` and the first ``count`` views of ``images`` uint8 (N, S, S, 3): float64 (N, C), each > 0.

    The members are of one data set and size. Raises `EngineError`.
    """
    _check(members[0], images)
    per_call = max(1, batch // count)  # all views of a picture go through a graph together
    parts = []
    for start in _starts(images, per_call):
        part = images[start : start + per_call]
        seen = np.concatenate(list(views(part, count)))
        mean = np.mean([softmax(_outputs(member, seen, ("logits",), batch)[0]) for member in members], axis=0)
        parts.append(mean.reshape(count, len(part), mean.shape[1]).mean(axis=0))
    return np.maximum(np.concatenate(parts), SMALLEST)


def _members(run: Run) -> tuple[Run, ...]:
    try:
        return run.members
    except RunNotFound as error:
        raise EngineError(f"{error}.") from error


def _outputs(run: Run, images: np.ndarray, outputs: Sequence[str], batch: int) -> list[np.ndarray]:
    _check(run, images)
    session = _session(run)
    # An empty batch still goes through the graph once, for the shape of what comes out.
    shape = (1, *images.shape[1:])
    parts = [images[start : start + batch] for start in range(0, len(images), batch)] or [np.zeros(shape, "u1")]
    try:
        found = [session.run(list(outputs), {INPUT: np.ascontiguousarray(part)}) for part in parts]
    except Exception as error:  # ONNX Runtime raises kinds of its own that derive from Exception only
        raise EngineError(
            f"the model {run.name} could not answer ({_first_line(error)}). Train it again or choose another model."
        ) from error
    return [np.concatenate(of_one).astype(np.float32, copy=False)[: len(images)] for of_one in zip(*found, strict=True)]


def _starts(images: np.ndarray, batch: int) -> range:
    """Where each batch of ``images`` begins; one, empty, where there is none."""
    return range(0, max(1, len(images)), batch)


def _given(run: Run) -> set[str]:
    """Names of what the run's graph gives."""
    return {output.name for output in _session(run).get_outputs()}


def _check(run: Run, images: np.ndarray) -> None:
    wanted = (run.size, run.size, 3)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != wanted:
        raise EngineError(
            f"{run.name} takes uint8 pictures of {run.size} x {run.size} px, not {images.dtype} {images.shape[1:]}: "
            "frame them with core.serving.preprocess.frame first."
        )


def _session(run: Run) -> ort.InferenceSession:
    """The one session of ``run``; ONNX Runtime allows many threads to run it at once."""
    path = run.onnx_path
    try:
        key = (str(path.resolve()), path.stat().st_mtime_ns)
    except OSError as error:
        raise EngineError(
            f"the model {run.name} has no graph ({path.name} is missing). Restore its folder or choose another model."
        ) from error
    with _lock:
        if key not in _sessions:
            _sessions[key] = _open(run)
            while len(_sessions) > MAX_SESSIONS:
                _sessions.popitem(last=False)
        _sessions.move_to_end(key)
        return _sessions[key]


def _open(run: Run) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads()
    options.inter_op_num_threads = 1
    # Helping threads that sleep between two layers come too late to help a small network at all; ones that
    # wait for long burn a core that another visitor or a training needs. A layer takes tens of microseconds.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN))
    try:
        # A network by its path, not from bytes: the weights lie beside the graph, in weights.safetensors.
        session = ort.InferenceSession(run.graph(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise EngineError(
            f"the model {run.name} can't be opened ({_first_line(error)}). "
            "Restore its folder, train it again or choose another model."
        ) from error
    outputs = {o.name for o in session.get_outputs()}
    if [i.name for i in session.get_inputs()] != [INPUT] or "logits" not in outputs:
        raise EngineError(
            f"the model {run.name} does not take '{INPUT}' and give 'logits'. Train it again or choose another model."
        )
    return session


def _usable_cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
