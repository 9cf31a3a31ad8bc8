"""Answers as files to keep: CSV for a spreadsheet, JSON for a program."""

import csv
import io
import json
from collections.abc import Sequence

from core.datasets import DatasetSpec
from core.serving.reader import Reader
from core.serving.wording import RESEARCH_LINE
from dashboard.cells import Answered, Failure, Reading

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(
    answered: Sequence[Answered], failures: Sequence[Failure], readers: Sequence[Reader], spec: DatasetSpec
) -> bytes:
    """A row for each cell and model, and one for each failed file; UTF-8 with a mark that spreadsheets understand."""
    columns = [
        "file",
        "class",
        "name",
        "voice",
        "set",
        "strangeness",
        "unusual",
        "models_agree",
        *(f"p_{c}" for c in spec.codes),
    ]
    columns += ["milliseconds", "model", "trained_on", "laboratory", "white_cell_found", "framing", "notes", "error"]
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\r\n")
    table.writeheader()
    for entry in answered:
        for reader, reading in zip(readers, entry.readings, strict=True):
            row = {
                "file": _plain(entry.cell.name),
                "class": spec.codes[reading.winner],
                "name": spec.class_names[reading.winner],
                "voice": reading.voice.kind,
                "set": " ".join(spec.codes[k] for k in reading.voice.classes),
                "strangeness": f"{reading.voice.strangeness:.3f}",
                "unusual": " ".join(reading.voice.off),
                "models_agree": ("yes" if entry.agree else "no") if len(readers) > 1 else "",
                "milliseconds": f"{reading.milliseconds:.2f}",
                "model": reader.run.name,
                "trained_on": reader.run.provenance,
                "laboratory": _plain(reader.laboratory),
                "white_cell_found": _found(reading),
                "framing": reading.framed.note,
                "notes": "; ".join(entry.cell.notes),
            }
            row |= {f"p_{c}": f"{p:.4f}" for c, p in zip(spec.codes, reading.probabilities, strict=True)}
            table.writerow(row)
    for failure in failures:
        table.writerow({"file": _plain(failure.name), "error": f"{failure.reason}. {failure.advice}"})
    return text.getvalue().encode("utf-8-sig")


def as_json(
    answered: Sequence[Answered], failures: Sequence[Failure], readers: Sequence[Reader], spec: DatasetSpec
) -> bytes:
    """The same, nested: the models once, then every picture (in ``cells`` or ``fields``) with each model's answer."""
    document = {
        "research_use": RESEARCH_LINE,
        "dataset": spec.name,
        "domain": spec.domain,
        "classes": dict(zip(spec.codes, spec.class_names, strict=True)),
        "models": [
            {
                "run": r.run.name,
                "title": r.run.title,
                "provenance": r.run.provenance,
                "laboratory": r.laboratory or None,
            }
            for r in readers
        ],
        f"{spec.unit}s": [
            {
                "file": entry.cell.name,
                "source": entry.cell.source,
                "label": entry.cell.truth,
                "notes": list(entry.cell.notes),
                "answers": [
                    {
                        "run": reader.run.name,
                        "class": spec.codes[reading.winner],
                        "voice": reading.voice.kind,
                        "set": [spec.codes[k] for k in reading.voice.classes],
                        "strangeness": round(reading.voice.strangeness, 4),
                        "off": list(reading.voice.off),
                        "probabilities": {
                            c: round(float(p), 6) for c, p in zip(spec.codes, reading.probabilities, strict=True)
                        },
                        "milliseconds": round(reading.milliseconds, 3),
                        "sure_from": round(reading.threshold, 4),
                        "framing": {
                            "box": list(reading.framed.box),
                            "note": reading.framed.note,
                            "cell_found": bool(reading.place.found) if reading.place.sought else None,
                        },
                    }
                    for reader, reading in zip(readers, entry.readings, strict=True)
                ],
            }
            for entry in answered
        ],
        "failed": [{"file": f.name, "error": f.reason, "advice": f.advice} for f in failures],
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _found(reading: Reading) -> str:
    """'yes' or 'no' where a white cell was looked for, else ''."""
    return ("no" if reading.place.missing else "yes") if reading.place.sought else ""


def _plain(name: str) -> str:
    """A file's name that no spreadsheet takes for a formula."""
    return f"'{name}" if name.startswith(_FORMULA) else name
