"""Answers for whole fields: every white cell of each (`core.images.fields`), cut as a crop and answered like one.

All cells of all fields are one batch of one laboratory, whatever field they lie in. Fields are read one at a time, and
twice: first their red cells are measured, which give the scale, then their cells are found.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.errors import HemaLensError
from core.images.decode import FIELD_LIMITS, DecodedPicture, DecodeError, decode, read_file, read_header
from core.images.fields import Field, FieldMeasures, measure_field, read_field, red_cell_diameters
from core.images.framing import CropWindow, MeasuredPicture, cut_box
from core.images.nucleus import WhiteCell
from core.images.red_cells import RED_CELL_MICROMETRES, RED_CELL_SHARE, side_of_pixel_size
from core.inference.laboratory import Laboratory
from core.inference.predictor import Prediction, Predictor
from core.progress import Progress, Report, silent

Keep = Callable[[int, int, np.ndarray], None]


@dataclass(frozen=True)
class AnsweredField:
    """What the field ``name`` of ``shape`` (height, width) shows, and a prediction for each of its cells, whose crop's
    box lies in the field; ``notes`` on the file, for a person.
    """

    name: str
    shape: tuple[int, int]
    field: Field
    predictions: tuple[Prediction, ...]
    notes: tuple[str, ...] = ()


def answer_fields(
    predictor: Predictor,
    files: Sequence[Path],
    pixel_size: float | None = None,
    keep: Keep | None = None,
    report: Report = silent,
) -> tuple[Laboratory, list[AnsweredField | DecodeError]]:
    """Where the fields in ``files`` come from, and what each shows, or why it can't be read.

    ``pixel_size``: what a pixel spans, in µm; else the laboratory's profile, the file or its red cells tell. ``keep``
    is given each cell's square uint8 (S, S, 3) with the numbers of its field and cell. Raises `HemaLensError` for a
    model that reads whole fields, and for a ``pixel_size`` of no microscope.
    """
    if predictor.spec.unit != "cell":
        raise HemaLensError(f"{predictor.run.name} reads whole fields, not cells: use `predict`, or name another model")
    known = None
    if pixel_size is not None:
        known = side_of_pixel_size(pixel_size) * RED_CELL_SHARE
    elif predictor.side:
        known = predictor.side * RED_CELL_SHARE
    answers: list[AnsweredField | DecodeError] = []
    for number, scale in enumerate(_scales(files, known, report)):
        answers.append(
            scale if isinstance(scale, DecodeError) else _answer(predictor, files[number], scale, number, keep)
        )
        report(Progress(number + 1, len(files), "looking for white cells", "field"))
    return _as_one_batch(predictor, answers)


def _scales(files: Sequence[Path], known: float | None, report: Report) -> Iterator[float | DecodeError]:
    """The diameter of a red cell in px of each of ``files``, or why it can't be told."""
    found: list[float | FieldMeasures | DecodeError] = []
    for done, path in enumerate(files, 1):
        try:
            found.append(known or _stated_or_measured(path))
        except DecodeError as error:
            found.append(error)
        report(Progress(done, len(files), "measuring red cells", "field"))
    measured = iter(red_cell_diameters([measures for measures in found if isinstance(measures, list)]))
    for path, value in zip(files, found, strict=True):
        diameter = next(measured) if isinstance(value, list) else value
        yield (
            diameter
            if diameter is not None
            else DecodeError(
                str(path),
                "no red cells can be measured here, so the scale of its cells is not known",
                "Say what a pixel spans: --um-per-px.",
            )
        )


def _stated_or_measured(path: Path) -> float | FieldMeasures:
    data = read_file(path, FIELD_LIMITS)
    if stated := read_header(data, str(path), FIELD_LIMITS).pixel_size:
        return RED_CELL_MICROMETRES / stated
    return measure_field(decode(data, str(path), FIELD_LIMITS).pixels)


def _answer(
    predictor: Predictor, path: Path, red_cell: float, number: int, keep: Keep | None
) -> AnsweredField | DecodeError:
    """The cells of one field, each for itself."""
    try:
        picture = decode(read_file(path, FIELD_LIMITS), str(path), FIELD_LIMITS)
    except DecodeError as error:
        return error
    field = read_field(picture.pixels, red_cell)
    boxes = [_square(cell, field.side) for cell in field.cells]
    if keep:
        for place, box in enumerate(boxes):
            keep(number, place, cut_box(picture.pixels, box))
    predictions = []
    window = CropWindow(field.side)
    for prediction, box in zip(
        predictor.stream(_pictures(picture, path, field, boxes), window, Laboratory()), boxes, strict=True
    ):
        if isinstance(prediction, DecodeError):
            raise prediction
        predictions.append(replace(prediction, crop=replace(prediction.crop, box=box)))
    return AnsweredField(str(path), picture.pixels.shape[:2], field, tuple(predictions), picture.notes)


def _square(cell: WhiteCell, side: int) -> tuple[int, int, int, int]:
    left, top = round(cell.x - side / 2), round(cell.y - side / 2)
    return left, top, left + side, top + side


def _pictures(
    picture: DecodedPicture, path: Path, field: Field, boxes: Sequence[tuple[int, int, int, int]]
) -> Iterator[MeasuredPicture]:
    """Each cell's square, a picture of its own."""
    for place, (cell, box) in enumerate(zip(field.cells, boxes, strict=True), 1):
        yield MeasuredPicture(cut_box(picture.pixels, box), f"{path} {place}", cell=cell)


def _as_one_batch(
    predictor: Predictor, answers: Sequence[AnsweredField | DecodeError]
) -> tuple[Laboratory, list[AnsweredField | DecodeError]]:
    """``answers`` with the verdicts that all cells together call for, and the laboratory that they tell."""
    predictions = [p for answer in answers if isinstance(answer, AnsweredField) for p in answer.predictions]
    laboratory = predictor.laboratory_of(predictions)
    decided = iter(predictor.decide_again(predictions, laboratory))
    together: list[AnsweredField | DecodeError] = []
    for answer in answers:
        if isinstance(answer, AnsweredField):
            own = [p for p in (next(decided) for _ in answer.predictions) if isinstance(p, Prediction)]
            together.append(replace(answer, predictions=tuple(own)))
        else:
            together.append(answer)
    return laboratory, together
