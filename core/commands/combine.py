"""``python -m core combine RUN ...``: make one classifier of several runs, or of one run over eight views."""

import argparse
from pathlib import Path

from core.errors import HemaLensError
from core.progress import TerminalBar
from core.runs import find_run, list_runs


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "combine",
        help="average the answers of several runs, or of one over flips and turns",
        description=__doc__,
        epilog="The members stay where they are and must stay there: a combination asks them.",
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="names, their beginnings, or folders of stored runs")
    parser.add_argument(
        "--tta", type=int, choices=(1, 8), default=8, help="flips and quarter turns to average over (default 8)"
    )
    parser.add_argument(
        "--select", type=int, metavar="K", help="choose up to K of the runs on val (of all runs where none is named)"
    )
    parser.add_argument(
        "--views", dest="tta", type=int, choices=(1, 8), default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )  # former names of these two
    parser.add_argument("--best", dest="select", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--dataset", default="bloodmnist", help="with --select and no run named: whose runs")
    parser.add_argument(
        "--size", type=int, default=64, help="with --select and no run named: of which size (default 64)"
    )
    parser.add_argument("--title", default="", help="what a person reads, such as 'Five networks'")
    parser.add_argument("--force", action="store_true", help="make it again where it is there already")
    parser.add_argument("--out", type=Path, help="folder for <dataset>/<run> (default: your own runs)")
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    if not options.runs and options.select is None:
        raise HemaLensError("name the runs to combine, or how many to choose: --select 5")
    members = [find_run(name) for name in options.runs] or list_runs(options.dataset, options.size)

    from core.report import one_line
    from core.training.ensemble import combine, select_members

    if options.select is not None:
        members = select_members(members, options.select)
        print("chosen on val: " + ", ".join(member.name for member in members))
    with TerminalBar("combine") as bar:
        combination = combine(
            members,
            tta_views=options.tta,
            title=options.title,
            selected_on_val=options.select is not None,
            force=options.force,
            root=options.out,
            report=bar,
        )
    print(one_line(combination), combination.path, sep="\n")
    return 0
