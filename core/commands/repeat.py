"""``python -m core repeat``: train one recipe with several seeds, to see what the seed decides."""

import argparse

from core.settings import parse_settings
from core.study_options import add_options


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("repeat", help="train one recipe with several seeds", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--seeds", type=int, default=3, help="number of trainings (default %(default)s)")
    add_options(parser, size=28, epochs=None)
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    from core.progress import TerminalBar
    from core.training import TrainConfig
    from core.training.ranges import configured
    from core.training.repeats import seeds_study, summary

    recipe = TrainConfig.for_model(
        options.model, dataset=options.dataset, size=options.size, epochs=options.epochs, device=options.device
    )
    base = configured(recipe, parse_settings(options.set, "--set"))
    with TerminalBar(f"{base.model} {base.size} px") as bar:
        study = seeds_study(base, options.seeds, name=options.study, root=options.out, report=bar)
    print(f"{study.title}, on {study.provenance['label']}\n{summary(study)}")
    return 0
