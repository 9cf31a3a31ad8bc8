"""A made-up laboratory: cells as a run would read them, shifted away from home, no pictures needed."""

import numpy as np

from core.adaptation.head import LabCells, LabelledCells
from core.images import red_cells

CODES = ("BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT")
FEATURES = 24


def made_up(counts, shift=2.5, seed=0, groups=False):
    """(cells, labels): ``counts`` by code; classes are Gaussians round unit vectors, each moved by ``shift``."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(len(CODES), FEATURES)) * 1.2
    labels = np.concatenate([np.full(n, CODES.index(code)) for code, n in counts.items()])
    labels = rng.permutation(labels)
    moved = np.random.default_rng(7).normal(size=centres.shape) * shift  # each class in its own direction
    embeddings = (centres + moved)[labels] + rng.normal(size=(len(labels), FEATURES)) * 0.5
    embeddings = embeddings.astype(np.float32)
    scores = embeddings @ centres.T / 4 - (centres**2).sum(1) / 8
    probabilities = np.exp(scores - scores.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    names = tuple(f"slide {i % 7}" for i in range(len(labels))) if groups else None
    frames = rng.integers(0, 255, (len(labels), 8, 8, 3), dtype=np.uint8)
    return LabCells(frames, probabilities, embeddings, red_cells.OFFICIAL, names), labels


def home_exemplars(per_class=20):
    """Cells of the run's own laboratory."""
    cells, labels = made_up(dict.fromkeys(CODES, per_class), shift=0, seed=5)
    return LabelledCells(cells.embeddings, cells.probabilities, labels)
