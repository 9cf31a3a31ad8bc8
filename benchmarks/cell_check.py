"""Is a cell told from what is none? Figures of `core.images.cell_check`, and the network behind it made anew.

``python -m benchmarks.cell_check [--labs DIR] [--originals DIR] [--marrow DIR] [--fields DIR] [--photos DIR ...]``

Each row: pictures of one kind, the share of them that is called a cell, what all are called, and the processor's time a
picture. Cells should be called cells, all others not. What is not on this computer is left out and said. DIR of the
labs holds ``<name>_cells/labels.csv``, those of the originals and of the marrow a folder a class, that of the fields
``<name>/boxes.csv`` (file, kind, xmin, ymin, xmax, ymax), those of photographs any pictures.

``--fit FILE`` first fits the network on these pictures, on BloodMNIST's train cells and on drawn ones, writes it into
FILE (the shipped one is ``pretrained/cell_check.onnx``) and measures that one. ``--leave-out NAME ...`` leaves sources
(families, laboratories, ``LAB_red``, ``LAB_field``, ``LAB_several``, ``LAB_alone``) out of the fit: their rows tell how
it reads what it never met.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import cell_groups, non_cells
from benchmarks.framing import read_lab, read_originals
from benchmarks.reporting import publish
from core.datasets import DatasetUnavailable, get_dataset
from core.datasets.synthetic import draw_cells
from core.images import cell_check
from core.images.cell_check import CellCheck, check_crops, check_pictures
from core.images.framing import MeasuredPicture, measure_batch

Row = dict[str, object]
_SHARES = (1.0, 1.3, 1.7, 2.2)  # of a cell's size: squares cut out of fields


def row(name: str, checks: Sequence[CellCheck], milliseconds: float) -> Row:
    """One row of the table."""
    kinds = Counter(check.kind for check in checks)
    return {
        "pictures": name,
        "n": len(checks),
        "called a cell %": 100 * float(np.mean([check.is_cell for check in checks])),
        "called": ", ".join(f"{kind} {number}" for kind, number in kinds.most_common()),
        "ms": milliseconds,
    }


def of_crops(name: str, crops: np.ndarray) -> Row:
    """How ``crops`` uint8 (N, S, S, 3) are called."""
    started = time.process_time()
    checks = [check for start in range(0, len(crops), 16) for check in check_crops(crops[start : start + 16])]
    return row(name, checks, 1000 * (time.process_time() - started) / len(crops))


def of_pictures(name: str, pixels: Sequence[np.ndarray]) -> Row:
    """How pictures uint8 (H, W, 3) of one laboratory are called, framed for BloodMNIST's models."""
    spec = get_dataset("bloodmnist")
    pictures = [MeasuredPicture(p, f"{number:06}") for number, p in enumerate(pixels)]
    batch_scale = measure_batch(pictures, spec)
    crops = [batch_scale.window(picture).crop(picture.pixels, 64, spec) for picture in pictures]
    started = time.process_time()
    checks = [
        check
        for start in range(0, len(pictures), 16)
        for check in check_pictures(pictures[start : start + 16], crops[start : start + 16], spec)
    ]
    return row(name, checks, 1000 * (time.process_time() - started) / len(pictures))


def rows(
    labs: Path | None,
    originals: Path | None,
    marrow: Path | None,
    fields: Path | None,
    photos: Sequence[Path],
    each: int,
) -> Iterator[Row]:
    """The table; folders as on the command line."""
    from benchmarks import cell_check_fit  # PyTorch is needed to fit only; its readers of pictures are used here

    for size in (28, 64):
        try:
            yield of_crops(
                f"cells: BloodMNIST test, {size} px", np.asarray(get_dataset("bloodmnist").load(size)["test"].images)
            )
        except DatasetUnavailable as error:
            print(f"left out: {error}")
    yield of_crops("cells: drawn", draw_cells(np.arange(160) % 8, 64, 9))
    if originals:
        pictures = read_originals(originals)
        yield of_pictures("cells: originals", pictures.pictures)
        white = [
            p for p, file in zip(pictures.pictures, pictures.files, strict=True) if not file.startswith("PLATELET")
        ]
        yield from _laid_together("originals", white, each)
    for folder in sorted(labs.glob("*_cells")) if labs else ():
        name, pixels = folder.name.removesuffix("_cells"), read_lab(folder).pictures
        yield of_pictures(f"cells: {name}", pixels)
        yield from _laid_together(name, pixels, each)
    for folder in sorted(p for p in marrow.iterdir() if p.is_dir()) if marrow else ():
        paths = cell_check_fit.pictures_under(folder)
        yield of_pictures(f"cells: marrow {folder.name}", [cell_check_fit.read_square(p) for p in paths])
    for family, _, drawn in non_cells.families(each, 64, seed=77):
        yield of_crops(f"none: {family}", drawn)
    for boxes in sorted(fields.glob("*/boxes.csv")) if fields else ():
        name = boxes.parent.name
        for share, lone in zip(_SHARES, cell_groups.lone_on_fields(boxes.parent, _SHARES), strict=True):
            yield of_pictures(f"cells: {name}, cut out of fields {share} times as large", lone)
        yield of_pictures(f"none: {name}, two cells cut out of fields", cell_groups.pairs_on_fields(boxes.parent))
        windows = cell_check_fit.windows_without_white_cells(boxes.parent, seed=9)
        yield of_crops(f"none: {boxes.parent.name}, red cells only", windows)
        paths = cell_check_fit.pictures_under(boxes.parent)
        yield of_pictures(f"none: {boxes.parent.name}, fields", [cell_check_fit.read_square(p) for p in paths])
    for folder in photos:
        windows = cell_check_fit.photograph_windows(cell_check_fit.pictures_under(folder), 8, seed=9)
        yield of_crops(f"none: {folder.name}", windows)


def _laid_together(name: str, pixels: Sequence[np.ndarray], each: int) -> Iterator[Row]:
    """Cells of one laboratory in pictures ``pixels`` laid together: several, and one with pieces of its neighbours."""
    from benchmarks.cell_check_fit import cell_pictures

    cells, rng = cell_pictures(pixels, 300), np.random.default_rng(99)
    yield of_pictures(f"none: {name}, several laid together", list(cell_groups.several(cells, rng, each, 300)))
    yield of_pictures(f"cells: {name}, neighbours cut off", list(cell_groups.alone(cells, rng, each, 240)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("labs", "originals", "marrow", "fields"):
        parser.add_argument(f"--{name}", type=Path, help="see above")
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="folders of pictures that show no cell")
    parser.add_argument("--each", type=int, default=200, help="drawn pictures of a family (default 200)")
    parser.add_argument("--fit", type=Path, help="fit the network, write it here, measure it")
    parser.add_argument("--leave-out", nargs="*", default=[], help="names of sources that the fit does without")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.fit:
        from benchmarks import cell_check_fit

        found = cell_check_fit.sources(options.labs, options.fields, options.marrow, options.photos)
        used = {name: source for name, source in found if name not in options.leave_out}
        seeds = range(options.seed, options.seed + cell_check_fit.NETWORKS)
        networks = [cell_check_fit.fit(used, seed, report=_tell) for seed in seeds]
        cell_check_fit.write(networks, options.fit, used)
        cell_check.NETWORK_PATH = options.fit
    folders = options.labs, options.originals, options.marrow, options.fields
    publish("cell_check", list(rows(*folders, options.photos, options.each)), left_out=options.leave_out)


def _tell(step: int, steps: int, loss: float) -> None:
    if step % 100 == 0:
        print(f"step {step} of {steps}: loss {loss:.3f}", flush=True)


if __name__ == "__main__":
    main()
