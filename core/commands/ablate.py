"""``python -m core ablate``: what each ingredient of a small CNN gives, with several seeds."""

import argparse

from core.progress import TerminalBar
from core.settings import add_study_options, parse_settings


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command ``ablate`` and its options."""
    parser = subparsers.add_parser(
        "ablate", help="train variants of a CNN that differ in one thing", description=__doc__
    )
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each variant (default %(default)s)")
    add_study_options(parser, size=28, epochs=12)
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Train the variants and print what each gives."""
    from core.training import TrainConfig
    from core.training.config import with_params
    from core.training.studies import ABLATION_BASE, ABLATION_MODEL, run_ablation, summary_text

    plain = TrainConfig(
        dataset=options.dataset, size=options.size, model=ABLATION_MODEL, epochs=options.epochs, device=options.device
    )
    base = with_params(plain, {**ABLATION_BASE, **parse_settings(options.set, "--set")})
    with TerminalBar(f"{base.size} px") as bar:
        study = run_ablation(base, options.seeds, name=options.study, root=options.out, report=bar)
    print(f"{study.title}, on {study.provenance['label']}\n{summary_text(study)}")
    return 0
