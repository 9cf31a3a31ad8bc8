"""The one way from pictures to predictions: a `Predictor` takes bytes, paths or arrays, one, hundreds or a stream, and
yields a `Prediction` for each: the crop, probabilities, the prediction set, a verdict (sure, unsure, or out of
distribution), the OOD score and notes.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from typing import Literal, Protocol

import numpy as np

from core.datasets.base import DatasetSpec, ImageRows
from core.images.crop import Crop
from core.images.decode import DecodeError
from core.images.framing import BatchScale, CropWindow, Picture, as_picture, measure_batch, shape_warning
from core.inference import engine
from core.inference.ood import InvalidDetector, OODDetector, detector_of, image_statistics, unusual_groups
from core.inference.scope import spec_for
from core.probabilities import class_thresholds, prediction_sets, softmax
from core.progress import Progress, Report, batches, silent
from core.runs import Run

VerdictKind = Literal["sure", "unsure", "out_of_distribution"]

CONFIDENT_PRECISION = 0.995
MIN_CONFIDENCE_THRESHOLD = 0.5
FALLBACK_CONFIDENCE_THRESHOLD = 0.9
_MIN_VAL_CELLS = 200


@dataclass(frozen=True)
class Verdict:
    """How an answer may be said.

    ``kind`` 'sure': ``classes`` is the one; 'unsure': ``classes`` is the prediction set, likeliest first, at least the
    two likeliest; 'out_of_distribution': the picture does not look like the cells that the model knows, ``classes`` are
    the two nearest in the model's eyes, the nearest first. ``ood_score``: 1 or more is out of distribution, 0 where
    nothing could be measured. ``unusual``: which of 'colour', 'scale', 'texture' of such a picture are unusual, the
    most unusual first; () where none of them alone is.
    """

    kind: VerdictKind
    classes: tuple[int, ...]
    ood_score: float = 0.0
    unusual: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """The kind as a person reads it: 'sure', 'unsure' or 'foreign'."""
        return "foreign" if self.kind == "out_of_distribution" else self.kind


@dataclass(frozen=True)
class Prediction:
    """What a predictor makes of one picture: what it saw of it (``crop``, cut at ``window``) and its answer.

    ``probabilities`` float64 (C,); ``threshold``: the top probability, 0 to 1, from which it is sure; ``milliseconds``:
    the picture's share of its batch; ``name`` of the picture and ``notes`` on it, for a person.
    """

    name: str
    crop: Crop
    window: CropWindow
    probabilities: np.ndarray
    verdict: Verdict
    threshold: float
    milliseconds: float
    notes: tuple[str, ...] = ()

    @property
    def predicted(self) -> int:
        """Index of the likeliest class."""
        return int(self.probabilities.argmax())

    @property
    def confidence(self) -> float:
        """The likeliest class's probability."""
        return float(self.probabilities.max())

    @property
    def prediction_set(self) -> tuple[int, ...]:
        """Classes that it may be, likeliest first; of a picture out of distribution the two nearest."""
        return self.verdict.classes

    @property
    def sure(self) -> bool:
        """Whether the answer may be said as it is."""
        return self.verdict.kind == "sure"

    @property
    def is_ood(self) -> bool:
        """Whether the picture is out of distribution."""
        return self.verdict.kind == "out_of_distribution"

    @property
    def cell_missing(self) -> bool:
        """Whether a white cell was looked for and none found."""
        return self.window.cell_missing


class HeadLike(Protocol):
    """What stands on a run's embedding and changes its answers."""

    def probabilities(self, embeddings: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Answers float64 (N, C) from the run's ``embeddings`` (N, K) and ``probabilities`` (N, C)."""
        ...


@dataclass(frozen=True)
class BatchOutput:
    """Answers for N crops: ``logits`` (N, C), ``probabilities`` float64 (N, C), ``milliseconds`` float64 (N,).

    ``embeddings`` float32 (N, K): where the network puts the crops; None for a run that can't tell.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    embeddings: np.ndarray | None
    milliseconds: np.ndarray
    _crops: np.ndarray | ImageRows
    _predictor: "Predictor"

    def __len__(self) -> int:
        return len(self.probabilities)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """One a crop, made when first asked for."""
        who = self._predictor
        return decide_verdicts(who.detector, self.probabilities, self.embeddings, self._crops, who.threshold)


class Predictor:
    """``run`` as it is, or with a ``head`` that a laboratory taught it, which brings a ``detector`` (None: nothing is
    out of distribution) and a ``threshold`` of its own.

    ``side``: of the square to cut out, px of the laboratory's pictures; None where the pictures tell. ``name``: of the
    laboratory's profile, '' for a run as it is, ``version``: which one of that name. Made anew for each piece of work:
    ``key`` tells then whether the answers are still those of another predictor.
    """

    def __init__(
        self,
        run: Run,
        *,
        head: HeadLike | None = None,
        detector: OODDetector | None = None,
        threshold: float | None = None,
        side: float | None = None,
        name: str = "",
        version: str = "",
    ) -> None:
        self.run, self.head, self.side, self.name = run, head, side, name
        self._detector, self._threshold, self._version = detector, threshold, version

    @cached_property
    def key(self) -> str:
        """Changes whenever answers would: with the run's files, and with what was taught."""
        return "|".join(filter(None, (str(self.run.path), self.run.version, self.name, self._version)))

    @cached_property
    def spec(self) -> DatasetSpec:
        """The run's data set with just the classes that it knows, in the order of its answers."""
        return spec_for(self.run)

    @property
    def threshold(self) -> float:
        """The top probability, 0 to 1, from which an answer counts as sure."""
        return confidence_threshold(self.run) if self._threshold is None else self._threshold

    @property
    def detector(self) -> OODDetector | None:
        """What tells pictures that are out of distribution; None where nothing does."""
        return self._detector if self.head else detector_of(self.run)

    @property
    def detects_ood(self) -> bool:
        """Whether it can call a picture out of distribution."""
        return self.detector is not None

    def load(self) -> None:
        """Get ready now, so that the first answer needn't wait. Raises `EngineError`."""
        engine.load(self.run)

    def scale(self, pictures: Sequence[Picture], side: float | None = None) -> BatchScale:
        """What ``pictures``, all of one laboratory, say together; those that can't be read have no say.

        ``side`` in px, or the predictor's own, is taken instead of measuring where there is one.
        """
        measured = [as_picture(picture) for picture in pictures]
        while True:
            try:
                return measure_batch([p for p in measured if p.readable], self.spec, side or self.side)
            except DecodeError:  # its pixels are broken, and it knows that from now on
                continue

    def predict(
        self, pictures: Sequence[Picture], *, side: float | None = None, report: Report = silent
    ) -> list[Prediction | DecodeError]:
        """Answers for ``pictures``, taken for one laboratory's, each cut at the scale that they show together."""
        measured = [as_picture(picture) for picture in pictures]
        predictions = []
        for prediction in self.stream(measured, self.scale(measured, side)):
            predictions.append(prediction)
            report(Progress(len(predictions), len(measured), "asking the model", "picture"))
        return predictions

    def stream(
        self,
        pictures: Iterable[Picture],
        windows: BatchScale | CropWindow | Iterable[CropWindow],
        batch: int = engine.BATCH,
    ) -> Iterator[Prediction | DecodeError]:
        """A `Prediction` for each of ``pictures`` in their order, or the `DecodeError` of one that can't be read.

        ``windows``: where to cut: by a scale that was measured, in one way for all, or in each picture's own. Pictures
        may be more than memory holds: ``batch`` of them are read at a time. Raises `EngineError`.
        """
        queue = iter(pictures)
        same = windows if isinstance(windows, BatchScale | CropWindow) else None
        own = iter(()) if isinstance(windows, BatchScale | CropWindow) else iter(windows)
        while group := [as_picture(picture) for picture in islice(queue, batch)]:
            cut: list[tuple[CropWindow, Crop] | DecodeError] = []
            for picture in group:
                where = same or next(own)
                try:
                    window = where.window(picture) if isinstance(where, BatchScale) else where
                    cut.append((window, window.crop(picture.pixels, self.run.size, self.spec)))
                except DecodeError as error:
                    cut.append(error)
            crops = [entry[1].pixels for entry in cut if not isinstance(entry, DecodeError)]
            output = self.predict_crops(np.stack(crops), batch) if crops else None
            threshold, row = self.threshold, 0
            for picture, entry in zip(group, cut, strict=True):
                if isinstance(entry, DecodeError):
                    yield entry
                    continue
                assert output is not None  # something was cut
                window, crop = entry
                height, width = picture.shape
                warning = shape_warning(width, height, self.spec)
                yield Prediction(
                    picture.name,
                    crop,
                    window,
                    output.probabilities[row],
                    output.verdicts[row],
                    threshold,
                    float(output.milliseconds[row]),
                    (*picture.notes, warning.rstrip(".")) if warning else picture.notes,
                )
                row += 1
            for picture in group:
                picture.release()

    def predict_crops(
        self, crops: np.ndarray | ImageRows, batch: int = engine.BATCH, report: Report = silent
    ) -> BatchOutput:
        """Answers for ``crops`` uint8 (N, S, S, 3) of the run's size, ``batch`` at a time. Raises `EngineError`."""
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]] = []
        for rows in batches(len(crops), batch, report, unit="image", at_least_one=True):
            images = crops[rows]
            started = time.perf_counter()
            vectors: np.ndarray | None
            if self.head:
                run_probabilities, vectors = engine.encode(self.run, images)
                probabilities = self.head.probabilities(vectors, run_probabilities)
                logits = np.log(probabilities)
            else:
                logits, vectors = engine.logits_and_embeddings(self.run, images)
                probabilities = softmax(logits)
            elapsed = (time.perf_counter() - started) * 1000
            parts.append((logits, probabilities, vectors, np.full(len(images), elapsed / max(1, len(images)))))
        embeddings = [part[2] for part in parts if part[2] is not None]
        return BatchOutput(
            np.concatenate([part[0] for part in parts]),
            np.concatenate([part[1] for part in parts]),
            np.concatenate(embeddings) if embeddings else None,
            np.concatenate([part[3] for part in parts]),
            crops,
            self,
        )


def confidence_threshold(run: Run) -> float:
    """The top probability from which an answer of ``run`` counts as sure, in 0 to 1.

    The lowest at which the answers of the run's validation cells at or above it were right in `CONFIDENT_PRECISION` of
    cases (never below `MIN_CONFIDENCE_THRESHOLD`), so that a network trained with label smoothing, whose probabilities
    stay near 0.9, and an overconfident one are read alike. It holds for cells like the validation cells; beyond that,
    the run's calibration error says how far to trust the figures.
    """
    return _confidence_threshold(run, run.version)


@lru_cache(maxsize=64)
def _confidence_threshold(run: Run, version: str) -> float:
    stored = run.predictions("val")
    probabilities = softmax(stored.logits)
    return fit_confidence_threshold(probabilities.max(axis=1), probabilities.argmax(axis=1) == stored.labels)


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


def decide_verdicts(
    detector: OODDetector | None,
    probabilities: np.ndarray,
    embeddings: np.ndarray | None,
    crops: np.ndarray | ImageRows | None,
    confidence_threshold: float,
) -> list[Verdict]:
    """A verdict on each of ``probabilities`` (N, C), ``embeddings`` (N, K) and ``crops`` uint8 (N, S, S, 3).

    ``confidence_threshold``: the top probability from which an answer counts as sure. Without a ``detector`` or an
    embedding there are sure and unsure only, and the prediction set is the two likeliest.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    if detector is None or embeddings is None:
        return [
            _in_distribution_verdict(row, ranked, (), confidence_threshold)
            for row, ranked in zip(probabilities, order, strict=True)
        ]
    sets = prediction_sets(probabilities, detector.set_thresholds)
    statistics = image_statistics(crops) if crops is not None and detector.statistics_gaussians else None
    size = 0 if crops is None else crops.shape[1]
    ood_scores = detector.ood_score_of(embeddings, statistics)
    verdicts = []
    for i, (row, ranked) in enumerate(zip(probabilities, order, strict=True)):
        if ood_scores[i] >= 1:
            unusual = unusual_groups(detector, statistics[i : i + 1], size) if statistics is not None else ()
            verdicts.append(Verdict("out_of_distribution", tuple(ranked[:2].tolist()), float(ood_scores[i]), unusual))
        else:
            verdicts.append(
                _in_distribution_verdict(
                    row, ranked, np.flatnonzero(sets[i]).tolist(), confidence_threshold, float(ood_scores[i])
                )
            )
    return verdicts


def _in_distribution_verdict(
    row: np.ndarray, ranked: np.ndarray, set_members: Iterable[int], confidence_threshold: float, ood_score: float = 0.0
) -> Verdict:
    if row[ranked[0]] >= confidence_threshold:
        return Verdict("sure", (int(ranked[0]),), ood_score)
    members = {*set_members, *ranked[:2].tolist()}
    return Verdict("unsure", tuple(int(k) for k in ranked if k in members), ood_score)


def prediction_set_thresholds(run: Run) -> np.ndarray:
    """From which probability on a class belongs into the prediction set of an answer of ``run``: float (C,).

    Its detector's; without one that can be read, from its validation cells, see `class_thresholds`.
    """
    try:
        detector = detector_of(run)
    except InvalidDetector:
        detector = None
    return detector.set_thresholds if detector else _val_set_thresholds(run, run.version)


@lru_cache(maxsize=64)
def _val_set_thresholds(run: Run, version: str) -> np.ndarray:
    stored = run.predictions("val")
    thresholds = class_thresholds(stored.labels, softmax(stored.logits))
    thresholds.setflags(write=False)
    return thresholds
