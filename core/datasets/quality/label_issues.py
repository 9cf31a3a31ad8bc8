"""Labels that are likely wrong: confident learning on answers of models that did not see the picture, and the light
embedding that these models read.

Northcutt, Jiang and Chuang 2021, Confident learning: estimating uncertainty in dataset labels,
https://arxiv.org/abs/1911.00068. A class's threshold is the mean probability it gets on pictures that carry its label;
a picture that reaches the threshold of another class, and more of it than of its own, is counted against its label.
Such pictures are ranked by the margin between the two.

The embedding knows no labels: how much of each of some learnt small patches a picture holds, and where. Patches are
whitened and clustered, each picture is described by its likeness to every cluster (the 'triangle' activation), averaged
over three rings around the middle and taken at its greatest (Coates, Ng and Lee 2011,
https://proceedings.mlr.press/v15/coates11a.html).
"""

import warnings
from dataclasses import dataclass

import numpy as np

from core.datasets.quality.near_duplicates import Images, thumbnails
from core.progress import Progress, Report, batches, silent

PATCH_SIDE = 32  # pictures are looked at no larger than this
PATCH, STRIDE = 6, 2
PATCHES = 240
SAMPLED_PICTURES, SAMPLED_PATCHES = 4000, 20_000
WHITENING_NOISE = 0.002  # added to the variances (of levels 0 to 1) when whitening, against noise
MIN_ACTIVATION = 0.5  # deviations above its mean that a likeness must reach to count
RINGS = (0.0, 0.18, 0.33, 1.0)  # of the side, from the middle
PATCH_CHUNK = 128


@dataclass(frozen=True)
class PatchEmbedding:
    """Learnt patches: ``weight`` float32 (P * P * 3, K) and ``bias`` (K,) give a likeness to each of K."""

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def fit(cls, images: Images, seed: int = 0) -> "PatchEmbedding":
        """From ``images`` uint8 (N, S, S, 3), a seeded sample of them."""
        from sklearn.cluster import MiniBatchKMeans

        rng = np.random.default_rng(seed)
        small = _small(images[np.sort(rng.permutation(len(images))[:SAMPLED_PICTURES])])
        picture = rng.integers(0, len(small), SAMPLED_PATCHES)
        top, left = rng.integers(0, small.shape[1] - PATCH + 1, (2, SAMPLED_PATCHES))
        cuts = np.lib.stride_tricks.sliding_window_view(small, (PATCH, PATCH), axis=(1, 2))
        cuts = cuts[picture, top, left].reshape(SAMPLED_PATCHES, -1)
        mean = cuts.mean(0)
        variances, axes = np.linalg.eigh(np.cov((cuts - mean).T))
        whiten = (axes / np.sqrt(np.maximum(variances, 0) + WHITENING_NOISE)) @ axes.T
        clusters = MiniBatchKMeans(PATCHES, random_state=seed, n_init=1, max_iter=20, batch_size=2048)
        centres = clusters.fit((cuts - mean) @ whiten).cluster_centers_
        # Half the squared distance to a centre, without what is the same for all centres.
        bias = -(mean @ whiten @ centres.T) - (centres**2).sum(1) / 2
        return cls((whiten @ centres.T).astype(np.float32), bias.astype(np.float32))

    def transform(self, images: np.ndarray) -> np.ndarray:
        """Features float16 (n, 4 K) of ``images`` uint8 (n, S, S, 3)."""
        parts = [self._embed(_small(images[part])) for part in batches(len(images), PATCH_CHUNK)]
        return np.concatenate(parts).astype(np.float16)

    def _embed(self, small: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(small, (PATCH, PATCH), axis=(1, 2))[:, ::STRIDE, ::STRIDE]
        number, down, across = windows.shape[:3]
        activation = windows.reshape(number * down * across, -1) @ self.weight + self.bias
        activation -= activation.mean(1, keepdims=True)
        activation /= activation.std(1, keepdims=True) + 1e-6
        activation = np.maximum(activation - MIN_ACTIVATION, 0).reshape(number, down * across, -1)
        away = np.hypot(*np.meshgrid(_centred(down), _centred(across), indexing="ij")).ravel()
        rings = [(away >= start) & (away < end) for start, end in zip(RINGS, RINGS[1:], strict=False)]
        pooled = [activation[:, ring].mean(1) if ring.any() else np.zeros_like(activation[:, 0]) for ring in rings]
        return np.sqrt(np.concatenate([*pooled, activation.max(1)], 1))


def _centred(steps: int) -> np.ndarray:
    return (np.arange(steps) + 0.5) / steps - 0.5


def _small(images: np.ndarray) -> np.ndarray:
    """Levels 0 to 1, float32 (n, s, s, 3), s at least PATCH and at most PATCH_SIDE."""
    side = min(max(images.shape[1], PATCH), PATCH_SIDE)
    return (images if images.shape[1] == side else thumbnails(images, side)).astype(np.float32) / 255


FOLDS = 5
MAX_TRAIN = 20_000  # pictures that one fold's classifier learns from
INVERSE_PENALTY = 0.01  # inverse of the penalty on the classifier's weights
CHUNK = 4096


@dataclass(frozen=True)
class LabelIssues:
    """Pictures whose label is doubted, the surest first: ``rows`` int64 (D,), ``suggested`` classes int64 (D,).

    ``given_probability`` and ``suggested_probability`` float (D,): the probabilities of the label and of the suggested
    class.
    """

    rows: np.ndarray
    suggested: np.ndarray
    given_probability: np.ndarray
    suggested_probability: np.ndarray


def find_label_issues(labels: np.ndarray, probabilities: np.ndarray) -> LabelIssues:
    """The `LabelIssues` on ``labels`` int (N,), from out-of-fold ``probabilities`` (N, C).

    Rows whose probabilities are not known (NaN) are left out.
    """
    has_probabilities = np.flatnonzero(np.isfinite(probabilities).all(1))
    given, p = labels[has_probabilities], probabilities[has_probabilities]
    classes = probabilities.shape[1]
    thresholds = np.array([p[given == c, c].mean() if (given == c).any() else np.inf for c in range(classes)])
    confident = np.where(p >= thresholds, p, -1.0)
    suggested = confident.argmax(1)
    own_probability = p[np.arange(len(p)), given]
    best_probability = p[np.arange(len(p)), suggested]
    against = np.flatnonzero((confident.max(1) > 0) & (suggested != given) & (best_probability > own_probability))
    order = against[np.argsort(own_probability[against] - best_probability[against], kind="stable")]
    return LabelIssues(has_probabilities[order], suggested[order], own_probability[order], best_probability[order])


def out_of_fold_probabilities(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    classes: int,
    report: Report = silent,
) -> np.ndarray:
    """Probabilities float32 (N, C) of each picture from a logistic regression that did not see it, nor its like.

    ``features`` (N, D) any float; ``groups`` int (N,): pictures of one group (copies, near copies) are in one fold,
    because a copy with the same wrong label would vouch for it. Pictures of classes with fewer than `FOLDS` groups
    get NaN: nothing can be said of them.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    folds = _folds(labels, groups)
    out = np.full((len(labels), classes), np.nan, np.float32)
    enough = {c for c in range(classes) if len(np.unique(groups[labels == c])) >= FOLDS}
    usable = np.isin(labels, list(enough))
    if len(enough) < 2:
        return out
    rng = np.random.default_rng(0)
    for fold in range(FOLDS):
        train = rng.permutation(np.flatnonzero(usable & (folds != fold)))[:MAX_TRAIN]
        x = features[train].astype(np.float32)
        mean, spread = x.mean(0), x.std(0) + 1e-4
        x -= mean
        x /= spread
        model = LogisticRegression(C=INVERSE_PENALTY, max_iter=60, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # ranking needs no fully converged fit: 60 steps do
            model.fit(x, labels[train])
        held_out = np.flatnonzero(usable & (folds == fold))
        for part in batches(len(held_out), CHUNK):
            rows = held_out[part]
            predicted = model.predict_proba((features[rows].astype(np.float32) - mean) / spread)
            out[rows] = 0
            out[np.ix_(rows, model.classes_)] = predicted
        report(Progress(fold + 1, FOLDS))
    return out


def _folds(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Fold int64 (N,) of each picture: each class's groups in turn, drawn by a seed; a group follows its first."""
    rng = np.random.default_rng(1)
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    fold = np.empty(len(first), np.int64)
    for label in np.unique(labels[first]):
        class_groups = rng.permutation(np.flatnonzero(labels[first] == label))
        fold[class_groups] = np.arange(len(class_groups)) % FOLDS
    return fold[member]
