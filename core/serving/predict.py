"""Answers for framed cells, and how firmly each may be said."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from core.evaluation import softmax
from core.runs import Run
from core.serving import engine

Verdict = Literal["sure", "unsure"]

SURE_PRECISION = 0.995
SURE_FLOOR = 0.5
SURE_FALLBACK = 0.9
_FEWEST_CELLS = 200


@dataclass(frozen=True)
class Answers:
    """``probabilities`` float64 (N, C), ``milliseconds`` float64 (N,), a share of the batch.

    ``embeddings`` float32 (N, K): where the network puts the pictures; None for a run that can't tell.
    """

    probabilities: np.ndarray
    milliseconds: np.ndarray
    embeddings: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def winners(self) -> np.ndarray:
        """Index of the likeliest class, int64 (N,)."""
        return self.probabilities.argmax(axis=1)


def classify(images: np.ndarray, run: Run, batch: int = engine.BATCH) -> Answers:
    """Answers of ``run`` for ``images`` uint8 (N, S, S, 3) framed at its size. Raises `EngineError`."""
    parts = list(classify_in_batches([images[i : i + batch] for i in range(0, len(images), batch)] or [images], run))
    embeddings = [p.embeddings for p in parts if p.embeddings is not None]
    return Answers(
        np.concatenate([p.probabilities for p in parts]),
        np.concatenate([p.milliseconds for p in parts]),
        np.concatenate(embeddings) if embeddings else None,
    )


def classify_in_batches(batches: Iterable[np.ndarray], run: Run) -> Iterator[Answers]:
    """Answers for one batch after another, so that a caller can show progress or stop in between."""
    for images in batches:
        started = time.perf_counter()
        logits, embeddings = engine.answers(run, images)
        probabilities = softmax(logits)
        elapsed = (time.perf_counter() - started) * 1000
        yield Answers(probabilities, np.full(len(images), elapsed / max(1, len(images))), embeddings)


@lru_cache(maxsize=64)
def _threshold(run: Run) -> float:
    stored = run.predictions("val")
    probabilities = softmax(stored.logits)
    return threshold_for(probabilities.max(axis=1), probabilities.argmax(axis=1) == stored.labels)


def sure_threshold(run: Run) -> float:
    """The top probability from which an answer of ``run`` counts as sure, in 0 to 1.

    The lowest at which the answers of the run's validation cells at or above it were right in
    `SURE_PRECISION` of cases (never below `SURE_FLOOR`), so that a network trained with label smoothing,
    whose probabilities stay near 0.9, and an overconfident one are read alike. It holds for cells like
    the validation cells; beyond that, the run's calibration error says how far to trust the figures.
    """
    return _threshold(run)


def threshold_for(top: np.ndarray, correct: np.ndarray) -> float:
    """Threshold by `sure_threshold`'s rule from top probabilities (N,) and whether each answer was right (N,).

    Fewer than 200 cells, or no threshold that keeps the promise, give `SURE_FALLBACK` or the highest
    top probability among the wrong answers, whichever is higher.
    """
    if len(top) < _FEWEST_CELLS:
        return SURE_FALLBACK
    order = np.argsort(-top, kind="stable")
    ranked = top[order]
    precision = np.cumsum(correct[order]) / np.arange(1, len(top) + 1)
    # Equal probabilities stand or fall together: only the last of each is a possible threshold.
    last = np.append(ranked[1:] != ranked[:-1], True)
    kept = np.flatnonzero(last & (precision >= SURE_PRECISION))
    if not len(kept):
        return float(max(SURE_FALLBACK, ranked[~correct[order]].max(initial=0.0)))
    return float(max(SURE_FLOOR, ranked[kept[-1]]))


def verdicts(probabilities: np.ndarray, threshold: float) -> list[Verdict]:
    """'sure' or 'unsure' for each row of ``probabilities`` (N, C)."""
    return ["sure" if top >= threshold else "unsure" for top in probabilities.max(axis=1)]
