"""``python -m core report``: print the results of the shipped runs and studies, or write them into a Markdown file."""

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("report", help="print the results of all shipped runs", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace what stands between the marks of the file")
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    from core.report import BLOCKS, write_into

    if options.write:
        write_into(options.write)
    else:
        print("\n\n".join(content() for content in BLOCKS.values()))
    return 0
