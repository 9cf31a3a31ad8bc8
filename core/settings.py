"""What commands have in common on the command line: settings typed as NAME=VALUE, and the options of every command that
makes a study, or says how large things are in pictures.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.errors import HemaLensError


def parse_settings(texts: Iterable[str], option: str) -> dict[str, Any]:
    """``NAME=VALUE`` texts as a dictionary; values are JSON where they can be, else text.

    ``option`` is named in the message of the `HemaLensError` that a text without '=' raises.
    """
    chosen = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise HemaLensError(f"{option} takes NAME=VALUE, such as width=36, not {text!r}")
        try:
            chosen[name] = json.loads(value)
        except json.JSONDecodeError:
            chosen[name] = value
    return chosen


def add_scale_options(parser: argparse.ArgumentParser, *, with_side: bool = True) -> None:
    """``--um-per-px``, and ``--side`` beside it, of which one may be given; else None."""
    group = parser.add_mutually_exclusive_group()
    if with_side:
        group.add_argument(
            "--side",
            type=_pixels,
            metavar="PX",
            help="the side in px of the square cut out round a cell (default: found)",
        )
    group.add_argument(
        "--um-per-px",
        type=float,
        metavar="X",
        help="what a pixel of the pictures spans, in micrometres (0.02 to 1), which gives the side of the square "
        "(default: as all files say it, else red cells are measured)",
    )


def _pixels(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is no side in px: give a number from 1 to 10000")
    return value


def add_study_options(parser: argparse.ArgumentParser, *, size: int, epochs: int | None) -> None:
    """Data set, size, epochs, own settings, device, name and folder of a study."""
    parser.add_argument("--dataset", default="bloodmnist")
    parser.add_argument("--size", type=int, default=size, help="side of the pictures in pixels (default %(default)s)")
    epochs_text = "the model's own" if epochs is None else epochs
    parser.add_argument("--epochs", type=int, default=epochs, help=f"epochs a training (default: {epochs_text})")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a field of the training recipe or an argument of the model, such as learning_rate=0.1 or width=16",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--study", metavar="NAME", help="name of the study, where the usual one will not do")
    parser.add_argument("--out", type=Path, help="folder for <dataset>/studies/<name>.json (default: your own runs)")
