"""``python -m core ood RUN ...``: make the file by which a run tells cells that it knows from other images."""

import argparse
from pathlib import Path

from core.runs import find_run


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "ood",
        help="let a run tell other laboratories and odd cells from the cells that it knows",
        description=__doc__,
        epilog="New runs get theirs when they are made. The cells that the run was trained on must be here.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="names, their beginnings, or folders of stored runs")
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace) -> int:
    """Write the out-of-distribution detector of each of ``options.runs``; returns the exit code."""
    from core.inference.ood import make_detector
    from core.progress import TerminalBar

    for run in [find_run(name) for name in options.runs]:
        with TerminalBar(run.name) as bar:
            make_detector(run, report=bar)
        print(f"{run.name}: {_kilobytes(run.ood_path)} in {run.ood_path}")
    return 0


def _kilobytes(path: Path) -> str:
    return f"{path.stat().st_size / 1000:.0f} kB"
