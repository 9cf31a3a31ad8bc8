"""``python -m core evaluate RUN``: score a run's weights anew and compare with its stored figures."""

import argparse
import json
import sys
from collections.abc import Iterator

import numpy as np

from core.datasets import Split, get_dataset
from core.errors import HemaLensError
from core.evaluation import score
from core.progress import Progress, TerminalBar
from core.runs import Run, find_run
from core.serving import engine

TOLERANCE = 1e-3
COMPARED = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc", "ece")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="score a run's weights anew",
        description=__doc__,
        epilog="Exit status 1 where a figure differs from the stored one by more than 0.001 on the very same images.",
    )
    parser.add_argument("run", help="a run's name, the beginning of one, or its folder")
    parser.add_argument("--split", choices=("val", "test"), action="append", help="default: both")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    parser.set_defaults(handler=evaluate)


def evaluate(options: argparse.Namespace) -> int:
    run = find_run(options.run)
    trained_on = run.config["dataset"]["provenance"]
    data = get_dataset(run.dataset).load(run.size, content_hash=trained_on["content_hash"])
    if list(data.spec.codes) != run.config["dataset"]["codes"]:
        raise HemaLensError(f"{run.name} knows other classes than {data.spec.title}: it can't be scored on it")
    same = data.provenance.content_hash == trained_on["content_hash"]
    figures, worst = {}, 0.0
    for split in options.split or ("val", "test"):
        with TerminalBar(f"{run.name} {split}") as bar:
            logits = []
            for answers, progress in _answers(run, data[split]):
                logits.append(answers)
                bar(progress)
        figures[split] = score(data[split].labels, np.concatenate(logits))
        if same:
            worst = max(worst, *(abs(figures[split][k] - run.metrics[split][k]) for k in COMPARED))
    if options.json:
        facts = {"run": run.name, "provenance": data.provenance.label, "same_images": same}
        print(json.dumps({**facts, **figures}, indent=1))
    else:
        print(f"{run.name} on {data.provenance.label}, content {data.provenance.content_hash}")
        for split, new in figures.items():
            low, high = new["accuracy_interval"]
            print(
                f"  {split}: accuracy {new['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%}, n = {new['n']:,})"
            )
            for measure in COMPARED:
                stored = f", stored {run.metrics[split][measure]:.4f}" if same else ""
                print(f"    {measure:18} {new[measure]:.4f}{stored}")
    if not same:
        print(
            f"note: {run.name} was scored on {trained_on['label']} (content {trained_on['content_hash']}), which is "
            "not on this computer; these are other images, so the figures may differ",
            file=sys.stderr,
        )
        return 0
    print(f"largest difference from the stored figures: {worst:.1e}", file=sys.stderr)
    return 0 if worst <= TOLERANCE else 1


def _answers(run: Run, part: Split) -> Iterator[tuple[np.ndarray, Progress]]:
    """Logits (n, C) of one batch after another, with the images done so far."""
    for start in range(0, len(part), engine.BATCH):
        logits = engine.logits(run, part.images[start : start + engine.BATCH])
        yield logits, Progress(start + len(logits), len(part), unit="image")
