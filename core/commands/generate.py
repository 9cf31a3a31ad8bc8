"""``python -m core generate``: make cells that no patient has, or train the generator that makes them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import HemaLensError
from core.progress import Progress, TerminalBar

if TYPE_CHECKING:
    from core.generator import Generator


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the command ``generate`` and its actions."""
    parser = subparsers.add_parser("generate", help="make cells that no patient has", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    action = actions.add_parser("sample", help="make cells and write them as PNG files")
    action.add_argument("out", metavar="FOLDER", type=Path, help="gets <class>/<class>_generated_<seed>_<number>.png")
    action.add_argument("--dataset", default="bloodmnist")
    action.add_argument("--class", dest="code", action="append", help="a class's code; may be repeated (default: all)")
    action.add_argument("--count", type=int, default=20, help="cells of each class (default %(default)s)")
    action.add_argument("--seed", type=int, default=0)
    action.set_defaults(handler=sample)

    action = actions.add_parser("show", help="what a generator is and how near it comes to real cells: its card")
    action.add_argument("--dataset", default="bloodmnist")
    action.set_defaults(handler=show)

    action = actions.add_parser(
        "train", help="train a generator on a data set's train split; the same command goes on where it was stopped"
    )
    action.add_argument("--dataset", default="bloodmnist")
    action.add_argument("--minutes", type=float, help="of one processor core, for both trainings together")
    action.add_argument("--judge", metavar="RUN", help="a compact network that knows these cells")
    action.add_argument("--critic", dest="judge", help=argparse.SUPPRESS)  # its former name
    action.add_argument("--seed", type=int, default=0)
    action.add_argument("--out", type=Path, help="folder for <dataset>/generator (default: your own runs)")
    action.set_defaults(handler=train)


def sample(options: argparse.Namespace) -> int:
    """Write PNG files, a folder a class; each says in its metadata what it is."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from core.generator import LABEL, generate

    generator = _find(options.dataset)
    codes = options.code or generator.codes
    if unknown := sorted(set(codes) - set(generator.codes)):
        raise HemaLensError(f"the generator makes no {', '.join(unknown)}; it makes {', '.join(generator.codes)}")
    labels = [generator.codes.index(code) for code in codes for _ in range(options.count)]
    with TerminalBar("Cells") as bar:
        cells = generate(generator, labels, options.seed, bar)
    metadata = PngInfo()
    metadata.add_text("Description", f"{LABEL} (HemaLens)")
    for number, (label, cell) in enumerate(zip(labels, cells, strict=True)):
        code = generator.codes[label]
        folder = options.out / code
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{code}_generated_{options.seed}_{number % options.count:04d}.png"
        Image.fromarray(cell).save(folder / name, pnginfo=metadata)
    print(f"{len(cells)} cells in {options.out}: {LABEL}")
    return 0


def show(options: argparse.Namespace) -> int:
    """Print the card."""
    from core.generator import CARD

    print((_find(options.dataset).path / CARD).read_text(encoding="utf-8"))
    return 0


def train(options: argparse.Namespace) -> int:
    """Train, measure and write a generator."""
    from dataclasses import replace

    from core.generator.training import GeneratorConfig, train_generator

    config = GeneratorConfig(dataset=options.dataset, seed=options.seed)
    if options.judge:
        config = replace(config, judge=options.judge)
    if options.minutes:
        scale = options.minutes / (config.autoencoder.minutes + config.flow.minutes)
        config = replace(
            config,
            autoencoder=replace(config.autoencoder, minutes=scale * config.autoencoder.minutes),
            flow=replace(config.flow, minutes=scale * config.flow.minutes),
        )
    generator = train_generator(config, root=options.out, report=_bars())
    agreement = generator.facts["figures"]["agreement"][0]["accuracy"]
    print(
        f"{generator.path}: {generator.bytes / 1e6:.1f} MB; its cells are named as they were asked for: {agreement:.1%}"
    )
    return 0


def _bars() -> Callable[[str], Callable[[Progress], None]]:
    """A new bar a stage, the former one closed."""
    bars: list[TerminalBar] = []

    def report(stage: str) -> Callable[[Progress], None]:
        for bar in bars:
            bar.close()
        bars.append(TerminalBar(stage))
        return bars[-1]

    return report


def _find(dataset: str) -> "Generator":
    from core.generator import find_generator

    generator = find_generator(dataset)
    if generator is None:
        raise HemaLensError(
            f"there is no generator of {dataset}'s cells: train one with `python -m core generate train`"
        )
    return generator
