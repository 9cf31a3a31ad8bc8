"""Is a cell read as well when few pictures come with it? One by one, twelve at a time, one class at a time.

``python -m benchmarks.small_batches [RUN]``

Cells of each laboratory that was added, cut at the scale that each batch shows by itself, and named by the run: share
right among all its classes, beside that of the whole folder cut at once, and the share of the pictures whose square is
a third too small or too large by that of the folder.
"""

import argparse

import numpy as np

from benchmarks.reporting import publish
from core.datasets import DatasetSpec
from core.datasets.pictures import read_dataset_pictures
from core.evaluation.external import external_datasets, labels_for_run
from core.images.framing import MeasuredPicture, as_picture, crop_batch
from core.inference import engine
from core.inference.scope import spec_for
from core.runs import Run, default_run, find_run

TWELVE, FAR, MIN_OF_CLASS = 12, np.log(4 / 3), 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", help="default: BloodMNIST's best for any laboratory")
    options = parser.parse_args()
    run = find_run(options.run) if options.run else default_run()
    spec, rows = spec_for(run), []
    for name in external_datasets(run):
        lab = read_dataset_pictures(name)
        labels, _ = labels_for_run(lab, run)
        pictures = [as_picture(pixels) for pixels in lab.pixels]
        everything = np.arange(len(pictures))
        mixed = np.random.default_rng(0).permutation(everything)
        classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        ways = {
            "the whole folder": [everything],
            "one by one": [everything[[i]] for i in everything],
            "twelve at a time": [mixed[i : i + TWELVE] for i in range(0, len(mixed) - TWELVE + 1, TWELVE)],
            "one class at a time": [of_class for of_class in classes if len(of_class) >= MIN_OF_CLASS],
        }
        usual = 0.0
        for way, parts in ways.items():
            found = [_read(run, [pictures[i] for i in part], spec) for part in parts]
            used = np.concatenate(parts)
            right = np.concatenate([answers for answers, _ in found]) == labels[used]
            sides = np.concatenate([widths for _, widths in found])
            usual = usual or float(np.median(sides))
            far = float((np.abs(np.log(sides / usual)) > FAR).mean())
            rows.append(
                {
                    "laboratory": name,
                    "cut": way,
                    "cells": len(used),
                    "right %": 100 * float(right.mean()),
                    "median side px": float(np.median(sides)),
                    "far off %": 100 * far,
                }
            )
    publish("small_batches", rows, run=run.name, provenance=run.provenance)


def _read(run: Run, pictures: list[MeasuredPicture], spec: DatasetSpec) -> tuple[np.ndarray, np.ndarray]:
    """The class that ``run`` names for each of ``pictures``, cut by themselves, and the widths of the squares in px."""
    batch = crop_batch(pictures, spec, run.size)
    widths = np.array([crop.box[2] - crop.box[0] for crop in batch.crops], float)
    return engine.logits(run, batch.pixels).argmax(1), widths


if __name__ == "__main__":
    main()
