"""Makes cells out of noise with a stored generator: ONNX Runtime and numpy, on the CPU, without torch.

A generator is a folder ``<root>/<dataset>/generator``: two graphs (the flow, and the decoder of its latents), what
is known of them (`FACTS`), a card, and a sheet of cells made in advance. Nothing it makes is a patient's cell.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from PIL import Image

from core import paths
from core.generator.config import BadGenerator
from core.progress import Progress, Report, silent
from core.serving.engine import threads

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
    wanted = np.asarray(labels, np.int64)
    if wanted.size and not 0 <= wanted.min() <= wanted.max() < len(generator.codes):
        raise BadGenerator(f"the generator knows {len(generator.codes)} classes, numbered from 0, not {wanted.max()}")
    steps = generator.facts["sampling"]["steps"]
    cells = [np.zeros((0, generator.size, generator.size, 3), np.uint8)]
    for start in range(0, len(wanted), BATCH):
        part = wanted[start : start + BATCH]
        latents = np.zeros((0, *generator.facts["latent"]), np.float32)
        for done, latents in enumerate(_flown(generator, part, seed, start), 1):  # noqa: B007 - the last one counts
            report(Progress(start + len(part) * done // (steps + 1), len(wanted), unit="cell"))
        cells.append(decode(generator, latents))
        report(Progress(start + len(part), len(wanted), unit="cell"))
    return np.concatenate(cells)


def _flown(generator: Generator, labels: np.ndarray, seed: int, first: int) -> Iterator[np.ndarray]:
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


def sheet(generator: Generator) -> tuple[np.ndarray, np.ndarray] | None:
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
    """Write ``cells`` uint8 (N, S, S, 3), in the order of their classes, as `sheet` reads them.

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
    options.intra_op_num_threads = threads()
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises kinds of its own that derive from Exception only
        raise BadGenerator(
            f"the generator's {Path(path).name} can't be opened: restore its folder, or delete it and let drawn "
            "cells stand in"
        ) from error
