"""How often a model takes each class for each other one, measured on cells that it did not learn from: at home its
validation cells, at a laboratory the cells that a person named, each read while it was left out of the teaching.

A few dozen answers tell little of so many pairs of classes, and scarce ones are hardly among them. So cells stand
beside them that nobody named: in part they are read as at home, in part as if the picture said nothing, by what is
usual. How many they are and how the parts weigh was found on three laboratories (`benchmarks.differentials`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.inference.laboratory import Laboratory
from core.inference.predictor import Predictor, confidence_threshold, prediction_set_thresholds
from core.inference.specimen import Specimen, home_shares, weighed
from core.probabilities import softmax, spoken_sets
from core.runs import Run

_UNNAMED_CELLS = 4.0  # of each class, beside those that a laboratory named
_AS_AT_HOME = 0.7  # of these
_LOOK_IF_RIGHT, _LOOK_IF_WRONG = 0.5, 0.8  # shares of them for which a look is asked for


@dataclass(frozen=True)
class ModelErrors:
    """``cells`` float64 (C, 2, C): how many cells of a class (of ``codes``) were given each answer, first without, then
    with a look asked for.
    """

    codes: tuple[str, ...]
    cells: np.ndarray


def errors_of(predictor: Predictor, laboratory: Laboratory) -> ModelErrors | None:
    """What is known of the answers of ``predictor`` for cells of ``laboratory``; None where nothing was measured."""
    specimen = predictor.specimen_at(laboratory)
    if predictor.head:
        return laboratory_errors(predictor.run, specimen, predictor.left_out) if predictor.left_out else None
    return None if laboratory.is_foreign else home_errors(predictor.run, specimen)


def home_errors(run: Run, specimen: Specimen) -> ModelErrors:
    """From the answers of ``run`` for its validation cells, weighed by ``specimen``."""
    stored = run.predictions("val")
    return ModelErrors(
        run.codes, _tabulated(stored.labels, *answers_at_home(run, stored.logits, specimen), len(run.codes))
    )


def answers_at_home(run: Run, logits: np.ndarray, specimen: Specimen) -> tuple[np.ndarray, np.ndarray]:
    """The class that ``run`` names where its ``logits`` are these (N, C): int (N,); and whether a look is asked for, as
    far as they tell: bool (N,).
    """
    plain = softmax(logits)
    probabilities = weighed(plain, specimen.odds(run, elsewhere=False))
    predicted = probabilities.argmax(1)
    told = spoken_sets(probabilities, prediction_set_thresholds(run), confidence_threshold(run))
    return predicted, (told.sum(1) > 1) | (plain.argmax(1) != predicted)


def laboratory_errors(run: Run, specimen: Specimen, left_out: Sequence[tuple[int, int, bool]]) -> ModelErrors:
    """From ``left_out``: of each named cell its class, what it was called while it was left out of the teaching of
    ``run``, and whether a look was asked for.
    """
    classes = len(run.codes)
    at_home = home_errors(run, specimen).cells.sum(1)
    at_home /= np.maximum(at_home.sum(1, keepdims=True), 1)
    usual = specimen.odds(run, elsewhere=True) * home_shares(run)
    unnamed = _UNNAMED_CELLS * (_AS_AT_HOME * at_home + (1 - _AS_AT_HOME) * usual)
    look = np.where(np.eye(classes, dtype=bool), _LOOK_IF_RIGHT, _LOOK_IF_WRONG)
    labels, predicted, looks = (np.array(part) for part in zip(*left_out, strict=True))
    named = _tabulated(labels, predicted, looks, classes)
    return ModelErrors(run.codes, named + np.stack([unnamed * (1 - look), unnamed * look], 1))


def _tabulated(labels: np.ndarray, predicted: np.ndarray, look: np.ndarray, classes: int) -> np.ndarray:
    """How many cells of each of ``labels`` int (N,) were ``predicted`` int (N,) as what, without and with a ``look``
    asked for, bool (N,): float64 (C, 2, C).
    """
    cells = np.zeros((classes, 2, classes))
    np.add.at(cells, (labels, look.astype(int), predicted), 1)
    return cells
