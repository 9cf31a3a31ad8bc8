"""A case in a store of its own, made without a model: a few drawn cells of known answers."""

import io

import numpy as np
from PIL import Image

from core.cases.case import CaseCell, CasePicture, CellPrediction, Reader
from core.cases.sprites import cut_tile, sheet_bytes
from core.cases.store import CaseStore
from core.datasets.synthetic import draw_cells

CODES = ("BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT")
SIDE = 96


def made_case(store: CaseStore, answers: str = "NE sure, NE unsure, LY alarm, PLT sure", sample: str = "S-1") -> str:
    """The id of a case of drawn cells; ``answers``: code and verdict of each; an 'alarm' is unsure too."""
    pictures, cells, files, tiles = [], [], [], []
    told = [answer.split() for answer in answers.split(",")]
    drawn = draw_cells(np.array([CODES.index(code) for code, _ in told]), SIDE, 1)
    for number, ((code, verdict), pixels) in enumerate(zip(told, drawn, strict=True), 1):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        files.append(buffer.getvalue())
        tiles.append(cut_tile(pixels, (0, 0, SIDE, SIDE)))
        second = CODES[(CODES.index(code) + 1) % len(CODES)]
        shares = {code: 0.9, second: 0.1}
        prediction = CellPrediction(
            code,
            "sure" if verdict == "sure" else "unsure",
            tuple(shares.get(other, 0.0) for other in CODES),
            (code,) if verdict == "sure" else (code, second),
            alarm=verdict == "alarm",
            alarm_score=0.9 if verdict == "alarm" else 0.0,
            must_be_seen=verdict == "alarm",
            text=f"{code}, 90 %, {verdict}.",
        )
        cells.append(CaseCell(number, number, (0, 0, SIDE, SIDE), prediction))
    kept = store.keep_files([*files, sheet_bytes(tiles)], f"draft of {sample}")
    for number, sha256 in enumerate(kept[:-1], 1):
        pictures.append(CasePicture(number, f"cell-{number}.png", "A", sha256, "crop", SIDE, SIDE))
    return store.create(
        Reader("Maker"),
        sample=sample,
        pictures=pictures,
        cells=cells,
        codes=CODES,
        run="made-64-000000",
        sheets=kept[-1:],
        draft=f"draft of {sample}",
    )
