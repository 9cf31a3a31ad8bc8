"""``python -m core COMMAND``: the shell's way into the core. Commands live in `core.commands`."""

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence

import core.commands
from core import __version__
from core.errors import HemaLensError, plain_reason
from core.formatting import printable

# Commands and actions under their former names, which scripts may still type.
_FORMER_COMMANDS = {"guard": "ood"}
_FORMER_ACTIONS = {"lab anchors": ["lab", "exemplars"]}


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; a command is added by adding one module to `core.commands`."""
    parser = argparse.ArgumentParser(
        prog="python -m core",
        description="HemaLens: train, evaluate and use blood-cell classifiers. Research use, not a medical device.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in pkgutil.iter_modules(core.commands.__path__):
        importlib.import_module(f"core.commands.{module.name}").add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 well, 1 an error told in one line, 2 wrong usage, 130 Ctrl-C, 141
    nobody reads on).

    A command's parser sets ``handler``, a function of the parsed arguments that returns the status.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    words[:1] = [_FORMER_COMMANDS.get(word, word) for word in words[:1]]
    words[:2] = _FORMER_ACTIONS.get(" ".join(words[:2]), words[:2])
    parsed = build_parser().parse_args(words)
    try:
        status = parsed.handler(parsed)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except HemaLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a folder that can't be made, a disk that is full
        name = f"{printable(str(error.filename))}: " if error.filename else ""
        print(f"error: {name}{plain_reason(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
