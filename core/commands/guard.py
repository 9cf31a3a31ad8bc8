"""``python -m core guard RUN ...``: make the file by which a run tells cells that it knows from strange pictures."""

import argparse
from pathlib import Path

from core.runs import find_run


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "guard",
        help="let a network tell strange pictures from the cells that it knows",
        description=__doc__,
        epilog="New networks get theirs when they are trained. The cells that the run was trained on must be here.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="names, their beginnings, or folders of stored runs")
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace) -> int:
    from core.progress import TerminalBar
    from core.serving.guarding import make_guard

    for run in [find_run(name) for name in options.runs]:
        with TerminalBar(run.name) as bar:
            make_guard(run, report=bar)
        print(f"{run.name}: {_size(run.guard_path)} in {run.guard_path}")
    return 0


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1000:.0f} kB"
