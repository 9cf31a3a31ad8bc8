"""``python -m core datasets``: list the data sets, add your own, download one, compute the statistics that ship."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.datasets import DatasetSpec, dataset_names, get_dataset, user
from core.datasets.user import UNITS, check_folder, folder_report_text, layout_of
from core.errors import HemaLensError
from core.images.archives import folder_or_archive
from core.paths import data_root
from core.progress import TerminalBar, in_terminal


def add_parser(subparsers: Any) -> None:
    """Add ``datasets`` to the command line."""
    parser = subparsers.add_parser("datasets", help="list, download and summarize the data sets")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add_action(handler: Callable[[argparse.Namespace], int], name: str, about: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=about)
        action.set_defaults(handler=handler)
        return action

    add_action(show, "list", "the data sets, their sizes, and what is on this computer")

    action = add_action(add, "add", "make a folder of pictures, a folder a class, a data set of yours")
    action.add_argument("name", metavar="NAME", help="small letters, digits and _; all4 and bone_marrow are known")
    action.add_argument("folder", metavar="FOLDER", type=Path, help="or a ZIP of one, which is unpacked into the cache")
    action.add_argument("--title", default="", help="what the pages call it (default: its name)")
    action.add_argument("--domain", default="", help="a sentence: whose cells, which stain, which microscope")
    action.add_argument("--unit", choices=UNITS, default="cell", help="what one picture shows (default: cell)")
    action.add_argument("--stretch", action="store_true", help="squeeze oblong pictures instead of cutting the middle")
    action.add_argument("--squeeze", dest="stretch", action="store_true", help=argparse.SUPPRESS)  # its name of old
    action.add_argument("--groups", metavar="CSV", type=Path, help="columns file,group: the person or slide of each")
    action.add_argument("--table", metavar="CSV", type=Path, help="columns file,label[,slide], instead of folders")
    action.add_argument(
        "--maps-to", default="", metavar="DATASET", help="its classes under other names: another laboratory's cells"
    )
    action.add_argument("--mapping", metavar="CSV", type=Path, help="columns label,code, where names don't tell")

    action = add_action(remove, "remove", "take a data set that you added from the list; no picture is deleted")
    action.add_argument("name", metavar="NAME")

    action = add_action(download, "download", "fetch a data set's images into the data folder")
    _add_choice(action)

    action = add_action(summarize, "summarize", "compute a data set's statistics, as shown without its images")
    _add_choice(action)

    action = add_action(audit, "audit", "find copies, likely wrong labels and shortcuts in a data set")
    _add_choice(action, size="at the smallest size that is here")
    action.add_argument("--scheme", default="", help="the way to split it (default: its first)")
    action.add_argument("--json", action="store_true", help="print all of it as JSON")
    action.add_argument("--fresh", action="store_true", help="compute it anew, don't take what was kept")


def _add_choice(parser: argparse.ArgumentParser, size: str = "") -> None:
    """NAME and --size; the latter may be left out where ``size`` says what is taken then."""
    parser.add_argument("name", choices=dataset_names(), metavar="NAME", help=", ".join(dataset_names()))
    default = f" (default: {size})" if size else ""
    parser.add_argument("--size", type=int, required=not size, help=f"pixels a side, for instance 64{default}")


def show(_: argparse.Namespace) -> int:
    """Print one line a data set and size."""
    print(f"Data folder: {data_root()}")
    for name in dataset_names():
        spec = get_dataset(name)
        sizes_here = [str(size) for size in spec.sizes if spec.available(size)]
        print(f"\n{name}: {spec.title}. {spec.summary}")
        print(f"  classes: {', '.join(spec.codes)}")
        print(f"  sizes: {', '.join(map(str, spec.sizes))} px; on this computer: {', '.join(sizes_here) or 'none'}")
        print(f"  licence: {spec.licence}")
    return 0


def add(options: argparse.Namespace) -> int:
    """Register a folder, read every picture once, and tell what is there and what is wrong."""
    folder = folder_or_archive(options.folder)
    with user.restored_on_failure(options.name), TerminalBar(options.name) as bar:
        spec = user.add_dataset(
            options.name,
            folder,
            title=options.title,
            domain=options.domain,
            unit=options.unit,
            stretched=options.stretch,
            groups_table=options.groups,
            table=options.table,
            maps_to=options.maps_to,
            mapping=options.mapping,
        )
        folder_report = check_folder(spec, layout_of(spec.name), bar)
    print(folder_report_text(folder_report, spec))
    for caution in spec.cautions:
        print(f"Note: {caution}")
    if spec.maps_to:
        print(f"See how a model reads it: python -m core evaluate RUN --on {spec.name}")
    print(f"Train on it: python -m core train --dataset {spec.name} --size 64")
    return 0


def remove(options: argparse.Namespace) -> int:
    """Forget a folder."""
    user.remove_dataset(options.name)
    print(f"{options.name} is no longer in the list. Its pictures and the runs trained on it are untouched.")
    return 0


def download(options: argparse.Namespace) -> int:
    """Fetch the images of one size, with a progress bar."""
    spec = _spec(options)
    if spec.download is None:
        print(f"{spec.title} need no download.")
        return 0
    for _ in in_terminal(spec.download(options.size), f"{spec.title} {options.size} px"):
        pass
    loaded = spec.load(options.size)
    counts = ", ".join(f"{len(split)} {name}" for name, split in loaded.splits.items())
    print(f"{loaded.provenance.label}, {options.size} px: {counts} images in {loaded.provenance.path}")
    return 0


def summarize(options: argparse.Namespace) -> int:
    """Compute the statistics of one size and write them where they ship from."""
    from core.datasets.statistics import measure_texture, save_summary, save_texture
    from core.datasets.statistics import summarize as compute

    spec = _spec(options)
    with TerminalBar(f"{spec.title} {options.size} px") as bar:
        loaded = spec.load(options.size, report=bar)
    summary = compute(loaded)
    paths = (*save_summary(summary), save_texture(measure_texture(loaded)))
    print(f"{summary.provenance.label}, {summary.size} px, content {summary.provenance.content_hash}")
    for position, code in enumerate(summary.codes):
        split_counts = "  ".join(f"{split} {counts[position]:5d}" for split, counts in summary.counts.items())
        print(f"  {code:<4} {split_counts}  {summary.shares[position]:6.1%}")
    print(f"  imbalance {summary.imbalance:.1f} to 1; identical images: {summary.duplicates}")
    for path in paths:
        print(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB)")
    return 0


def audit(options: argparse.Namespace) -> int:
    """Audit a data set and print what was found."""
    from core.datasets.quality.audit import as_json
    from core.datasets.quality.audit import audit as compute
    from core.datasets.quality.audit import audit_text as in_words

    if options.size is None:
        spec = get_dataset(options.name)
        options.size = next(filter(spec.available, spec.sizes), spec.sizes[0])
    spec = _spec(options)
    if options.scheme and options.scheme not in [s.name for s in spec.schemes]:
        schemes = ", ".join(s.name for s in spec.schemes) or "one way only: leave --scheme out"
        raise HemaLensError(f"{spec.title} can't be split by {options.scheme!r}. There is: {schemes}.")
    with TerminalBar(f"Audit of {spec.title}") as bar:
        loaded = spec.load(options.size, scheme=options.scheme, report=bar)
        report = compute(loaded, bar, fresh=options.fresh)
    print(json.dumps(as_json(report), indent=1) if options.json else in_words(report, loaded))
    return 0


def _spec(options: argparse.Namespace) -> DatasetSpec:
    spec = get_dataset(options.name)
    if options.size not in spec.sizes:
        sizes = ", ".join(map(str, spec.sizes))
        raise HemaLensError(f"{spec.title} has no images of {options.size} px. Use --size with one of {sizes}.")
    return spec
