"""``python -m core predict``: the class of each picture, from the shell."""

import argparse
import glob
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from core import runs
from core.datasets import get_dataset
from core.errors import HemaLensError
from core.formatting import RESEARCH_LINE, milliseconds, natural_key, percent, printable
from core.images.archives import folder_or_archive
from core.images.decode import DecodeError
from core.images.files import files_below, left_out_text
from core.images.framing import BatchScale, CropWindow, MeasuredPicture
from core.images.red_cells import side_of_pixel_size
from core.inference.laboratory import Laboratory
from core.inference.predictor import Prediction, Predictor
from core.inference.scope import class_scope_text, on_trusted_split
from core.inference.serialise import Answered, remarks, to_json
from core.inference.specimen import SPECIMENS, find_specimen
from core.runs import Run
from core.settings import add_scale_options

DEFAULT_DATASET = "bloodmnist"
TOP_CLASSES = 3
_WIDEST_NAME = 60

_WINDOWS = {"shape": CropWindow(), "parent": CropWindow(mode="parent"), "whole": CropWindow(mode="whole")}


def add_parser(subparsers: Any) -> None:
    """Add ``predict`` to the command line."""
    parser = subparsers.add_parser(
        "predict",
        help="say the class of pictures of cells, or of whole fields",
        description="Say the class of pictures (of single cells, or of whole fields where a data set teaches them), "
        "with probabilities and milliseconds, and one of three verdicts: sure, unsure (with the classes that it may "
        "be), or not a cell (with what the picture shows instead). Cells that may be abnormal raise an alarm, and a "
        "batch from another microscope or stain is told. "
        "A file that can't be read gets an error line of its own, the others are still answered; "
        f"the exit status is then 1. {RESEARCH_LINE}",
    )
    parser.add_argument(
        "--image-path",
        nargs="+",
        required=True,
        metavar="FILE",
        help="pictures, folders (searched below) or globs; - is the standard input",
    )
    add_predictor_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--framing",
        choices=("auto", "shape", "parent", "whole"),
        default="auto",
        help="what to cut out: one square of one size round the cell in each picture (auto: all pictures are taken for "
        "one laboratory's, whose scale is measured), what the picture's shape suggests, the centre as the parent set's "
        "crops, or the whole central square",
    )
    add_scale_options(parser)
    parser.set_defaults(handler=handle)


def add_predictor_options(parser: argparse.ArgumentParser) -> None:
    """Who answers, and what the cells are of: `chosen_predictor` reads them."""
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help=f"the data set whose models answer (default: the model's, else {DEFAULT_DATASET})",
    )
    parser.add_argument(
        "--model", metavar="RUN", help="a run's name, its beginning, or its folder (default: the data set's best)"
    )
    parser.add_argument("--lab", metavar="NAME", help="answer as your laboratory taught a model, see `lab fit`")
    parser.add_argument("--profile", dest="lab", help=argparse.SUPPRESS, default=argparse.SUPPRESS)  # its former name
    parser.add_argument(
        "--specimen",
        choices=tuple(SPECIMENS),
        help="what the cells are of: answers are weighed by what it usually holds, immature cells in blood are told "
        "(default: the profile's; else anything, and at another laboratory than the model's the blood of an adult)",
    )


def handle(arguments: argparse.Namespace) -> int:
    """Answer every file; 0 if all were answered, 1 if any failed."""
    predictor = chosen_predictor(arguments)
    side = arguments.side if arguments.um_per_px is None else side_of_pixel_size(arguments.um_per_px)
    if side and arguments.framing != "auto":
        option = "--side" if arguments.side else "--um-per-px"
        raise HemaLensError(f"{option} goes with --framing auto, not with --framing {arguments.framing}: leave one out")
    if side and (predictor.spec.unit != "cell" or predictor.spec.stretched):
        option = "--side" if arguments.side else "--um-per-px"
        raise HemaLensError(
            f"the models of {predictor.spec.title} look at whole pictures, so {option} says nothing to them: "
            "leave it out"
        )
    predictor.load()
    pictures = [MeasuredPicture(path) for path in expand(arguments.image_path)]
    auto = arguments.framing == "auto"
    scale = predictor.scale(pictures, side) if auto else _WINDOWS[arguments.framing]
    laboratory, predictions = predictor.answer(pictures, scale)
    if arguments.json:
        answered = (p if isinstance(p, DecodeError) else Answered((p,)) for p in predictions)
        document = to_json(answered, [predictor], [laboratory], scale if isinstance(scale, BatchScale) else None)
        print(json.dumps(document, indent=1, ensure_ascii=False))
        return 1 if any("error" in result for result in document["results"]) else 0
    return _print_lines(predictor, scale, laboratory, [picture.name for picture in pictures], predictions)


def chosen_predictor(arguments: argparse.Namespace) -> Predictor:
    """A laboratory's, or that of the run that answers, which must be of the data set asked for; `HemaLensError` where
    there is none, or the specimen says nothing of its classes.
    """
    if arguments.dataset:
        get_dataset(arguments.dataset)  # `UnknownDataset` names those there are
    specimen = find_specimen(arguments.specimen) if arguments.specimen else None
    if not arguments.lab:
        run = _run(arguments)
        if specimen:
            specimen.odds(run, elsewhere=True)  # which raises where it says nothing of the run's classes
        return Predictor(run, specimen=specimen)
    from core.adaptation.profile import find_profile, predictor_for

    if arguments.model:
        raise HemaLensError("a profile brings its own model: leave --lab or --model out")
    profile = find_profile(arguments.lab)
    if arguments.dataset not in (None, profile.dataset):
        raise HemaLensError(f"{profile.name} was taught for {profile.dataset}, not for {arguments.dataset}")
    return predictor_for(profile, specimen)


def _run(arguments: argparse.Namespace) -> Run:
    """The run that answers: the one named, which must be of the data set asked for, else the data set's best."""
    if not arguments.model:
        dataset = arguments.dataset or DEFAULT_DATASET
        best = runs.preferred_run(on_trusted_split(runs.list_runs(dataset)))
        return best or runs.default_run(dataset)  # which says what to do
    run = runs.find_run(arguments.model, arguments.dataset)
    if arguments.dataset and run.dataset != arguments.dataset:  # a folder was named
        raise HemaLensError(
            f"{run.name} was trained on {run.dataset}, not on {arguments.dataset}: leave --dataset out, or choose "
            "another --model"
        )
    return run


def expand(patterns: list[str]) -> list[Path]:
    """The files that ``patterns`` name, each once: a folder or a ZIP stands for the pictures in it, a glob for its
    matches, in natural order; hidden files and folders are passed over, and what else is no picture by its name is
    told. '-' is the standard input.

    What names nothing is kept as it is, so that it gets an error line of its own.
    """
    files: dict[Path, None] = {}
    for pattern in patterns:
        path = folder_or_archive(Path("/dev/stdin" if pattern == "-" else pattern))
        if path.is_dir():
            below = files_below(path)
            files.update(dict.fromkeys([path / name for name in below.pictures] or [path]))
            if note := left_out_text(below.others):
                print(f"note: {printable(str(path))}: {note}", file=sys.stderr)
        elif path.exists() or not glob.has_magic(pattern):
            files[path] = None
        else:
            names = sorted(glob.glob(pattern, recursive=True), key=natural_key)
            matches = [Path(name) for name in names if not Path(name).is_dir()]
            files.update(dict.fromkeys(matches or [path]))
    return list(files)


def _framing(scale: BatchScale | CropWindow) -> str:
    return scale.scale.note if isinstance(scale, BatchScale) and scale.scale.source != "official" else ""


def print_head(predictor: Predictor, laboratory: Laboratory, framing: str = "") -> None:
    """Who answers, how well, of what, and what is to be known of all answers; ``framing``: at which scale cells were
    cut, '' where as ever.
    """
    run = predictor.run
    score = run.metrics["test"]
    low, high = score["accuracy_interval"]
    print(
        f"{run.title} ({run.name}), trained on {run.provenance}; "
        f"test accuracy {score['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%})"
    )
    some = class_scope_text(run)
    print(f"{RESEARCH_LINE} Domain: {predictor.spec.domain}.{f' It knows {some}.' if some else ''}")
    if predictor.name:
        print(f"Answers as taught by your laboratory {predictor.name}.")
    if framing:
        print(f"Framing: {framing}")
    for problem in predictor.problems:
        print(f"Careful: {problem}")
    if note := predictor.laboratory_note(laboratory):
        print(note)
    if (specimen := predictor.specimen_at(laboratory)).shares:
        unsaid = "" if predictor.specimen_is_said else ", as nobody said otherwise (--specimen)"
        print(f"Specimen: {specimen.title}{unsaid}.")
    print(flush=True)


def _print_lines(
    predictor: Predictor,
    scale: BatchScale | CropWindow,
    laboratory: Laboratory,
    names: list[str],
    predictions: Iterator[Prediction | DecodeError],
) -> int:
    """Who answers, then an aligned line a file, as they come; errors go to stderr, and make it 1."""
    spec, status = predictor.spec, 0
    name_width = min(_WIDEST_NAME, max(len(printable(name)) for name in names))
    class_width = max(len(f"{c.code:<4}{c.name}") for c in spec.classes)
    print_head(predictor, laboratory, _framing(scale))
    for prediction in predictions:
        if isinstance(prediction, DecodeError):
            print(f"error: {printable(str(prediction))}", file=sys.stderr, flush=True)
            status = 1
            continue
        notes = [*remarks(prediction, spec), *prediction.notes]
        order = np.argsort(-prediction.probabilities)[:TOP_CLASSES]
        likeliest = (f"{spec.codes[i]:<3} {percent(prediction.probabilities[i]):>6}" for i in order)
        probable = "   ".join(likeliest)
        probable = probable if prediction.is_cell else " " * len(probable)
        winner = spec.classes[order[0]]
        named = f"{winner.code}  {winner.name}" if prediction.is_cell else ""
        print(
            f"{printable(prediction.name):<{name_width}}  {named:<{class_width}}  "
            f"{prediction.verdict.word:<10}  {probable}  {milliseconds(prediction.milliseconds):>8}"
            + (f"  ({'; '.join(notes)})" if notes else ""),
            flush=True,
        )
    return status
