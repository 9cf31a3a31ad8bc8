"""``python -m core alarm RUN ...``: make the file by which a run's answers raise the alarm for abnormal cells."""

import argparse

from core.runs import find_run


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``alarm`` to the command line."""
    parser = subparsers.add_parser(
        "alarm",
        help="let a network raise the alarm for blasts and other abnormal cells",
        description=__doc__,
        epilog="It learns from the blasts of bone_marrow and all4, and from normal cells of the run's own data set and "
        "of the laboratories that you added; what is not on this computer is left out, which is said.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="names, their beginnings, or folders of stored runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace) -> int:
    """Write the alarm of each of ``options.runs``, and say what it does on test cells; returns the exit code."""
    from core.progress import TerminalBar
    from core.training.alarm import make_alarm

    for run in [find_run(name) for name in options.runs]:
        with TerminalBar(run.name) as bar:
            figures, missing = make_alarm(run, bar, options.seed)
        print(f"{run.name}: {run.alarm_path.stat().st_size / 1000:.0f} kB in {run.alarm_path}")
        for name, area in figures["auroc"].items():
            print(f"  AUROC {name}: {area:.3f}")
        for name, share in figures["test"].items():
            print(f"  raised by {share['raised']:.1%} of {share['cells']:,} cells: {name}")
        for name, share in figures["left_out"].items():
            print(f"  raised by {share['raised']:.1%} of {share['cells']:,} cells: {name}, left out of the fit")
        for name in missing:
            print(f"  not here: {name}")
    return 0
