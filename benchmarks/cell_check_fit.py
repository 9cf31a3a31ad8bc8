"""The network of `core.images.cell_check`: where its training pictures come from, how they are varied, how it is fitted
and written. ``python -m benchmarks.cell_check --fit`` runs it; the same seed on the same pictures gives the same file.
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import cell_groups
from benchmarks.cell_groups import CellPictures
from benchmarks.framing import read_lab
from benchmarks.non_cells import FAMILIES, draw_family, montage, with_surroundings
from core.datasets import DatasetUnavailable, get_dataset
from core.datasets.synthetic import draw_cells
from core.datasets.tables import read_rows
from core.images.cell_check import INPUT, KINDS, OUTPUT, SIDE, CellKind
from core.images.decode import SUFFIXES, decode
from core.images.framing import MeasuredPicture, measure_batch
from core.images.nucleus import find_white_cell
from core.storage import write_bytes

NETWORKS = 2  # whose answers are averaged: what one takes for a cell by chance the other hardly does
EXAMPLES, STEPS, BATCH, PEAK_RATE = 64_000, 1000, 160, 0.012
_CELL_SIDE, _OTHER_SIDE = 112, 72  # px at which sources are kept: cells with surroundings, all others
_LIKE_CELLS = ("clouds", "balls", "forms", "signs", "gradients")  # drawings that need many examples
_MARROW_SHARE = 0.62  # of a marrow crop's side: what is cut out round its cell
_BLURRED_SHARE = 0.05  # of the pictures, blurred until nothing can be told
# A red cell's diameter on the fields, px; and windows without a white cell are from so many to so many diameters wide.
_RED_CELL = {"bccd": 91, "chula": 81}
_WINDOW = (1.6, 5.0)


@dataclass(frozen=True)
class Source:
    """Pictures of one ``kind`` and origin: ``pixels`` uint8 (N, S, S, 3), ``weight`` in the training.

    ``places`` (N, 3): where in each the cell lies (x, y, 0 to 1) and which share of the side its frame spans.
    ``zoom``: least and largest part of the frame (of the picture, for what is no cell) that is shown; ``surroundings``:
    whether up to the whole picture may be. ``stained``: whether stain and lamp are varied.
    """

    kind: CellKind
    pixels: np.ndarray
    weight: float
    places: np.ndarray
    zoom: tuple[float, float] = (0.8, 1.0)
    surroundings: bool = False
    stained: bool = False


def read_square(path: Path) -> np.ndarray:
    """The picture in ``path``, uint8 (H, W, 3)."""
    return decode(path.read_bytes(), path.name).pixels


def pictures_under(folder: Path) -> list[Path]:
    """All pictures in ``folder`` and below, in their order."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)


def squeezed(pixels: np.ndarray, side: int) -> np.ndarray:
    """``pixels`` uint8 (H, W, 3) as a square of ``side`` px."""
    kind = Image.Resampling.BOX if min(pixels.shape[:2]) >= side else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize((side, side), kind, reducing_gap=2.0))


def windows_without_white_cells(folder: Path, seed: int = 0, each: int = 8) -> np.ndarray:
    """Windows uint8 (N, 96, 96, 3) of the fields in ``folder`` in which no white cell is marked or found, nor a
    platelet in the middle.
    """
    rng, red_cell = np.random.default_rng(seed), _RED_CELL.get(folder.name, 85)
    windows = []
    for file, boxes in _boxes(folder).items():
        pixels, taken = read_square(folder / file), 0
        height, width = pixels.shape[:2]
        for _ in range(60):
            side = int(red_cell * np.exp(rng.uniform(*np.log(_WINDOW))))
            if side > min(height, width) or taken == each:
                continue
            x, y = (int(rng.integers(0, room - side + 1)) for room in (width, height))
            window = pixels[y : y + side, x : x + side]
            if not any(_spoils(box, x, y, side, 0.1 * red_cell) for box in boxes) and not find_white_cell(
                window, red_cell
            ):
                windows.append(squeezed(window, 96))
                taken += 1
    return np.stack(windows)


def _boxes(folder: Path) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    boxes: dict[str, list[tuple[str, tuple[float, ...]]]] = {}
    for row in read_rows(folder / "boxes.csv"):
        box = tuple(float(row[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
        boxes.setdefault(row["file"], []).append((row["kind"], box))
    return boxes


def _spoils(box: tuple[str, tuple[float, ...]], x: int, y: int, side: int, rim: float) -> bool:
    """Whether a white cell reaches into the window at (x, y), or a platelet lies in its middle."""
    kind, (left, top, right, bottom) = box
    if kind == "white cell":
        return x < right + rim and x + side > left - rim and y < bottom + rim and y + side > top - rim
    middle = abs((left + right) / 2 - x - side / 2), abs((top + bottom) / 2 - y - side / 2)
    return kind == "platelet" and max(middle) < 0.35 * side


def photograph_windows(paths: Sequence[Path], each: int, seed: int = 0, least: float = 0.08) -> np.ndarray:
    """Each picture of ``paths`` whole, its central square and ``each`` - 2 windows of any size: uint8 (N, 128, 128, 3).

    A picture with transparency counts as it is decoded.
    """
    rng, windows = np.random.default_rng(seed), []
    for path in paths:
        pixels = read_square(path)
        height, width = pixels.shape[:2]
        shorter = min(height, width)
        windows.append(squeezed(pixels, 128))
        for k in range(1, each):
            share = 1.0 if k == 1 else float(np.exp(rng.uniform(np.log(least), 0)))
            side = min(shorter, max(40, int(shorter * share)))
            x, y = (int(rng.integers(0, room - side + 1)) for room in (width, height))
            windows.append(squeezed(pixels[y : y + side, x : x + side], 128))
    return np.stack(windows)


def cell_pictures(pictures: Sequence[np.ndarray], side: int) -> CellPictures:
    """``pictures`` uint8 (H, W, 3) of one laboratory at ``side`` px, with their cells as the framing finds them."""
    measured = [MeasuredPicture(pixels) for pixels in pictures]
    batch_scale = measure_batch(measured, get_dataset("bloodmnist"))
    places = []
    for picture in measured:
        window, (height, width) = batch_scale.window(picture), picture.shape
        left, top, right, bottom = window.crop(picture.pixels, _CELL_SIDE, get_dataset("bloodmnist")).box
        x, y = (window.cell.x, window.cell.y) if window.cell else ((left + right) / 2, (top + bottom) / 2)
        places.append((x / width, y / height, min(1.0, (right - left) / width)))
    return CellPictures(np.stack([squeezed(pixels, side) for pixels in pictures]), np.array(places, np.float32))


def sources(
    labs: Path | None, fields: Path | None, marrow: Path | None, photos: Sequence[Path]
) -> Iterator[tuple[str, Source]]:
    """All that the network is fitted on, by name; folders as `benchmarks.cell_check` takes them, None: left out."""
    rng = np.random.default_rng(3)
    home = get_dataset("bloodmnist").load(64)["train"]
    chosen = np.sort(rng.permutation(len(home))[:5400])
    cells, labels = np.asarray(home.images[chosen]), np.asarray(home.labels)[chosen]
    yield "home", _source("cell", cells, 1500, zoom=(0.72, 1.02), stained=True)
    is_platelet = labels == get_dataset("bloodmnist").codes.index("PLT")
    around = cells[is_platelet]
    wide = with_surroundings(cells, around, rng, 700)
    yield "home_wide", _source("cell", wide, 220, share=0.43, zoom=(0.9, 1.35), surroundings=True, stained=True)
    drawn = np.concatenate([draw_cells(np.arange(160) % 8, 96, seed) for seed in (1, 2)])
    yield "drawn_cells", _source("cell", drawn, 150, stained=True)
    # A white cell among platelets is one cell: what is told for several is laid together of white cells.
    white = with_surroundings(cells[~is_platelet], around, rng, 600)
    by_lab = {"home": _source("cell", white, 0, share=0.43)}
    for folder in sorted(labs.glob("*_cells")) if labs else ():
        cells_there = cell_pictures(read_lab(folder).pictures, _CELL_SIDE)
        name = folder.name.removesuffix("_cells")
        by_lab[name] = Source("cell", cells_there.pixels, 420, cells_there.places, (0.72, 1.35), True, True)
        yield name, by_lab[name]
    if marrow:
        paths = [p for p in pictures_under(marrow) if p.parent.name != "NIF"]
        pixels = np.stack([squeezed(read_square(p), _CELL_SIDE) for p in paths[::2]])
        by_lab["marrow"] = _source(
            "cell", pixels, 1200, share=_MARROW_SHARE, zoom=(0.72, 1.35), surroundings=True, stained=True
        )
        yield "marrow", by_lab["marrow"]
    for folder in sorted(p.parent for p in fields.glob("*/boxes.csv")) if fields else ():
        # Fields of several white cells are for measuring.
        held_out = {file for file, boxes in cell_groups.white_cell_boxes(folder).items() if len(boxes) > 1}
        red = windows_without_white_cells(folder)
        yield f"{folder.name}_red", _source("red_cells", red, 600, zoom=(0.5, 1.0), stained=True)
        whole = np.stack([squeezed(read_square(folder / file), 96) for file in _boxes(folder) if file not in held_out])
        yield f"{folder.name}_field", _source("field", whole, 230, zoom=(0.85, 1.0), stained=True)
    try:
        stretched = np.asarray(get_dataset("all4").load(64)["train"].images)
        yield "all4", _source("field", stretched[::2], 230, zoom=(0.85, 1.0), stained=True)
    except DatasetUnavailable as error:
        print(f"left out: {error}")
    for folder in photos:
        paths = pictures_under(folder)
        windows = photograph_windows(paths, max(8, 400 // len(paths)))
        yield folder.name, _source("photograph", windows, min(420, len(windows) / 4), zoom=(0.5, 1.0))
    for family, (kind, _) in FAMILIES.items():
        number, weight = (2000, 320) if family in _LIKE_CELLS else (900, 140)
        drawings = draw_family(family, number, _OTHER_SIDE, seed=1)
        weight, least = (weight, 0.5) if kind == "photograph" else (280, 0.9)
        yield family, _source(kind, drawings, weight, zoom=(least, 1.0))
    for name, lab in by_lab.items():
        of_lab = CellPictures(lab.pixels, lab.places)
        together = cell_groups.several(of_lab, rng, 500)
        yield f"{name}_several", _source("several_cells", together, 260, zoom=(0.94, 1.0), stained=True)
        alone = cell_groups.alone(of_lab, rng, 300)
        yield f"{name}_alone", _source("cell", alone, 200, zoom=(0.96, 1.0), stained=True)
    tiles = montage(np.stack([squeezed(cell, 64) for cell in cells[:400]]), rng, 300, 96)
    yield "montage", _source("several_cells", tiles, 150, zoom=(0.9, 1.0), stained=True)


def _source(kind: CellKind, pixels: np.ndarray, weight: float, *, share: float = 1.0, **options) -> Source:
    return Source(kind, pixels, weight, np.tile(np.array([0.5, 0.5, share], np.float32), (len(pixels), 1)), **options)


def examples(by_name: dict[str, Source], count: int, seed: int) -> tuple[Tensor, Tensor]:
    """``count`` varied pictures of the sources: uint8 (N, 3, SIDE, SIDE), and their kinds int64 (N,)."""
    random = torch.Generator().manual_seed(seed)
    total, pixels, kinds = sum(s.weight for s in by_name.values()), [], []
    for source in by_name.values():
        wanted = round(count * source.weight / total)
        while wanted > 0:
            varied, kind = _vary(source, min(BATCH, wanted), random)
            pixels.append(varied)
            kinds.append(kind)
            wanted -= len(varied)
    return torch.cat(pixels), torch.cat(kinds)


def _vary(source: Source, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    picked = torch.randint(0, len(source.pixels), (count,), generator=random)
    shown = _views(source, picked, random)
    if source.kind not in ("blank", "noise"):
        shown = _light(_stain(shown, random) if source.stained else shown, random)
    kinds = torch.full((count,), KINDS.index(source.kind))
    blurred = torch.rand(count, generator=random) < _BLURRED_SHARE
    if blurred.any() and source.kind in ("cell", "red_cells", "photograph", "several_cells"):
        shown[blurred] = _blur(shown[blurred].clamp(0, 1), _between(random, 1, 5.0, 8.0).item())
        kinds[blurred] = KINDS.index("unclear")
    return _as_cameras_do(shown.clamp(0, 1), random), kinds


def _between(random: torch.Generator, count: int, low: float, high: float) -> Tensor:
    return torch.rand(count, generator=random) * (high - low) + low


def _normal(random: torch.Generator, deviation: float, *shape: int) -> Tensor:
    return torch.randn(shape, generator=random) * deviation


def _views(source: Source, picked: Tensor, random: torch.Generator) -> Tensor:
    """Windows of the pictures ``picked``, moved, turned, mirrored, a little stretched: (n, 3, SIDE, SIDE), 0 to 1."""
    count, places = len(picked), torch.from_numpy(source.places)[picked]
    share, low, high = places[:, 2], *np.log(source.zoom)
    side = share * torch.exp(_between(random, count, low, high))
    if source.surroundings:
        far = torch.rand(count, generator=random) < 0.3
        side = torch.where(far, share + (1 - share) * torch.rand(count, generator=random), side).clamp(max=1)
    moved = torch.rand(count, 2, generator=random) - 0.5
    if source.kind == "cell":
        centre = places[:, :2] + moved * 0.2 * torch.minimum(side, share)[:, None]
    else:
        centre = places[:, :2] + moved * (1 - side)[:, None]
    if source.surroundings:
        centre = torch.minimum(torch.maximum(centre, side[:, None] / 2), 1 - side[:, None] / 2)
    angle = torch.zeros(count)
    if source.stained:
        angle = torch.randint(0, 4, (count,), generator=random) * np.pi / 2
    if source.kind in ("cell", "red_cells"):
        angle = angle + _normal(random, 0.1, count)
    mirror = torch.where(torch.rand(count, generator=random) < 0.5, -1.0, 1.0)
    stretch = torch.exp(_normal(random, 0.06 if source.stained else 0.12, count))
    cosine, sine = torch.cos(angle), torch.sin(angle)
    matrix = torch.stack(
        [
            torch.stack([side * cosine * mirror * stretch, -side * sine / stretch, 2 * centre[:, 0] - 1], 1),
            torch.stack([side * sine * mirror * stretch, side * cosine / stretch, 2 * centre[:, 1] - 1], 1),
        ],
        1,
    )
    pixels = torch.from_numpy(source.pixels[picked.numpy()]).permute(0, 3, 1, 2).float() / 255
    grid = functional.affine_grid(matrix.float(), [count, 3, SIDE, SIDE], align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def _stain(shown: Tensor, random: torch.Generator) -> Tensor:
    """Other dyes, stronger or weaker, and other lamps: in optical density against each picture's background."""
    count = len(shown)
    density = -torch.log((shown * 255 + 4) / 259)
    background = density.flatten(2).quantile(0.05, dim=2)[..., None, None]
    mixing = torch.eye(3) + _normal(random, 0.1, count, 3, 3)
    stained = torch.einsum("nij,njhw->nihw", mixing, density - background)
    stained = stained * torch.exp(_normal(random, 0.25, count, 1, 1, 1) + _normal(random, 0.12, count, 3, 1, 1))
    mild = torch.exp(-_normal(random, 0.12, count, 3, 1, 1).abs())
    strong = _between(random, count * 3, 0.3, 1.0).reshape(count, 3, 1, 1)
    tint = torch.where(torch.rand(count, 1, 1, 1, generator=random) < 0.5, mild, strong).clamp(0.25, 1)
    kept = torch.rand(count, 1, 1, 1, generator=random)
    return torch.exp(-(stained + background * kept - torch.log(tint) * (1 - kept))) * 259 / 255 - 4 / 255


def _light(shown: Tensor, random: torch.Generator) -> Tensor:
    """Brightness, balance, saturation, contrast."""
    count = len(shown)
    gain = torch.exp(_normal(random, 0.12, count, 1, 1, 1) + _normal(random, 0.06, count, 3, 1, 1))
    shown = shown * gain + _normal(random, 0.03, count, 1, 1, 1)
    grey = shown.mean(1, keepdim=True)
    shown = grey + (shown - grey) * torch.exp(_normal(random, 0.2, count, 1, 1, 1))
    mean = shown.mean((1, 2, 3), keepdim=True)
    return mean + (shown - mean) * torch.exp(_normal(random, 0.15, count, 1, 1, 1))


def _blur(shown: Tensor, sigma: float) -> Tensor:
    reach, channels = int(3 * sigma) + 1, shown.shape[1]
    kernel = torch.exp(-(torch.arange(-reach, reach + 1).float() ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(channels, 1, 1)
    along = functional.pad(shown, (reach, reach, 0, 0), mode="replicate")
    shown = functional.conv2d(along, kernel[:, :, None, :], groups=channels)
    down = functional.pad(shown, (0, 0, reach, reach), mode="replicate")
    return functional.conv2d(down, kernel[:, :, :, None], groups=channels)


def _as_cameras_do(shown: Tensor, random: torch.Generator) -> Tensor:
    """Some out of focus, some of 28 px, grain: uint8 (n, 3, SIDE, SIDE)."""
    chance = torch.rand(len(shown), generator=random)
    for low, high, sigma in ((0.0, 0.12, 0.6), (0.12, 0.2, 1.1), (0.2, 0.26, 1.7)):
        if (these := (chance >= low) & (chance < high)).any():
            shown[these] = _blur(shown[these], sigma)
    if (these := (chance >= 0.26) & (chance < 0.45)).any():
        small = functional.interpolate(shown[these], 28, mode="area")
        shown[these] = functional.interpolate(small, SIDE, mode="bilinear", align_corners=False)
    grain = torch.rand(len(shown), 1, 1, 1, generator=random) ** 3 * 0.03
    return ((shown + _normal(random, 1, *shown.shape) * grain).clamp(0, 1) * 255).round().byte()


class Network(nn.Module):
    """Five convolutions, mean and maximum over all places, one dense layer: 41,000 numbers."""

    def __init__(self, widths: tuple[int, int, int] = (16, 24, 48)) -> None:
        super().__init__()
        first, second, third = widths
        self.body = nn.Sequential(
            _block(3, first, 2),
            _block(first, second, 2),
            _block(second, second, 1),
            _block(second, third, 2),
            _block(third, third, 1),
        )
        self.head = nn.Linear(2 * third, len(KINDS))

    def forward(self, images: Tensor) -> Tensor:
        """Scores (N, 8) of ``images`` (N, 3, SIDE, SIDE), 0 to 255."""
        maps = self.body((images - 127.5) / 64)
        return self.head(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1))


def _block(inside: int, outside: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside), nn.ReLU(inplace=True))


class _Graph(nn.Module):
    """From uint8 (N, SIDE, SIDE, 3) to the mean of the networks' probabilities."""

    def __init__(self, networks: Sequence[Network]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        scores = images.permute(0, 3, 1, 2).float()
        return torch.stack([torch.softmax(network(scores), 1) for network in self.networks]).mean(0)


def fit(
    by_name: dict[str, Source],
    seed: int = 0,
    steps: int = STEPS,
    count: int = EXAMPLES,
    report: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Network:
    """The network fitted on ``by_name``; the mean of its last two fifths of steps."""
    pixels, kinds = examples(by_name, count, seed)
    torch.manual_seed(seed)
    random, network = torch.Generator().manual_seed(seed), Network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    averaged: dict[str, Tensor] = {}
    order, at = torch.randperm(len(pixels), generator=random), 0
    for step in range(steps):
        if at + BATCH > len(order):
            order, at = torch.randperm(len(pixels), generator=random), 0
        chosen, at = order[at : at + BATCH], at + BATCH
        images = _turned(pixels[chosen].float(), step)
        gain = 1 + _normal(random, 0.08, len(images), 3, 1, 1)
        images = (images * gain + _normal(random, 6, len(images), 1, 1, 1)).clamp(0, 255)
        network.train()
        loss = functional.cross_entropy(network(images), kinds[chosen], label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step > 0.6 * steps:
            for name, value in network.state_dict().items():
                averaged.setdefault(name, value.clone().float()).lerp_(value.float(), 0.015)
        report(step + 1, steps, loss.item())
    network.load_state_dict(averaged)
    return network.eval()


def _turned(images: Tensor, step: int) -> Tensor:
    images = images.flip(3) if step % 2 else images
    images = images.flip(2) if step % 4 > 1 else images
    return images.transpose(2, 3) if step % 8 > 3 else images


def write(networks: Sequence[Network], path: Path, sources_used: Collection[str]) -> None:
    """Write ``networks`` as the one graph that `core.images.cell_check` reads, its numbers in float16."""
    temporary = path.with_suffix(".tmp")
    torch.onnx.export(
        _Graph(networks).eval(),
        (torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8),),
        str(temporary),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_axes={INPUT: {0: "count"}, OUTPUT: {0: "count"}},
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load(temporary)
    temporary.unlink()
    _halve(model.graph)
    for key, value in (("kinds", json.dumps(list(KINDS))), ("sources", json.dumps(sorted(sources_used)))):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    write_bytes(path, model.SerializeToString())


def _halve(graph: onnx.GraphProto) -> None:
    """Keep the weights in float16; they are made float32 when the graph is opened."""
    casts = []
    for initializer in graph.initializer:
        if initializer.data_type == onnx.TensorProto.FLOAT and np.prod(initializer.dims) > 1:
            name, values = initializer.name, onnx.numpy_helper.to_array(initializer)
            initializer.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
