"""``python -m core cells``: the white cells of whole microscope fields, from the shell."""

import argparse
import json
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.commands.predict import add_predictor_options, chosen_predictor, expand, print_head
from core.formatting import RESEARCH_LINE, counted, percent, printable
from core.images.decode import DecodeError
from core.inference.fields import AnsweredField, answer_fields
from core.inference.predictor import Predictor
from core.inference.serialise import fields_to_csv, fields_to_json, remarks
from core.settings import add_scale_options
from core.storage import write_bytes

TABLE = "cells.csv"


def add_parser(subparsers: Any) -> None:
    """Add ``cells`` to the command line."""
    parser = subparsers.add_parser(
        "cells",
        help="find the white cells of whole microscope fields, and say the class of each",
        description="Find every white cell of microscope fields of any size, cut each at the scale that the red cells "
        "show, and answer it as `predict` answers a crop. Red cells and platelets are estimates. All fields are taken "
        "for one laboratory's. A file that can't be read gets an error line of its own, the others are still answered; "
        f"the exit status is then 1. {RESEARCH_LINE}",
    )
    parser.add_argument("fields", nargs="+", metavar="FIELD", help="pictures, folders (searched below) or globs")
    add_predictor_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help=f"write each cell's square, as it lies in the field, and {TABLE}"
    )
    add_scale_options(parser, with_side=False)
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace) -> int:
    """Answer every field; 0 if all were answered, 1 if any failed."""
    predictor = chosen_predictor(arguments)
    predictor.load()
    files = expand(arguments.fields)
    names = _Names(files)

    def keep(number: int, place: int, pixels: np.ndarray) -> None:
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(arguments.out / names(number, place))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # fields are large, within limits of our own
        laboratory, fields = answer_fields(predictor, files, arguments.um_per_px, keep)
    if arguments.out:
        write_bytes(arguments.out / TABLE, fields_to_csv(fields, predictor, names).encode())
    failed = any(isinstance(field, DecodeError) for field in fields)
    if arguments.json:
        print(json.dumps(fields_to_json(fields, predictor, laboratory), indent=1, ensure_ascii=False))
        return int(failed)
    print_head(predictor, laboratory)
    for field in fields:
        if isinstance(field, DecodeError):
            print(f"error: {printable(str(field))}", file=sys.stderr, flush=True)
        else:
            _print_field(field, predictor)
    return int(failed)


class _Names:
    """How the squares of cells are named: after their field, and after its number too where two are named alike."""

    def __init__(self, files: list[Path]):
        alike = Counter(path.stem for path in files)
        self._stems = [
            path.stem if alike[path.stem] == 1 else f"{path.stem}-field{number}" for number, path in enumerate(files, 1)
        ]

    def __call__(self, number: int, place: int) -> str:
        return f"{self._stems[number]}-{place + 1:03d}.png"


def _print_field(answered: AnsweredField, predictor: Predictor) -> None:
    """A line for the field and one for each of its cells."""
    field, spec = answered.field, predictor.spec
    notes = f" ({'; '.join(answered.notes)})" if answered.notes else ""
    print(
        f"{printable(answered.name)}: {counted(len(field.cells), 'white cell')}, about "
        f"{counted(field.red_cells, 'red cell')} and {counted(field.platelets, 'platelet')}; "
        f"red cells are {field.red_cell:.0f} px across{notes}"
    )
    for place, (cell, prediction) in enumerate(zip(field.cells, answered.predictions, strict=True), 1):
        winner = spec.classes[prediction.predicted]
        named = f"{winner.code:<4}{percent(prediction.confidence):>6}" if prediction.is_cell else ""
        said = [*remarks(prediction, spec), *prediction.notes]
        print(
            f"  {place:>4}  at {cell.x:>6.0f}, {cell.y:>6.0f}  {named:<10}  {prediction.verdict.word:<10}"
            + (f"  ({'; '.join(said)})" if said else "")
        )
