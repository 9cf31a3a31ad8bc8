"""``python -m core report``: print the results table of the shipped runs, or write it into a Markdown file."""

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("report", help="print the results of all shipped runs", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace the table between the file's two marks")
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    from core.report import shipped_table, write_into

    if options.write:
        write_into(options.write)
    else:
        print(shipped_table())
    return 0
