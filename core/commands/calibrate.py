"""``python -m core calibrate RUN``: measure what a run's answers are worth at laboratories that no training saw."""

import argparse

from core.runs import find_run


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``calibrate`` to the command line."""
    parser = subparsers.add_parser(
        "calibrate",
        help="measure what a run's answers are worth at other laboratories",
        description=__doc__,
        epilog="The laboratories are data sets that you added (`python -m core datasets add NAME FOLDER --maps-to`), "
        "whose cells took no part in training.",
    )
    parser.add_argument("run", metavar="RUN", help="a run's name, its beginning, or its folder")
    parser.add_argument("--on", nargs="+", metavar="NAME", help="the laboratories (default: all that you added)")
    parser.set_defaults(handler=handle)


def handle(options: argparse.Namespace) -> int:
    """Store the calibration in the run's folder, and say what it does for each laboratory while it is left out."""
    from core.datasets.pictures import read_dataset_pictures
    from core.errors import HemaLensError
    from core.evaluation.external import external_datasets, fit_external_calibration
    from core.inference.specimen import SPECIMENS
    from core.progress import TerminalBar

    run = find_run(options.run)
    names = options.on or external_datasets(run)
    if not names:
        raise HemaLensError("No laboratory was added yet: python -m core datasets add NAME FOLDER --maps-to DATASET")
    with TerminalBar(run.name) as bar:
        laboratories = [read_dataset_pictures(name, bar) for name in names]
    with TerminalBar(run.name) as bar:
        calibration, figures = fit_external_calibration(run, laboratories, bar)
    calibration.save(run.external_calibration_path)
    for key, of_specimen in figures.items():
        part = getattr(calibration, key)
        print(f"{SPECIMENS[key].title}: temperature {part.temperature:.2f}, sure from {part.confidence_threshold:.2f}")
        for name, of_lab in of_specimen.items():
            print(
                f"  {name}, left out: right {of_lab['accuracy']:.1%}; sure {of_lab['sure']:.1%}, of these right "
                f"{of_lab['right_when_sure']:.1%}; calibration error {of_lab['error']:.3f}"
            )
    print(f"kept in {run.external_calibration_path}")
    return 0
