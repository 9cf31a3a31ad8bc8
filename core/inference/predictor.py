"""The one way from pictures to predictions: a `Predictor` takes bytes, paths or arrays, one, hundreds or a stream, and
yields a `Prediction` for each: the crop, probabilities, and a `Verdict`, which answers what a person must know of it.

Four questions, each answered where it belongs. Is this a cell? A picture tells (`core.images.cell_check`), whatever
model is asked. Is this laboratory known? All pictures of a batch together tell (`core.inference.laboratory`). Is this
cell odd among its like? Its distance from the known cells, or from its own batch, tells (`core.inference.ood`). May it
be abnormal? The alarm tells (`core.inference.alarm`), which no profile silences.

What is measured (`Evidence`) is kept apart from what is said of it, so that verdicts follow when more pictures of a
batch come in, and nothing is measured twice.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import islice
from typing import Literal, NamedTuple, Protocol

import numpy as np

from core.datasets.base import DatasetSpec, ImageRows
from core.formatting import natural_key
from core.images.cell_check import CellCheck, check_crops, check_pictures, missing_network
from core.images.crop import Crop
from core.images.decode import DecodeError
from core.images.framing import (
    MAX_SAMPLED,
    BatchScale,
    CropWindow,
    MeasuredPicture,
    Picture,
    as_picture,
    measure_batch,
    shape_warning,
    spread_evenly,
)
from core.images.stains import stain_groups
from core.inference import engine
from core.inference.alarm import AbnormalCellAlarm, Alarm, InvalidAlarm, alarm_of
from core.inference.laboratory import (
    ExternalCalibration,
    InvalidCalibration,
    Laboratory,
    external_calibration_of,
    judge_laboratory,
    laboratory_note,
    ood_scores,
)
from core.inference.ood import (
    InvalidDetector,
    OODDetector,
    detector_of,
    energy,
    image_statistics,
    statistic_groups,
    unusual_groups,
)
from core.inference.scope import spec_for
from core.inference.specimen import (
    ADULT_BLOOD,
    ANY_SPECIMEN,
    IMMATURE_AT_HOME,
    IMMATURE_ELSEWHERE,
    Specimen,
    immature_likelihood,
    weighed,
)
from core.probabilities import NEVER_SURE, class_thresholds, softmax, spoken_sets
from core.progress import Progress, Report, batches, silent
from core.runs import Run

VerdictKind = Literal["sure", "unsure", "not_a_cell"]

CONFIDENT_PRECISION = 0.995
MIN_CONFIDENCE_THRESHOLD = 0.5
FALLBACK_CONFIDENCE_THRESHOLD = 0.9
PROFILE_SET_THRESHOLD = 0.05  # probability from which a class is named beside another, by what a laboratory taught
CAUTION_FROM = 0.05  # score of the alarm from which, raised or not, no answer is sure
_MIN_VAL_CELLS = 200


@dataclass(frozen=True)
class Verdict:
    """How an answer may be said.

    ``kind`` 'sure': ``classes`` is the one; 'unsure': ``classes`` is the prediction set, likeliest first, at least the
    two likeliest; 'not_a_cell': ``check`` says what the picture shows instead, ``classes`` is empty. ``alarm``: whether
    the cell may be abnormal; such a cell is never sure. ``ood_score``: how odd the cell is among its like, 1 or more is
    odd, and never sure; 0 where nothing could be measured. ``unusual``: which of 'colour', 'scale', 'texture' of an odd
    one are unusual, the most unusual first; () where none of them alone is. ``immature``: whether the picture alone
    speaks for an immature cell where the specimen usually has none, whatever is named first; such a cell is never sure.
    ``is_stranger``: in a batch of two stains, whether the cell has the one that the model doesn't know.
    """

    kind: VerdictKind
    classes: tuple[int, ...]
    alarm: Alarm = Alarm()
    ood_score: float = 0.0
    unusual: tuple[str, ...] = ()
    check: CellCheck = CellCheck("cell", 1.0)
    immature: bool = False
    is_stranger: bool = False

    @property
    def must_be_seen(self) -> bool:
        """Whether somebody must look at the cell before it counts: it may be abnormal, or is immature in blood."""
        return self.is_cell and (self.alarm.raised or self.is_near_alarm or self.immature)

    @property
    def word(self) -> str:
        """The kind as a person reads it: 'sure', 'unsure' or 'not a cell'."""
        return self.kind.replace("_", " ")

    @property
    def is_cell(self) -> bool:
        """Whether the picture shows what the model is about: one cell, or a field where it reads fields."""
        return self.kind != "not_a_cell"

    @property
    def is_odd(self) -> bool:
        """Whether the cell does not look like its like."""
        return self.is_cell and self.ood_score >= 1

    @property
    def is_near_alarm(self) -> bool:
        """Whether the alarm is not raised, but so near to it that no answer is sure."""
        return self.is_cell and not self.alarm.raised and (self.alarm.score or 0) >= CAUTION_FROM


@dataclass(frozen=True)
class Evidence:
    """What was measured of N crops, before anything is said of them; a row a crop.

    ``probabilities`` float64 (N, C) as they hold at home; ``checks``: what each picture shows; ``cell_missing`` bool
    (N,): a white cell was looked for and none found. ``embeddings`` float32 (N, K) and
    ``statistics`` float32 (N, F), ``energies`` float64 (N,): what the run's detector asks for, ``alarm_scores`` float64
    (N,): None where nothing does. ``immature`` float64 (N,): `immature_likelihood` of what the run alone says.
    """

    probabilities: np.ndarray
    checks: tuple[CellCheck, ...]
    cell_missing: np.ndarray
    embeddings: np.ndarray | None = None
    statistics: np.ndarray | None = None
    alarm_scores: np.ndarray | None = None
    energies: np.ndarray | None = None
    immature: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def is_cell(self) -> np.ndarray:
        """Bool (N,): which pictures show what the model is about."""
        return np.array([check.is_cell for check in self.checks], bool)

    def rows(self, chosen: Sequence[int] | np.ndarray) -> "Evidence":
        """Those of the crops ``chosen`` (int indexes), in that order."""
        chosen = np.asarray(chosen, int)

        def part(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[chosen]

        return Evidence(
            self.probabilities[chosen],
            tuple(self.checks[i] for i in chosen),
            self.cell_missing[chosen],
            part(self.embeddings),
            part(self.statistics),
            part(self.alarm_scores),
            part(self.energies),
            part(self.immature),
        )

    @staticmethod
    def join(parts: Sequence["Evidence"]) -> "Evidence":
        """``parts`` of one predictor, one after another; at least one."""

        def joined(values: list[np.ndarray | None]) -> np.ndarray | None:
            there = [value for value in values if value is not None]
            return np.concatenate(there) if len(there) == len(values) else None

        return Evidence(
            np.concatenate([part.probabilities for part in parts]),
            tuple(check for part in parts for check in part.checks),
            np.concatenate([part.cell_missing for part in parts]),
            joined([part.embeddings for part in parts]),
            joined([part.statistics for part in parts]),
            joined([part.alarm_scores for part in parts]),
            joined([part.energies for part in parts]),
            joined([part.immature for part in parts]),
        )


@dataclass(frozen=True)
class Prediction:
    """What a predictor makes of one picture: what it saw of it (``crop``, cut at ``window``) and its answer.

    ``probabilities`` float64 (C,), calibrated for the picture's laboratory; ``threshold``: the top probability from
    which it is sure, `NEVER_SURE` where nothing is; ``milliseconds``: the picture's share of its batch; ``name`` of the
    picture and ``notes`` on it, for a person. ``evidence``: what it rests on.
    """

    name: str
    crop: Crop
    window: CropWindow
    probabilities: np.ndarray
    verdict: Verdict
    threshold: float
    milliseconds: float
    evidence: Evidence
    notes: tuple[str, ...] = ()

    @property
    def predicted(self) -> int:
        """Index of the likeliest class, if the picture shows a cell."""
        return int(self.probabilities.argmax())

    @property
    def confidence(self) -> float:
        """The likeliest class's probability."""
        return float(self.probabilities.max())

    @property
    def prediction_set(self) -> tuple[int, ...]:
        """Classes that it may be, likeliest first; () where no cell is."""
        return self.verdict.classes

    @property
    def sure(self) -> bool:
        """Whether the answer may be said as it is."""
        return self.verdict.kind == "sure"

    @property
    def is_cell(self) -> bool:
        """Whether the picture shows a cell: what shows none is in no count, share or chart."""
        return self.verdict.is_cell

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
    """Answers for N crops of one laboratory: ``logits`` (N, C), ``milliseconds`` float64 (N,), and the ``evidence``."""

    logits: np.ndarray
    milliseconds: np.ndarray
    evidence: Evidence
    _predictor: "Predictor"

    def __len__(self) -> int:
        return len(self.evidence)

    @property
    def probabilities(self) -> np.ndarray:
        """Float64 (N, C), as they hold at home."""
        return self.evidence.probabilities

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """One a crop, made when first asked for, all of them taken for one laboratory's."""
        return self._predictor.decide(self.evidence, self._predictor.laboratory(self.evidence))[1]


class _Doubts(NamedTuple):
    """What a predictor doubts by, None where there is nothing, and what is wrong with the files it lies in."""

    detector: OODDetector | None
    alarm: AbnormalCellAlarm | None
    calibration: ExternalCalibration | None
    problems: tuple[str, ...]
    is_blind: bool  # a detector or an alarm is there and can't be asked


class Predictor:
    """``run`` as it is, or with a ``head`` that a laboratory taught it, which brings a ``detector`` (None: nothing is
    odd) and a ``threshold`` of its own.

    ``side``: of the square to cut out, px of the laboratory's pictures; None where the pictures tell. ``name``: of the
    laboratory's profile, '' for a run as it is, ``version``: which one of that name. Made anew for each piece of work:
    ``key`` tells then whether what was measured is still that of another predictor. ``specimen``: what the cells are
    of; where nobody said it, anything at the model's own laboratory, and the blood of an adult elsewhere.
    ``taught_specimen``: by which the ``head`` weighs its answers already, by the ``odds_power``-th power of its odds.
    ``left_out``: what the head called each named cell while it was left out, as `LabProfile.left_out` has it.
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
        specimen: Specimen | None = None,
        taught_specimen: Specimen = ANY_SPECIMEN,
        odds_power: float = 1.0,
        left_out: Sequence[tuple[int, int, bool]] = (),
    ) -> None:
        self.run, self.head, self.side, self.name, self.specimen = run, head, side, name, specimen
        self._taught_specimen, self._odds_power = taught_specimen, odds_power
        self._detector, self._threshold, self._version, self.left_out = detector, threshold, version, left_out

    @cached_property
    def key(self) -> str:
        """Changes whenever what is measured would: with the run's files, and with what was taught."""
        return "|".join(filter(None, (str(self.run.path), self.run.version, self.name, self._version)))

    @cached_property
    def spec(self) -> DatasetSpec:
        """The run's data set with just the classes that it knows, in the order of its answers."""
        return spec_for(self.run)

    @property
    def threshold(self) -> float:
        """The top probability, 0 to 1, from which an answer counts as sure at the model's own laboratory."""
        return confidence_threshold(self.run) if self._threshold is None else self._threshold

    @property
    def set_thresholds(self) -> np.ndarray:
        """From which probability on a class belongs into the prediction set there: float (C,)."""
        if self.head:  # too few cells were named to tell a threshold for each class
            return np.full(len(self.spec.codes), PROFILE_SET_THRESHOLD)
        return prediction_set_thresholds(self.run)

    @property
    def detector(self) -> OODDetector | None:
        """What tells pictures of another laboratory and odd cells; None where nothing does."""
        return self._doubts.detector

    @property
    def detects_ood(self) -> bool:
        """Whether it can tell another laboratory, and odd cells."""
        return self.detector is not None

    @property
    def has_alarm(self) -> bool:
        """Whether it can raise the alarm for abnormal cells."""
        return self._doubts.alarm is not None

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the files beside the run's graph, what follows and what to do: a line each, for a person.

        The run answers all the same, but says nothing for sure that such a file would have to vouch for.
        """
        return self._doubts.problems

    @cached_property
    def _doubts(self) -> _Doubts:
        problems, detector, alarm, calibration = [], None, None, None
        try:
            detector = self._fitting_detector()
        except InvalidDetector as error:
            problems.append(f"{error}. Until then no answer is sure.")
        try:
            alarm = self._fitting_alarm()
        except InvalidAlarm as error:
            problems.append(f"{error}. Until then no answer is sure.")
        if problem := missing_network():
            problems.append(f"{problem}. Until then no answer is sure.")
        is_blind = bool(problems)
        try:
            calibration = None if self.head else external_calibration_of(self.run)
        except InvalidCalibration as error:
            problems.append(f"{error}. Until then no answer is sure at other laboratories.")
        return _Doubts(detector, alarm, calibration, tuple(problems), is_blind)

    def _fitting_detector(self) -> OODDetector | None:
        """Raises `InvalidDetector` where it can't be read, or asks for other numbers than the run gives."""
        detector = self._detector if self.head else detector_of(self.run)
        if detector is None:
            return None
        statistics, size = detector.statistics_gaussians, self._embedding_size
        known = len(statistic_groups(self.run.size))
        embedding = detector.embedding_gaussians
        stranger = not self.head and detector.weights_hash not in ("", self.run.weights_hash)
        if (
            stranger
            or (size and not self.head and not embedding)
            or (size and embedding and len(embedding.origin) > size)
            or (statistics and len(statistics["all"].origin) != known)
        ):
            raise InvalidDetector(
                f"the profile {self.name} was taught with another model than {self.run.name}. Teach it anew"
                if self.head
                else f"{self.run.ood_path} was made for another run. Make it anew: python -m core ood {self.run.name}"
            )
        return detector

    def _fitting_alarm(self) -> AbnormalCellAlarm | None:
        """Raises `InvalidAlarm` where it can't be read, or asks for other numbers than the run gives."""
        alarm = alarm_of(self.run)
        if alarm and alarm.features != self._embedding_size:
            raise InvalidAlarm(
                f"{self.run.alarm_path} was made for another run. Make it anew: python -m core alarm {self.run.name}"
            )
        return alarm

    @property
    def _embedding_size(self) -> int | None:
        """Numbers of the embedding that it looks at; None where there is none, or the graph can't be opened."""
        if self.run.kind == "combination" and not self.head:
            return None
        try:
            return engine.embedding_size(self.run)
        except engine.EngineError:
            return None

    def load(self) -> None:
        """Get ready now, so that the first answer needn't wait. Raises `EngineError`."""
        engine.load(self.run)

    def scale(self, pictures: Sequence[Picture], side: float | None = None) -> BatchScale:
        """What ``pictures``, all of one laboratory, say together; those that can't be read have no say.

        ``side`` in px of the files as they came, or the predictor's own, in px as they are read, is taken instead of
        measuring where there is one.
        """
        measured = [as_picture(picture) for picture in pictures]
        whose = "as you asked" if side else f"as your laboratory {self.name} has it"
        while True:
            try:
                batch = measure_batch([p for p in measured if p.readable], self.spec, side or self.side, whose)
                return replace(batch, in_file_pixels=bool(side))
            except DecodeError:  # its pixels are broken, and it knows that from now on
                continue

    def laboratory(self, evidence: Evidence, two_stains: bool = False) -> Laboratory:
        """What crops of one batch, in the order of their names, say together of where they come from.

        At most `MAX_SAMPLED` of them, evenly spread, are looked at: so many tell as much as all. ``two_stains``:
        whether they plainly have two, which the evidence doesn't tell.
        """
        sample = evidence.rows(spread_evenly(range(len(evidence)), MAX_SAMPLED))
        return judge_laboratory(self.detector, sample.embeddings, sample.statistics, sample.is_cell, two_stains)

    def laboratory_of(self, predictions: Iterable[Prediction]) -> Laboratory:
        """`laboratory` of the pictures behind ``predictions``, in whatever order they come."""
        ordered = sorted(predictions, key=lambda prediction: natural_key(prediction.name))
        if not ordered:
            return Laboratory()
        sample = spread_evenly(ordered, MAX_SAMPLED)
        cells = [p.crop.pixels for p in sample if p.is_cell]
        two_stains = self.spec.unit == "cell" and bool(cells) and stain_groups(np.stack(cells)) is not None
        found = self.laboratory(Evidence.join([p.evidence for p in sample]), two_stains)
        return replace(found, pictures=sum(prediction.is_cell for prediction in ordered))

    def sample_laboratory(
        self, pictures: Sequence[Picture], windows: BatchScale | CropWindow, report: Report = silent
    ) -> Laboratory:
        """`laboratory_of` from a sample of ``pictures``, before all of them are answered."""
        measured = sorted((as_picture(p) for p in pictures), key=lambda picture: natural_key(picture.name))
        sample = spread_evenly([picture for picture in measured if picture.readable], MAX_SAMPLED)
        found = []
        for prediction in self.stream(sample, windows, Laboratory()):
            found.append(prediction)
            report(Progress(len(found), len(sample), "asking where the pictures come from", "picture"))
        laboratory = self.laboratory_of(p for p in found if isinstance(p, Prediction))
        return replace(laboratory, pictures=laboratory.pictures * len(measured) // max(1, len(sample)))

    def answer(
        self, pictures: Sequence[Picture], windows: BatchScale | CropWindow
    ) -> tuple[Laboratory, Iterator[Prediction | DecodeError]]:
        """Where ``pictures``, taken for one laboratory's, come from, and what `stream` gives of them.

        No more than `MAX_SAMPLED` are answered at once; of more a sample tells first, and the others come as they are
        asked for, so that there may be more than memory holds.
        """
        if len(pictures) > MAX_SAMPLED:
            laboratory = self.sample_laboratory(pictures, windows)
            return laboratory, self.stream(pictures, windows, laboratory)
        predictions = list(self.stream(pictures, windows, Laboratory()))
        laboratory = self.laboratory_of(p for p in predictions if isinstance(p, Prediction))
        return laboratory, iter(self.decide_again(predictions, laboratory))

    def laboratory_note(self, laboratory: Laboratory) -> str:
        """What a person is told of a batch's laboratory; '' where it is known."""
        specimen = self.specimen_at(laboratory)
        return laboratory_note(laboratory, self._doubts.calibration, specimen, self.spec.unit, self.name)

    @property
    def specimen_is_said(self) -> bool:
        """Whether somebody said what the cells are of, now or where a laboratory taught."""
        return bool(self.specimen) or self._taught_specimen is not ANY_SPECIMEN

    def specimen_at(self, laboratory: Laboratory) -> Specimen:
        """What the cells of a batch from ``laboratory`` are taken to be of."""
        if self.specimen:
            return self.specimen
        if self.head:
            return self._taught_specimen
        return ADULT_BLOOD if self._calibration_at(laboratory) else ANY_SPECIMEN

    def predict(
        self, pictures: Sequence[Picture], *, side: float | None = None, report: Report = silent
    ) -> list[Prediction | DecodeError]:
        """Answers for ``pictures``, taken for one laboratory's, each cut at the scale that they show together."""
        measured = [as_picture(picture) for picture in pictures]
        predictions = []
        for prediction in self.stream(measured, self.scale(measured, side), Laboratory()):
            predictions.append(prediction)
            report(Progress(len(predictions), len(measured), "asking the model", "picture"))
        return self.decide_again(predictions)

    def decide_again(
        self, predictions: Sequence[Prediction | DecodeError], laboratory: Laboratory | None = None
    ) -> list[Prediction | DecodeError]:
        """``predictions`` of one batch with the verdicts that its ``laboratory`` (None: what they tell) calls for."""
        there = [p for p in predictions if isinstance(p, Prediction)]
        if not there:
            return list(predictions)
        laboratory = laboratory or self.laboratory_of(there)
        probabilities, verdicts, thresholds = self.decide(Evidence.join([p.evidence for p in there]), laboratory)
        renewed = iter(
            replace(prediction, probabilities=row, verdict=verdict, threshold=float(threshold))
            for prediction, row, verdict, threshold in zip(there, probabilities, verdicts, thresholds, strict=True)
        )
        return [next(renewed) if isinstance(p, Prediction) else p for p in predictions]

    def stream(
        self,
        pictures: Iterable[Picture],
        windows: BatchScale | CropWindow | Iterable[CropWindow],
        laboratory: Laboratory,
        batch: int = engine.BATCH,
    ) -> Iterator[Prediction | DecodeError]:
        """A `Prediction` for each of ``pictures`` in their order, or the `DecodeError` of one that can't be read.

        ``windows``: where to cut: by a scale that was measured, in one way for all, or in each picture's own.
        ``laboratory``: where they come from (`sample_laboratory`); verdicts can be decided again when more is known.
        Pictures may be more than memory holds: ``batch`` of them are read at a time. Raises `EngineError`.
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
            there = [(p, *entry) for p, entry in zip(group, cut, strict=True) if not isinstance(entry, DecodeError)]
            answers = iter(self._answers(there, laboratory, batch) if there else ())
            for entry in cut:
                yield entry if isinstance(entry, DecodeError) else next(answers)
            for picture in group:
                picture.release()

    def _answers(
        self, cut: Sequence[tuple[MeasuredPicture, CropWindow, Crop]], laboratory: Laboratory, batch: int
    ) -> Iterator[Prediction]:
        """Predictions for pictures that were cut."""
        pictures, windows, crops = zip(*cut, strict=True)
        output = self._measure(
            np.stack([crop.pixels for crop in crops]),
            check_pictures(pictures, crops, self.spec),
            np.array([window.cell_missing for window in windows]),
            batch,
        )
        probabilities, verdicts, thresholds = self.decide(output.evidence, laboratory)
        for row, (picture, window, crop) in enumerate(cut):
            height, width = picture.shape
            warning = shape_warning(width, height, self.spec)
            yield Prediction(
                picture.name,
                crop,
                window,
                probabilities[row],
                verdicts[row],
                float(thresholds[row]),
                float(output.milliseconds[row]),
                output.evidence.rows([row]),
                (*picture.notes, warning.rstrip(".")) if warning else picture.notes,
            )

    def predict_crops(
        self, crops: np.ndarray | ImageRows, batch: int = engine.BATCH, report: Report = silent
    ) -> BatchOutput:
        """Answers for ``crops`` uint8 (N, S, S, 3) of the run's size, ``batch`` at a time. Raises `EngineError`."""
        return self._measure(crops, None, np.zeros(len(crops), bool), batch, report)

    def _measure(
        self,
        crops: np.ndarray | ImageRows,
        checks: Sequence[CellCheck] | None,
        cell_missing: np.ndarray,
        batch: int,
        report: Report = silent,
    ) -> BatchOutput:
        """Everything that is measured of ``crops``, whose ``checks`` are made from them where they are None."""
        detector, alarm = self._doubts.detector, self._doubts.alarm
        logits, times, parts = [], [], []
        for rows in batches(len(crops), batch, report, unit="image", at_least_one=True):
            images = crops[rows]
            started = time.perf_counter()
            vectors: np.ndarray | None
            if self.head:
                run_probabilities, vectors = engine.encode(self.run, images)
                probabilities = self.head.probabilities(vectors, run_probabilities)
                scores = np.log(probabilities)
            else:
                scores, vectors = engine.logits_and_embeddings(self.run, images, with_deviation=True)
                probabilities = run_probabilities = softmax(scores)
            elapsed = (time.perf_counter() - started) * 1000
            logits.append(scores)
            times.append(np.full(len(images), elapsed / max(1, len(images))))
            parts.append(
                Evidence(
                    probabilities,
                    tuple(check_crops(images, self.spec.unit) if checks is None else checks[rows]),
                    cell_missing[rows],
                    detector.own_part(vectors) if detector and vectors is not None else None,
                    image_statistics(images) if detector and detector.statistics_gaussians else None,
                    alarm.scores(vectors) if alarm and vectors is not None else None,
                    energy(scores) if detector and detector.unknown_class and not self.head else None,
                    immature_likelihood(self.run, run_probabilities),
                )
            )
        return BatchOutput(np.concatenate(logits), np.concatenate(times), Evidence.join(parts), self)

    def decide(self, evidence: Evidence, laboratory: Laboratory) -> tuple[np.ndarray, list[Verdict], np.ndarray]:
        """What may be said of crops that all come from ``laboratory``: their probabilities float64 (N, C) as they hold
        there, a verdict each, and the top probability float64 (N,) from which each answer is sure.

        Of a mixture each counts as home's or another's by what it looks like.
        """
        if laboratory.is_mixed and self.detector:
            foreign = self.detector.ood_score_of(evidence.embeddings, evidence.statistics) >= 1
            probabilities, thresholds = np.empty_like(evidence.probabilities), np.empty(len(evidence))
            mixed: list[Verdict] = [Verdict("unsure", ())] * len(evidence)
            for side in (True, False):
                rows = np.flatnonzero(foreign == side)
                place = replace(laboratory, known=not side, is_mixed=False)
                probabilities[rows], verdicts, thresholds[rows] = self.decide(evidence.rows(rows), place)
                for row, verdict in zip(rows, verdicts, strict=True):
                    mixed[row] = replace(verdict, is_stranger=side and verdict.is_cell)
            return probabilities, mixed, thresholds
        set_thresholds, threshold = self.thresholds_at(laboratory)
        specimen, plain = self.specimen_at(laboratory), evidence.probabilities
        calibration = self._calibration_at(laboratory)
        odds = specimen.odds(self.run, elsewhere=laboratory.is_foreign or self.head is not None)
        if calibration:
            probabilities = calibration.of(specimen).probabilities(plain, odds)
        elif self.head:
            taught = self._taught_specimen.odds(self.run, elsewhere=True)
            probabilities = weighed(plain, (odds / taught) ** self._odds_power)
        else:
            probabilities = weighed(plain, odds)
        odd = np.zeros(len(evidence))
        if self.detector:
            odd = ood_scores(self.detector, evidence.embeddings, evidence.statistics, laboratory, evidence.energies)
        alarm_scores = evidence.alarm_scores
        immature = np.zeros(len(evidence), bool)
        if evidence.immature is not None and not specimen.immature_is_usual:
            is_home = not (laboratory.is_foreign or self.head)
            immature = evidence.immature >= (IMMATURE_AT_HOME if is_home else IMMATURE_ELSEWHERE)
        cautious = (odd >= 1) | evidence.cell_missing | immature
        # Where a specimen's usual counts overrule what the picture says, both are told.
        overruled = plain.argmax(1) != probabilities.argmax(1)
        cautious |= overruled
        if alarm_scores is not None:
            cautious |= alarm_scores >= CAUTION_FROM
        if calibration and threshold < NEVER_SURE:
            told = calibration.of(specimen).told(probabilities)
        else:
            told = spoken_sets(probabilities, set_thresholds, threshold)
        told[cautious] |= spoken_sets(probabilities[cautious], set_thresholds, NEVER_SURE)
        told[overruled, plain[overruled].argmax(1)] = True
        order = np.argsort(-probabilities, axis=1, kind="stable")
        verdicts = []
        for i, check in enumerate(evidence.checks):
            alarm = Alarm(None if alarm_scores is None else float(alarm_scores[i]))
            if not check.is_cell:
                verdicts.append(Verdict("not_a_cell", (), Alarm(None if alarm.score is None else 0.0), check=check))
                continue
            classes = tuple(int(k) for k in order[i] if told[i, k])
            kind: VerdictKind = "sure" if len(classes) == 1 else "unsure"
            unusual = self._unusual(evidence, i, odd[i])
            verdicts.append(Verdict(kind, classes, alarm, float(odd[i]), unusual, check, bool(immature[i])))
        return probabilities, verdicts, np.full(len(evidence), threshold)

    def thresholds_at(self, laboratory: Laboratory) -> tuple[np.ndarray, float]:
        """At ``laboratory``: from which probability on a class belongs into the prediction set, float (C,), and from
        which top probability on an answer is sure.
        """
        if self._doubts.is_blind:
            return self.set_thresholds, NEVER_SURE
        if not laboratory.is_foreign:
            return self.set_thresholds, self.threshold
        if calibration := self._calibration_at(laboratory):
            part = calibration.of(self.specimen_at(laboratory))
            return np.full(len(self.spec.codes), part.set_threshold), part.confidence_threshold
        return self.set_thresholds, NEVER_SURE

    def _calibration_at(self, laboratory: Laboratory) -> ExternalCalibration | None:
        """What makes probabilities true at ``laboratory``; None at home, where they are, and where nothing does."""
        return self._doubts.calibration if laboratory.is_foreign else None

    def _unusual(self, evidence: Evidence, row: int, odd: float) -> tuple[str, ...]:
        """In which groups of statistics the odd crop ``row`` is unusual by itself."""
        if odd < 1 or evidence.statistics is None or self.detector is None:
            return ()
        return unusual_groups(self.detector, evidence.statistics[row : row + 1], self.run.size)


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


def prediction_set_thresholds(run: Run) -> np.ndarray:
    """From which probability on a class belongs into the prediction set of an answer of ``run``: float (C,).

    From its validation cells, see `class_thresholds`.
    """
    return _val_set_thresholds(run, run.version)


@lru_cache(maxsize=64)
def _val_set_thresholds(run: Run, version: str) -> np.ndarray:
    stored = run.predictions("val")
    thresholds = class_thresholds(stored.labels, softmax(stored.logits))
    thresholds.setflags(write=False)
    return thresholds
