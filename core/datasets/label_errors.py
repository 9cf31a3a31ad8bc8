"""Labels that are likely wrong: confident learning on answers of models that did not see the picture.

Northcutt, Jiang and Chuang 2021, Confident learning: estimating uncertainty in dataset labels,
https://arxiv.org/abs/1911.00068. A class's threshold is the mean probability it gets on pictures that carry its
label; a picture that reaches the threshold of another class, and more of it than of its own, is counted against
its label. Such pictures are ranked by the margin between the two.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

FOLDS = 5
MOST = 20_000  # pictures that one fold's classifier learns from
STRENGTH = 0.01  # inverse of the penalty on the classifier's weights
CHUNK = 4096


@dataclass(frozen=True)
class Doubts:
    """Pictures whose label is doubted, the surest first: ``rows`` int64 (D,), ``suggested`` classes int64 (D,).

    ``given`` and ``other`` float (D,): the probabilities of the label and of the suggested class. ``rate`` is the
    share of all labels that is doubted.
    """

    rows: np.ndarray
    suggested: np.ndarray
    given: np.ndarray
    other: np.ndarray
    rate: float


def doubted(labels: np.ndarray, probabilities: np.ndarray) -> Doubts:
    """The `Doubts` on ``labels`` int (N,), from out-of-fold ``probabilities`` (N, C).

    Rows whose probabilities are not known (NaN) are left out.
    """
    known = np.flatnonzero(np.isfinite(probabilities).all(1))
    given, p = labels[known], probabilities[known]
    classes = probabilities.shape[1]
    thresholds = np.array([p[given == c, c].mean() if (given == c).any() else np.inf for c in range(classes)])
    confident = np.where(p >= thresholds, p, -1.0)
    suggested = confident.argmax(1)
    own = p[np.arange(len(p)), given]
    best = p[np.arange(len(p)), suggested]
    against = np.flatnonzero((confident.max(1) > 0) & (suggested != given) & (best > own))
    order = against[np.argsort(own[against] - best[against], kind="stable")]
    rate = len(order) / max(len(known), 1)
    return Doubts(known[order], suggested[order].astype(np.int64), own[order], best[order], float(rate))


def out_of_fold(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    classes: int,
    step: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Probabilities float32 (N, C) of each picture from a logistic regression that did not see it, nor its like.

    ``features`` (N, D) any float; ``groups`` int (N,): pictures of one group (copies, near copies) are in one fold,
    because a copy with the same wrong label would vouch for it. Pictures of classes with fewer than `FOLDS` groups
    get NaN: nothing can be said of them. ``step`` is told (folds done, folds).
    """
    from sklearn.linear_model import LogisticRegression

    folds = _folds(labels, groups)
    out = np.full((len(labels), classes), np.nan, np.float32)
    enough = {c for c in range(classes) if len(np.unique(groups[labels == c])) >= FOLDS}
    usable = np.isin(labels, list(enough))
    if len(enough) < 2:
        return out
    draws = np.random.default_rng(0)
    for fold in range(FOLDS):
        train = draws.permutation(np.flatnonzero(usable & (folds != fold)))[:MOST]
        x = features[train].astype(np.float32)
        mean, spread = x.mean(0), x.std(0) + 1e-4
        x -= mean
        x /= spread
        model = LogisticRegression(C=STRENGTH, max_iter=60, tol=1e-3)
        with _quiet():
            model.fit(x, labels[train])
        for rows in _chunks(np.flatnonzero(usable & (folds == fold))):
            found = model.predict_proba((features[rows].astype(np.float32) - mean) / spread)
            out[rows] = 0
            out[np.ix_(rows, model.classes_)] = found
        if step:
            step(fold + 1, FOLDS)
    return out


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]


def _folds(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Fold int64 (N,) of each picture: each class's groups in turn, drawn by a seed; a group follows its first."""
    draws = np.random.default_rng(1)
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    fold = np.empty(len(first), np.int64)
    for label in np.unique(labels[first]):
        here = draws.permutation(np.flatnonzero(labels[first] == label))
        fold[here] = np.arange(len(here)) % FOLDS
    return fold[member]


@contextmanager
def _quiet() -> Iterator[None]:
    """Ranking needs no fully converged fit: 60 steps do, and nobody is to be warned of it."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
