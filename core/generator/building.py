"""From a configuration to a generator on disk: two trainings, two graphs, figures, a sheet of cells and a card."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import paths
from core.datasets import LoadedDataset, get_dataset
from core.generator.card import card
from core.generator.config import BadGenerator, GeneratorConfig
from core.generator.export import export_decoder, export_flow
from core.generator.measures import measure
from core.generator.sampling import CARD, DECODER, FACTS, FLOW, SHEET, Generator, generate, generator_path, write_sheet
from core.generator.training import train_autoencoder, train_flow
from core.progress import Report
from core.runs import Run, find_run, list_runs, write_json
from core.serving import engine
from core.training.device import describe

SHEET_COLUMNS = 20  # cells of each class on the sheet: a page of the Dataset page's wall
SHEET_QUALITY = 95  # of JPEG
MEASURED_PER_CLASS = 100  # the sheet is chosen among these: those first that the judge names as they were asked for


@dataclass(frozen=True)
class Sampling:
    """How cells are made: Heun ``steps``, ``guidance`` between the times ``interval``, ``bend`` of the times."""

    steps: int = 8
    guidance: float = 1.3
    interval: tuple[float, float] = (0.0, 0.9)
    bend: float = 1.3

    def as_json(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "guidance": self.guidance,
            "interval": list(self.interval),
            "bend": self.bend,
        }


def build(
    config: GeneratorConfig,
    sampling: Sampling,
    *,
    root: Path | None = None,
    measured: int = MEASURED_PER_CLASS,
    report: Callable[[str], Report] = lambda stage: lambda progress: None,
) -> Generator:
    """Train what is not trained yet, measure, and write the generator under ``root`` (None: the user's own).

    Each stage of the work gets a bar of its own from ``report``. Raises `BadGenerator` where what it makes lies
    nearer to training cells than held-out cells do; the trainings are kept, and the next call goes on from there.
    """
    data = get_dataset(config.dataset).load(config.size)
    work = paths.checkpoints_root() / f"generator-{config.mark(data.provenance.content_hash)}"
    autoencoder, first = train_autoencoder(config, data, work / "autoencoder.safetensors", report("Autoencoder"))
    flow, second = train_flow(config, data, autoencoder.encoder, work / "flow.safetensors", report("Flow"))
    latent = (config.channels, config.latent_side, config.latent_side)
    final = generator_path(root or paths.user_runs_root(), config.dataset)
    final.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".generator-", dir=final.parent))
    try:
        export_decoder(autoencoder.decoder, latent, folder / DECODER)
        export_flow(flow, latent, folder / FLOW)
        facts = {
            "codes": list(data.spec.codes),
            "config": config.as_json(),
            "latent": list(latent),
            "sampling": sampling.as_json(),
            "data": {
                "provenance": {
                    "kind": data.provenance.kind,
                    "label": data.provenance.label,
                    "content_hash": data.provenance.content_hash,
                },
                "train": len(data["train"]),
                "licence": data.spec.licence,
                "citation": data.spec.citation,
            },
            "parameters": {
                "decoder": sum(p.numel() for p in autoencoder.decoder.parameters()),
                "flow": sum(p.numel() for p in flow.parameters()),
            },
            "training": {
                "autoencoder": {"steps": first.epoch, "seconds": round(first.seconds)},
                "flow": {"steps": second.epoch, "seconds": round(second.seconds)},
                "device": describe(torch.device("cpu")),
            },
        }
        finish(folder, facts, data, measured, report)
        folder.chmod(0o755)
        if final.exists():
            shutil.rmtree(final)
        folder.rename(final)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Generator(final, facts)


def finish(
    folder: Path, facts: dict[str, Any], data: LoadedDataset, measured: int, report: Callable[[str], Report]
) -> None:
    """Make ``measured`` cells of each class with the graphs in ``folder``, judge them, write sheet, facts and card."""
    write_json(folder / FACTS, facts)
    generator = Generator(folder, facts)
    labels = np.repeat(np.arange(len(generator.codes)), measured)
    made = generate(generator, labels, seed=0, report=report("Cells to measure"))
    judge = find_run(facts["config"]["critic"], data.spec.name)
    figures, _ = measure(made, labels, data, judge, _others(judge), report("Nearest training cells"))
    facts["figures"] = figures
    check(facts)
    named = engine.logits(judge, made).argmax(1)
    order = np.lexsort((np.arange(len(labels)), named != labels, labels))  # by class, those named rightly first
    shown = order.reshape(len(generator.codes), measured)[:, :SHEET_COLUMNS].ravel()
    write_sheet(folder / SHEET, made[shown], len(generator.codes), SHEET_QUALITY)
    write_json(folder / FACTS, facts)
    (folder / CARD).write_text(card(facts), encoding="utf-8")


def check(facts: dict[str, Any]) -> None:
    """Raise `BadGenerator` where generated cells are, pixel by pixel, more like training cells than val cells are.

    Two signs of a copy: a small distance to the nearest training cell, and one that is small against the distance to
    the second nearest. Distances in the embedding are told on the card but decide nothing: what a model finds typical
    lies near many cells in its eyes, and is no copy of any.
    """
    for measure_name in ("pixels", "pixel_ratio"):
        found = facts["figures"]["neighbours"][measure_name]
        for quantile, made, kept in zip(
            facts["figures"]["neighbours"]["quantiles"], found["generated"], found["val"], strict=True
        ):
            if made < kept and quantile <= 0.05:
                raise BadGenerator(
                    f"the {quantile:.0%} quantile of the distance to the nearest training cell ({measure_name}) is "
                    f"{made:g}, for held-out cells {kept:g}: it may have learnt cells by heart and is not written"
                )


def _others(judge: Run) -> tuple[Run, ...]:
    """The best network of another kind at the same size: one whose features the training never looked at."""
    found = [
        run
        for run in list_runs(judge.dataset, judge.size)
        if run.kind == "network" and run.config["model"]["name"] != judge.config["model"]["name"] and run.shipped
    ]
    return tuple(found[:1])
