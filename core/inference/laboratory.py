"""A batch's laboratory: does the model know its microscope and stain, and what are its answers worth if it doesn't?

Whether a batch comes from another laboratory is a question about all its pictures together, answered once; it says
nothing of a single cell there. At another laboratory each cell keeps its likeliest class, with a probability that was
calibrated on laboratories that no training saw, and is odd only where it is odd among its like: the displacement that
all cells of the batch share is taken off before a cell's distance is measured.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import HemaLensError, plain_reason
from core.inference.ood import OODDetector
from core.inference.specimen import Specimen
from core.probabilities import NEVER_SURE, softmax, spoken_sets
from core.runs import Run
from core.storage import cached_file, write_json

UNKNOWN_FROM = 0.3  # share of pictures that don't look like home from which a batch is another laboratory's
MIN_PICTURES = 5  # with fewer every one of them must look foreign
PROBABILITY_FLOOR = 1e-4  # no class is impossible elsewhere
MIN_OF_MIXTURE = 0.1  # share of a batch of two stains from which either side is one
# Where home's cells and others stand beside each other, one heap of scores lies where home's do (by `usual_score`), the
# other far above 1, and hardly any between; cells of one laboratory make one heap.
_HOME_LIKE, _FAR_AWAY, _BETWEEN, _MOST_BETWEEN = 1.3, 1.5, (0.8, 1.1), 0.1
MIN_FOR_DISPLACEMENT = 10  # cells: fewer don't tell what all of them share


@dataclass(frozen=True)
class SpecimenCalibration:
    """What answers are worth elsewhere where cells are mixed in one way.

    ``temperature`` divides the logarithm of the run's probabilities, which are too sure elsewhere, before a specimen
    weighs them. From ``confidence_threshold`` on an answer so calibrated is sure, where it names the class that the run
    named before; ``set_threshold``: from which probability on a class belongs into the prediction set of one that is
    not. ``lowest_accuracy``, ``highest_accuracy``: the share right there, 0 to 1, by laboratory, each left out of the
    fit.
    """

    temperature: float
    confidence_threshold: float
    set_threshold: float
    lowest_accuracy: float
    highest_accuracy: float

    def probabilities(self, probabilities: np.ndarray, odds: np.ndarray) -> np.ndarray:
        """``probabilities`` (N, C) of the run as they hold elsewhere, weighed by a specimen's ``odds`` (C,): float64
        (N, C).
        """
        return softmax(np.log(probabilities + PROBABILITY_FLOOR) / self.temperature + np.log(odds))

    def told(self, probabilities: np.ndarray) -> np.ndarray:
        """The classes that a person is told of ``probabilities`` (N, C) so calibrated, bool (N, C): one where the
        answer is sure, else the prediction set, two at least.
        """
        classes = probabilities.shape[1]
        told = spoken_sets(probabilities, np.full(classes, self.set_threshold), NEVER_SURE)
        sure = probabilities.max(1) >= self.confidence_threshold
        told[sure] = np.eye(classes, dtype=bool)[probabilities[sure].argmax(1)]
        return told


@dataclass(frozen=True)
class ExternalCalibration:
    """What the answers of a run are worth at laboratories that no training saw, measured on ``laboratories``: in
    ``blood``, by what is usual there, and in ``any`` specimen, where every class is as common. ``weights_hash``: of the
    run (`core.runs.Run.weights_hash`), '' where it has none.
    """

    laboratories: tuple[str, ...]
    blood: SpecimenCalibration
    any: SpecimenCalibration
    weights_hash: str = ""

    def of(self, specimen: Specimen) -> SpecimenCalibration:
        """What holds for ``specimen``; of marrow no more is known than of anything."""
        return self.any if specimen.immature_is_usual else self.blood

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        write_json(path, asdict(self))

    @staticmethod
    def load(path: Path) -> "ExternalCalibration":
        """Read what `save` wrote. Raises `InvalidCalibration`; FileNotFoundError where there is none."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            names = tuple(str(name) for name in content["laboratories"])
            blood, anything = (_specimen_calibration(content[key]) for key in ("blood", "any"))
            return ExternalCalibration(names, blood, anything, str(content.get("weights_hash", "")))
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            why = plain_reason(error) + (", as those of former versions do" if isinstance(error, KeyError) else "")
            raise InvalidCalibration(
                f"{path} can't be read ({why}). Restore the run's folder, or make it anew: "
                f"python -m core calibrate {path.parent.name}"
            ) from error


def _specimen_calibration(content: Mapping[str, Any]) -> SpecimenCalibration:
    numbers = {field.name: float(content[field.name]) for field in fields(SpecimenCalibration)}
    shares = [value for name, value in numbers.items() if name != "temperature"]
    if not (0.05 <= numbers["temperature"] <= 20 and all(0 <= share <= 1 for share in shares)):
        raise ValueError("a number is out of its range")
    return SpecimenCalibration(**numbers)


class InvalidCalibration(HemaLensError):
    """A calibration's file can't be read; the message says what to do."""


def external_calibration_of(run: Run) -> ExternalCalibration | None:
    """That of ``run``, read once; None where nobody measured it. Raises `InvalidCalibration`."""
    try:
        calibration = _load_calibration(run.external_calibration_path)
    except FileNotFoundError:
        return None
    if calibration.weights_hash != run.weights_hash:
        raise InvalidCalibration(
            f"{run.external_calibration_path} was made for another run. Make it anew: python -m core calibrate "
            f"{run.name}"
        )
    return calibration


@cached_file(maxsize=32)
def _load_calibration(path: Path) -> ExternalCalibration:
    return ExternalCalibration.load(path)


@dataclass(frozen=True)
class Laboratory:
    """What a batch of ``pictures`` cells says of where it comes from.

    ``known``: whether its microscope and stain are the model's own (or those of the profile that answers), None where
    nothing can tell: the run has no detector, or there is no cell. ``score``: share of the pictures that don't look
    like these, 0 to 1. ``embedding_shift`` (K,), ``statistics_shift`` (F,): what all cells share, None where nothing is
    taken off; ``inflation``: how many times wider than at home cells lie around it. ``two_stains``: the cells plainly
    have two; ``is_mixed``: some of them are home's, so that each cell counts as what it looks like.
    """

    known: bool | None = None
    score: float = 0.0
    pictures: int = 0
    embedding_shift: np.ndarray | None = None
    statistics_shift: np.ndarray | None = None
    inflation: float = 1.0
    two_stains: bool = False
    is_mixed: bool = False

    @property
    def is_foreign(self) -> bool:
        """Whether it is plainly another laboratory than the model's."""
        return self.known is False


def judge_laboratory(
    detector: OODDetector | None,
    embeddings: np.ndarray | None,
    statistics: np.ndarray | None,
    is_cell: np.ndarray,
    two_stains: bool = False,
) -> Laboratory:
    """The laboratory of a batch: ``embeddings`` (N, K), ``statistics`` (N, F) as `image_statistics` gives them;
    ``is_cell`` bool (N,): the others have no say; ``two_stains``: whether they plainly have two
    (`core.images.stains`).
    """
    if detector is None or not is_cell.any():
        return Laboratory(pictures=int(is_cell.sum()), two_stains=two_stains)
    whole = embeddings, statistics
    embeddings = embeddings[is_cell] if embeddings is not None else None
    statistics = statistics[is_cell] if statistics is not None else None
    scores = detector.ood_score_of(embeddings, statistics)
    share, count = float((scores >= 1).mean()), len(scores)
    either_side = MIN_OF_MIXTURE <= share <= 1 - MIN_OF_MIXTURE and count >= MIN_FOR_DISPLACEMENT
    if either_side and (two_stains or _are_two_heaps(scores, detector.usual_score)):
        foreign = is_cell.copy()
        foreign[is_cell] = scores >= 1
        apart = judge_laboratory(detector, *whole, foreign)
        return replace(apart, score=share, pictures=count, two_stains=True, is_mixed=True)
    if share < (UNKNOWN_FROM if count >= MIN_PICTURES else 1.0):
        return Laboratory(True, share, count, two_stains=two_stains)
    if count < MIN_FOR_DISPLACEMENT:
        return Laboratory(False, share, count, two_stains=two_stains)
    embedding_shift = (
        detector.embedding_gaussians.displacement(embeddings)
        if embeddings is not None and detector.embedding_gaussians
        else None
    )
    statistics_shift = (
        detector.statistics_gaussians["all"].displacement(statistics)
        if statistics is not None and detector.statistics_gaussians
        else None
    )
    laboratory = Laboratory(False, share, count, embedding_shift, statistics_shift, two_stains=two_stains)
    around = float(np.median(ood_scores(detector, embeddings, statistics, laboratory)))
    return replace(laboratory, inflation=max(1.0, around / detector.usual_score))


def _are_two_heaps(scores: np.ndarray, usual: float) -> bool:
    """Whether some of ``scores`` (N,), on both sides of 1, are plainly home's and the others as plainly are not."""
    near, far = float(np.median(scores[scores < 1])), float(np.median(scores[scores >= 1]))
    between = float(((scores >= _BETWEEN[0]) & (scores < _BETWEEN[1])).mean())
    return near <= _HOME_LIKE * usual and far >= _FAR_AWAY and between <= _MOST_BETWEEN


def ood_scores(
    detector: OODDetector,
    embeddings: np.ndarray | None,
    statistics: np.ndarray | None,
    laboratory: Laboratory,
    energies: np.ndarray | None = None,
) -> np.ndarray:
    """How odd each cell is among its like, float64 (N,): 1 or more is odd.

    At home against the known cells and, by their ``energies`` (N,), the known classes; at another laboratory after what
    its cells share was taken off, 0 where too few of them tell what that is.
    """
    if not laboratory.is_foreign:
        return detector.ood_score_of(embeddings, statistics, energies)
    if laboratory.embedding_shift is None and laboratory.statistics_shift is None:
        there = embeddings if embeddings is not None else statistics
        return np.zeros(0 if there is None else len(there))
    if embeddings is not None and laboratory.embedding_shift is not None:
        embeddings = embeddings - laboratory.embedding_shift
    if statistics is not None and laboratory.statistics_shift is not None:
        statistics = statistics - laboratory.statistics_shift
    return detector.ood_score_of(embeddings, statistics) / laboratory.inflation


def laboratory_note(
    laboratory: Laboratory,
    calibration: ExternalCalibration | None,
    specimen: Specimen,
    unit: str = "cell",
    taught: str = "",
) -> str:
    """What a person is told of it, in one or two sentences; '' where it is known, or there is no cell.

    ``specimen``: what the answers are weighed by; ``taught``: the profile's name.
    """
    if laboratory.known is None and not laboratory.pictures:
        return ""  # there is no cell to tell it by
    if laboratory.known is None:
        return f"This model can't tell whether these {unit}s come from a microscope and stain like its own."
    if laboratory.known:
        return ""
    stains = " They have two stains: use pictures of one at a time." if laboratory.two_stains else ""
    count = laboratory.pictures
    these = "This picture comes" if count == 1 else f"These {count:,} pictures come"
    own = f"that of {taught}" if taught else "the model's"
    text = f"{these} from another microscope or stain than {own}.{stains}"
    if laboratory.is_mixed:
        text = (
            f"About {round(laboratory.score * count):,} of these {count:,} pictures come from another microscope or "
            f"stain than {own}; they were taken apart from the others."
        )
    if calibration and not taught:
        part = calibration.of(specimen)
        mixed = "as many of each class" if specimen.immature_is_usual else "mixed as in an adult's blood"
        text += (
            f" Elsewhere such {unit}s, {mixed}, were named rightly in {100 * part.lowest_accuracy:.0f} to "
            f"{100 * part.highest_accuracy:.0f} %; teach it with 25 answers."
        )
    elif taught:
        text += " No answer is sure: teach the laboratory that they come from, or choose the model without a profile."
    else:
        text += " How often they are named rightly nobody measured, so no answer is sure; teach it with 25 answers."
    return text
