"""Runs a stored graph with ONNX Runtime, on the CPU, without torch: logits, embeddings, feature maps, test-time
augmentation.

A graph takes ``image`` uint8 (N, S, S, 3) and gives ``logits`` (N, C) and ``feature_maps`` (N, K, h, w), the last
feature map; some also ``texture`` (N, T), what an earlier map holds. Normalisation lies inside the graph, so that it
can't drift from the weights. A combination has no graph of its own: its members are asked, and their probabilities
averaged. A picture under the microscope has no upright side, so predictions may be averaged over its flips and quarter
turns (test-time augmentation: Krizhevsky et al. 2012).
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from core.datasets.base import ImageRows
from core.errors import HemaLensError
from core.probabilities import softmax
from core.progress import Report, batches, silent
from core.runs import WEIGHTS, Run, RunNotFound
from core.storage import cached_file

BATCH = 64
TTA_VIEWS = 8
ENCODE_VIEWS = 4  # quarter turns; eight cost twice as much and gain nothing
MAX_SESSIONS = 32
MAX_THREADS = 8
SPIN_MICROSECONDS = 50  # microseconds for which a helping thread stays awake for the next layer
INPUT = "image"
MIN_PROBABILITY = 1e-12  # probability: its log is still a number

ort.set_default_logger_severity(4)  # its messages are told again as EngineError, in plain words


class EngineError(HemaLensError):
    """A run's graph is missing, broken or does not fit the pictures; the message says what to do."""


def tta_views(images: np.ndarray, count: int = TTA_VIEWS) -> Iterator[np.ndarray]:
    """The first ``count`` (1 to 8) views of ``images`` (N, S, S, C), the first as given, all of that shape.

    View k is k quarter turns anticlockwise, from the fifth on also mirrored left to right. Every pixel keeps
    its value. Views share memory with ``images``.
    """
    for view in range(count):
        turned = np.rot90(images, view % 4, axes=(1, 2))
        yield turned[:, :, ::-1] if view >= 4 else turned


def load(run: Run) -> None:
    """Open the graph of ``run`` (or its members') now, so that the first answer needn't wait. Raises `EngineError`."""
    for member in _members(run) or (run,):
        _session(member)


def thread_count() -> int:
    """Threads that one answer may use at most."""
    return min(MAX_THREADS, _usable_cores())


def logits(run: Run, images: np.ndarray | ImageRows, batch: int = BATCH) -> np.ndarray:
    """Scores float32 (N, C) of ``images`` uint8 (N, S, S, 3), ``batch`` at a time. Raises `EngineError`.

    A combination's are the log of the mean probability over its members and views, divided by the
    temperature that its val images asked for.
    """
    if members := _members(run):
        scores = np.log(mean_probabilities(members, run.tta_views, images, batch)) / run.metrics["temperature"]
        return scores.astype(np.float32)
    return _outputs(run, images, ("logits",), batch)[0]


def logits_and_embeddings(
    run: Run, images: np.ndarray, batch: int = BATCH, with_deviation: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """What `logits` gives, and the embedding float32 (N, K) from the same pass: the last feature map's mean.

    With ``with_deviation`` the map's deviation over its places stands behind the mean, and behind that the texture,
    where the graph gives it: (N, 2 K + T). The embedding is None for a combination and for a graph without feature map.
    Raises `EngineError`.
    """
    names = () if run.kind == "combination" else [output.name for output in _session(run).get_outputs()]
    if "features" not in names:
        return logits(run, images, batch), None
    outputs = ["logits", "features", *(["texture"] if with_deviation and "texture" in names else [])]
    scores, embeddings = [], []
    for rows in batches(len(images), batch, at_least_one=True):
        logits_part, features, *texture = _outputs(run, images[rows], outputs, batch)
        parts = [features.mean((2, 3)), *([features.std((2, 3)), *texture] if with_deviation else [])]
        scores.append(logits_part)
        embeddings.append(np.concatenate(parts, 1))
    return np.concatenate(scores), np.concatenate(embeddings)


def feature_maps(run: Run, images: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """The last feature map float32 (N, K, h, w) of ``images`` uint8 (N, S, S, 3). Raises `EngineError`."""
    if run.kind == "combination":
        raise EngineError(
            f"{run.name} combines the answers of several models or views and has no feature map of its own: "
            "choose one of its members."
        )
    return _outputs(run, images, ("features",), batch)[0]


def mean_probabilities(
    members: Sequence[Run], count: int, images: np.ndarray | ImageRows, batch: int = BATCH
) -> np.ndarray:
    """Mean over ``members`` and the first ``count`` views of ``images`` uint8 (N, S, S, 3): float64 (N, C), each > 0.

    The members are of one data set and size. Raises `EngineError`.
    """
    _check_images(members[0], images)
    parts = []
    # All views of a picture go through a graph together.
    for rows in batches(len(images), max(1, batch // count), at_least_one=True):
        part = images[rows]
        views = np.concatenate(list(tta_views(part, count)))
        mean = np.mean([softmax(_outputs(member, views, ("logits",), batch)[0]) for member in members], axis=0)
        parts.append(mean.reshape(count, len(part), mean.shape[1]).mean(axis=0))
    return np.maximum(np.concatenate(parts), MIN_PROBABILITY)


def _members(run: Run) -> tuple[Run, ...]:
    try:
        return run.members
    except RunNotFound as error:
        raise EngineError(f"{error}.") from error


def _outputs(run: Run, images: np.ndarray | ImageRows, outputs: Sequence[str], batch: int) -> list[np.ndarray]:
    _check_images(run, images)
    session = _session(run)
    # An empty batch still goes through the graph once, for the shape of what comes out.
    parts = [images[rows] for rows in batches(len(images), batch)] or [np.zeros((1, *images.shape[1:]), "u1")]
    try:
        results = [session.run(list(outputs), {INPUT: np.ascontiguousarray(part)}) for part in parts]
    except Exception as error:  # ONNX Runtime raises kinds of its own that derive from Exception only
        raise EngineError(
            f"the model {run.name} could not answer ({_first_line(error)}). Train it again or choose another model."
        ) from error
    if not all(np.isfinite(part).all() for parts in results for part in parts):
        raise EngineError(
            f"the model {run.name} gave an answer that is no number: its weights are damaged. Restore its folder, "
            "train it again or choose another model."
        )
    return [
        np.concatenate(of_one).astype(np.float32, copy=False)[: len(images)] for of_one in zip(*results, strict=True)
    ]


def _check_images(run: Run, images: np.ndarray | ImageRows) -> None:
    expected_shape = (run.size, run.size, 3)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != expected_shape:
        raise EngineError(
            f"{run.name} takes uint8 pictures of {run.size} x {run.size} px, not {images.dtype} {images.shape[1:]}: "
            "frame them with core.images.crop.crop_by_shape first."
        )


def _session(run: Run) -> ort.InferenceSession:
    """The one session of ``run``; ONNX Runtime allows many threads to run it at once."""
    path = run.onnx_path
    try:
        return _open(path, run)
    except FileNotFoundError as error:
        raise EngineError(
            f"the model {run.name} has no graph ({path.name} is missing). Restore its folder or choose another model."
        ) from error


@cached_file(MAX_SESSIONS)
def _open(path: Path, run: Run) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = thread_count()
    options.inter_op_num_threads = 1
    # Helping threads that sleep between two layers come too late to help a small network at all; ones that
    # wait for long burn a core that another visitor or a training needs. A layer takes tens of microseconds.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN_MICROSECONDS))
    try:
        graph, weights = run.graph()
        if weights is not None:
            options.add_external_initializers_from_files_in_memory([WEIGHTS], [weights], [len(weights)])
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except FileNotFoundError:
        raise
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


def has_embedding(run: Run) -> bool:
    """Whether the run is one network with a feature map of its own: trees have none, combinations several."""
    return run.kind == "network"


def embed(run: Run, images: np.ndarray, report: Report = silent) -> np.ndarray:
    """Vectors float32 (N, K) of ``images`` uint8 (N, S, S, 3): the last feature map, averaged over its places.

    ``report`` is told after each batch how many pictures are done. Raises `EngineError`.
    """
    rows = batches(len(images), BATCH, report, unit="picture", at_least_one=True)
    return np.concatenate([feature_maps(run, images[part]).mean((2, 3)) for part in rows])


def encoder_networks(run: Run) -> tuple[Run, ...]:
    """The networks that look at a cell for ``run``: itself, or the members of a combination.

    Raises `HemaLensError` for a run that is none and has none.
    """
    networks = run.members or (run,)
    if not all(has_embedding(network) for network in networks):
        raise HemaLensError(
            f"{run.name} is no network: only networks can learn to read a laboratory. Choose another model."
        )
    return networks


def embedding_size(run: Run) -> int | None:
    """How many numbers `encode` gives of a cell: mean and deviation of the last map, and the texture; None where the
    graph does not say. Raises `EngineError`.
    """
    sizes = []
    for network in _members(run) or (run,):
        shapes = {output.name: output.shape for output in _session(network).get_outputs()}
        widths = [shapes[name][1] for name in ("features", "features", "texture") if name in shapes]
        if not widths or not all(isinstance(width, int) for width in widths):
            return None
        sizes.append(sum(widths))
    return sum(sizes)


def encode(run: Run, crops: np.ndarray, report: Report = silent) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities float64 (N, C) and embedding float32 (N, K) of ``crops`` uint8 (N, S, S, 3), mean of the views.

    A network's embedding is the mean of the last feature map and its deviation over the places: how evenly a feature
    lies over the cell tells classes apart that a mean alone confuses, such as granules and smudges. An earlier map's
    texture stands behind it, where the graph gives it. That of a combination is its members' side by side. Raises
    `HemaLensError` for a run without an embedding, `EngineError`.
    """
    networks = encoder_networks(run)
    probabilities, embeddings = [], []
    for rows in batches(len(crops), BATCH // ENCODE_VIEWS, report, "looking at the cells", "cell", at_least_one=True):
        part = crops[rows]
        views = np.concatenate(list(tta_views(part, ENCODE_VIEWS)))
        outputs = [_encode_once(network, views) for network in networks]
        probabilities.append(np.mean([p.reshape(ENCODE_VIEWS, len(part), -1).mean(0) for p, _ in outputs], axis=0))
        embeddings.append(np.concatenate([e.reshape(ENCODE_VIEWS, len(part), -1).mean(0) for _, e in outputs], axis=1))
    return np.concatenate(probabilities), np.concatenate(embeddings)


def _encode_once(network: Run, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, vectors = logits_and_embeddings(network, images, with_deviation=True)
    if vectors is None:
        raise HemaLensError(f"the graph of {network.name} has no feature map: train it again, or choose another model.")
    return softmax(scores), vectors
