"""What is out of distribution for a laboratory's profile: the run's own detector, moved to the laboratory's cells.

A few dozen cells can't tell how 144 numbers vary together, the run's thousands of home cells can. So home's classes are
moved by the mean shift of the laboratory's cells, each class that was seen there the further by what its own cells say,
and home's covariance is pooled with the laboratory's, each with its weight (a normal-inverse-Wishart prior: Murphy
2007, Conjugate Bayesian analysis of the Gaussian distribution). Each cell's distance is measured by what the others
say, and the limit lies so far above them that a few cells can promise it: `IN_LAB_SHARE`, not home's 99 %.
"""

from dataclasses import replace

import numpy as np

from core.adaptation.active import NOT_A_CELL, ActiveLearner
from core.adaptation.head import moved_means
from core.errors import HemaLensError
from core.inference.engine import encoder_networks
from core.inference.ood import (
    ClassGaussians,
    InvalidDetector,
    OODDetector,
    class_gaussians,
    detector_of,
    fit_detector,
    image_statistics,
    statistic_groups,
)
from core.runs import Run

IN_LAB_SHARE = 0.95  # of the laboratory's own cells that are in distribution, by trials on three laboratories
_MIN_CELLS_ALONE = 60  # without a detector of the run's
# By trials on three laboratories: weights, in cells, of what home says beside the laboratory's own.
_EMBEDDING_WEIGHT, _STATISTICS_WEIGHT = 1000.0, 500.0  # of how they vary
_FOLDS = 10
_SPREAD, _SPREAD_WEIGHT = 0.25, 20.0  # of the logarithms of distances, and its weight in cells
_LIMIT, _FEW = 3.0, 8.0  # spreads above the mean; so many cells by which few are uncertain
_MIN_DISTANCE = 1e-6


def fit_lab_detector(run: Run, learner: ActiveLearner, posterior: np.ndarray) -> OODDetector | None:
    """What tells cells that are odd in the laboratory of ``learner``, for ``run`` as it taught it.

    ``posterior`` float64 (N, C): its answers. At any number of cells where the run has a detector; without one None
    below `_MIN_CELLS_ALONE` cells.
    """
    cells = learner.cells
    named, labels = learner.labelled
    predicted = posterior.argmax(1)
    predicted[named] = labels
    no_cell = [cell for cell, answer in learner.answers if answer == NOT_A_CELL]
    used = np.setdiff1d(np.arange(len(cells)), [*no_cell, *cells.missing])
    home = _home_detector(run)
    if home is None or not len(used) or not _fits(home, learner):
        return _fit_alone(learner, used, predicted)
    return _moved(home, cells.embeddings[used], cells.crops[used], predicted[used])


def _home_detector(run: Run) -> OODDetector | None:
    """The run's own, for a combination that of its first network, whose embedding stands first."""
    try:
        return detector_of(encoder_networks(run)[0])
    except (InvalidDetector, HemaLensError):
        return None


def _fits(home: OODDetector, learner: ActiveLearner) -> bool:
    """Whether it knows the learner's classes, and no more numbers than these embeddings have."""
    if home.embedding_gaussians is None:
        return False
    classes, numbers = home.embedding_gaussians.means.shape
    return classes == learner.posterior.shape[1] and numbers <= learner.cells.embeddings.shape[1]


def _fit_alone(learner: ActiveLearner, used: np.ndarray, predicted: np.ndarray) -> OODDetector | None:
    """Without home: half of the laboratory's cells are the measure, half set the limit."""
    if len(used) < _MIN_CELLS_ALONE:
        return None
    order = np.random.default_rng(learner.seed).permutation(used)
    measure, rest = order[::2], order[1::2]
    cells = learner.cells
    return fit_detector(
        cells.embeddings[measure],
        predicted[measure],
        cells.embeddings[rest],
        cells.crops[measure],
        cells.crops[rest],
        in_distribution_share=IN_LAB_SHARE,
    )


def _moved(home: OODDetector, embeddings: np.ndarray, crops: np.ndarray, labels: np.ndarray) -> OODDetector:
    """``home`` at the place of a laboratory's ``embeddings`` (n, K), ``crops`` uint8 (n, S, S, 3), ``labels`` (n,)."""
    assert home.embedding_gaussians is not None  # it fits
    embedding, distances = _move(home.embedding_gaussians, embeddings, labels, _EMBEDDING_WEIGHT)
    embedding = replace(embedding, unit_distance=float(np.median(distances)))
    total = distances / embedding.unit_distance
    gaussians: dict[str, ClassGaussians] = {}
    if home.statistics_gaussians:
        statistics, groups = image_statistics(crops), statistic_groups(crops.shape[1])
        for name, of_home in home.statistics_gaussians.items():
            part = np.full(len(groups), True) if name == "all" else groups == name
            moved, distances = _move(of_home, statistics[:, part], labels, _STATISTICS_WEIGHT)
            unit = np.median(distances) if name == "all" else _limit(np.sqrt(distances)) ** 2
            gaussians[name] = replace(moved, unit_distance=float(unit))
            if name == "all":
                total = total + distances / unit
    threshold = _limit(np.sqrt(total))
    return OODDetector(embedding, gaussians, threshold, float(np.median(np.sqrt(total))) / threshold)


def _move(
    home: ClassGaussians, vectors: np.ndarray, labels: np.ndarray, weight: float
) -> tuple[ClassGaussians, np.ndarray]:
    """``home`` moved to ``vectors`` (n, K) with ``labels`` int (n,), and their squared distances (n,) from what the
    others among them say.
    """
    means, covariance = home.moments()
    vectors = vectors[:, : means.shape[1]].astype(np.float64)
    distances = np.full(len(vectors), float(means.shape[1]))  # of one cell alone: what is expected of so many numbers
    folds = np.random.default_rng(0).permutation(np.arange(len(vectors)) % _FOLDS)
    for fold in set(folds) if len(vectors) > 1 else ():
        out = folds == fold
        others = class_gaussians(*_pooled(means, covariance, vectors[~out], labels[~out], weight))
        distances[out] = others.squared_distances(vectors[out]).min(1)
    return class_gaussians(*_pooled(means, covariance, vectors, labels, weight)), np.maximum(distances, _MIN_DISTANCE)


def _pooled(
    means: np.ndarray, covariance: np.ndarray, vectors: np.ndarray, labels: np.ndarray, weight: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where classes (c, K) lie and how they vary (K, K) by home's ``means`` and ``covariance`` and by ``vectors``."""
    moved = moved_means(means, vectors, labels)
    residuals = vectors - moved[labels]
    return moved, (weight * covariance + residuals.T @ residuals) / (weight + len(vectors))


def _limit(distances: np.ndarray) -> float:
    """The distance that `IN_LAB_SHARE` of further cells stay under, from those of a few (n,)."""
    logs = np.log(distances)
    variance = (((logs - logs.mean()) ** 2).sum() + _SPREAD_WEIGHT * _SPREAD**2) / (len(logs) + _SPREAD_WEIGHT)
    return float(np.exp(logs.mean() + _LIMIT * np.sqrt(variance * (1 + _FEW / len(logs)))))
