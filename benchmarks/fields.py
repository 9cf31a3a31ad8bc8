"""Are the white cells of whole fields found, and no others, and how fast? Are red cells and platelets counted?

For each set of fields: recall and precision (a find counts for a box that holds its middle, one for each box), the
overlap of the boxes, each field read by its own red cells and by those of all; errors of the counts where these are
annotated; the processor's time a field in one thread; time and memory of a field of 100 megapixels, the first one
mirrored. Odd files, by slide where slides are known, are for tuning, the others are reported beside them.
``python -m benchmarks.fields [--fields DIR] [--fit] [--sheets DIR]``: DIR holds ``<set>/boxes.csv`` with columns file,
slide, kind (white cell, red cell, platelet), xmin, ymin, xmax, ymax. ``--fit`` prints weights for
`core.images.fields`, fitted on the tuning halves, on one set's, and on another's. ``--sheets`` writes what was found
beside the boxes and what was missed: where not every cell is annotated, an eye must tell the false ones.
"""

import argparse
import csv
import resource
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from sklearn.linear_model import LogisticRegression

from benchmarks.reporting import publish
from core.images.fields import (
    FieldMeasures,
    cell_numbers,
    measure_field,
    nucleus_peaks,
    read_field,
    red_cell_diameters,
    red_cells_of,
)
from core.images.framing import cut_box

Box = tuple[float, float, float, float]
KINDS = ("white cell", "red cell", "platelet")
HALVES = ("tuning", "reported")
FITTED_PEAKS = 12  # a field, the strongest
SHEET_SIDE, SHEET_COLUMNS, SHEET_SPAN = 108, 12, 3.6  # px, and red cells across
LARGE = 100_000_000  # px


@dataclass
class AnnotatedField:
    """A field with the ``boxes`` of each kind, in its ``half``; ``measures``: of its red cells."""

    path: Path
    half: str = ""
    boxes: dict[str, list[Box]] = field(default_factory=lambda: defaultdict(list))
    measures: FieldMeasures = field(default_factory=list)

    @property
    def pixels(self) -> np.ndarray:
        """uint8 (H, W, 3) RGB."""
        return np.asarray(Image.open(self.path).convert("RGB"))


def read_set(folder: Path) -> list[AnnotatedField]:
    """The fields in ``folder``; by turns their slides, or they themselves, are for tuning and reported."""
    found: dict[str, AnnotatedField] = {}
    slides: dict[str, str] = {}
    with (folder / "boxes.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            annotated = found.setdefault(row["file"], AnnotatedField(folder / row["file"]))
            box = (float(row["xmin"]), float(row["ymin"]), float(row["xmax"]), float(row["ymax"]))
            annotated.boxes[row["kind"]].append(box)
            slides[row["file"]] = row.get("slide") or row["file"]
    order = sorted(set(slides.values()))
    if len(order) == 1:
        slides, order = {name: name for name in found}, sorted(found)
    for name, annotated in found.items():
        annotated.half = HALVES[order.index(slides[name]) % 2]
    return [found[name] for name in sorted(found)]


def _holds(box: Box, x: float, y: float) -> bool:
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _overlap(one: Box, other: Box) -> float:
    width, height = (min(one[k + 2], other[k + 2]) - max(one[k], other[k]) for k in (0, 1))
    shared = max(0.0, width) * max(0.0, height)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (areas - shared)


class Tally:
    """What was found of a set's half: add fields, then read ``row``."""

    def __init__(self) -> None:
        self.right, self.missed, self.false = 0, 0, 0
        self.overlaps: list[float] = []
        self.errors: dict[str, list[int]] = defaultdict(list)
        self.pictures: list[tuple[AnnotatedField, float, float, str]] = []

    def add(self, annotated: AnnotatedField, red_cell: float) -> None:
        """Find the cells of one field and compare them with its boxes."""
        result = read_field(annotated.pixels, red_cell)
        left = list(annotated.boxes["white cell"])
        for cell in result.cells:
            holding = [box for box in left if _holds(box, cell.x, cell.y)]
            if not holding:
                self.false += 1
                self.pictures.append((annotated, cell.x, cell.y, f"{cell.confidence:.2f}"))
                continue
            box = max(holding, key=lambda box: _overlap(box, cell.box))
            left.remove(box)
            self.right += 1
            self.overlaps.append(_overlap(box, cell.box))
        self.missed += len(left)
        self.pictures += [(annotated, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, "missed") for box in left]
        self.errors["red cell"].append(result.red_cells - len(annotated.boxes["red cell"]))
        self.errors["platelet"].append(result.platelets - len(annotated.boxes["platelet"]))

    def row(self, counted: bool) -> dict[str, Any]:
        """Shares, and errors of the counts where these are annotated."""
        row: dict[str, Any] = {
            "recall": self.right / max(1, self.right + self.missed),
            "precision": self.right / max(1, self.right + self.false),
            "missed": self.missed,
            "false": self.false,
            "overlap": float(np.median(self.overlaps)) if self.overlaps else None,
        }
        for kind, errors in self.errors.items():
            off = np.abs(errors)
            row[f"{kind}s off"] = float(off.mean()) if counted else None
            row[f"{kind}s off, 90 %"] = float(np.quantile(off, 0.9)) if counted else None
            row[f"{kind}s bias"] = float(np.mean(errors)) if counted else None
        return row

    def sheet(self, path: Path, red_cell: float) -> None:
        """Write the false finds, then the missed cells."""
        rows = -(-max(1, len(self.pictures)) // SHEET_COLUMNS)
        sheet = Image.new("RGB", (SHEET_COLUMNS * SHEET_SIDE, rows * (SHEET_SIDE + 14)))
        draw, side = ImageDraw.Draw(sheet), round(SHEET_SPAN * red_cell)
        for number, (annotated, x, y, text) in enumerate(sorted(self.pictures, key=lambda p: p[3] == "missed")):
            left, top = round(x - side / 2), round(y - side / 2)
            cut = Image.fromarray(cut_box(annotated.pixels, (left, top, left + side, top + side)))
            at = number % SHEET_COLUMNS * SHEET_SIDE, number // SHEET_COLUMNS * (SHEET_SIDE + 14)
            sheet.paste(cut.resize((SHEET_SIDE - 2, SHEET_SIDE - 2)), at)
            draw.text((at[0], at[1] + SHEET_SIDE - 2), f"{number} {text}")
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path)


def measure_set(fields: list[AnnotatedField]) -> float:
    """Measure the red cells of all ``fields``; milliseconds a field."""
    spent = []
    for annotated in fields:
        pixels = annotated.pixels
        started = time.process_time()
        annotated.measures = measure_field(pixels)
        spent.append((time.process_time() - started) * 1000)
    return float(np.median(spent))


def rows_of(name: str, fields: list[AnnotatedField], sheets: Path | None) -> list[dict[str, Any]]:
    """Rows by half and by whose red cells give the scale."""
    measuring = measure_set(fields)
    together = red_cell_diameters([annotated.measures for annotated in fields])
    alone = [size.diameter if (size := red_cells_of([a.measures])) else None for a in fields]
    counted = any(a.boxes["red cell"] for a in fields)
    rows = []
    for whose, diameters in (("its own", alone), ("all fields'", together)):
        tallies, reading = {half: Tally() for half in HALVES}, []
        for annotated, diameter in zip(fields, diameters, strict=True):
            started = time.process_time()
            tallies[annotated.half].add(annotated, diameter or together[0] or 80.0)
            reading.append((time.process_time() - started) * 1000)
        spread = np.nanpercentile(np.array(diameters, float), [5, 50, 95])
        for half, tally in tallies.items():
            facts = {"set": name, "scale": whose, "half": half, "fields": sum(a.half == half for a in fields)}
            times = {"measuring ms": measuring, "decoding and reading ms": float(np.median(reading))}
            rows.append(facts | tally.row(counted) | times | {"red cell px": [round(float(v), 1) for v in spread]})
            if sheets:
                tally.sheet(sheets / f"{name}_{half}_{whose.split()[0]}.png", float(spread[1]))
    return rows


def examples(fields: list[AnnotatedField], half: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (N, 4) of the strongest peaks of the fields of ``half``, and whether each is the first in a white cell's
    box (N,).
    """
    numbers, answers = [], []
    diameters = red_cell_diameters([annotated.measures for annotated in fields])
    for annotated, diameter in zip(fields, diameters, strict=True):
        if annotated.half != half or not diameter:
            continue
        pixels = annotated.pixels
        peaks = sorted(nucleus_peaks(pixels, diameter), key=lambda peak: -peak.numbers[0])[:FITTED_PEAKS]
        left = list(annotated.boxes["white cell"])
        for peak, row in zip(peaks, cell_numbers(pixels, diameter, peaks), strict=True):
            holding = [box for box in annotated.boxes["white cell"] if _holds(box, peak.x, peak.y)]
            free = [box for box in holding if box in left]
            if holding and not free:
                continue  # a lobe: merged later
            left = [box for box in left if box not in free[:1]]
            numbers.append(row)
            answers.append(bool(free))
    return np.array(numbers), np.array(answers)


def fit(sets: dict[str, list[AnnotatedField]]) -> None:
    """Print the weights that the tuning halves give, of all sets together and of each alone."""
    parts = {name: examples(fields, HALVES[0]) for name, fields in sets.items()}
    numbers, answers = (np.concatenate(values) for values in zip(*parts.values(), strict=True))
    parts["all"] = numbers, answers
    for name, (numbers, answers) in parts.items():
        model = LogisticRegression().fit(numbers, answers)
        print(name, len(answers), int(answers.sum()), model.coef_[0].round(2).tolist(), model.intercept_.round(2))


def large_row(pixels: np.ndarray, red_cell: float) -> dict[str, Any]:
    """Time and memory of ``pixels`` mirrored to 100 megapixels."""
    side = round(LARGE**0.5)
    repeats = [-(-side // length) for length in pixels.shape[:2]]
    wide = np.concatenate([pixels[:, :: 1 if k % 2 == 0 else -1] for k in range(repeats[1])], axis=1)[:, :side]
    large = np.concatenate([wide[:: 1 if k % 2 == 0 else -1] for k in range(repeats[0])])[:side]
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    measure_field(large)
    result = read_field(large, red_cell)
    spent = time.process_time() - started
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"px": large.shape[0] * large.shape[1], "seconds": spent, "MiB more": more, "cells": len(result.cells)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=Path, default=Path("../shared/data/fields"))
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--sheets", type=Path)
    parser.add_argument("--every", type=int, default=1, help="only every so many fields of a set")
    options = parser.parse_args()
    sets = {path.parent.name: read_set(path.parent)[:: options.every] for path in options.fields.glob("*/boxes.csv")}
    if options.fit:
        for fields in sets.values():
            measure_set(fields)
        fit(sets)
        return
    first = next(iter(sets.values()))[0].pixels
    large = large_row(first, 80.0)
    publish(
        "fields", [row for name, fields in sets.items() for row in rows_of(name, fields, options.sheets)], large=large
    )


if __name__ == "__main__":
    main()
