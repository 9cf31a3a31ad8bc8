"""A case's cells as a table (CSV), and the whole case as one document (JSON): for spreadsheets and programs.

Both tell what the review screen shows at that moment. The document's ``schema_version`` is 1.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from core.cases.agreement import Agreement, between_readers, readers_against_model
from core.cases.case import Case, CellReading, Decision, standing
from core.cases.differential import ClassCount, Differential, is_differential
from core.cases.limits import Flag, Limit
from core.cases.report import class_names, flags_of, limits_note, signature_of
from core.csv_text import table_text, yes_no
from core.formatting import RESEARCH_LINE

SCHEMA_VERSION = 1
_SIDES = ("left", "top", "right", "bottom")
_COLUMNS = (
    *["case", "sample", "version", "state", "cell", "file", "slide", "sha256"],
    *_SIDES,
    *["model_class", "verdict", "probability", "set", "alarm", "alarm_score", "must_be_seen", "odd", "shows"],
    *[
        "class",
        "class_name",
        "status",
        "corrected",
        "skipped",
        "reader",
        "verified",
        "at",
        "reason",
        "text",
        "decision",
    ],
    *["added_by", "notes", "model", "model_hash", "profile", "profile_hash", "software", "imported"],
)


def to_csv(case: Case) -> bytes:
    """A row for each cell that is not withdrawn, in the order of their numbers: UTF-8 with a mark that spreadsheets
    understand; texts that one would take for formulas begin with an apostrophe.
    """
    names = class_names(case)
    columns = [*_COLUMNS, *(f"p_{code}" for code in case.codes)]
    return table_text(columns, (_row(case, reading, names) for reading in case.counted)).encode("utf-8-sig")


def _row(case: Case, reading: CellReading, names: dict[str, str]) -> dict[str, Any]:
    cell, said, last = reading.cell, reading.cell.prediction, last_decision(reading)
    picture = case.picture(cell.picture)
    row: dict[str, Any] = {
        "case": case.id,
        "sample": case.sample,
        "version": case.version,
        "state": case.state,
        "cell": cell.number,
        "file": picture.name,
        "slide": picture.slide,
        "sha256": picture.sha256,
        **dict(zip(_SIDES, cell.box, strict=True)),
        "model_class": said.code,
        "verdict": said.kind,
        "probability": f"{said.confidence:.4f}" if said.code else "",
        "set": " ".join(said.prediction_set),
        "alarm": yes_no(said.alarm),
        "alarm_score": "" if said.alarm_score is None else f"{said.alarm_score:.3f}",
        "must_be_seen": yes_no(said.must_be_seen),
        "odd": yes_no(said.is_odd),
        "shows": said.check,
        "class": reading.code,
        "class_name": names.get(reading.code, reading.code) if reading.code else "",
        "status": reading.status,
        "corrected": yes_no(reading.corrected),
        "skipped": yes_no(reading.skipped),
        "added_by": cell.added_by,
        "notes": "; ".join(said.notes),
        "model": case.run,
        "model_hash": case.run_hash,
        "profile": case.profile,
        "profile_hash": case.profile_hash,
        "software": case.software,
        "imported": case.imported,
    }
    if last:
        row |= {
            "reader": last.reader.name,
            "verified": yes_no(last.reader.verified),
            "at": last.at,
            "reason": last.reason,
            "text": last.text,
            "decision": last.seq,
        }
    return row | {f"p_{code}": f"{p:.4f}" for code, p in zip(case.codes, said.probabilities, strict=False)}


def last_decision(reading: CellReading) -> Decision | None:
    """The decision that the reading rests on; None where it rests on the model."""
    return next((d for d in reversed(standing(reading.history)) if d.action in ("assign", "unidentified")), None)


def to_json(case: Case, limits: Sequence[Limit], printed_at: datetime) -> bytes:
    """`case_document` as UTF-8."""
    return json.dumps(case_document(case, limits, printed_at), indent=1, ensure_ascii=False, allow_nan=False).encode()


def case_document(case: Case, limits: Sequence[Limit], printed_at: datetime) -> dict[str, Any]:
    """The case with its pictures, cells, differential, flags, agreement and the whole log, as JSON has it: shares in %,
    boxes in px of the pictures. ``limits``, ``printed_at``: as `core.cases.report.report_of` has them.
    """
    told = case.differential()
    flags = flags_of(case, told, limits) if is_differential(case.codes) else []
    signature = signature_of(case)
    return {
        "schema_version": SCHEMA_VERSION,
        "research_use": RESEARCH_LINE,
        "printed_at": printed_at.isoformat(),
        "case": {
            "id": case.id,
            "sample": case.sample,
            "slides": list(case.slides),
            "specimen": case.specimen,
            "note": case.note,
            "created": case.created,
            "state": case.state,
            "version": case.version,
            "signed": {"reader": asdict(signature.reader), "at": signature.at} if signature else None,
            "head": case.head,
            "origin": case.origin,
            "imported": case.imported or None,
        },
        "model": {
            "run": case.run,
            "hash": case.run_hash,
            "profile": case.profile or None,
            "profile_hash": case.profile_hash or None,
            "dataset": case.dataset,
            "laboratory": case.laboratory,
            "scale": case.scale,
            "software": case.software,
        },
        "classes": {code: name for code, name in class_names(case).items() if code},
        "differential": _differential(told) if is_differential(case.codes) else None,
        "flags": [_flag(flag) for flag in flags],
        "limits_note": limits_note(case, limits) or None,
        "unreviewed": [{"cell": r.cell.number, "reason": r.open_reason} for r in case.unreviewed],
        "agreement": {
            "model": [_agreement(told) for told in readers_against_model(case)],
            "readers": [_agreement(told) for told in between_readers(case)],
        },
        "pictures": [asdict(picture) for picture in case.pictures],
        "cells": [_cell(case, reading) for reading in case.counted],
        "unused": [asdict(file) for file in case.unused],
        "decisions": [asdict(decision) for decision in case.decisions],
    }


def _differential(told: Differential) -> dict[str, Any]:
    return {
        "white_cells": told.white,
        "classes": [_count(of, "percent", told.white) for of in told.classes],
        "erythroblasts": _count(told.erythroblasts, "per_100_white_cells", told.white) if told.erythroblasts else None,
        "platelets": told.platelets,
        "not_cells": told.not_cells,
        "alarms": told.alarms,
        "unidentified": told.unidentified,
    }


def _count(of: ClassCount, unit: str, white: int) -> dict[str, Any]:
    """Without ``white`` cells there is a count, and no share of them."""
    return {
        "code": of.code,
        "count": of.count,
        "reviewed": of.reviewed,
        unit: of.percent if white else None,
        "exact_95": _finite(of.exact) if white else None,
        "with_model_errors_95": _finite(of.with_errors) if white else None,
    }


def _finite(interval: tuple[float, float] | None) -> list[float | None] | None:
    if interval is None:
        return None
    return [round(end, 4) if math.isfinite(end) else None for end in interval]


def _flag(flag: Flag) -> dict[str, Any]:
    return {
        "text": flag.text,
        "code": flag.limit.code,
        "kind": flag.limit.kind,
        "low": flag.limit.low,
        "high": flag.limit.high,
        "source": flag.limit.source,
        "cells": flag.count,
        "value": round(flag.value, 4),
        "beyond_chance": flag.beyond_chance,
    }


def _agreement(told: Agreement) -> dict[str, Any]:
    return {
        "first": told.first,
        "second": told.second,
        "cells": told.cells,
        "alike": told.agreed,
        "share_95": _finite(told.interval),
        "kappa": None if told.kappa is None else round(told.kappa, 4),
        "kappa_95": _finite(told.kappa_interval),
        "classes": [asdict(of) for of in told.classes],
        "differing": [list(row) for row in told.differing],
        "caution": told.caution,
    }


def _cell(case: Case, reading: CellReading) -> dict[str, Any]:
    said, last = reading.cell.prediction, last_decision(reading)
    return {
        "number": reading.cell.number,
        "picture": reading.cell.picture,
        "box": list(reading.cell.box),
        "added_by": reading.cell.added_by,
        "model": {
            "class": said.code,
            "verdict": said.kind,
            "set": list(said.prediction_set),
            "alarm": said.alarm,
            "alarm_score": said.alarm_score,
            "must_be_seen": said.must_be_seen,
            "odd": said.is_odd,
            "shows": said.check,
            "notes": list(said.notes),
            "probabilities": dict(zip(case.codes, said.probabilities, strict=False)),
        },
        "class": reading.code,
        "status": reading.status,
        "corrected": reading.corrected,
        "skipped": reading.skipped,
        "open_reason": reading.open_reason,
        "decision": last.seq if last else None,
    }
