"""``python -m core repeat``: train one recipe with several seeds, to see what the seed decides."""

import argparse

from core.progress import TerminalBar
from core.settings import add_study_options, parse_settings


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command ``repeat`` and its options."""
    parser = subparsers.add_parser("repeat", help="train one recipe with several seeds", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--seeds", type=int, default=3, help="number of trainings (default %(default)s)")
    add_study_options(parser, size=28, epochs=None)
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Train with each seed and print the spread."""
    from core.training import TrainConfig
    from core.training.config import with_params
    from core.training.studies import run_seeds, summary_text

    recipe = TrainConfig.for_model(
        options.model, dataset=options.dataset, size=options.size, epochs=options.epochs, device=options.device
    )
    base = with_params(recipe, parse_settings(options.set, "--set"))
    with TerminalBar(f"{base.model} {base.size} px") as bar:
        study = run_seeds(base, options.seeds, name=options.study, root=options.out, report=bar)
    print(f"{study.title}, on {study.provenance['label']}\n{summary_text(study)}")
    return 0
