"""Does a network that never met a class say of its cells that it does not know them?

A network a class is trained from scratch on BloodMNIST without it and gets its OOD detector from the train and val
cells of the other classes, as every run does; nothing is chosen on the class that was left out. Then test cells of that
class are told from test cells of the others: area under the ROC curve (interval: DeLong) of the detector's score and,
beside it, of plainer ones, the share that the detector flags, accuracy on the known classes, milliseconds a cell on one
core. Networks lie in ``results/left_out_class`` and are trained once; an interrupted training goes on where it was.
``python -m benchmarks.left_out_class [CLASS ...] [--keep]`` (``--keep`` writes the file that ships, from which
``python -m core report`` makes its section; it needs all classes).
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from benchmarks.answering import BATCH, pictures_for
from benchmarks.inference import alternate
from benchmarks.reporting import RESULTS, publish
from core.datasets import LoadedDataset, Split
from core.datasets.base import ImageRows, content_hash
from core.evaluation.left_out import Area, LeftOutClass, LeftOutStudy, write_left_out
from core.evaluation.metrics import auroc, auroc_interval
from core.inference import engine
from core.inference.ood import (
    OODDetector,
    detector_of,
    energy,
    image_statistics,
    make_detector,
    relative_distances,
)
from core.paths import shipped_runs_root
from core.probabilities import softmax, wilson_interval
from core.progress import Report, TerminalBar, silent
from core.runs import CONFIG, Run
from core.training.config import TrainConfig
from core.training.export_run import export_run
from core.training.loop import fit_network
from core.training.optim import choose_device, device_name

FOLDER = RESULTS / "left_out_class"


def without_class(data: LoadedDataset, code: str) -> LoadedDataset:
    """``data`` as if class ``code`` did not exist: its cells are in no split, the others keep their order."""
    left_out = data.spec.codes.index(code)
    codes = [other for other in data.spec.codes if other != code]
    splits = {}
    for name, part in data.splits.items():
        rows = np.flatnonzero(part.labels != left_out)
        labels = part.labels[rows]
        splits[name] = Split(np.asarray(part.images[rows]), labels - (labels > left_out), part.ids[rows])
    provenance = replace(
        data.provenance, label=f"{data.provenance.label} without {code}", content_hash=content_hash(splits)
    )
    return replace(data, spec=data.spec.with_classes(codes), provenance=provenance, splits=splits)


def halved(data: LoadedDataset) -> LoadedDataset:
    """``data`` with pictures of half the side, each pixel the mean of four."""
    splits = {}
    for name, part in data.splits.items():
        images = np.asarray(part.images)
        n, side = images.shape[:2]
        small = images.reshape(n, side // 2, 2, side // 2, 2, 3).mean((2, 4), dtype=np.float32)
        splits[name] = replace(part, images=np.rint(small).astype(np.uint8))
    return replace(data, splits=splits)


def train_without(
    config: TrainConfig, known: LoadedDataset, folder: Path, half: bool = False, report: Report = silent
) -> Run:
    """The run of ``config`` on ``known``, under ``folder``: trained, gone on with, or there already.

    A network of ``half`` the side averages each picture to it first: a third of the work.
    """
    name = config.run_name(known.provenance.content_hash) + ("-half" if half else "")
    path = folder / known.spec.name / name
    if (path / CONFIG).exists():
        run = Run(path)
        if not (detector := detector_of(run)) or not detector.unknown_class:  # of a former version
            make_detector(run, known)
        return run
    device = choose_device(config.device)
    checkpoint = folder / "checkpoints" / f"{name}.safetensors"
    network, state = fit_network(config, halved(known) if half else known, device, checkpoint, report)
    if half:
        network.balance = torch.nn.AvgPool2d(2)
    run = export_run(config, name, known, network, state, device, folder)
    checkpoint.unlink(missing_ok=True)
    return run


@dataclass(frozen=True)
class Reading:
    """What ``detector`` goes by of N cells: ``logits`` (N, C), ``embeddings`` (N, K) and ``statistics`` (N, F)."""

    detector: OODDetector
    logits: np.ndarray
    embeddings: np.ndarray
    statistics: np.ndarray

    @classmethod
    def of(cls, run: Run, crops: np.ndarray | ImageRows, statistics: np.ndarray) -> "Reading":
        """Of ``crops`` uint8 (N, S, S, 3)."""
        detector = detector_of(run)
        logits, embeddings = engine.logits_and_embeddings(run, np.asarray(crops[:]))
        assert detector is not None  # a network of ours has both
        assert embeddings is not None
        return cls(detector, logits, embeddings, statistics)

    @property
    def scores(self) -> np.ndarray:
        """What the detector says at home."""
        return self.detector.ood_score_of(self.embeddings, self.statistics, energy(self.logits))


# By title: what a person reads of the score, and the score float (N,) of cells, higher for odder ones.
SCORES: dict[str, tuple[str, Callable[[Reading], np.ndarray]]] = {
    "OOD detector": (
        "the detector that every network ships with: relative distance, energy and half the distance, each in units of "
        "its spread on val, a sum chosen on such figures",
        lambda cells: cells.scores,
    ),
    "distance": (
        "to the nearest class, by Gaussians on the embedding and on image statistics",
        lambda cells: cells.detector.ood_score_of(cells.embeddings, cells.statistics),
    ),
    "image statistics alone": (
        "their part of it, which knows no network",
        lambda cells: cells.detector.statistics_gaussians["all"].squared_distances(cells.statistics).min(1),
    ),
    "relative distance": (
        "how much further a cell's embedding lies from the nearest class than from all cells together (Ren et al. "
        "2021, arXiv:2106.09022)",
        lambda cells: relative_distances(
            cells.detector.embedding_gaussians, cells.detector.unknown_class.everything, cells.embeddings
        ),
    ),
    "energy": (
        "the negative log of the sum of exponential logits (Liu et al. 2020, arXiv:2010.03759)",
        lambda cells: energy(cells.logits),
    ),
    "1 - probability": (
        "one less the likeliest class's probability",
        lambda cells: 1 - softmax(cells.logits).max(1),
    ),
}


def measure_class(run: Run, test: Split, code: str, left_out: int, statistics: np.ndarray) -> LeftOutClass:
    """Cells of class ``code``, labelled ``left_out`` in ``test``, against those of the others, which ``run`` was
    trained on. ``statistics``: `image_statistics` of all of ``test``.
    """
    odd = test.labels == left_out
    cells = Reading.of(run, test.images, statistics)
    areas = {}
    for title, (_, score) in SCORES.items():
        scores = score(cells)
        known_scores, odd_scores = scores[~odd], scores[odd]
        areas[title] = Area(auroc(known_scores, odd_scores), *auroc_interval(known_scores, odd_scores))
    flagged = cells.scores >= 1
    known_labels = test.labels[~odd]
    right = cells.logits[~odd].argmax(1) == known_labels - (known_labels > left_out)
    return LeftOutClass(
        code,
        int(odd.sum()),
        int((~odd).sum()),
        areas,
        float(flagged[odd].mean()),
        float(flagged[~odd].mean()),
        float(right.mean()),
        wilson_interval(int(right.sum()), len(right)),
        run.metrics["train_seconds"],
    )


def milliseconds_a_cell(run: Run, rounds: int) -> dict[str, float]:
    """Median processor time of one core, network and detector together: 'one' cell at a time, 'batch' of 64 at once."""

    def answer(crops: np.ndarray) -> np.ndarray:
        return Reading.of(run, crops, image_statistics(crops)).scores

    crops, times = pictures_for(run), {}
    for key, count, repeats in (("one", 1, rounds), ("batch", BATCH, max(3, rounds // 6))):
        taken = alternate({"": answer}, np.ascontiguousarray(crops[:count]), repeats, time.process_time)[""]
        times[key] = statistics.median(taken) / count
    return times


def row(entry: LeftOutClass) -> dict[str, object]:
    """What is printed of a class."""
    areas = {title: f"{a.value:.3f} ({a.low:.3f} to {a.high:.3f})" for title, a in entry.areas.items()}
    return {
        "left out": entry.code,
        "cells": entry.cells,
        **areas,
        "flagged %": 100 * entry.flagged,
        "false alarms %": 100 * entry.false_alarms,
        "accuracy on the others %": 100 * entry.accuracy,
        "training s": entry.train_seconds,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("classes", nargs="*", metavar="CLASS", help="codes of the classes to leave out (default: all)")
    parser.add_argument("--dataset", default="bloodmnist")
    parser.add_argument("--model", default="cnn_se")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument(
        "--half", action=argparse.BooleanOptionalAction, default=True, help="networks see half the side (default)"
    )
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the training on a CPU")
    parser.add_argument("--rounds", type=int, default=30, help="of the measurement of speed")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the networks lie")
    parser.add_argument("--keep", action="store_true", help="write the file that ships")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    engine.MAX_THREADS = 1
    config = TrainConfig.for_model(
        options.model,
        dataset=options.dataset,
        size=options.size,
        epochs=options.epochs,
        model_arguments={"width": options.width},
        batch_size=64,  # few epochs: smaller steps, more of them
        learning_rate=0.2,
        ema=0.99,  # a longer average would still hold weights of the beginning
        augment="sharp",  # size is what tells some classes apart: no other one is drawn
        label_smoothing=0.0,  # it makes logits alike, odd cells' too
        seed=options.seed,
        device=options.device,
    )
    data = config.load_data()
    if unknown := set(options.classes) - set(data.spec.codes):
        parser.error(f"no class is called {', '.join(sorted(unknown))}; there are: {', '.join(data.spec.codes)}")
    codes = dict.fromkeys(options.classes or data.spec.codes)
    if options.keep and options.classes:
        parser.error("what ships has all classes: name none, or leave --keep away")
    numbers = image_statistics(data["test"].images)
    entries, runs = [], []
    for code in codes:
        with TerminalBar(f"without {code}") as bar:
            known = without_class(data, code)
            run = train_without(config, known, options.folder, options.half, bar)
        runs.append(run)
        entries.append(measure_class(run, data["test"], code, data.spec.codes.index(code), numbers))
        print(row(entries[-1]), file=sys.stderr)
    study = LeftOutStudy(
        dataset=data.spec.name,
        size=data.size,
        provenance=data.provenance.as_json(),
        train={**config.as_json(), "half": options.half},
        parameters=runs[0].metrics["parameters"],
        milliseconds=milliseconds_a_cell(runs[0], options.rounds),
        machine=device_name(torch.device("cpu")),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        scores={title: text for title, (text, _) in SCORES.items()},
        classes=tuple(entries),
    )
    facts = asdict(study)
    del facts["classes"], facts["machine"]
    publish("left_out_class", [row(entry) for entry in entries], **facts)
    if options.keep:
        print(f"written to {write_left_out(shipped_runs_root(), study)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
