"""Images that many models get wrong, and those whose label may be the mistake."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.probabilities import softmax
from core.runs import Predictions


@dataclass(frozen=True)
class Votes:
    """What R models say of the same N images: ``ids`` str (N,), ``labels`` int (N,), ``answers`` int (R, N).

    ``mean`` float (N, C) is the mean of the models' probabilities, in 0 to 1.
    """

    ids: np.ndarray
    labels: np.ndarray
    answers: np.ndarray
    mean: np.ndarray

    @property
    def models(self) -> int:
        """How many models there are, R."""
        return len(self.answers)

    @property
    def wrong(self) -> np.ndarray:
        """How many models miss each image, int (N,)."""
        return (self.answers != self.labels).sum(axis=0)


@dataclass(frozen=True)
class Hardness:
    """How hard each of N images is; arrays (N,), image by image in the order of the votes.

    ``error_rate``: share of models that miss it. ``p_label``: mean probability of the stored label. ``rival``: the
    class that models name instead most often (-1 where none errs; of equals, the one given more probability),
    ``rival_fraction``: by what share of all models, ``p_rival``: its mean probability. ``suspect``: True where the
    label may be the mistake, see `hardness`. Shares and probabilities are in 0 to 1.
    """

    error_rate: np.ndarray
    p_label: np.ndarray
    rival: np.ndarray
    rival_fraction: np.ndarray
    p_rival: np.ndarray
    suspect: np.ndarray

    def order(self, *, suspects_first: bool) -> np.ndarray:
        """Indices of the images that at least one model misses, the hardest (or most suspicious) first."""
        missed = np.flatnonzero(self.error_rate > 0)
        keys = [self.p_label, -self.error_rate]  # the last key decides first
        if suspects_first:
            keys += [-self.p_rival * self.suspect, ~self.suspect]
        return missed[np.lexsort([key[missed] for key in keys])]


@dataclass(frozen=True)
class EnsembleAccuracy:
    """Accuracies in 0 to 1 on the same ``n`` images: the best single model, the mean of all, a perfect choice.

    ``any_right`` is the share of images that at least one model names right: what picking the right model for
    every image would reach, which nobody can. ``missed`` int (R + 1,): images missed by 0, 1, ... R models.
    """

    n: int
    best: float
    mean: float
    any_right: float
    missed: np.ndarray


def gather_votes(answers: Sequence[Predictions]) -> tuple[Votes, list[int]]:
    """Votes on the images that the models share, and the positions of the models left out.

    Images are matched by id, so models that see them at different sizes vote together. A model is left out if
    it was scored on other images than the first, or holds other labels for them.
    """
    if not answers:
        raise ValueError("no answers to gather")
    predictions, left_out = [], []
    for position, stored in enumerate(answers):
        order = np.argsort(stored.ids)
        ids, labels, logits = stored.ids[order], stored.labels[order], stored.logits[order]
        if position == 0:
            first_ids, first_labels, total = ids, labels, np.zeros(logits.shape)
        same = logits.shape == total.shape and np.array_equal(ids, first_ids)
        if not (same and np.array_equal(labels, first_labels)):
            left_out.append(position)
            continue
        probabilities = softmax(logits)
        predictions.append(probabilities.argmax(axis=1))
        total += probabilities
    return Votes(first_ids, first_labels, np.stack(predictions), total / len(predictions)), left_out


def hardness(votes: Votes) -> Hardness:
    """How hard each image is, and where the label may be the mistake.

    A label is suspect where more than half of at least two models agree on one other class and their mean
    probability of it is as high as it usually is on cells that are labelled so: the rule of confident learning
    (Northcutt, C. G., Jiang, L. and Chuang, I. L. (2021), J. Artif. Intell. Res. 70, arXiv:1911.00068), with
    the mean over all models. None of them was trained on these images.
    """
    rows, classes = np.arange(len(votes.labels)), votes.mean.shape[1]
    counts = (votes.answers[..., None] == np.arange(classes)).sum(axis=0)
    counts[rows, votes.labels] = 0
    rival = (counts + 0.5 * votes.mean).argmax(axis=1)  # the mean, below 1, decides between equals only
    missed = counts.sum(axis=1) > 0
    p_rival = np.where(missed, votes.mean[rows, rival], 0.0)
    rival_fraction = np.where(missed, counts[rows, rival] / votes.models, 0.0)
    class_confidence = np.array(
        [votes.mean[votes.labels == c, c].mean() if (votes.labels == c).any() else np.inf for c in range(classes)]
    )
    return Hardness(
        error_rate=votes.wrong / votes.models,
        p_label=votes.mean[rows, votes.labels],
        rival=np.where(missed, rival, -1),
        rival_fraction=rival_fraction,
        p_rival=p_rival,
        suspect=missed & (votes.models > 1) & (rival_fraction > 0.5) & (p_rival >= class_confidence[rival]),
    )


def ensemble_accuracy(votes: Votes) -> EnsembleAccuracy:
    """What the models reach alone, by the mean of their probabilities, and if the right one were always picked."""
    wrong = votes.wrong
    return EnsembleAccuracy(
        n=len(wrong),
        best=float((votes.answers == votes.labels).mean(axis=1).max()),
        mean=float((votes.mean.argmax(axis=1) == votes.labels).mean()),
        any_right=float((wrong < votes.models).mean()),
        missed=np.bincount(wrong, minlength=votes.models + 1),
    )
