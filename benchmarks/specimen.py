"""What does it give to say what was dropped? Cells of other laboratories, read as they are (flat), weighed by what the
blood of an adult usually holds (prior), and so after 25 answers, the questions chosen by the app or at random.

For each folder ``<name>_cells`` (labels.csv) below ``--labs``: ``--repeats`` drawn natural differentials, draws of
pathological mixes as far as the laboratory has the cells, and its whole (nearly balanced) set, of which nothing is
said (specimen any). Each time the share right among all classes, of the cells that nobody named; by class, the recall
there. Then, of the laboratory's cells outside each natural draw, what teaching costs a class: in how many draws its
recall falls below the 95 % interval (Wilson) of what it was before. Cells are looked at once and kept in the results'
folder.
``python -m benchmarks.specimen [RUN] [--labs DIR] [--repeats 10]``
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.reporting import RESULTS, publish
from core.adaptation.active import ActiveLearner
from core.adaptation.head import LabCells, LabelledCells, base_run, encode_pictures, exemplars_of
from core.adaptation.simulation import BATCH, DIFFERENTIAL, Population, QueryStrategy, Simulation, simulate
from core.datasets import get_dataset
from core.datasets.pictures import read_folder_pictures
from core.images.red_cells import OFFICIAL
from core.inference.specimen import ADULT_BLOOD, ANY_SPECIMEN, Specimen
from core.probabilities import wilson_interval
from core.runs import Run, find_run

ANSWERS = 25
MIN_MIX = 60  # cells: a smaller draw tells little
MIX_REPEATS = 5
# Shares that make a differential plainly abnormal; the others are as healthy adults have them.
MIXES: dict[str, dict[str, float]] = {
    "eosinophilia 30 %": {"EO": 0.30},
    "lymphocytosis 78 %": {"LY": 0.78},
    "monocytosis 30 %": {"MO": 0.30},
    "basophilia 12 %": {"BA": 0.12},
    "neutrophilia 90 %": {"NE": 0.90},
}
Laboratory = tuple[LabCells, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", metavar="RUN")
    parser.add_argument("--labs", type=Path, default=Path("../shared/data/other_labs"))
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    run = find_run(options.run, "bloodmnist") if options.run else base_run("bloodmnist")
    rows: list[dict[str, Any]] = []
    losses: list[dict[str, Any]] = []
    with threadpool_limits(1):  # matrices are small here, several threads would wait for each other
        for folder in sorted(options.labs.glob("*_cells")):
            name, laboratory = folder.name.removesuffix("_cells"), encoded_laboratory(run, folder)
            of_lab, lost = measure(run, name, laboratory, options.repeats)
            rows, losses = rows + of_lab, losses + lost
    publish("specimen", rows, run=run.name, repeats=options.repeats)
    publish("specimen_unlearned", losses, run=run.name, repeats=options.repeats)


def encoded_laboratory(run: Run, folder: Path) -> Laboratory:
    """The cells of ``folder`` as ``run`` sees them, and their classes; kept, so that a trial takes seconds."""
    kept = RESULTS / "encoded" / f"{run.name}-{run.weights_hash[:12]}-{folder.name}.npz"
    if not kept.exists():
        pictures = read_folder_pictures(folder, get_dataset(run.dataset), folder / "labels.csv")
        cells = encode_pictures(run, pictures.pixels)
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            kept,
            crops=cells.crops,
            probabilities=cells.probabilities,
            embeddings=cells.embeddings,
            labels=pictures.labels,
        )
    with np.load(kept, allow_pickle=False) as file:
        return LabCells(file["crops"], file["probabilities"], file["embeddings"], OFFICIAL), file["labels"]


def learner_of(
    run: Run, cells: LabCells, labels: np.ndarray, trial: Simulation, exemplars: LabelledCells | None
) -> ActiveLearner:
    """What ``run`` was taught in ``trial``, drawn as an adult's blood from ``cells`` of classes ``labels`` int (N,)."""
    place = {int(cell): i for i, cell in enumerate(trial.batch)}
    answers = tuple((place[int(cell)], int(labels[cell])) for cell in trial.queried)
    present = np.isin(np.arange(len(run.codes)), labels)
    return ActiveLearner(cells.subset(trial.batch), present, answers, exemplars).of_specimen(ADULT_BLOOD, run)


def measure(
    run: Run, name: str, laboratory: Laboratory, repeats: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of what is read rightly, in %, by population and stage; and of what natural draws unlearned."""
    cells, labels = laboratory
    exemplars = exemplars_of(run)
    rows: list[dict[str, Any]] = []
    losses: list[dict[str, Any]] = []
    populations: list[tuple[str, Population | Mapping[str, float], Specimen, int, int]] = [
        ("natural", "natural", ADULT_BLOOD, BATCH, repeats),
        *(
            (mix, mixed(shares), ADULT_BLOOD, size, MIX_REPEATS)
            for mix, shares in MIXES.items()
            if (size := drawable(mixed(shares), labels, run.codes)) >= MIN_MIX
        ),
        ("balanced", "all", ANY_SPECIMEN, BATCH, max(1, repeats // 2)),
    ]
    for title, population, specimen, size, draws in populations:
        strategies: tuple[QueryStrategy, ...] = ("active", "random")
        for strategy in strategies:
            trials = simulate(
                cells,
                labels,
                run.codes,
                budget=ANSWERS,
                strategy=strategy,
                population=population,
                repeats=draws,
                exemplars=exemplars,
                odds=specimen.odds(run, elsewhere=True),
                size=size,
                prior=None,
            )
            of_trials = (name, title, trials, cells, labels, run.codes)
            if strategy == "random":  # drawn at random, the cells that are not named are like all
                rows += [_row("flat", *of_trials), _row("prior", *of_trials)]
            rows.append(_row(f"{ANSWERS} answers, {strategy}", *of_trials))
            if title == "natural":
                losses += _unlearned(name, strategy, trials, labels, run.codes)
        print(f"{name}: {title}", flush=True)
    return rows, losses


def mixed(shares: Mapping[str, float]) -> dict[str, float]:
    """A differential with ``shares`` of some classes; the others share what is left as they do in healthy adults."""
    rest = {code: share for code, share in DIFFERENTIAL.items() if code not in shares}
    left = (1 - sum(shares.values())) / sum(rest.values())
    return {**{code: left * share for code, share in rest.items()}, **shares}


def drawable(shares: Mapping[str, float], labels: np.ndarray, codes: Sequence[str]) -> int:
    """How many cells, `BATCH` at most, can be drawn in these ``shares``; of classes below 5 % some may be missing."""
    counts = {code: int((labels == codes.index(code)).sum()) for code in shares}
    return int(min(BATCH, *(counts[code] / share for code, share in shares.items() if share >= 0.05)))


def _predicted(stage: str, trial: Simulation, cells: LabCells) -> np.ndarray:
    if stage == "flat":
        return cells.probabilities.argmax(1)
    return trial.predicted["base" if stage == "prior" else "after"]


def _row(
    stage: str,
    name: str,
    title: str,
    trials: Sequence[Simulation],
    cells: LabCells,
    labels: np.ndarray,
    codes: Sequence[str],
) -> dict[str, Any]:
    """Right among all classes in the mean of the draws, its deviation and the worst draw; recall by class, in %."""
    unnamed = [np.setdiff1d(trial.batch, trial.queried) for trial in trials]
    right = [_predicted(stage, trial, cells)[rest] == labels[rest] for trial, rest in zip(trials, unnamed, strict=True)]
    shares = 100 * np.array([of_draw.mean() for of_draw in right])
    flat = [100 * (_predicted("flat", t, cells)[r] == labels[r]).mean() for t, r in zip(trials, unnamed, strict=True)]
    row: dict[str, Any] = {
        "laboratory": name,
        "population": title,
        "stage": stage,
        "cells": round(float(np.mean([len(rest) for rest in unnamed]))),
        "right": float(shares.mean()),
        "sd": float(shares.std()),
        "worst": float(shares.min()),
        "least gain on flat": float((shares - flat).min()),
    }
    truth, hits = labels[np.concatenate(unnamed)], np.concatenate(right)
    for number in np.unique(labels):
        of_class = truth == number
        row[codes[number]] = 100 * float(hits[of_class].mean()) if of_class.any() else None
    return row


def _unlearned(
    name: str, strategy: str, trials: Sequence[Simulation], labels: np.ndarray, codes: Sequence[str]
) -> list[dict[str, Any]]:
    """A row a class: its recall outside the draws before and after teaching, and in how many draws it fell by more
    than its interval.
    """
    rows = []
    for number in np.unique(labels):
        before, after, fallen = [], [], 0
        for trial in trials:
            outside = np.setdiff1d(np.flatnonzero(labels == number), trial.batch)
            if not len(outside):
                continue
            hits = [int((trial.predicted[stage][outside] == number).sum()) for stage in ("base", "after")]
            before.append(hits[0] / len(outside))
            after.append(hits[1] / len(outside))
            fallen += after[-1] < wilson_interval(hits[0], len(outside))[0]
        if before:
            change = 100 * (np.array(after) - np.array(before))
            rows.append(
                {
                    "laboratory": name,
                    "questions": strategy,
                    "class": codes[number],
                    "cells outside": round(
                        float(np.mean([(labels == number).sum() - (labels[t.batch] == number).sum() for t in trials]))
                    ),
                    "before": 100 * float(np.mean(before)),
                    "after": 100 * float(np.mean(after)),
                    "worst draw": float(change.min()),
                    "fell beyond its interval": f"{fallen} of {len(before)}",
                }
            )
    return rows


if __name__ == "__main__":
    main()
