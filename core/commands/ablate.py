"""``python -m core ablate``: what each ingredient of a small CNN gives, with several seeds."""

import argparse

from core.settings import parse_settings
from core.study_options import add_options


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "ablate", help="train variants of a CNN that differ in one thing", description=__doc__
    )
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each variant (default %(default)s)")
    add_options(parser, size=28, epochs=12)
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    from core.progress import TerminalBar
    from core.training import TrainConfig
    from core.training.ablation import BASE, MODEL, ablate
    from core.training.ranges import configured
    from core.training.repeats import summary

    plain = TrainConfig(
        dataset=options.dataset, size=options.size, model=MODEL, epochs=options.epochs, device=options.device
    )
    base = configured(plain, {**BASE, **parse_settings(options.set, "--set")})
    with TerminalBar(f"{base.size} px") as bar:
        study = ablate(base, options.seeds, name=options.study, root=options.out, report=bar)
    print(f"{study.title}, on {study.provenance['label']}\n{summary(study)}")
    return 0
