"""How well are cells of other laboratories read: as they are, adapted without a label, and after 25 or 50 answers?

For each folder ``<name>_cells`` (labels.csv with the columns file, label and, where known, slide) below ``--labs``: the
share of cells that each run names rightly among the laboratory's classes and among all, then what teaching gains, the
questions chosen by the app or at random, on the whole folder and on drawn natural differentials. The labels answer the
questions; only cells that were not asked about are scored, and natural differentials are said to be the blood of an
adult. Then how many home cells a profile of five classes still
reads. ``python -m benchmarks.laboratories [RUN ...] [--labs DIR] [--repeats 10]``; the last RUN is the one that is
taught (default: the one made for it).
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reporting import publish
from core.adaptation.active import ActiveLearner
from core.adaptation.head import LabCells, base_run, encode_pictures, exemplars_of
from core.adaptation.simulation import Population, QueryStrategy, simulate, summarize_simulations
from core.datasets import get_dataset
from core.datasets.pictures import read_folder_pictures
from core.evaluation.external import store_validation
from core.inference.engine import encode
from core.inference.scope import training_data
from core.inference.specimen import ADULT_BLOOD, ANY_SPECIMEN
from core.runs import Run, find_run

STAGES: tuple[tuple[Population, int, QueryStrategy], ...] = (
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
    adapted_run = runs[-1]
    rows: list[dict[str, Any]] = []
    for folder in sorted(options.labs.glob("*_cells")):
        name = folder.name.removesuffix("_cells")
        spec = get_dataset(adapted_run.dataset)
        pictures = read_folder_pictures(folder, spec, folder / "labels.csv")
        started = time.perf_counter()
        cells = encode_pictures(adapted_run, pictures.pixels)
        seconds = time.perf_counter() - started
        for run in runs:
            rows.append(
                {"laboratory": name, "stage": f"as it is: {run.name}", **_unadapted(run, cells, pictures.labels)}
            )
        for draw, budget, choose in STAGES:
            rows += _adapted(name, cells, pictures.labels, adapted_run, draw, budget, choose, options.repeats)
        rows.append(_home_retention(name, cells, pictures.labels, adapted_run))
        print(f"{name}: {len(cells)} cells framed and looked at in {seconds:.1f} s", flush=True)
    publish("laboratories", [_row(row) for row in rows], taught=adapted_run.name, repeats=options.repeats)
    if options.keep:
        store_validation(adapted_run, summary_rows(rows, options.repeats))


def summary_rows(rows: list[dict[str, Any]], draws: int) -> list[dict[str, Any]]:
    """What `core.runs.Run.external_validation` gives, from rows with shares in 0 to 1."""
    by_stage = {(row["laboratory"], row["stage"]): row for row in rows}
    return [
        {
            "laboratory": name,
            "cells": row["cells"],
            "draws": draws,
            "answers": 25,
            "before": round(float(by_stage[name, "natural: base"]["right"]), 6),
            "after": round(float(row["right"]), 6),
        }
        for (name, stage), row in by_stage.items()
        if stage == "natural: 25 active"
    ]


def _row(figures: dict[str, Any]) -> dict[str, Any]:
    """All columns, shares in %."""
    columns = ["laboratory", "stage", "cells", "right", "sd", "worst", "least gain", "all classes"]
    columns += ["others, balanced", "others, least gain", *(f"{code} kept" for code in FORGOTTEN)]
    return {c: 100 * float(figures[c]) if isinstance(figures.get(c), float) else figures.get(c) for c in columns}


def _unadapted(run: Run, cells: LabCells, labels: np.ndarray) -> dict[str, Any]:
    probabilities, _ = encode(run, cells.crops)
    present = np.isin(np.arange(len(run.codes)), labels)
    among = np.where(present, probabilities, -1).argmax(1) == labels
    return {"right": among.mean(), "all classes": (probabilities.argmax(1) == labels).mean(), "cells": len(labels)}


def _adapted(
    name: str,
    cells: LabCells,
    labels: np.ndarray,
    run: Run,
    draw: Population,
    budget: int,
    choose: QueryStrategy,
    repeats: int,
) -> list[dict[str, Any]]:
    trials = simulate(
        cells,
        labels,
        run.codes,
        budget=budget,
        population=draw,
        strategy=choose,
        repeats=repeats,
        exemplars=exemplars_of(run),
        odds=(ADULT_BLOOD if draw == "natural" else ANY_SPECIMEN).odds(run, elsewhere=True),
    )
    figures, rows = summarize_simulations(trials), []
    for stage in ("base", "adapted", "after") if choose == "active" and budget == 25 else ("after",):
        right = figures[stage]["accuracy"]
        row = {
            "laboratory": name,
            "stage": f"{draw}: {f'{budget} {choose}' if stage == 'after' else stage}",
            "right": right["mean"],
            "sd": right["sd"],
            "worst": right["worst"],
            "all classes": figures[stage]["accuracy_eight"]["mean"],
            "cells": right["n"],
        }
        if stage != "base":
            gains = [t.figures[stage]["accuracy"] - t.figures["base"]["accuracy"] for t in trials]
            row["least gain"] = min(gains)
        if "others_balanced" in figures[stage]:
            row["others, balanced"] = figures[stage]["others_balanced"]["mean"]
            lost = [t.figures[stage]["others_balanced"] - t.figures["base"]["others_balanced"] for t in trials]
            row["others, least gain"] = min(lost)
        rows.append(row)
    return rows


def _home_retention(name: str, cells: LabCells, labels: np.ndarray, run: Run) -> dict[str, Any]:
    """Home test cells of the classes that the laboratory lacks, read with its profile of 25 answers, and without."""
    test = training_data(run)
    rows = np.flatnonzero(np.isin(test["test"].labels, [run.codes.index(code) for code in FORGOTTEN]))
    truth = np.asarray(test["test"].labels)[rows]
    probabilities, embeddings = encode(run, np.asarray(test["test"].images[rows]))
    learner = ActiveLearner(cells, np.isin(np.arange(len(run.codes)), labels), exemplars=exemplars_of(run))
    while len(learner.answers) < 25:
        for cell in learner.queries[: 25 - len(learner.answers)]:
            learner = learner.with_answer(int(cell), int(labels[cell]))
    before = probabilities.argmax(1) == truth
    after = learner.head.probabilities(embeddings, probabilities).argmax(1) == truth
    row: dict[str, Any] = {"laboratory": name, "stage": "home cells with its profile", "cells": len(rows)}
    for code in FORGOTTEN:
        of_class = truth == run.codes.index(code)
        row[f"{code} kept"] = after[of_class].mean() / before[of_class].mean()
    return row


if __name__ == "__main__":
    main()
