"""What the commands that make studies have in common on the command line."""

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser, *, size: int, epochs: int | None) -> None:
    """Data set, size, epochs, own settings, device, name and folder of a study."""
    parser.add_argument("--dataset", default="bloodmnist")
    parser.add_argument("--size", type=int, default=size, help="side of the pictures in pixels (default %(default)s)")
    told = "the model's own" if epochs is None else epochs
    parser.add_argument("--epochs", type=int, default=epochs, help=f"epochs a training (default: {told})")
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
