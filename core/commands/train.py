"""``python -m core train``: train one model, or continue where it was interrupted."""

import argparse
import json
from pathlib import Path
from typing import Any

from core.errors import HemaLensError


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("train", help="train a model and keep it as a run", description=__doc__)
    parser.add_argument("--dataset", default="bloodmnist")
    parser.add_argument("--size", type=int, help="side of the pictures in pixels (default 64)")
    parser.add_argument("--model", default="cnn_se")
    parser.add_argument(
        "--arg", action="append", default=[], metavar="NAME=VALUE", help="a model's own argument, such as width=36"
    )
    for name, kind in (
        ("epochs", int),
        ("batch-size", int),
        ("learning-rate", float),
        ("momentum", float),
        ("weight-decay", float),
    ):
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--optimizer", choices=("sgd", "adamw", "adam"))
    parser.add_argument("--schedule", choices=("onecycle", "cosine"))
    parser.add_argument("--warmup", type=float, help="share of the steps in which the learning rate rises")
    parser.add_argument("--label-smoothing", type=float)
    parser.add_argument("--ema", type=float, help="decay of the averaged weights, 0 for none")
    parser.add_argument("--augment", help="augmentation recipe: none, flips, sharp or standard")
    parser.add_argument("--patience", type=int, help="stop after so many epochs without a better val, 0 for never")
    parser.add_argument("--start", metavar="RUN", help="begin at the weights of this run instead of from scratch")
    parser.add_argument("--teacher", metavar="RUN[,RUN]", help="learn from these runs' answers (distillation)")
    parser.add_argument("--teaching", type=float, help="the teachers' share of the labels, above 0 and up to 1")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--resume", action="store_true", help="continue an interrupted training")
    parser.add_argument("--force", action="store_true", help="train again what is there already")
    parser.add_argument("--out", type=Path, help="folder for <dataset>/<run> (default: your own runs)")
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    from core.progress import TerminalBar
    from core.training import TrainConfig, train

    # Options that are left out are None and leave the model's own recipe as it is.
    own = ("command", "handler", "model", "arg", "resume", "force", "out")
    choices = {name: value for name, value in vars(options).items() if name not in own}
    config = TrainConfig.for_model(options.model, **choices, model_arguments=dict(map(_argument, options.arg)))
    with TerminalBar(f"{config.model} {config.size} px") as bar:
        try:
            result = train(config, resume=options.resume, force=options.force, root=options.out, report=bar)
        except KeyboardInterrupt:
            bar.close()
            print("stopped; the same command with --resume continues from the last finished epoch")
            return 130
    test = result.metrics["test"]
    low, high = test["accuracy_interval"]
    print(
        f"{result.name}: test accuracy {test['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%}, "
        f"n = {test['n']:,}), val {result.metrics['val']['accuracy']:.2%}, on {result.provenance}\n{result.path}"
    )
    return 0


def _argument(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise HemaLensError(f"--arg takes NAME=VALUE, such as width=36, not {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
