"""Predictions as JSON and CSV, in one form for the shell and for the pages' downloads: a result a picture and model, or
a cell of a field.

JSON: one document with ``schema_version`` 3; CSV: a row a result, the probabilities in columns. What could not be read
stands in its place with the reason and what to do; where no cell is, the class is empty.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.csv_text import table_text, yes_no
from core.datasets.base import DatasetSpec
from core.formatting import RESEARCH_LINE, listed
from core.images.decode import DecodeError
from core.images.framing import BatchScale
from core.inference.fields import AnsweredField
from core.inference.laboratory import Laboratory
from core.inference.predictor import Prediction, Predictor

SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Answered:
    """A picture with one prediction of each predictor, in their order; ``source``: where it comes from,
    ``true_class``: a sample's code.
    """

    predictions: Sequence[Prediction]
    source: str | None = None
    true_class: str | None = None

    @property
    def models_agree(self) -> bool | None:
        """Whether all name one class; None for a single model, and where no cell is."""
        if len(self.predictions) < 2 or not self.predictions[0].is_cell:
            return None
        return len({prediction.predicted for prediction in self.predictions}) == 1


def to_json(
    pictures: Iterable[Answered | DecodeError],
    predictors: Sequence[Predictor],
    laboratories: Sequence[Laboratory],
    scale: BatchScale | None = None,
) -> dict[str, Any]:
    """The document of what ``predictors``, which know the same classes, say of ``pictures``; ``laboratories``: where
    each takes them to come from; ``scale``: how these were cut, where one scale was for all.
    """
    return {
        **_head(predictors, laboratories),
        "scale": _scale(scale),
        "results": [_rounded(result) for result in _results(pictures, predictors)],
    }


def fields_to_json(
    fields: Iterable[AnsweredField | DecodeError], predictor: Predictor, laboratory: Laboratory
) -> dict[str, Any]:
    """The document of what ``predictor`` says of the cells of ``fields``, all from ``laboratory``."""
    return {**_head([predictor], [laboratory]), "fields": [_field(field, predictor) for field in fields]}


def _field(field: AnsweredField | DecodeError, predictor: Predictor) -> dict[str, Any]:
    if isinstance(field, DecodeError):
        return _error(field)
    cells = []
    for cell, prediction in zip(field.field.cells, field.predictions, strict=True):
        result = _rounded(_result(prediction, predictor))
        del result["file"]
        place = {
            "box": [round(value) for value in cell.box],
            "middle": [round(cell.x, 1), round(cell.y, 1)],
            "confidence": round(cell.confidence, 4),
        }
        cells.append(place | result)
    return {
        "file": field.name,
        "width": field.shape[1],
        "height": field.shape[0],
        "red_cell": round(field.field.red_cell, 1),
        "red_cells": field.field.red_cells,
        "platelets": field.field.platelets,
        "cells": cells,
        "notes": list(field.notes),
    }


def _head(predictors: Sequence[Predictor], laboratories: Sequence[Laboratory]) -> dict[str, Any]:
    """Who answers, and where the pictures come from."""
    spec = predictors[0].spec
    return {
        "schema_version": SCHEMA_VERSION,
        "research_use": RESEARCH_LINE,
        "dataset": spec.name,
        "domain": spec.domain,
        "classes": dict(zip(spec.codes, spec.class_names, strict=True)),
        "models": [
            {
                "run": predictor.run.name,
                "title": predictor.run.title,
                "provenance": predictor.run.provenance,
                "profile": predictor.name or None,
                "confidence_threshold": round(predictor.threshold, 4),
                "alarm": predictor.has_alarm,
                "laboratory": _laboratory(predictor, laboratory),
                "specimen": _specimen(predictor, laboratory),
                "problems": list(predictor.problems),
            }
            for predictor, laboratory in zip(predictors, laboratories, strict=True)
        ],
        "laboratory": _laboratory(predictors[0], laboratories[0]),
        "specimen": _specimen(predictors[0], laboratories[0]),
    }


def _laboratory(predictor: Predictor, laboratory: Laboratory) -> dict[str, Any]:
    return {
        "known": laboratory.known,
        "score": round(laboratory.score, 4),
        "note": predictor.laboratory_note(laboratory),
    }


def _specimen(predictor: Predictor, laboratory: Laboratory) -> dict[str, Any]:
    specimen = predictor.specimen_at(laboratory)
    return {"key": specimen.key, "title": specimen.title, "said": predictor.specimen_is_said}


def _scale(scale: BatchScale | None) -> dict[str, Any] | None:
    if scale is None or not scale.searches:
        return None
    red_cells = scale.red_cells
    return {
        "side_px": scale.scale.side,
        "source": scale.scale.source,
        "note": scale.scale.note,
        "red_cell_px": round(red_cells.diameter, 1) if red_cells else None,
    }


def _rounded(result: dict[str, Any]) -> dict[str, Any]:
    if "error" in result:
        return result
    return result | {
        "ood_score": round(result["ood_score"], 4),
        "alarm": {**result["alarm"], "score": _rounded_score(result["alarm"]["score"])},
        "probabilities": {code: round(p, 6) for code, p in result["probabilities"].items()},
        "milliseconds": round(result["milliseconds"], 3),
    }


def _rounded_score(score: float | None) -> float | None:
    return None if score is None else round(score, 4)


def _results(pictures: Iterable[Answered | DecodeError], predictors: Sequence[Predictor]) -> Iterator[dict[str, Any]]:
    """Facts by key, a picture and model after another."""
    for picture in pictures:
        if isinstance(picture, DecodeError):
            yield _error(picture)
            continue
        for predictor, prediction in zip(predictors, picture.predictions, strict=True):
            yield _result(prediction, predictor, picture)


def _error(error: DecodeError) -> dict[str, Any]:
    return {"file": error.name, "error": error.reason, "advice": error.advice}


def _result(prediction: Prediction, predictor: Predictor, picture: Answered | None = None) -> dict[str, Any]:
    """Facts by key of one ``prediction``; of the ``picture`` that it was made for, where that is known."""
    spec, verdict, window = predictor.spec, prediction.verdict, prediction.window
    origin = {"source": picture.source, "true_class": picture.true_class} if picture and picture.source else {}
    return {
        "file": prediction.name,
        **origin,
        "run": predictor.run.name,
        "class": spec.codes[prediction.predicted] if prediction.is_cell else "",
        "name": spec.class_names[prediction.predicted] if prediction.is_cell else "",
        "is_cell": prediction.is_cell,
        "shows": verdict.check.kind,
        "verdict": verdict.kind,
        "set": [spec.codes[k] for k in prediction.prediction_set],
        "alarm": {"score": verdict.alarm.score, "raised": verdict.alarm.raised},
        "ood_score": verdict.ood_score,
        "unusual": list(verdict.unusual),
        "must_be_seen": verdict.must_be_seen,
        "models_agree": picture.models_agree if picture else None,
        "probabilities": dict(zip(spec.codes, prediction.probabilities.tolist(), strict=True))
        if prediction.is_cell
        else {},
        "milliseconds": prediction.milliseconds,
        "crop": {
            "box": list(prediction.crop.box),
            "note": prediction.crop.note,
            "cell_found": window.cell is not None if window.searched else None,
        },
        "notes": [*remarks(prediction, spec), *prediction.notes],
    }


def remarks(prediction: Prediction, spec: DatasetSpec) -> list[str]:
    """What a person must know of the answer beside the class, the most urgent first."""
    verdict = prediction.verdict
    if not verdict.is_cell:
        return [verdict.check.sentence.rstrip(".")]
    said = []
    if verdict.alarm.raised:
        said.append("may be abnormal (a blast or another immature cell): look yourself")
    if verdict.is_near_alarm:
        said.append("a little like an abnormal cell")
    if verdict.immature:
        said.append("looks immature, which this specimen seldom is: look yourself")
    if prediction.cell_missing:
        said.append("no white cell found: look yourself")
    if verdict.kind == "unsure":
        said.append(f"one of {', '.join(spec.codes[k] for k in verdict.classes)}")
    if verdict.is_odd:
        unusual = f": {listed(verdict.unusual)} unusual" if verdict.unusual else ""
        said.append(f"odd among its like{unusual}")
    if verdict.is_stranger:
        said.append("of another microscope or stain than the others")
    return said


def to_csv(
    pictures: Iterable[Answered | DecodeError],
    predictors: Sequence[Predictor],
    laboratories: Sequence[Laboratory],
    scale: BatchScale | None = None,
) -> str:
    """The same as a table; names that a spreadsheet would take for formulas begin with an apostrophe."""
    by_run = {predictor.run.name: predictor for predictor in predictors}
    specimens = {
        predictor.run.name: _specimen(predictor, laboratory)["key"]
        for predictor, laboratory in zip(predictors, laboratories, strict=True)
    }
    note = (_scale(scale) or {}).get("note", "")
    rows = [
        _row(result, None)
        if "error" in result
        else _row(result, by_run[result["run"]]) | {"specimen": specimens[result["run"]], "scale": note}
        for result in _results(pictures, predictors)
    ]
    return table_text(["file", *_columns(predictors[0])], rows)


def fields_to_csv(
    fields: Iterable[AnsweredField | DecodeError], predictor: Predictor, crop_file: Callable[[int, int], str]
) -> str:
    """The cells of ``fields`` as a table, a row a cell; ``crop_file``: where the square of a cell lies, by the numbers
    of its field and of itself there.
    """
    rows = []
    for number, field in enumerate(fields):
        if isinstance(field, DecodeError):
            rows.append(_row(_error(field), None))
            continue
        for place, (cell, prediction) in enumerate(zip(field.field.cells, field.predictions, strict=True)):
            sides = dict(zip(_SIDES, (round(value) for value in cell.box), strict=True))
            where = {"cell": place + 1, **sides, "confidence": f"{cell.confidence:.3f}"}
            named = {"file": field.name, "picture": crop_file(number, place)}
            rows.append(_row(_rounded(_result(prediction, predictor)), predictor) | where | named)
    return table_text(["file", "cell", "picture", *_SIDES, "confidence", *_columns(predictor)], rows)


_SIDES = ("left", "top", "right", "bottom")  # of a cell's box in its field


def _columns(predictor: Predictor) -> list[str]:
    columns = ["class", "name", "is_cell", "shows", "verdict", "set", "alarm", "alarm_score", "ood_score"]
    columns += ["unusual", "must_be_seen", "models_agree"]
    columns += [f"p_{code}" for code in predictor.spec.codes]
    return columns + [
        "milliseconds",
        "model",
        "trained_on",
        "profile",
        "specimen",
        "scale",
        "cell_found",
        "crop",
        "notes",
        "error",
    ]


def _row(result: dict[str, Any], predictor: Predictor | None) -> dict[str, Any]:
    """A ``result`` of ``predictor`` as a table has it; without one an error."""
    row = dict(result)
    if predictor is None:
        return row | {"error": f"{result['error']}. {result['advice']}"}
    row |= {
        "is_cell": yes_no(result["is_cell"]),
        "set": " ".join(result["set"]),
        "alarm": yes_no(result["alarm"]["raised"] if predictor.has_alarm else None),
        "alarm_score": "" if result["alarm"]["score"] is None else f"{result['alarm']['score']:.3f}",
        "ood_score": f"{result['ood_score']:.3f}",
        "unusual": " ".join(result["unusual"]),
        "must_be_seen": yes_no(result["must_be_seen"]),
        "models_agree": yes_no(result["models_agree"]),
        "milliseconds": f"{result['milliseconds']:.2f}",
        "model": predictor.run.name,
        "trained_on": predictor.run.provenance,
        "profile": predictor.name,
        "cell_found": yes_no(result["crop"]["cell_found"]),
        "crop": result["crop"]["note"],
        "notes": "; ".join(result["notes"]),
    }
    return row | {f"p_{code}": f"{p:.4f}" for code, p in result["probabilities"].items()}
