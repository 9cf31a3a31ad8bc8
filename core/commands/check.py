"""``python -m core check``: what on this computer can't be used, and why; with --delete, be rid of it."""

import argparse

from core.formatting import printable


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("check", help="list what is damaged, and why", description=__doc__)
    parser.add_argument("--delete", action="append", default=[], metavar="NAME", help="delete what is listed so")
    parser.add_argument("--seal", nargs="+", default=[], metavar="RUN", help="have runs know how their files are")
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    from core.damaged import damaged_things, delete_damaged, sweep
    from core.runs import find_run, seal_run

    for name in options.seal:
        print(f"{seal_run(find_run(name)).name} knows its files now")
    for name in options.delete:
        print(f"{printable(delete_damaged(name).name)} is deleted")
    sweep()
    found = damaged_things()
    for thing in found:
        print(printable(f"{thing.kind} {thing.name}: {thing.reason}"))
    if not found:
        print("nothing is damaged")
    return 1 if found else 0
