"""Are cells of other laboratories framed where they lie and as large as models know them, and how fast?

For each set that is there: how often the frame's centre lies in the middle half of the hand-drawn box (BCCD, Chula) or
within 15 px of the nucleus (the originals of BloodMNIST, against a slower search at full size, put right by eye), the
side that the red cells give beside those at which labelled trials were best, the same for batches of 25, in how many
windows beside the white cell one is found nevertheless (the window alone, and among the set's pictures; a few hold a
platelet or another white cell), and the processor's time a picture in one thread.
``python -m benchmarks.framing [--labs DIR] [--originals DIR] [--sheets DIR]``: DIR of the labs holds
``<name>_cells/labels.csv`` with columns file, label and, where known, xmin, ymin, xmax, ymax; that of the originals a
folder a class. ``--sheets`` writes pictures of 50 cells a set, the farthest off first.
"""

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from benchmarks.reporting import publish
from core.datasets.base import get_dataset
from core.images.framing import MeasuredPicture, crop_batch, measure_batch
from core.images.nucleus import WhiteCell, find_white_cell
from core.images.red_cells import MAX_MEASURED, RED_CELL_SHARE, measure_red_cells, nucleus_side

# Sides in px of the frame between which robust networks read each lab best, found with its labels.
BEST = {"bccd": (215, 250), "chula": (180, 210), "raabin": (225, 255), "originals": (200, 200)}
NEAR = 15  # px of the originals
# Where the reference search takes cytoplasm for nucleus or misses a far lobe: x, y read off the originals by eye.
BY_EYE = {"MO_719729": (183, 213), "EO_388531": (172, 172), "MO_103756": (181, 140), "ERB_163533": (196, 187)}
BATCH, BATCHES = 25, 20
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Lab:
    """``pictures`` uint8 (H, W, 3) and the ``boxes`` of their cells, where these are known."""

    name: str
    pictures: list[np.ndarray]
    boxes: list[Box | None]
    files: list[str]


def _open(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def read_lab(folder: Path) -> Lab:
    """The lab in ``folder`` (``<name>_cells``)."""
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    sides = ("xmin", "ymin", "xmax", "ymax")
    boxes = [tuple(float(r[s]) for s in sides) if "xmin" in r else None for r in rows]
    files = [r["file"] for r in rows]
    return Lab(folder.name.removesuffix("_cells"), [_open(folder / f) for f in files], boxes, files)


def read_originals(folder: Path) -> Lab:
    """The original crops in ``folder``/<class>/."""
    files = [p for p in sorted(folder.glob("*/*")) if p.is_file()]
    return Lab("originals", [_open(p) for p in files], [None] * len(files), [p.stem for p in files])


def reference_nucleus(pixels: np.ndarray) -> tuple[float, float]:
    """Centre of mass of the nucleus of a well stained original, by another way: the red channel at full size.

    The darkest of four clusters of red values, its parts of 40 px and more, those near the part nearest to the middle.
    """
    red = pixels[..., 0].astype(float)
    centres = np.quantile(red, [0.02, 0.3, 0.6, 0.95])
    for _ in range(12):
        nearest = np.abs(red[..., None] - centres).argmin(-1)
        centres = np.array([red[nearest == k].mean() if (nearest == k).any() else centres[k] for k in range(4)])
    mask = ndimage.binary_opening(nearest == 0, iterations=2)
    labels, count = ndimage.label(mask)
    areas = ndimage.sum_labels(mask, labels, range(1, count + 1))
    large = [i + 1 for i in range(count) if areas[i] >= 40]
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    off = np.hypot(x - mask.shape[1] / 2, y - mask.shape[0] / 2)
    first = min(large, key=lambda i: np.median(off[labels == i]))
    far = ndimage.distance_transform_edt(labels != first)
    members = [i for i in large if far[labels == i].min() < 45 and far[labels == i].max() < 130]
    rows, columns = np.nonzero(np.isin(labels, members))
    return float(columns.mean()), float(rows.mean())


def centred(lab: Lab, cells: list[WhiteCell | None]) -> tuple[np.ndarray, str]:
    """How far each frame's centre is off (N,), 1 being the most that is allowed, and what that means."""
    off = np.full(len(cells), np.inf)
    for i, (cell, box) in enumerate(zip(cells, lab.boxes, strict=True)):
        if cell is None:
            continue
        if box is not None:
            box_left, top, right, bottom = box
            across = abs(cell.x - (box_left + right) / 2) / ((right - box_left) / 4)
            off[i] = max(across, abs(cell.y - (top + bottom) / 2) / ((bottom - top) / 4))
        elif lab.name == "originals":
            x, y = BY_EYE.get(lab.files[i]) or reference_nucleus(lab.pictures[i])
            off[i] = np.hypot(cell.x - x, cell.y - y) / NEAR
        else:
            height, width = lab.pictures[i].shape[:2]
            off[i] = max(abs(cell.x - width / 2) / width, abs(cell.y - height / 2) / height) / 0.1
    if lab.boxes[0] is not None:
        return off, "middle half of the box"
    return off, f"{NEAR} px of the nucleus" if lab.name == "originals" else "a tenth of the middle"


def windows(lab: Lab, cells: list[WhiteCell | None], red_cell: float) -> list[np.ndarray]:
    """What lies beside the white cells: of each picture the strips to all sides that are wider than a red cell."""
    strips = []
    for pixels, cell, box in zip(lab.pictures, cells, lab.boxes, strict=True):
        height, width = pixels.shape[:2]
        boxes = [b for b in (box, cell.box if cell else None) if b is not None]
        if not boxes:
            continue
        rim = 0.15 * red_cell
        left, top = (max(0, int(min(b[k] for b in boxes) - rim)) for k in (0, 1))
        right, bottom = (int(max(b[k] for b in boxes) + rim) for k in (2, 3))
        strips += [pixels[:, :left], pixels[:, right:], pixels[:top], pixels[bottom:]]
    return [s for s in strips if min(s.shape[:2]) >= 1.1 * red_cell]


def measure(lab: Lab) -> tuple[dict[str, object], list[WhiteCell | None], np.ndarray]:
    """One row of the table, the cells found, and how far off each is."""
    spec = get_dataset("bloodmnist")
    started = time.process_time()
    ruler = measure_red_cells(lab.pictures)
    ruling = (time.process_time() - started) / min(MAX_MEASURED, len(lab.pictures))
    started = time.process_time()
    cells = [find_white_cell(p, ruler.diameter if ruler else None) for p in lab.pictures]
    finding = (time.process_time() - started) / len(cells)
    started = time.process_time()
    batch = crop_batch(lab.pictures, spec, 64)
    framing = (time.process_time() - started) / len(cells)
    off, meaning = centred(lab, cells)
    strips = windows(lab, cells, ruler.diameter) if ruler else []
    taken = [find_white_cell(w, ruler.diameter) for w in strips]
    batch_scale = measure_batch([MeasuredPicture(p) for p in lab.pictures], spec)
    among = [f for f in taken if f and f.contrast >= batch_scale.min_contrast]
    rng = np.random.default_rng(0)
    sides = []
    for _ in range(BATCHES):
        some = [lab.pictures[i] for i in rng.choice(len(lab.pictures), min(BATCH, len(lab.pictures)), replace=False)]
        small = measure_red_cells(some)
        sides.append(small.diameter / RED_CELL_SHARE if small else np.nan)
    row = {
        "set": lab.name,
        "pictures": len(cells),
        "no cell found": sum(f is None for f in cells),
        "centred": float((off <= 1).mean()),
        "within": meaning,
        "side by red cells": ruler.diameter / RED_CELL_SHARE if ruler else None,
        "by nuclei": nucleus_side(cells),
        "best": "{} to {}".format(*BEST[lab.name]) if lab.name in BEST else None,
        f"least of {BATCHES} x {BATCH}": float(np.nanmin(sides)),
        "most": float(np.nanmax(sides)),
        "not measured": int(np.isnan(sides).sum()),
        "windows": len(strips),
        "a cell in": sum(f is not None for f in taken) / max(1, len(strips)),
        "in the batch": len(among) / max(1, len(strips)),
        "used": batch.scale.source,
        "find ms": finding * 1000,
        "measure ms": ruling * 1000,
        "frame ms": framing * 1000,
    }
    return row, cells, off


def sheet(
    lab: Lab, found_cells: list[WhiteCell | None], off: np.ndarray, cells: int = 50, columns: int = 10, side: int = 190
):
    """A picture of the ``cells`` farthest off: the cell's box, the centre, and the box by hand in red."""
    order = np.argsort(-off, kind="stable")[:cells]
    canvas = Image.new("RGB", (columns * side, -(-len(order) // columns) * side))
    for place, i in enumerate(order):
        image = Image.fromarray(lab.pictures[i])
        zoom = (side - 4) / max(image.size)
        image = image.resize((round(image.width * zoom), round(image.height * zoom)))
        draw = ImageDraw.Draw(image)
        if lab.boxes[i] is not None:
            draw.rectangle([v * zoom for v in lab.boxes[i]], outline=(255, 0, 0))
        if found_cells[i] is not None:
            x, y = found_cells[i].x * zoom, found_cells[i].y * zoom
            draw.rectangle([v * zoom for v in found_cells[i].box], outline=(0, 255, 255))
            draw.line((x - 6, y, x + 6, y), fill=(255, 255, 0), width=2)
            draw.line((x, y - 6, x, y + 6), fill=(255, 255, 0), width=2)
        canvas.paste(image, ((place % columns) * side, (place // columns) * side))
    return canvas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labs", type=Path, help="folder with <name>_cells/labels.csv")
    parser.add_argument("--originals", type=Path, help="folder of original crops, one folder a class")
    parser.add_argument("--sheets", type=Path, help="where to write pictures of 50 cells a set")
    arguments = parser.parse_args()
    labs = [read_lab(p.parent) for p in sorted(arguments.labs.glob("*_cells/labels.csv"))] if arguments.labs else []
    if arguments.originals:
        labs.insert(0, read_originals(arguments.originals))
    if not labs:
        parser.error("name a folder with --labs or --originals")
    rows = []
    for lab in labs:
        row, cells, off = measure(lab)
        rows.append(row)
        if arguments.sheets:
            arguments.sheets.mkdir(parents=True, exist_ok=True)
            sheet(lab, cells, off).save(arguments.sheets / f"{lab.name}.png")
    publish("framing", rows)


if __name__ == "__main__":
    main()
