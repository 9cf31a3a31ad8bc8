"""``python -m core predict``: the class of each picture, from the shell."""

import argparse
import contextlib
import glob
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core import runs
from core.datasets import get_dataset
from core.datasets.base import DatasetSpec
from core.errors import HemaLensError
from core.formatting import RESEARCH_LINE, listed, milliseconds, percent
from core.images.crop import Crop
from core.images.decode import MAX_BYTES, SUFFIXES, DecodeError, decode
from core.images.framing import (
    MAX_SAMPLED,
    BatchScale,
    CropWindow,
    MeasuredPicture,
    measure_batch,
    shape_warning,
    spread_evenly,
)
from core.inference import engine
from core.inference.predictor import Predictor, Verdict
from core.inference.scope import class_scope_text, on_trusted_split, spec_for
from core.runs import Run

DEFAULT_DATASET = "bloodmnist"
TOP_CLASSES = 3
_WIDEST_NAME = 60

_MODES = {"shape": CropWindow(), "parent": CropWindow(mode="parent"), "whole": CropWindow(mode="whole")}


@dataclass(frozen=True)
class PredictedFile:
    """One file: where the frame lies in it and what it holds, or why it can't be read; ``notes`` for a person."""

    path: Path
    place: CropWindow = CropWindow()
    framed: Crop | None = None
    notes: tuple[str, ...] = ()
    error: DecodeError | None = None


def add_parser(subparsers: Any) -> None:
    """Add ``predict`` to the command line."""
    parser = subparsers.add_parser(
        "predict",
        help="say the class of pictures of cells, or of whole fields",
        description="Say the class of pictures (of single cells, or of whole fields where the data set teaches these), "
        "with probabilities and milliseconds, in one of three voices: sure, unsure (with a short list of classes), or "
        "foreign (the picture does not look like those that the model knows). "
        "A file that can't be read gets an error line of its own, the others are still answered; "
        f"the exit status is then 1. {RESEARCH_LINE}",
    )
    parser.add_argument(
        "--image-path", nargs="+", required=True, metavar="FILE", help="pictures, folders (searched below) or globs"
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help=f"the data set whose models answer (default: the model's, else {DEFAULT_DATASET})",
    )
    parser.add_argument(
        "--model", metavar="RUN", help="a run's name, its beginning, or its folder (default: the data set's best)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--framing",
        choices=("auto", "shape", "parent", "whole"),
        default="auto",
        help="what to cut out: one square of one size round the cell in each picture (auto: all pictures are taken for "
        "one laboratory's, whose scale is measured), what the picture's shape suggests, the centre as the parent set's "
        "crops, or the whole central square",
    )
    parser.add_argument(
        "--side", type=_pixels, metavar="PX", help="the square's side in px of the pictures, instead of measuring it"
    )
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Answer every file; 0 if all were answered, 1 if any failed."""
    run = _run(arguments)
    spec = spec_for(run)
    if arguments.side and arguments.framing != "auto":
        raise HemaLensError(f"--side goes with --framing auto, not with --framing {arguments.framing}: leave one out")
    reader = Predictor(run)
    reader.load()
    files = expand(arguments.image_path)
    known_scale = _batch_scale(files, spec, arguments.side) if arguments.framing == "auto" else None
    writer = (_Json if arguments.json else _Text)(reader, spec, known_scale, files)
    failed = 0
    for batch in _batches(_read(files, reader, spec, known_scale or _MODES[arguments.framing])):
        failed += sum(item.framed is None for item in batch)
        writer.write(batch)
    writer.close()
    return 1 if failed else 0


def _run(arguments: argparse.Namespace) -> Run:
    """The run that answers: the one named, which must be of the data set asked for, else the data set's best."""
    if arguments.dataset:
        get_dataset(arguments.dataset)  # `UnknownDataset` names those there are
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
    """The files that ``patterns`` name, each once: a folder stands for the pictures below it, a glob for its matches.

    What names nothing is kept as it is, so that it gets an error line of its own.
    """
    files: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            below = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in SUFFIXES and p.is_file()]
            files.update(dict.fromkeys(below or [path]))
        elif path.exists() or not glob.has_magic(pattern):
            files[path] = None
        else:
            matches = [Path(p) for p in sorted(glob.glob(pattern, recursive=True)) if not Path(p).is_dir()]
            files.update(dict.fromkeys(matches or [path]))
    return list(files)


def _batch_scale(files: list[Path], spec: DatasetSpec, side: float | None) -> BatchScale:
    """What the files say together, from a sample of them."""
    pictures = []
    for path in spread_evenly(files, MAX_SAMPLED):
        with contextlib.suppress(DecodeError):  # told when its turn comes
            pictures.append(MeasuredPicture(decode(_bytes(path), str(path)).pixels))
    return measure_batch(pictures, spec, side)


def _read(
    files: list[Path], reader: Predictor, spec: DatasetSpec, framing: BatchScale | CropWindow
) -> Iterator[PredictedFile]:
    for path in files:
        try:
            picture = decode(_bytes(path), str(path))
        except DecodeError as error:
            yield PredictedFile(path, error=error)
        else:
            height, width = picture.pixels.shape[:2]
            place = framing.window(MeasuredPicture(picture.pixels)) if isinstance(framing, BatchScale) else framing
            strange = shape_warning(width, height, spec)
            notes = (*picture.notes, strange.rstrip(".")) if strange else picture.notes
            yield PredictedFile(path, place, place.crop(picture.pixels, reader.run.size, spec), notes)


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        raise DecodeError(str(path), "the folder holds no picture", f"Pictures end in {', '.join(SUFFIXES)}.")
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise DecodeError(str(path), "there is no such file", "Check the name.") from error
    except OSError as error:
        raise DecodeError(str(path), f"can't be read ({error.strerror})", "Check its permissions.") from error


def _batches(items: Iterator[PredictedFile]) -> Iterator[list[PredictedFile]]:
    batch: list[PredictedFile] = []
    for item in items:
        batch.append(item)
        if len(batch) == engine.BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class _Writer:
    """What both kinds of output share: the answers of one batch."""

    def __init__(self, reader: Predictor, spec: DatasetSpec, survey: BatchScale | None, files: list[Path]):
        self.reader, self.run, self.spec, self.survey, self.files = reader, reader.run, spec, survey, files
        self.begin()

    def begin(self) -> None:
        """What comes before the first answer."""

    def answer(self, batch: list[PredictedFile]) -> Iterator[tuple[np.ndarray, float, Verdict] | None]:
        """(probabilities (C,), milliseconds, voice) of each item of ``batch`` in its order, None for a failed one."""
        good = [item.framed.pixels for item in batch if item.framed]
        answers = iter(())
        if good:
            output = self.reader.predict_crops(np.stack(good))
            answers = zip(output.probabilities, output.milliseconds, output.verdicts, strict=True)
        for item in batch:
            yield next(answers) if item.framed else None


class _Text(_Writer):
    """Aligned lines, one a file, as they come; errors on stderr."""

    def begin(self) -> None:
        run, spec = self.run, self.spec
        self.name_width = min(_WIDEST_NAME, max(len(printable(str(f))) for f in self.files))
        self.class_width = max(len(f"{c.code:<4}{c.name}") for c in spec.classes)
        score = run.metrics["test"]
        low, high = score["accuracy_interval"]
        print(
            f"{run.title} ({run.name}), trained on {run.provenance}; "
            f"test accuracy {score['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%})"
        )
        some = class_scope_text(run)
        print(f"{RESEARCH_LINE} Domain: {spec.domain}.{f' It knows {some}.' if some else ''}")
        if self.survey and self.survey.scale.source != "official":
            print(f"Framing: {self.survey.scale.note}")
        print(flush=True)

    def write(self, batch: list[PredictedFile]) -> None:
        for item, answer in zip(batch, self.answer(batch), strict=True):
            if answer is None:
                print(f"error: {printable(str(item.error))}", file=sys.stderr, flush=True)
                continue
            probabilities, elapsed, voice = answer
            missing = ("no white cell found: look yourself",) if item.place.cell_missing else ()
            notes = (*missing, *self._heard(voice), *item.notes)
            order = np.argsort(-probabilities)[:TOP_CLASSES]
            cells = (f"{self.spec.codes[i]:<3} {percent(probabilities[i]):>6}" for i in order)
            winner = self.spec.classes[order[0]]
            print(
                f"{printable(str(item.path)):<{self.name_width}}  "
                f"{winner.code + '  ' + winner.name:<{self.class_width}}  {voice.word:<7}  "
                f"{'   '.join(cells)}  {milliseconds(elapsed):>8}" + (f"  ({'; '.join(notes)})" if notes else ""),
                flush=True,
            )

    def _heard(self, voice: Verdict) -> tuple[str, ...]:
        """What the voice adds to the answer, for a person."""
        if voice.kind == "sure":
            return ()
        if voice.kind == "unsure":
            return (f"one of {', '.join(self.spec.codes[k] for k in voice.classes)}",)
        off = f": {listed(voice.unusual)} unusual" if voice.unusual else ""
        return (f"does not look like the {self.spec.unit}s this model knows{off}",)

    def close(self) -> None:
        """Nothing is kept back."""


class _Json(_Writer):
    """One document on stdout when all is done."""

    def begin(self) -> None:
        self.results: list[dict[str, Any]] = []

    def write(self, batch: list[PredictedFile]) -> None:
        for item, answer in zip(batch, self.answer(batch), strict=True):
            if answer is None:
                self.results.append({"file": str(item.path), "error": item.error.reason, "advice": item.error.advice})
                continue
            probabilities, elapsed, voice = answer
            winner = int(probabilities.argmax())
            self.results.append(
                {
                    "file": str(item.path),
                    "class": self.spec.codes[winner],
                    "name": self.spec.class_names[winner],
                    "verdict": voice.kind,  # the name it had before there were three
                    "voice": voice.kind,
                    "set": [self.spec.codes[k] for k in voice.classes],
                    "strangeness": round(voice.ood_score, 4),
                    "off": list(voice.unusual),
                    "probabilities": {
                        c: round(float(p), 6) for c, p in zip(self.spec.codes, probabilities, strict=True)
                    },
                    "milliseconds": round(elapsed, 3),
                    "framing": {
                        "box": list(item.framed.box),
                        "note": item.framed.note,
                        "cell_found": item.place.cell is not None if item.place.searched else None,
                    },
                    "notes": list(item.notes),
                }
            )

    def close(self) -> None:
        document = {
            "run": self.run.name,
            "model": self.run.title,
            "provenance": self.run.provenance,
            "dataset": self.run.dataset,
            "domain": self.spec.domain,
            "classes": dict(zip(self.spec.codes, self.spec.class_names, strict=True)),
            "research_use": RESEARCH_LINE,
            "sure_from": round(self.reader.threshold, 4),
            "scale": self._scale(),
            "results": self.results,
        }
        print(json.dumps(document, indent=1, ensure_ascii=False))

    def _scale(self) -> dict[str, Any] | None:
        """How large the square was that was cut out of all pictures, and how that was found."""
        if self.survey is None or not self.survey.searches:
            return None
        scale, ruler = self.survey.scale, self.survey.red_cells
        red_cell = round(ruler.diameter, 1) if ruler else None
        return {"side": scale.side, "source": scale.source, "note": scale.note, "red_cell": red_cell}


def _pixels(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is no side in px: give a number from 1 to 10000")
    return value


def printable(text: str) -> str:
    """``text`` without characters that could steer a terminal: a file's name is the uploader's choice."""
    return "".join(c if c.isprintable() else "?" for c in text)
