"""Cases of drawn cells: crops and one field, what a model said of them, and what readers decided. No real data."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from PIL import Image

from core.cases.case import Case, CaseCell, CasePicture, CellPrediction, Decision, Reader
from core.datasets.synthetic import draw_cells
from core.images.archives import UnusedFile
from core.inference.confusion import ModelErrors
from tests.drawn_fields import draw_field

CODES = ("BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT")
ANNA, LUKASZ = Reader("Anna Müller", True, "sub-1"), Reader("Łukasz Żak")
WHITES = [(100, 120), (420, 300), (560, 90)]
_LIKE = {"BA": 0, "EO": 1, "LY": 2, "MO": 3, "NE": 4}  # drawn kinds that stand for a class


@cache
def _cells() -> np.ndarray:
    return draw_cells(np.arange(10) % 5, 64, 9)


def picture_of(code: str, number: int) -> np.ndarray:
    """A drawn cell, uint8 (64, 64, 3); no two ``number`` are alike."""
    pixels = _cells()[_LIKE.get(code, 2) + 5 * (number % 2)].copy()
    pixels[:4, :4] = (number % 256, number // 256, 90)  # so that each is known by itself
    return pixels


def png(pixels: np.ndarray) -> bytes:
    """The picture as a file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def said(code: str, **more) -> CellPrediction:
    """What the model said: ``code``, surely where nothing else is given."""
    probabilities = tuple(0.986 if code == other else 0.002 for other in CODES) if code else ()
    kind = more.pop("kind", "sure" if code else "not_a_cell")
    return CellPrediction(code, kind, probabilities, (code,) if code else (), **more)


@cache
def _cell_file(code: str, number: int) -> bytes:
    return png(picture_of(code, number))


@cache
def _field_file() -> bytes:
    return png(draw_field(WHITES))


class DrawnCase:
    """A ``case`` and its files by SHA-256 (`picture_bytes`)."""

    def __init__(self, answers: Sequence[CellPrediction], *, field: bool = True, folder: str = "slide 1", **facts):
        self._files: dict[str, bytes] = {}
        pictures, cells = [], []
        for number, answer in enumerate(answers, 1):
            name, content = f"{folder}/cell{number:03d}.png", _cell_file(answer.code, number)
            pictures.append(self._picture(number, name, "A-1", "crop", content, 64, 64))
            cells.append(CaseCell(number, number, (0, 0, 64, 64), answer))
        if field:
            number = len(pictures) + 1
            pictures.append(self._picture(number, "slide 2/field.png", "A-2", "field", _field_file(), 640, 480))
            for place, (x, y) in enumerate(WHITES):
                box = (x - 45, y - 45, x + 45, y + 45) if place != 2 else (x - 45, y - 100, x + 45, y - 10)
                answer = said("LY", kind="unsure", alarm=True, alarm_score=0.83) if place == 1 else said("NE")
                cells.append(CaseCell(len(cells) + 1, number, box, answer))
        table = np.zeros((8, 2, 8))
        table[np.arange(8), 0, np.arange(8)] = 96.0
        table[np.arange(8), 1, np.roll(np.arange(8), 1)] = 4.0
        basics = {
            "id": "0123456789abcdef0123456789abcdef",
            "sample": "S-2026-0815",
            "note": "",
            "specimen": "blood",
            "dataset": "bloodmnist",
            "codes": CODES,
            "run": "cnn_se-64-ca0bf2",
            "run_hash": "ca0bf2" * 10,
            "profile": "",
            "profile_hash": "",
            "software": "0.1.0",
            "created": "2026-11-30T20:00:00+00:00",
            "errors": ModelErrors(CODES, table),
        }
        self.case = Case(**basics | {"pictures": tuple(pictures), "cells": tuple(cells)} | facts).begun()

    def _picture(self, number, name, slide, kind, content, width, height) -> CasePicture:
        sha = hashlib.sha256(content).hexdigest()
        self._files[sha] = content
        return CasePicture(number, name, slide, sha, kind, width, height)

    def picture_bytes(self, sha256: str) -> bytes:
        """The file of that hash."""
        return self._files[sha256]

    def decide(self, reader: Reader, action: str, cell: int | None = None, new: str = "", **more) -> "DrawnCase":
        """Add a decision, a minute after the one before; returns itself."""
        case, seq = self.case, len(self.case.decisions) + 1
        old = case.readings[cell].code if cell else case.state
        at = f"2026-11-30T20:{seq // 60 + 1:02d}:{seq % 60:02d}+00:00"
        decision = Decision(
            seq, at, reader, action, cell, old, new, more.get("reason", ""), more.get("text", ""), case.run,
            case.profile, f"c{seq}", more.get("undoes"), case.head, "",
        )  # fmt: skip
        decision = replace(decision, hash=hashlib.sha256(repr(decision).encode()).hexdigest())
        self.case = case.after([decision])
        return self


def drawn_case(**facts) -> DrawnCase:
    """200 crops as blood has them with alarms, doubts and pictures without a cell, and a field of three; undecided."""
    answers = [said("NE") for _ in range(112)] + [said("LY") for _ in range(52)] + [said("MO") for _ in range(15)]
    answers += [said("EO") for _ in range(5)] + [said("IG", must_be_seen=True) for _ in range(4)]
    answers += [said("BA") for _ in range(2)] + [said("ERB", must_be_seen=True) for _ in range(2)]
    answers += [said("LY", kind="unsure", alarm=True, alarm_score=0.91) for _ in range(2)]
    answers += [said("MO", kind="unsure") for _ in range(3)] + [said("PLT")] + [said("", check="blank")] * 2
    unused = (UnusedFile("slide 1/notes.txt", "this is text", "Pictures end in .png"),)
    return DrawnCase(answers, **{"unused": unused} | facts)


def reviewed_case(**facts) -> DrawnCase:
    """`drawn_case` with all looked at by two readers, ready to be signed."""
    drawn = drawn_case(**facts)
    names = {193: "BLA", 194: "LY", 195: "LY", 196: "MO", 197: "LY", 202: "BLA"}
    for number, why in ((165, "nucleus"), (166, "size"), (167, "cytoplasm or granules")):
        drawn.decide(LUKASZ, "assign", number, "LY", reason=why, text="like a large lymphocyte")
    for reading in drawn.case.unreviewed:
        number = reading.cell.number
        drawn.decide(ANNA, "assign", number, names.get(number, reading.code), reason="looks abnormal")
    for number in range(185, 200):
        if number <= len(drawn.case.cells):
            drawn.decide(LUKASZ, "assign", number, drawn.case.readings[number].code if number % 4 else "NE")
    return drawn.decide(ANNA, "review")


def signed_case(**facts) -> DrawnCase:
    """`reviewed_case`, signed."""
    return reviewed_case(**facts).decide(LUKASZ, "sign")
