"""What a laboratory's own cells add to a run's answers: a small linear head that begins at the run itself.

log p'(c | x) = log p(c | x) + z V_c + const, where z is the embedding in the laboratory's own units. V is fitted to
the labelled cells by penalised maximum likelihood (Le Cessie and van Houwelingen 1992, doi:10.2307/2347628), with
V = 0, the run as it is, as what nothing speaks against: a class that the laboratory never labelled stays the run's.
Cells of the run's own laboratory, with known classes, are anchors in the fit: what was learnt once stays.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

PENALTY = 0.03  # on V, found by how three laboratories are read
BALANCE = 0.5  # 0: each labelled cell counts alike; 1: each class
ANCHORED = 2.0  # weight of all anchors, in that of all labelled cells
BELIEVED = 0.7  # weight of a cell that nobody named, in that of a labelled one
FLOOR = 1e-4  # no class is impossible
FAR = 4.0  # spreads: further away an embedding counts no more
_STEPS = 100


@dataclass(frozen=True)
class Anchors:
    """M cells beside the labelled ones: ``embeddings`` (M, K), ``probabilities`` (M, C), ``labels`` int (M,)."""

    embeddings: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray


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
        scores = np.log(probabilities + FLOOR) + np.log(self.prior) + self._inputs(embeddings) @ self.weights
        scores = scores / self.temperature
        scores = np.exp(scores - scores.max(1, keepdims=True))
        return scores / scores.sum(1, keepdims=True)

    def _inputs(self, embeddings: np.ndarray) -> np.ndarray:
        return inputs(embeddings, self.centre, self.spread)


def inputs(embeddings: np.ndarray, centre: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Embeddings (N, K) in a laboratory's units, of length about 1, and a constant: float64 (N, K + 1)."""
    z = np.clip((embeddings - centre) / spread, -FAR, FAR).astype(np.float64) / np.sqrt(embeddings.shape[1])
    return np.c_[z, np.ones(len(z))]


def plain_head(embeddings: np.ndarray, prior: np.ndarray) -> Head:
    """The head of a laboratory that has taught nothing yet: the run's answers with ``prior`` (C,)."""
    centre, spread = embeddings.mean(0), embeddings.std(0)
    # A feature that never varies in these cells tells nothing about them.
    spread = np.maximum(spread, max(0.05 * float(spread.mean()), 1e-6))
    weights = np.zeros((embeddings.shape[1] + 1, len(prior)), np.float32)
    return Head(centre.astype(np.float32), spread.astype(np.float32), weights, prior.astype(np.float32))


def fit_head(
    start: Head,
    embeddings: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray,
    anchors: Anchors | None = None,
    believed: Anchors | None = None,
    penalty: float = PENALTY,
) -> Head:
    """``start`` taught by labelled cells: ``embeddings`` (n, K), ``probabilities`` (n, C), ``labels`` int (n,).

    ``anchors``: cells of the run's own laboratory; ``believed``: of this one, whose labels are the run's.
    """
    z = inputs(embeddings, start.centre, start.spread)
    offset = np.log(probabilities + FLOOR) + np.log(start.prior)
    counts = np.bincount(labels, minlength=len(start.prior))
    weight = 1 / counts[labels] ** BALANCE
    weight *= len(labels) / weight.sum()
    # The anchors weigh together a share of the labelled cells, so that neither drowns the other.
    beside = [(anchors, ANCHORED * len(labels) / len(anchors.labels))] if anchors is not None else []
    beside += [(believed, BELIEVED)] if believed is not None else []
    for cells, each in beside:
        z = np.r_[z, inputs(cells.embeddings, start.centre, start.spread)]
        offset = np.r_[offset, np.log(cells.probabilities + FLOOR) + np.log(start.prior)]
        weight = np.r_[weight, np.full(len(cells.labels), each)]
        labels = np.r_[labels, cells.labels]
    shape = start.weights.shape
    truth = np.eye(shape[1])[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape)
        scores = offset + z @ weights
        scores -= scores.max(1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        slope = z.T @ (weight[:, None] * (np.exp(logs) - truth)) + penalty * weights
        return float(-(weight[:, None] * truth * logs).sum() + 0.5 * penalty * (weights**2).sum()), slope.ravel()

    found = minimize(
        loss, start.weights.ravel().astype(float), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}
    )
    return Head(start.centre, start.spread, found.x.reshape(shape).astype(np.float32), start.prior, start.temperature)
