"""``python -m core train``: train one model or all of them, or continue where it was interrupted."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import HemaLensError
from core.formatting import text_table
from core.progress import TerminalBar
from core.settings import parse_settings

if TYPE_CHECKING:  # training needs torch, which the other commands needn't wait for
    from core.training.sweep import SweepResult


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("train", help="train a model and keep it as a run", description=__doc__)
    parser.add_argument("--dataset", default="bloodmnist")
    parser.add_argument("--scheme", help="way to split a data set that offers several, such as grouped or random")
    parser.add_argument("--size", type=int, help="side of the pictures in pixels (default 64)")
    parser.add_argument("--model", help="default cnn_se")
    parser.add_argument(
        "--all",
        action="store_true",
        help="train every model that has no run yet on these pictures (with options that change the recipe: no run "
        "of that recipe), the cheapest first; the same command goes on where it was stopped",
    )
    parser.add_argument(
        "--arg", action="append", default=[], metavar="NAME=VALUE", help="a model's own argument, such as width=36"
    )
    for name in ("epochs", "batch-size"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("learning-rate", "momentum", "weight-decay"):
        parser.add_argument(f"--{name}", type=float)
    parser.add_argument("--optimizer", choices=("sgd", "adamw", "adam"))
    parser.add_argument("--schedule", choices=("onecycle", "cosine"))
    parser.add_argument("--warmup", type=float, help="share of the steps in which the learning rate rises")
    parser.add_argument("--label-smoothing", type=float)
    parser.add_argument("--ema", type=float, help="decay of the averaged weights, 0 for none")
    parser.add_argument("--augment", help="augmentation recipe: none, flips, sharp, standard or stain")
    parser.add_argument("--patience", type=int, help="stop after so many epochs without a better val, 0 for never")
    parser.add_argument("--warm-start", metavar="RUN", help="begin at the weights of this run instead of from scratch")
    parser.add_argument(
        "--weights",
        choices=("imagenet",),
        help="begin at weights learned from ImageNet, for models that have them at their published width",
    )
    parser.add_argument("--distill-from", metavar="RUN[,RUN]", help="learn from these runs' answers (distillation)")
    parser.add_argument("--distill-alpha", type=float, help="those runs' share of the labels, above 0 and up to 1")
    parser.add_argument(
        "--auxiliary", metavar="DATASET", help="train on another laboratory's cells too, such as bone_marrow"
    )
    parser.add_argument(
        "--auxiliary-fraction", type=float, help="their share of each batch, between 0 and 1 (default 0.25)"
    )
    for former, current in (("start", "warm_start"), ("teacher", "distill_from"), ("beside", "auxiliary")):
        parser.add_argument(f"--{former}", dest=current, help=argparse.SUPPRESS)  # its former name
    for former, current in (("teaching", "distill_alpha"), ("beside-share", "auxiliary_fraction")):
        parser.add_argument(f"--{former}", dest=current, type=float, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument(
        "--devices",
        type=_count,
        metavar="N",
        help="how many devices train together, each with a process of its own (default 1; auto: all GPUs)",
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted training")
    parser.add_argument("--force", action="store_true", help="train again what is there already")
    parser.add_argument("--out", type=Path, help="folder for <dataset>/<run> (default: your own runs)")
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    from core.training.distributed import is_secondary

    if is_secondary():  # another process speaks for all
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as this process lives

    # Options that are left out are None and leave the model's own recipe as it is.
    command_options = ("command", "handler", "model", "all", "arg", "resume", "force", "out")
    choices = {name: value for name, value in vars(options).items() if name not in command_options}
    arguments = parse_settings(options.arg, "--arg")
    for part, required_option in (("distill_alpha", "distill_from"), ("auxiliary_fraction", "auxiliary")):
        if choices[part] is not None and not choices[required_option]:
            part, required_option = (f"--{name.replace('_', '-')}" for name in (part, required_option))
            raise HemaLensError(f"{part} says how much of {required_option}, which is not given")
    return _train_all(options, arguments, choices) if options.all else _train_one(options, arguments, choices)


def _train_one(options: argparse.Namespace, arguments: dict[str, Any], choices: dict[str, Any]) -> int:
    from core.report import one_line
    from core.training import TrainConfig, train

    name = options.model or "cnn_se"
    _check_options_apply(name, choices)
    config = TrainConfig.for_model(name, **choices, model_arguments=arguments)
    with TerminalBar(f"{config.model} {config.size} px") as bar:
        try:
            result = train(config, resume=options.resume, force=options.force, root=options.out, report=bar)
        except KeyboardInterrupt:
            bar.close()
            print("stopped; the same command with --resume continues from the last finished epoch")
            return 130
    print(one_line(result), result.path, sep="\n")
    return 0


def _check_options_apply(model: str, choices: dict[str, Any]) -> None:
    """Refuse options that mean nothing to trees, rather than to ignore them in silence."""
    from core.models import get_model
    from core.training.config import CLASSICAL_FIELDS

    if get_model(model).kind != "classical":
        return
    supported = (*CLASSICAL_FIELDS, "device", "devices", "precision")
    unsupported = [name for name, value in choices.items() if value is not None and name not in supported]
    if unsupported:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in unsupported)
        arguments_text = ", ".join(f"{k}={v}" for k, v in get_model(model).arguments.items())
        raise HemaLensError(
            f"{model} is no network and knows no {options}; what it takes is --arg with one of: {arguments_text}"
        )


def _train_all(options: argparse.Namespace, arguments: dict[str, Any], choices: dict[str, Any]) -> int:
    from core.training.distributed import is_secondary
    from core.training.sweep import plan_sweep, sweep_configs, train_all

    if options.model or options.force:
        raise HemaLensError("--all trains every model that has no run yet: it goes with neither --model nor --force")
    device_options = ("dataset", "size", "device", "devices", "precision")
    recipe_changed = arguments or any(v is not None for name, v in choices.items() if name not in device_options)
    # Who changes the recipe wants runs of that recipe; who doesn't wants every model to have a run.
    jobs = plan_sweep(sweep_configs(arguments, **choices), any_recipe=not recipe_changed)
    missing = sum(job.existing is None for job in jobs)
    minutes = sum(job.estimated_seconds for job in jobs) / 60
    print(f"{len(jobs)} models, {missing} to train, about {minutes:.0f} min on this computer")
    with TerminalBar("all") as bar:
        try:
            outcomes = train_all(jobs, root=options.out, report=bar)
        except KeyboardInterrupt:
            bar.close()
            print("stopped; the same command goes on where it was")
            return 130
    print(_table(outcomes))
    # A helper that ended badly would take the leader with it, which may still be at work.
    return 1 if any(outcome.error for outcome in outcomes) and not is_secondary() else 0


def _table(outcomes: "list[SweepResult]") -> str:
    """A line a model, best on val first, failures last: val, test with its 95 % interval, seconds, run."""
    rows = [("model", "val", "test (95 % interval)", "seconds", "run")]
    for outcome in sorted(outcomes, key=lambda o: -o.run.metrics["val"]["accuracy"] if o.run else 0.0):
        model = outcome.job.config.model
        if outcome.run is None:
            rows.append((model, "-", "-", "-", f"failed: {outcome.error}"))
            continue
        val, test = outcome.run.metrics["val"], outcome.run.metrics["test"]
        low, high = test["accuracy_interval"]
        seconds = "there already" if outcome.seconds is None else f"{outcome.seconds:,.0f}"
        accuracy = f"{test['accuracy']:.2%} ({low:.2%} to {high:.2%})"
        rows.append((model, f"{val['accuracy']:.2%}", accuracy, seconds, outcome.run.name))
    return text_table(rows)


def _count(text: str) -> int:
    return 0 if text == "auto" else int(text)
