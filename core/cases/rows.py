"""Between the objects of a case and the rows that keep them, and the hashes that seal the rows."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import numpy as np
from sqlalchemy import Select
from sqlalchemy.orm import Session

from core.cases.case import Case, CaseCell, CasePicture, CellPrediction, Decision, Reader
from core.images.archives import UnusedFile
from core.inference.confusion import ModelErrors

MOST_TEXT, MOST_NAME = 4_000, 200  # letters of a text, and of a name or a reason, that are kept
Row = dict[str, Any]
StoredRow = Mapping[Any, Any]
# What the hash of the log's first row covers of a case, beside its pictures, cells and sheets.
FACTS = (
    *("origin", "sample", "note", "slides", "specimen", "dataset", "codes", "run", "run_hash", "profile"),
    *("profile_hash", "software", "created", "laboratory", "scale", "errors", "unused"),
)
_DECISION_FIELDS = (
    *("seq", "at", "reader_name", "reader_verified", "reader_subject", "action", "cell", "old", "new", "reason"),
    *("text", "model", "profile", "client", "undoes", "digest", "previous"),
)
_DECODER = json.JSONDecoder()
_DIGITS = 6  # of probabilities and scores: as many as tables show


def read(session: Session, query: Select[Any]) -> list[Row]:
    """The rows that ``query`` finds, thousands at once."""
    found = session.execute(query)
    keys = tuple(found.keys())
    return [dict(zip(keys, row, strict=True)) for row in found.all()]


def as_json(content: object) -> str:
    """``content`` in the one way that hashes go by: ASCII, keys sorted, no spaces."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(content: object) -> str:
    """The SHA-256 of ``content`` as JSON; TypeError, ValueError for what is none."""
    return hashlib.sha256(as_json(content).encode()).hexdigest()


def row_digest(row: StoredRow) -> str:
    """Of all columns of ``row`` but the case's id and the hash itself."""
    return digest({key: value for key, value in row.items() if key not in ("case_id", "hash")})


def facts_digest(case: StoredRow, pictures: Iterable[str], cells: Iterable[str], sheets: Iterable[str]) -> str:
    """Of the ``case`` row with the hashes of all its rows, each in the order of numbers."""
    facts = {key: case[key] for key in FACTS}
    return digest([facts, list(pictures), list(cells), list(sheets)])


def decision_digest(row: StoredRow) -> str:
    """The hash of a row of the log, with that of the row before."""
    return digest([row[key] for key in _DECISION_FIELDS])


def is_sealed(row: StoredRow, digest_of: Callable[[StoredRow], str]) -> bool:
    """Whether ``row`` is what its hash says, which is `row_digest` or `decision_digest` of it."""
    try:
        return digest_of(row) == row["hash"]
    except (TypeError, ValueError):  # a column holds what never was written there
        return False


def case_row(case: Case) -> Row:
    """Of what was taken in."""
    errors = None
    if case.errors:
        errors = {"codes": list(case.errors.codes), "cells": [_rounded(v) for v in case.errors.cells.ravel().tolist()]}
    return {
        "id": case.id,
        "origin": case.origin or case.id,
        "sample": case.sample,
        "note": case.note,
        "slides": as_json(case.slides),
        "specimen": case.specimen,
        "dataset": case.dataset,
        "codes": as_json(case.codes),
        "run": case.run,
        "run_hash": case.run_hash,
        "profile": case.profile,
        "profile_hash": case.profile_hash,
        "software": case.software,
        "created": case.created,
        "laboratory": case.laboratory,
        "scale": case.scale,
        "errors": as_json(errors),
        "unused": as_json([asdict(file) for file in case.unused]),
        "imported": case.imported,
    }


def case_of(row: StoredRow, pictures: Sequence[CasePicture], cells: Sequence[CaseCell], sheets: int) -> Case:
    """The case as it was taken in, before any decision."""
    errors = json.loads(row["errors"])
    if errors:
        codes = tuple(errors["codes"])
        errors = ModelErrors(codes, np.array(errors["cells"], float).reshape(len(codes), 2, len(codes)))
    return Case(
        **{key: row[key] for key in ("id", "imported", *FACTS) if key not in ("slides", "codes", "errors", "unused")},
        codes=tuple(json.loads(row["codes"])),
        pictures=tuple(pictures),
        cells=tuple(cells),
        unused=tuple(UnusedFile(**file) for file in json.loads(row["unused"])),
        errors=errors,
        sheets=sheets,
    ).begun()


def picture_row(case_id: str, picture: CasePicture) -> Row:
    """With its hash."""
    row = asdict(picture) | {"case_id": case_id, "notes": as_json(picture.notes)}
    if picture.pixel_size is not None:
        row["pixel_size"] = float(picture.pixel_size)
    return row | {"hash": row_digest(row)}


def picture_of(row: StoredRow) -> CasePicture:
    """As it was taken in."""
    return CasePicture(
        row["number"],
        row["name"],
        row["slide"],
        row["sha256"],
        row["kind"],
        row["width"],
        row["height"],
        tuple(_of_json(row["notes"])),
        row["pixel_size"],
    )


def cell_row(case_id: str, cell: CaseCell, tile: str = "") -> Row:
    """With its hash; ``tile``: the SHA-256 of its own tile."""
    left, top, right, bottom = (int(side) for side in cell.box)
    row = {
        "case_id": case_id,
        "number": cell.number,
        "picture": cell.picture,
        "left": left,
        "top": top,
        "right": right,
        "bottom": bottom,
        "prediction": as_json(_prediction_facts(cell.prediction)),
        "added_by": cell.added_by,
        "tile": tile,
    }
    return row | {"hash": row_digest(row)}


def cell_of(row: StoredRow) -> CaseCell:
    """As it was taken in, or added."""
    box = row["left"], row["top"], row["right"], row["bottom"]
    return CaseCell(row["number"], row["picture"], box, prediction_of(row["prediction"]), row["added_by"])


def prediction_of(text: str) -> CellPrediction:
    """From what a row keeps of it."""
    facts = _of_json(text)
    for key in ("probabilities", "prediction_set", "notes"):
        facts[key] = tuple(facts[key])
    return CellPrediction(**facts)


def _of_json(text: str) -> Any:
    """What `as_json` wrote: there is no space round it to look for, thousands of times."""
    content, end = _DECODER.raw_decode(text)
    if end != len(text):
        raise ValueError("more than one value")
    return content


def _prediction_facts(prediction: CellPrediction) -> Row:
    facts = asdict(prediction)
    facts["probabilities"] = [_rounded(p) for p in prediction.probabilities]
    if prediction.alarm_score is not None:
        facts["alarm_score"] = _rounded(prediction.alarm_score)
    return facts


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)


def decision_row(case_id: str, decision: Decision) -> Row:
    """As the log keeps it."""
    facts = {key: getattr(decision, key) for key in _DECISION_FIELDS if not key.startswith("reader_")}
    reader = decision.reader
    return facts | {
        "case_id": case_id,
        "reader_name": reader.name,
        "reader_verified": int(reader.verified),
        "reader_subject": reader.subject,
        "hash": decision.hash,
    }


def decision_of(row: StoredRow) -> Decision:
    """From a row of the log."""
    facts = {key: row[key] for key in (*_DECISION_FIELDS, "hash") if not key.startswith("reader_")}
    return Decision(
        **cast(Any, facts), reader=Reader(row["reader_name"], bool(row["reader_verified"]), row["reader_subject"])
    )


def sealed(decision: Decision) -> Decision:
    """``decision`` with the hash of its row."""
    return replace(decision, hash=decision_digest(decision_row("", decision)))


def head_row(case: Case) -> Row:
    """Where the log of ``case`` ends, and what it comes to."""
    last = case.decisions[-1]
    alarms = sum(reading.cell.prediction.alarm for reading in case.unreviewed)
    return {
        "case_id": case.id,
        "head": case.head,
        "count": len(case.decisions),
        "state": case.state,
        "version": case.version,
        "cells": sum(not reading.withdrawn for reading in case.readings.values()),
        "open_alarms": alarms,
        "unidentified": len(case.open_cells) - alarms,
        "reader": last.reader.text,
        "changed": last.at,
    }
