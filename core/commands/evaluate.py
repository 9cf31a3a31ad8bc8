"""``python -m core evaluate RUN``: score a run's weights anew, on its own cells, on spoilt pictures of them
(--corrupted) or on another laboratory's (--on)."""

import argparse
import json
import sys

import numpy as np

from core.datasets import LoadedDataset, get_dataset
from core.errors import HemaLensError
from core.evaluation.metrics import score
from core.evaluation.robustness import CORRUPTIONS, TEST_CELLS, evaluate_robustness
from core.images.red_cells import side_of_pixel_size
from core.inference.predictor import Predictor
from core.inference.specimen import ANY_SPECIMEN, SPECIMENS, find_specimen
from core.progress import TerminalBar
from core.runs import Predictions, Run, find_run, write_robustness
from core.settings import add_scale_options

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
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--on", metavar="DATASET", help="another laboratory's cells, see `datasets add --maps-to`")
    parser.add_argument(
        "--specimen",
        choices=tuple(SPECIMENS),
        default=ANY_SPECIMEN.key,
        help="what these are of: answers are weighed by what it usually holds (default %(default)s: they are not)",
    )
    mode.add_argument(
        "--corrupted",
        action="store_true",
        help="test pictures spoilt in eleven ways (blur, bad light, JPEG ...) at five severities; kept for Compare",
    )
    parser.add_argument(
        "--cells",
        type=int,
        default=TEST_CELLS,
        help="test pictures for --corrupted, by class; 0: all (default %(default)s)",
    )
    add_scale_options(parser, with_side=False)
    parser.add_argument("--split", choices=("val", "test"), action="append", help="default: both")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    parser.set_defaults(handler=evaluate)


def evaluate(options: argparse.Namespace) -> int:
    """Score ``options.run`` on its own data set, on another one, or on spoilt pictures; returns the exit code."""
    run = find_run(options.run)
    if options.on:
        return _evaluate_on(run, options)
    if options.specimen != ANY_SPECIMEN.key:
        raise HemaLensError("--specimen goes with --on: a run's own cells are scored as they are")
    if options.um_per_px is not None:
        raise HemaLensError("--um-per-px goes with --on: a run's own cells are cut out already")
    trained_on = run.config["dataset"]["provenance"]
    data = get_dataset(run.dataset).load(run.size, content_hash=trained_on["content_hash"])
    if list(data.spec.codes) != run.config["dataset"]["codes"]:
        raise HemaLensError(f"{run.name} knows other classes than {data.spec.title}: it can't be scored on it")
    if options.corrupted:
        return _evaluate_corrupted(run, data, options)
    same = data.provenance.content_hash == trained_on["content_hash"]
    figures, largest_difference = {}, 0.0
    for split in options.split or ("val", "test"):
        with TerminalBar(f"{run.name} {split}") as bar:
            output = Predictor(run).predict_crops(data[split].images, report=bar)
        # In half precision, as the stored figures were computed: cells on the border of a bin change sides.
        stored_form = Predictions(data[split].ids, data[split].labels, output.logits).rounded()
        figures[split] = score(stored_form.labels, stored_form.logits)
        if same:
            largest_difference = max(
                largest_difference, *(abs(figures[split][k] - run.metrics[split][k]) for k in COMPARED)
            )
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
    print(f"largest difference from the stored figures: {largest_difference:.1e}", file=sys.stderr)
    return 0 if largest_difference <= TOLERANCE else 1


def _evaluate_corrupted(run: Run, data: LoadedDataset, options: argparse.Namespace) -> int:
    with TerminalBar(f"{run.name} corrupted") as bar:
        figures = evaluate_robustness(run, data, options.cells, report=bar)
    try:
        write_robustness(run, figures)
    except OSError as error:
        print(f"note: Compare won't show this, the folder of {run.name} can't be written: {error}", file=sys.stderr)
    if options.json:
        print(json.dumps({"run": run.name, **figures}, indent=1))
        return 0
    clean, (low, high) = figures["clean"], figures["clean"]["accuracy_interval"]
    print(
        f"{run.name} on {figures['n']:,} of {figures['test_images']:,} test {data.spec.unit}s of "
        f"{figures['provenance']}, "
        f"drawn by class with seed {figures['seed']}\n  clean: accuracy {clean['accuracy']:.2%} "
        f"(95 % interval {low:.2%} to {high:.2%}), mean confidence {clean['confidence']:.1%}\n"
        f"  {'accuracy (%) at severity':24}{'1':>7}{'2':>7}{'3':>7}{'4':>7}{'5':>7}{'mean':>8}  mean confidence"
    )
    for name, by_severity in sorted(figures["corruptions"].items(), key=lambda item: item[1]["mean_accuracy"]):
        accuracies = "".join(f"{100 * accuracy:7.1f}" for accuracy in by_severity["accuracy"])
        sure = np.mean(by_severity["confidence"])
        print(f"  {CORRUPTIONS[name].title:24}{accuracies}{100 * by_severity['mean_accuracy']:8.1f}{100 * sure:9.1f}")
    low, high = figures["mean_accuracy_interval"]
    print(f"  mean over all: {figures['mean_accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%})")
    if "be" in figures:
        print(
            f"  balanced error {figures['be']:.2f}, relative {figures['rbe']:.2f} "
            "(an AlexNet's on MedMNIST-C's own pictures of 224 px: 1)"
        )
    return 0


def _evaluate_on(run: Run, options: argparse.Namespace) -> int:
    from core.datasets.pictures import read_dataset_pictures
    from core.evaluation.external import cache_validation, validate_externally

    side = None if options.um_per_px is None else side_of_pixel_size(options.um_per_px)
    with TerminalBar(options.on) as bar:
        lab = read_dataset_pictures(options.on, bar)
        specimen = find_specimen(options.specimen)
        figures, scale = validate_externally(run, lab, specimen, bar, side)
    try:
        if specimen is ANY_SPECIMEN:  # what is compared stands without a specimen's usual counts
            cache_validation(run, options.on, figures)
    except OSError as error:
        print(f"note: Compare won't show this, the cache can't be written: {error}", file=sys.stderr)
    del figures["uncertainty"]  # curves, for drawing
    present_codes = figures["present_codes"]
    if options.json:
        facts = {
            "run": run.name,
            "dataset": options.on,
            "codes": run.codes,
            "framing": scale.note,
        }
        print(json.dumps({**facts, **figures}, indent=1))
        return 0
    over = f"over {figures['slides']} slides" if figures["slides"] else "over cells"
    weighed = f" Weighed as {specimen.title}." if specimen.shares else ""
    print(f"{run.name} on {get_dataset(options.on).title}: {figures['n']:,} cells.{weighed} {scale.note}")
    for name, text in (
        ("accuracy", f"all {len(run.codes)} classes"),
        ("accuracy_present_classes", ", ".join(present_codes)),
    ):
        low, high = figures[f"{name}_interval"]
        print(
            f"  {text}: {figures[name]:.2%} (95 % interval {over} {low:.2%} to {high:.2%}), "
            f"balanced {figures[name.replace('accuracy', 'balanced_accuracy')]:.2%}"
        )
    print(
        f"  mean confidence {figures['mean_confidence']:.0%}; sure of {figures['confident']:.1%} of the cells, "
        f"sure and wrong: {figures['confident_and_wrong']:.1%}"
    )
    shares = {kind: f"{share:.1%}" for kind, share in figures["verdicts"].items()}
    print(
        f"  said to a person: sure {shares['sure']}, unsure {shares['unsure']}, "
        f"not a cell {shares['not_a_cell']}; sure and wrong: {shares['confident_and_wrong']}"
    )
    print("       " + "".join(f"{code:>6}" for code in run.codes))
    for code, row in zip(present_codes, figures["confusion"], strict=True):
        print(f"  {code:<5}" + "".join(f"{count:6d}" for count in row))
    for file, why in lab.unreadable.items():
        print(f"  left out: {file}: {why}")
    return 0
