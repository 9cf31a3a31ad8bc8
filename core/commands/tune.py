"""``python -m core tune``: search for good settings of a model; several processes and machines can join in.

The same command goes on with a search that is there and adds trials to it. The search lives in an SQLite
file in your cache, or in any database that Optuna speaks to (--storage); its results are one JSON file.
"""

import argparse

from core.progress import TerminalBar
from core.settings import add_study_options, parse_settings


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command ``tune`` and its options."""
    parser = subparsers.add_parser("tune", help="search for good settings of a model", description=__doc__)
    parser.add_argument("--model", default="cnn_se")
    parser.add_argument("--trials", type=int, default=20, help="trainings to add (default %(default)s)")
    add_study_options(parser, size=28, epochs=8)
    parser.add_argument("--only", default="", metavar="NAME[,NAME]", help="search these settings only")
    parser.add_argument("--folds", type=int, default=3, help="of the cross-validation of classical models")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="begin no trial after so many seconds")
    parser.add_argument(
        "--storage", metavar="URL", help="database of the search, any that Optuna speaks to (default: a file of yours)"
    )
    parser.add_argument("--export", metavar="STUDY", help="train nothing, write the results of this search anew")
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Search, or write a search's results anew, and tell the best settings."""
    from core.training import TrainConfig
    from core.training.config import with_params
    from core.training.tune import SearchConfig, SearchSpace, cli_options, export_study, tune

    if options.export:
        study = export_study(options.export, options.dataset, options.storage, options.out)
        print(f"{study.name}: {len(study.trials)} trials")
        return 0
    chosen = parse_settings(options.set, "--set")
    recipe = TrainConfig.for_model(
        options.model,
        dataset=options.dataset,
        size=options.size,
        epochs=options.epochs,
        seed=options.seed,
        device=options.device,
    )
    only = [name.strip() for name in options.only.split(",") if name.strip()]
    base = with_params(recipe, chosen)
    search = SearchConfig(SearchSpace(base, exclude=tuple(chosen), include=tuple(only)), options.folds)
    with TerminalBar(f"{base.model} {base.size} px") as bar:
        study = tune(
            search,
            options.trials,
            name=options.study,
            storage=options.storage,
            timeout=options.timeout,
            root=options.out,
            report=bar,
        )
    states = [trial.state for trial in study.trials]
    ends = f"{states.count('pruned')} given up early, {states.count('failed')} failed"
    print(f"{study.name}: {len(states)} trials ({ends}), {study.metric}, on {study.provenance['label']}")
    if study.best:
        first = study.trials[0]
        before = f"; the recipe as it was: {first.score:.2%}" if first.state == "complete" and first.number == 0 else ""
        print(f"best: trial {study.best.number}, {study.best.score:.2%} in {study.best.seconds:.0f} s{before}")
        print(f"train it in full: python -m core train {cli_options(with_params(base, study.best.params))}")
    return 0
