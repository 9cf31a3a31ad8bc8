"""A generator of cells: what decides it, its folder, and how it makes cells. ONNX Runtime and numpy, no torch.

A generator is a folder ``<root>/<dataset>/generator``: two graphs (the flow, and the decoder of its latents), what is
known of them (`FACTS`), a card, and a sheet of cells made in advance. Nothing it makes is a patient's cell.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from PIL import Image

from core import paths
from core.errors import HemaLensError
from core.inference.engine import thread_count
from core.progress import Progress, Report, silent


class BadGenerator(HemaLensError):
    """A generator that can't be trained, read or asked; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Stage:
    """One of the two trainings: ``minutes`` of a processor core's work, in which the learning rate falls to zero.

    A budget of work instead of epochs: it says beforehand when there will be a generator.
    """

    minutes: float
    batch_size: int
    learning_rate: float
    ema: float = 0.998
    warmup: int = 60  # steps over which the rate rises
    weight_decay: float = 0.01


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything needed to train a generator again.

    Pictures of ``size`` px are kept as latents (``channels``, size / 4, size / 4) by an autoencoder of ``width``; a
    flow of ``flow_width`` (at size / 4, and twice that where it is coarser) makes latents out of noise. ``noise`` is
    the deviation of what the autoencoder's latents, of deviation 1, are blurred by; ``critic`` names the run whose
    early features compare pictures with what is decoded; ``label_dropout`` is the share of cells shown to the flow
    without their class, which guidance needs.
    """

    dataset: str = "bloodmnist"
    size: int = 64
    channels: int = 4
    width: int = 64
    noise: float = 0.1
    critic: str = "cnn_se-64-4a7077"
    flow_width: int = 32
    label_dropout: float = 0.12
    seed: int = 0
    autoencoder: Stage = field(default_factory=lambda: Stage(7.6, 16, 2e-3))
    flow: Stage = field(default_factory=lambda: Stage(5, 32, 2e-3))

    def __post_init__(self) -> None:
        if self.size % 16:
            raise BadGenerator(f"cells of {self.size} px can't be generated: the side must be a multiple of 16 px")

    @property
    def latent_side(self) -> int:
        """Side of a latent."""
        return self.size // 4

    def as_json(self) -> dict[str, Any]:
        """The configuration as JSON holds it."""
        return asdict(self)

    def short_hash(self, content_hash: str) -> str:
        """Six hex digits that name this configuration on the data of ``content_hash``."""
        text = json.dumps([self.as_json(), content_hash], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:6]


LABEL = "generated, not a patient's cell"
FOLDER = "generator"
FACTS, CARD, FLOW, DECODER, SHEET = "generator.json", "card.md", "flow.onnx", "decoder.onnx", "cells.jpg"
BATCH = 20  # cells made at a time: a page of them, and little memory


@dataclass(frozen=True)
class Generator:
    """The generator in the folder ``path``, with the ``facts`` that its file holds."""

    path: Path
    facts: dict[str, Any]

    @property
    def codes(self) -> list[str]:
        """Codes of the classes that it makes, in the data set's order."""
        return self.facts["codes"]

    @property
    def size(self) -> int:
        """Side of its cells in pixels."""
        return self.facts["config"]["size"]

    @property
    def bytes(self) -> int:
        """What its folder takes on disk."""
        return sum(file.stat().st_size for file in self.path.iterdir())


def generator_path(root: Path, dataset: str) -> Path:
    """Where ``root`` keeps the generator of ``dataset``."""
    return root / dataset / FOLDER


def find_generator(dataset: str) -> Generator | None:
    """The generator of ``dataset``'s cells, the shipped one before the user's own; None where there is none."""
    for root in (paths.shipped_runs_root(), paths.user_runs_root()):
        path = generator_path(root, dataset)
        try:
            return _read(path, (path / FACTS).stat().st_mtime_ns)
        except OSError:
            continue
    return None


def generate(
    generator: Generator,
    labels: Sequence[int] | np.ndarray,
    seed: int,
    report: Report = silent,
) -> np.ndarray:
    """Cells uint8 (N, S, S, 3) of the classes ``labels`` (places in `Generator.codes`).

    The same on every computer but for rounding; a cell depends only on its class, its place in ``labels`` and
    ``seed``. Raises `BadGenerator` where a graph is missing or broken, or there is no such class.
    """
    class_indices = np.asarray(labels, np.int64)
    if class_indices.size and not 0 <= class_indices.min() <= class_indices.max() < len(generator.codes):
        raise BadGenerator(
            f"the generator knows {len(generator.codes)} classes, numbered from 0, not {class_indices.max()}"
        )
    steps = generator.facts["sampling"]["steps"]
    cells = [np.zeros((0, generator.size, generator.size, 3), np.uint8)]
    for start in range(0, len(class_indices), BATCH):
        part = class_indices[start : start + BATCH]
        latents = np.zeros((0, *generator.facts["latent"]), np.float32)
        for done, latents in enumerate(_integrate(generator, part, seed, start), 1):  # noqa: B007 - the last one counts
            report(Progress(start + len(part) * done // (steps + 1), len(class_indices), unit="cell"))
        cells.append(decode(generator, latents))
        report(Progress(start + len(part), len(class_indices), unit="cell"))
    return np.concatenate(cells)


def _integrate(generator: Generator, labels: np.ndarray, seed: int, first: int) -> Iterator[np.ndarray]:
    """Latents float32 (n, C, L, L) after each step from noise to cells, by Heun's method (Karras et al. 2022).

    Guidance (Ho and Salimans 2022, arXiv:2207.12598) steps away from 'any cell' towards the class, but only
    between the times of ``interval`` (Kynkäänniemi et al. 2024, arXiv:2404.07724).
    """
    facts = generator.facts["sampling"]
    session = _session(str(generator.path / FLOW), (generator.path / FACTS).stat().st_mtime_ns)
    shape = generator.facts["latent"]
    noise = [np.random.default_rng([seed, first + i]).standard_normal(shape) for i in range(len(labels))]
    latents = np.stack(noise).astype(np.float32)
    any_cell = np.full_like(labels, len(generator.codes))
    low, high = facts["interval"]

    def velocity(at: np.ndarray, time: float) -> np.ndarray:
        guided = facts["guidance"] != 1 and low <= time <= high
        asked = np.concatenate([labels, any_cell]) if guided else labels
        latent = np.concatenate([at, at]) if guided else at
        times = np.full(len(asked), time, np.float32)
        found = session.run(["velocity"], {"latent": latent, "time": times, "class": asked})[0]
        if not guided:
            return found
        towards, anyhow = np.split(found, 2)
        return anyhow + facts["guidance"] * (towards - anyhow)

    # Steps are shorter near the cells, where small things are decided.
    times = np.linspace(1, 0, facts["steps"] + 1) ** facts["bend"]
    for now, then in zip(times, times[1:], strict=False):
        slope = velocity(latents, now)
        ahead = latents + np.float32(then - now) * slope
        if then > 0:
            slope = (slope + velocity(ahead, then)) / 2
            ahead = latents + np.float32(then - now) * slope
        latents = ahead
        yield latents


def decode(generator: Generator, latents: np.ndarray) -> np.ndarray:
    """Cells uint8 (N, S, S, 3) of ``latents`` float32 (N, C, L, L)."""
    session = _session(str(generator.path / DECODER), (generator.path / FACTS).stat().st_mtime_ns)
    return session.run(["image"], {"latent": latents.astype(np.float32)})[0]


def load_sheet(generator: Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Cells uint8 (N, S, S, 3) made in advance, and their labels int64 (N,): a row of the sheet is a class.

    None where the generator has no such sheet, or it can't be read.
    """
    try:
        with Image.open(generator.path / SHEET, formats=["JPEG"]) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except OSError:
        return None
    size, classes = generator.size, len(generator.codes)
    columns = pixels.shape[1] // size
    if pixels.shape != (classes * size, columns * size, 3):
        return None
    cells = pixels.reshape(classes, size, columns, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)
    return cells, np.repeat(np.arange(classes), columns)


def write_sheet(path: Path, cells: np.ndarray, classes: int, quality: int) -> None:
    """Write ``cells`` uint8 (N, S, S, 3), in the order of their classes, as `load_sheet` reads them.

    Colour is kept at full size: halved, as most formats do, models take lymphocytes for other cells.
    """
    size = cells.shape[1]
    rows = cells.reshape(classes, -1, size, size, 3).swapaxes(1, 2)
    Image.fromarray(rows.reshape(classes * size, -1, 3)).save(path, "JPEG", quality=quality, subsampling=0)


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> Generator:
    try:
        facts = json.loads((path / FACTS).read_text(encoding="utf-8"))
        generator = Generator(path, facts)
        _ = generator.codes, generator.size, facts["latent"], facts["sampling"]["guidance"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadGenerator(
            f"{path} can't be read as a generator ({error!r}): restore the folder, or delete it"
        ) from error
    return generator


@lru_cache(maxsize=4)
def _session(path: str, changed: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = thread_count()
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises kinds of its own that derive from Exception only
        raise BadGenerator(
            f"the generator's {Path(path).name} can't be opened: restore its folder, or delete it and let drawn "
            "cells stand in"
        ) from error
