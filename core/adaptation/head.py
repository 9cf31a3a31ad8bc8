"""A small linear head on a run's embedding: what a laboratory's own cells add to a run's probabilities; the cells it is
fitted on, the run it begins at, and the exemplars that keep it from forgetting.

log p'(c | x) = log p(c | x) + z V_c + const, where z is the embedding in the laboratory's own units. V is fitted to the
labelled cells by penalised maximum likelihood (Le Cessie and van Houwelingen 1992, doi:10.2307/2347628), with V = 0,
the run as it is, as what nothing speaks against: a class that the laboratory never labelled stays the run's. Cells of
the run's own laboratory, with known classes, are exemplars in the fit: what was learnt once stays. They are so a second
time at the place where the laboratory's cells lie, the less the more cells of their class were labelled: there they
keep a class that hardly anybody named from being given away to the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from scipy.optimize import minimize

from core.datasets import get_dataset
from core.errors import HemaLensError
from core.images.cell_check import CellCheck, check_pictures
from core.images.crop import Crop
from core.images.framing import Picture, as_picture, crop_batch
from core.images.red_cells import Scale
from core.inference.engine import encode, encoder_networks
from core.inference.scope import on_trusted_split, spec_for, training_data
from core.progress import Report, silent
from core.runs import Run, RunNotFound, list_runs
from core.storage import cached_file, save_tensors

L2_PENALTY = 0.03  # on V, found by how three laboratories are read
CLASS_BALANCE = 0.5  # 0: each labelled cell counts alike; 1: each class
EXEMPLAR_WEIGHT = 2.0  # weight of all exemplars, in that of all labelled cells
MEAN_WEIGHT = 2.0  # in cells, of where home says that a class lies, beside what the laboratory's own cells say
_MOVED_TEMPERATURE = 3.0  # away from home a run isn't as sure of its exemplars as it is at home
PSEUDO_LABEL_WEIGHT = 0.7  # weight of a cell that nobody named, in that of a labelled one
PROBABILITY_FLOOR = 1e-4  # no class is impossible
MAX_DEVIATION = 4.0  # spreads: further away an embedding counts no more
_MAX_ITERATIONS = 100


@dataclass(frozen=True)
class LabelledCells:
    """M cells beside the labelled ones: ``embeddings`` (M, K), ``probabilities`` (M, C), which need not sum to 1,
    ``labels`` int (M,).
    """

    embeddings: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray

    def subset(self, chosen: np.ndarray) -> "LabelledCells":
        """Those that are ``chosen``, int indexes or bool (M,)."""
        return LabelledCells(self.embeddings[chosen], self.probabilities[chosen], self.labels[chosen])


@dataclass(frozen=True)
class Head:
    """``centre`` and ``spread`` float32 (K,) of the laboratory's embeddings, ``weights`` float32 (K + 1, C).

    ``prior`` float32 (C,): odds with which each class occurs, 1 where nothing is known. ``temperature`` divides the
    logarithm of the probabilities.
    """

    centre: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    prior: np.ndarray
    temperature: float = 1.0

    def probabilities(self, embeddings: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Answers float64 (N, C) from the run's ``embeddings`` (N, K) and ``probabilities`` (N, C)."""
        scores = (
            np.log(probabilities + PROBABILITY_FLOOR) + np.log(self.prior) + self._inputs(embeddings) @ self.weights
        )
        scores = scores / self.temperature
        scores = np.exp(scores - scores.max(1, keepdims=True))
        return scores / scores.sum(1, keepdims=True)

    def _inputs(self, embeddings: np.ndarray) -> np.ndarray:
        return head_inputs(embeddings, self.centre, self.spread)


def head_inputs(embeddings: np.ndarray, centre: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Embeddings (N, K) in a laboratory's units, of length about 1, and a constant: float64 (N, K + 1)."""
    z = np.clip((embeddings - centre) / spread, -MAX_DEVIATION, MAX_DEVIATION).astype(np.float64) / np.sqrt(
        embeddings.shape[1]
    )
    return np.c_[z, np.ones(len(z))]


def untaught_head(embeddings: np.ndarray, prior: np.ndarray) -> Head:
    """The head of a laboratory that has taught nothing yet: the run's answers with ``prior`` (C,)."""
    centre, spread = embeddings.mean(0), embeddings.std(0)
    # A feature that never varies in these cells tells nothing about them.
    spread = np.maximum(spread, max(0.05 * float(spread.mean()), 1e-6))
    weights = np.zeros((embeddings.shape[1] + 1, len(prior)), np.float32)
    return Head(centre.astype(np.float32), spread.astype(np.float32), weights, prior.astype(np.float32))


def moved_means(means: np.ndarray, vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Where classes lie in a laboratory, float64 (C, K): home's ``means`` (C, K) moved by the mean shift of its cells
    ``vectors`` (n, K) with ``labels`` int (n,), each class that was seen there the further by what its own cells say.
    """
    counts = np.bincount(labels, minlength=len(means)).astype(float)
    own = means.astype(np.float64)
    for label in np.flatnonzero(counts):
        own[label] = vectors[labels == label].mean(0)
    trust = counts / (counts + MEAN_WEIGHT)
    moved = means + (trust @ (own - means)) / max(trust.sum(), 1e-9)
    return moved + trust[:, None] * (own - moved)


def move_exemplars(exemplars: LabelledCells, embeddings: np.ndarray, predicted: np.ndarray) -> LabelledCells:
    """``exemplars`` as they might look in the laboratory of ``embeddings`` (N, K), ``predicted`` int (N,)."""
    classes = exemplars.probabilities.shape[1]
    means = np.zeros((classes, embeddings.shape[1]))
    for label in set(exemplars.labels):
        means[label] = exemplars.embeddings[exemplars.labels == label].mean(0)
    shift = moved_means(means, embeddings, predicted) - means
    return LabelledCells(
        exemplars.embeddings + shift[exemplars.labels],
        (exemplars.probabilities + PROBABILITY_FLOOR) ** (1 / _MOVED_TEMPERATURE),
        exemplars.labels,
    )


def fit_head(
    start: Head,
    embeddings: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray,
    exemplars: LabelledCells | None = None,
    moved_exemplars: LabelledCells | None = None,
    pseudo_labels: LabelledCells | None = None,
    penalty: float = L2_PENALTY,
) -> Head:
    """``start`` taught by labelled cells: ``embeddings`` (n, K), ``probabilities`` (n, C), ``labels`` int (n,).

    ``exemplars``: cells of the run's own laboratory, ``moved_exemplars`` as `move_exemplars` gives them;
    ``pseudo_labels``: cells of this one, whose labels are the run's. The start's prior is that of the labelled cells
    and of these.
    """
    counts = np.bincount(labels, minlength=len(start.prior))
    weight = 1 / counts[labels] ** CLASS_BALANCE
    weight *= len(labels) / weight.sum()
    parts = [(LabelledCells(embeddings, probabilities, labels), weight, start.prior)]
    for cells in (exemplars, moved_exemplars):
        if cells is not None:
            # The exemplars weigh together a share of the labelled cells, so that neither drowns the other.
            weight = np.full(len(cells.labels), EXEMPLAR_WEIGHT * len(labels) / len(cells.labels))
            if cells is moved_exemplars:
                weight /= 1 + counts[cells.labels]
            parts.append((cells, weight, np.ones(len(start.prior))))
    if pseudo_labels is not None:
        parts.append((pseudo_labels, np.full(len(pseudo_labels.labels), PSEUDO_LABEL_WEIGHT), start.prior))
    z = np.concatenate([head_inputs(cells.embeddings, start.centre, start.spread) for cells, _, _ in parts])
    offset = np.concatenate(
        [np.log(cells.probabilities + PROBABILITY_FLOOR) + np.log(prior) for cells, _, prior in parts]
    )
    weight = np.concatenate([part for _, part, _ in parts])
    labels = np.concatenate([cells.labels for cells, _, _ in parts])
    shape = start.weights.shape
    truth = np.eye(shape[1])[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape)
        scores = offset + z @ weights
        scores -= scores.max(1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        slope = z.T @ (weight[:, None] * (np.exp(logs) - truth)) + penalty * weights
        return float(-(weight[:, None] * truth * logs).sum() + 0.5 * penalty * (weights**2).sum()), slope.ravel()

    solution = minimize(
        loss, start.weights.ravel().astype(float), jac=True, method="L-BFGS-B", options={"maxiter": _MAX_ITERATIONS}
    )
    return Head(
        start.centre, start.spread, solution.x.reshape(shape).astype(np.float32), start.prior, start.temperature
    )


@dataclass(frozen=True)
class LabCells:
    """N cells of one laboratory as a run of C classes and K features reads them.

    ``crops`` uint8 (N, S, S, 3), ``probabilities`` float64 (N, C), ``embeddings`` float32 (N, K). ``groups``: name of
    each cell's slide or person, None where nothing tells. ``scale``: how they were framed; ``missing``: numbers of the
    pictures in which no cell was found. ``boxes``: left, top, right, bottom of each frame in its picture, in px.
    """

    crops: np.ndarray
    probabilities: np.ndarray
    embeddings: np.ndarray
    scale: Scale
    groups: tuple[str, ...] | None = None
    missing: tuple[int, ...] = ()
    boxes: tuple[tuple[int, int, int, int], ...] | None = None

    def __len__(self) -> int:
        return len(self.crops)

    def subset(self, chosen: np.ndarray) -> "LabCells":
        """The cells ``chosen`` (int indexes), as a batch of their own."""
        groups = tuple(self.groups[i] for i in chosen) if self.groups else None
        missing = tuple(np.flatnonzero(np.isin(chosen, self.missing)).tolist())
        boxes = tuple(self.boxes[i] for i in chosen) if self.boxes else None
        return LabCells(
            self.crops[chosen],
            self.probabilities[chosen],
            self.embeddings[chosen],
            self.scale,
            groups,
            missing,
            boxes,
        )


def encode_pictures(
    run: Run,
    pictures: Sequence[Picture],
    groups: Sequence[str] | None = None,
    side: float | None = None,
    report: Report = silent,
) -> LabCells:
    """Frame ``pictures`` of one laboratory at one scale (or ``side`` px) and look at them."""
    batch = crop_batch(pictures, get_dataset(run.dataset), run.size, side)
    probabilities, embeddings = encode(run, batch.pixels, report)
    return LabCells(
        batch.pixels,
        probabilities,
        embeddings,
        batch.scale,
        tuple(groups) if groups else None,
        batch.missing,
        tuple(f.box for f in batch.crops),
    )


def cell_checks(run: Run, pictures: Sequence[Picture], cells: LabCells) -> list[CellCheck]:
    """What each of ``pictures`` shows, which `encode_pictures` made into ``cells``: who teaches a laboratory shows it
    cells.
    """
    crops = [Crop(pixels, box, "") for pixels, box in zip(cells.crops, cells.boxes or (), strict=True)]
    return check_pictures([as_picture(picture) for picture in pictures], crops, spec_for(run))


EXEMPLARS_PER_CLASS = 40


def base_run(dataset: str) -> Run:
    """The run to teach: of those made for any laboratory one with exemplars, a combination, then the best on val.

    Several networks see more than one, and without exemplars what no label speaks of is forgotten. Where no run is made
    for it, the best network. Raises `RunNotFound`.
    """
    candidates = [run for run in on_trusted_split(list_runs(dataset)) if _is_adaptable(run)]
    any_laboratory = [run for run in candidates if run.any_laboratory]
    networks = [run for run in candidates if run.kind == "network"]
    if not (any_laboratory or networks):
        raise RunNotFound(
            f"no network for {dataset!r} is here yet: train one with `python -m core train --dataset {dataset}`"
        )
    return max(any_laboratory or networks, key=_base_run_rank)


def _base_run_rank(run: Run) -> tuple[bool, int, float]:
    return run.exemplars_path.exists(), len(run.members), run.metrics["val"]["accuracy"]


def _is_adaptable(run: Run) -> bool:
    try:
        return bool(encoder_networks(run))
    except HemaLensError:
        return False


def exemplars_of(run: Run) -> LabelledCells | None:
    """The run's exemplars, None where it has none. Raises `HemaLensError` where their file is broken."""
    try:
        return _load_exemplars(run.exemplars_path)
    except FileNotFoundError:
        return None


@cached_file(maxsize=8)
def _load_exemplars(path: Path) -> LabelledCells:
    try:
        tensors = load_file(path)
        return LabelledCells(
            tensors["embeddings"].astype(np.float32),
            tensors["probabilities"].astype(float),
            tensors["labels"].astype(int),
        )
    except Exception as error:  # safetensors raises a kind of its own that derives from Exception only
        raise HemaLensError(
            f"{path} can't be read. Make it anew: python -m core lab exemplars {path.parent.name}"
        ) from error


def make_exemplars(run: Run, report: Report = silent) -> LabelledCells:
    """`EXEMPLARS_PER_CLASS` cells of each class of the run's train split, as the run sees them, stored in its folder.

    Raises `HemaLensError` where the very cells are not on this computer.
    """
    train = training_data(run)["train"]
    rng = np.random.default_rng(0)
    labels = np.asarray(train.labels)
    chosen = np.sort(
        np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:EXEMPLARS_PER_CLASS] for c in set(labels)])
    )
    probabilities, embeddings = encode(run, np.asarray(train.images[chosen]), report)
    arrays = {
        "embeddings": embeddings.astype(np.float16),
        "probabilities": probabilities.astype(np.float16),
        "labels": labels[chosen].astype(np.uint8),
    }
    save_tensors(run.exemplars_path, arrays)
    return LabelledCells(embeddings, probabilities, labels[chosen].astype(int))
