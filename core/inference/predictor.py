"""The one way from pictures to predictions: `Predictor` takes bytes, paths or arrays, one or hundreds or a stream, and
yields a `Prediction` for each: the crop, probabilities, the prediction set, a verdict (in distribution and confident,
uncertain, or out of distribution), the OOD score and notes.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np

from core.evaluation import softmax
from core.images.crop import Crop
from core.images.framing import CropWindow
from core.inference import engine
from core.inference.ood import (
    InvalidDetector,
    OODDetector,
    detector_of,
    image_statistics,
    statistic_groups,
    unusual_groups,
)
from core.inference.scope import spec_for
from core.probabilities import class_thresholds, prediction_sets
from core.runs import Run

VerdictKind = Literal["sure", "unsure"]

CONFIDENT_PRECISION = 0.995
MIN_CONFIDENCE_THRESHOLD = 0.5
FALLBACK_CONFIDENCE_THRESHOLD = 0.9
_MIN_VAL_CELLS = 200


@dataclass(frozen=True)
class BatchOutput:
    """``probabilities`` float64 (N, C), ``milliseconds`` float64 (N,), a share of the batch.

    ``embeddings`` float32 (N, K): where the network puts the pictures; None for a run that can't tell.
    """

    probabilities: np.ndarray
    milliseconds: np.ndarray
    embeddings: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def predicted(self) -> np.ndarray:
        """Index of the likeliest class, int64 (N,)."""
        return self.probabilities.argmax(axis=1)


def predict_crops(images: np.ndarray, run: Run, batch: int = engine.BATCH) -> BatchOutput:
    """Answers of ``run`` for ``images`` uint8 (N, S, S, 3) framed at its size. Raises `EngineError`."""
    parts = list(predict_crop_batches([images[i : i + batch] for i in range(0, len(images), batch)] or [images], run))
    embeddings = [p.embeddings for p in parts if p.embeddings is not None]
    return BatchOutput(
        np.concatenate([p.probabilities for p in parts]),
        np.concatenate([p.milliseconds for p in parts]),
        np.concatenate(embeddings) if embeddings else None,
    )


def predict_crop_batches(batches: Iterable[np.ndarray], run: Run) -> Iterator[BatchOutput]:
    """Answers for one batch after another, so that a caller can show progress or stop in between."""
    for images in batches:
        started = time.perf_counter()
        logits, embeddings = engine.logits_and_embeddings(run, images)
        probabilities = softmax(logits)
        elapsed = (time.perf_counter() - started) * 1000
        yield BatchOutput(probabilities, np.full(len(images), elapsed / max(1, len(images))), embeddings)


@lru_cache(maxsize=64)
def _cached_confidence_threshold(run: Run) -> float:
    stored = run.predictions("val")
    probabilities = softmax(stored.logits)
    return fit_confidence_threshold(probabilities.max(axis=1), probabilities.argmax(axis=1) == stored.labels)


def confidence_threshold(run: Run) -> float:
    """The top probability from which an answer of ``run`` counts as sure, in 0 to 1.

    The lowest at which the answers of the run's validation cells at or above it were right in `CONFIDENT_PRECISION` of
    cases (never below `MIN_CONFIDENCE_THRESHOLD`), so that a network trained with label smoothing, whose probabilities
    stay near 0.9, and an overconfident one are read alike. It holds for cells like the validation cells; beyond that,
    the run's calibration error says how far to trust the figures.
    """
    return _cached_confidence_threshold(run)


def fit_confidence_threshold(top: np.ndarray, correct: np.ndarray) -> float:
    """Threshold by `confidence_threshold`'s rule from top probabilities (N,) and whether each answer was right (N,).

    Fewer than 200 cells, or no threshold that keeps the promise, give `FALLBACK_CONFIDENCE_THRESHOLD` or the highest
    top probability among the wrong answers, whichever is higher.
    """
    if len(top) < _MIN_VAL_CELLS:
        return FALLBACK_CONFIDENCE_THRESHOLD
    order = np.argsort(-top, kind="stable")
    ranked = top[order]
    precision = np.cumsum(correct[order]) / np.arange(1, len(top) + 1)
    # Equal probabilities stand or fall together: only the last of each is a possible threshold.
    last = np.append(ranked[1:] != ranked[:-1], True)
    admissible = np.flatnonzero(last & (precision >= CONFIDENT_PRECISION))
    if not len(admissible):
        return float(max(FALLBACK_CONFIDENCE_THRESHOLD, ranked[~correct[order]].max(initial=0.0)))
    return float(max(MIN_CONFIDENCE_THRESHOLD, ranked[admissible[-1]]))


def verdicts(probabilities: np.ndarray, threshold: float) -> list[VerdictKind]:
    """'sure' or 'unsure' for each row of ``probabilities`` (N, C)."""
    return ["sure" if top >= threshold else "unsure" for top in probabilities.max(axis=1)]


@dataclass(frozen=True)
class Verdict:
    """How an answer may be said.

    ``kind`` 'sure': ``classes`` is the one; 'unsure': ``classes`` is the short list, likeliest first, at least the two
    likeliest; 'foreign': the picture does not look like the cells that the model knows, ``classes`` are the two nearest
    in the model's eyes, the nearest first. ``ood_score``: 1 or more is foreign, 0 where nothing could be measured.
    ``unusual``: which of 'colour', 'scale', 'texture' of a foreign picture are unusual, the most unusual first; ()
    where none of them alone is.
    """

    kind: Literal["sure", "unsure", "foreign"]
    classes: tuple[int, ...]
    ood_score: float = 0.0
    unusual: tuple[str, ...] = ()


def decide_verdicts(
    detector: OODDetector | None,
    probabilities: np.ndarray,
    embeddings: np.ndarray | None,
    crops: np.ndarray | None,
    confidence_threshold: float,
) -> list[Verdict]:
    """A voice for each of ``probabilities`` (N, C), ``embeddings`` (N, K) and ``crops`` uint8 (N, S, S, 3).

    ``confidence_threshold``: the top probability from which an answer counts as sure. Without a ``detector`` or an
    embedding there are sure and unsure only, and the short list is the two likeliest.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    if detector is None or embeddings is None:
        return [
            _in_distribution_verdict(row, ranked, (), confidence_threshold)
            for row, ranked in zip(probabilities, order, strict=True)
        ]
    sets = prediction_sets(probabilities, detector.set_thresholds)
    statistics, groups = (
        (image_statistics(crops), statistic_groups(crops.shape[1])) if detector.statistics_gaussians else (None, None)
    )
    ood_scores = detector.ood_score_of(embeddings, statistics)
    verdicts = []
    for i, (row, ranked) in enumerate(zip(probabilities, order, strict=True)):
        if ood_scores[i] >= 1:
            unusual = unusual_groups(detector, statistics[i : i + 1], groups) if statistics is not None else ()
            verdicts.append(Verdict("foreign", tuple(ranked[:2].tolist()), float(ood_scores[i]), unusual))
        else:
            verdicts.append(
                _in_distribution_verdict(
                    row, ranked, np.flatnonzero(sets[i]), confidence_threshold, float(ood_scores[i])
                )
            )
    return verdicts


def _in_distribution_verdict(
    row: np.ndarray, ranked: np.ndarray, set_members: Sequence[int], confidence_threshold: float, ood_score: float = 0.0
) -> Verdict:
    if row[ranked[0]] >= confidence_threshold:
        return Verdict("sure", (int(ranked[0]),), ood_score)
    members = {*np.asarray(set_members, int).tolist(), *ranked[:2].tolist()}
    return Verdict("unsure", tuple(int(k) for k in ranked if k in members), ood_score)


def prediction_set_thresholds(run: Run) -> np.ndarray:
    """From which probability on a class belongs into the short list of an answer of ``run``: float (C,).

    Its guard's; without one that can be read, from its validation cells, see `class_thresholds`.
    """
    try:
        detector = detector_of(run)
    except InvalidDetector:
        detector = None
    return detector.set_thresholds if detector else _val_set_thresholds(run)


@lru_cache(maxsize=64)
def _val_set_thresholds(run: Run) -> np.ndarray:
    stored = run.predictions("val")
    thresholds = class_thresholds(stored.labels, softmax(stored.logits))
    thresholds.setflags(write=False)
    return thresholds


def run_verdicts(run: Run, output: BatchOutput, crops: np.ndarray) -> list[Verdict]:
    """How each of ``output`` of ``run`` to ``crops`` uint8 (N, S, S, 3) may be said."""
    return decide_verdicts(detector_of(run), output.probabilities, output.embeddings, crops, confidence_threshold(run))


class PredictorLike(Protocol):
    """``key`` changes whenever answers would; ``side``: of the square in px where the reader brings its own scale."""

    @property
    def run(self) -> Run: ...

    @property
    def key(self) -> str: ...

    @property
    def side(self) -> float | None: ...

    @property
    def laboratory(self) -> str:
        """The name of the laboratory that taught it, '' for a run as it is."""
        ...

    @property
    def threshold(self) -> float:
        """The top probability, 0 to 1, from which an answer counts as sure."""
        ...

    @property
    def detects_ood(self) -> bool:
        """Whether it can call a picture foreign."""
        ...

    def load(self) -> None:
        """Get ready now, so that the first answer needn't wait. Raises `EngineError`."""
        ...

    def crop(self, pixels: np.ndarray, window: CropWindow) -> Crop:
        """What the reader sees of ``pixels`` uint8 (H, W, 3) at ``window``."""
        ...

    def predict_crops(self, crops: np.ndarray) -> tuple[BatchOutput, list[Verdict]]:
        """Answers for ``crops`` uint8 (N, S, S, 3), made by `crop`, and their voices. Raises `EngineError`."""
        ...


@dataclass(frozen=True)
class RunPredictor:
    """A run as it is: frames as its training pictures were, answers of its graph."""

    run: Run
    side: float | None = None

    @property
    def key(self) -> str:
        return str(self.run.path)

    @property
    def laboratory(self) -> str:
        return ""

    @property
    def threshold(self) -> float:
        return confidence_threshold(self.run)

    @property
    def detects_ood(self) -> bool:
        return detector_of(self.run) is not None

    def load(self) -> None:
        engine.load(self.run)

    def crop(self, pixels: np.ndarray, window: CropWindow) -> Crop:
        return window.crop(pixels, self.run.size, spec_for(self.run))

    def predict_crops(self, crops: np.ndarray) -> tuple[BatchOutput, list[Verdict]]:
        output = predict_crops(crops, self.run)
        return output, run_verdicts(self.run, output, crops)
