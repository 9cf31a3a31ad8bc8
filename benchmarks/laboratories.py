"""How well are cells of other laboratories read: as they are, adapted without a label, and after 25 or 50 answers?

For each folder ``<name>_cells`` (labels.csv with the columns file, label and, where known, slide) below ``--labs``: the
share of cells that each run names rightly among the laboratory's classes and among all, then what teaching gains, the
questions chosen by the app or at random, on the whole folder and on drawn natural differentials. The labels answer the
questions; only cells that were not asked about are scored. Then how many home cells a profile of five classes still
reads. ``python -m benchmarks.laboratories [RUN ...] [--labs DIR] [--repeats 10]``; the last RUN is the one that is
taught (default: the one made for it).
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reporting import publish
from core.datasets import get_dataset
from core.lab.base import base_run, home_anchors
from core.lab.cells import LabCells, look, read_cells
from core.lab.elsewhere import keep
from core.lab.pictures import read_pictures
from core.lab.teaching import Teaching
from core.lab.trial import Choice, Draw, run_trials, summary
from core.runs import Run, find_run
from core.serving.own_cells import own_cells

STAGES: tuple[tuple[Draw, int, Choice], ...] = (
    ("natural", 25, "active"),
    ("natural", 25, "random"),
    ("all", 25, "active"),
    ("all", 25, "random"),
    ("all", 50, "active"),
)
FORGOTTEN = ("ERB", "IG", "PLT")  # classes that the five-class laboratories do not have


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("--labs", type=Path, default=Path("../shared/data/other_labs"))
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--keep", action="store_true", help="keep the figures of natural differentials with the run")
    options = parser.parse_args()
    runs = [find_run(name, "bloodmnist") for name in options.runs] or [base_run("bloodmnist")]
    taught = runs[-1]
    rows: list[dict[str, Any]] = []
    for folder in sorted(options.labs.glob("*_cells")):
        name = folder.name.removesuffix("_cells")
        spec = get_dataset(taught.dataset)
        pictures = read_pictures(folder, spec, folder / "labels.csv")
        started = time.perf_counter()
        cells = read_cells(taught, pictures.pixels)
        seconds = time.perf_counter() - started
        for run in runs:
            rows.append(
                {"laboratory": name, "stage": f"as it is: {run.name}", **_as_it_is(run, cells, pictures.labels)}
            )
        for draw, budget, choose in STAGES:
            rows += _taught(name, cells, pictures.labels, taught, draw, budget, choose, options.repeats)
        rows.append(_home(name, cells, pictures.labels, taught))
        print(f"{name}: {len(cells)} cells framed and looked at in {seconds:.1f} s", flush=True)
    publish("laboratories", [_row(row) for row in rows], taught=taught.name, repeats=options.repeats)
    if options.keep:
        keep(taught, summarized(rows, options.repeats))


def summarized(rows: list[dict[str, Any]], draws: int) -> list[dict[str, Any]]:
    """What `core.runs.Run.elsewhere` gives, from rows with shares in 0 to 1."""
    found = {(row["laboratory"], row["stage"]): row for row in rows}
    return [
        {
            "laboratory": name,
            "cells": row["cells"],
            "draws": draws,
            "answers": 25,
            "before": round(float(found[name, "natural: base"]["right"]), 6),
            "after": round(float(row["right"]), 6),
        }
        for (name, stage), row in found.items()
        if stage == "natural: 25 active"
    ]


def _row(found: dict[str, Any]) -> dict[str, Any]:
    """All columns, shares in %."""
    columns = ["laboratory", "stage", "cells", "right", "sd", "worst", "least gain", "all classes"]
    columns += ["others, balanced", "others, least gain", *(f"{code} kept" for code in FORGOTTEN)]
    return {c: 100 * float(found[c]) if isinstance(found.get(c), float) else found.get(c) for c in columns}


def _as_it_is(run: Run, cells: LabCells, labels: np.ndarray) -> dict[str, Any]:
    probabilities, _ = look(run, cells.frames)
    there = np.isin(np.arange(len(run.codes)), labels)
    among = np.where(there, probabilities, -1).argmax(1) == labels
    return {"right": among.mean(), "all classes": (probabilities.argmax(1) == labels).mean(), "cells": len(labels)}


def _taught(
    name: str,
    cells: LabCells,
    labels: np.ndarray,
    run: Run,
    draw: Draw,
    budget: int,
    choose: Choice,
    repeats: int,
) -> list[dict[str, Any]]:
    trials = run_trials(
        cells, labels, run.codes, budget=budget, draw=draw, choose=choose, repeats=repeats, anchors=home_anchors(run)
    )
    found, rows = summary(trials), []
    for stage in ("base", "adapted", "after") if choose == "active" and budget == 25 else ("after",):
        right = found[stage]["accuracy"]
        row = {
            "laboratory": name,
            "stage": f"{draw}: {f'{budget} {choose}' if stage == 'after' else stage}",
            "right": right["mean"],
            "sd": right["sd"],
            "worst": right["worst"],
            "all classes": found[stage]["accuracy_all_classes"]["mean"],
            "cells": right["n"],
        }
        if stage != "base":
            gains = [t.figures[stage]["accuracy"] - t.figures["base"]["accuracy"] for t in trials]
            row["least gain"] = min(gains)
        if "others_balanced" in found[stage]:
            row["others, balanced"] = found[stage]["others_balanced"]["mean"]
            lost = [t.figures[stage]["others_balanced"] - t.figures["base"]["others_balanced"] for t in trials]
            row["others, least gain"] = min(lost)
        rows.append(row)
    return rows


def _home(name: str, cells: LabCells, labels: np.ndarray, run: Run) -> dict[str, Any]:
    """Home test cells of the classes that the laboratory lacks, read with its profile of 25 answers, and without."""
    test = own_cells(run)
    kept = np.flatnonzero(np.isin(test["test"].labels, [run.codes.index(code) for code in FORGOTTEN]))
    truth = np.asarray(test["test"].labels)[kept]
    probabilities, embeddings = look(run, np.asarray(test["test"].images[kept]))
    taught = Teaching(cells, np.isin(np.arange(len(run.codes)), labels), anchors=home_anchors(run))
    while len(taught.answers) < 25:
        for cell in taught.questions[: 25 - len(taught.answers)]:
            taught = taught.answered(int(cell), int(labels[cell]))
    before = probabilities.argmax(1) == truth
    after = taught.head.probabilities(embeddings, probabilities).argmax(1) == truth
    row: dict[str, Any] = {"laboratory": name, "stage": "home cells with its profile", "cells": len(kept)}
    for code in FORGOTTEN:
        own = truth == run.codes.index(code)
        row[f"{code} kept"] = after[own].mean() / before[own].mean()
    return row


if __name__ == "__main__":
    main()
