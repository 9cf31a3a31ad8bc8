"""A generator whose networks have learnt nothing, on disk as a trained one is: for tests of what uses it."""

import atexit
import shutil
import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.datasets import get_dataset
from core.generator import CARD, DECODER, FACTS, FLOW, SHEET, Generator, generator_path, write_sheet
from core.generator.networks import Autoencoder, Flow, export_decoder, export_flow
from core.generator.training import SAMPLING, GeneratorConfig
from core.storage import write_json

CONFIG = GeneratorConfig(size=32, width=16, flow_width=8)
AGREED = 0.93


def networks(config: GeneratorConfig = CONFIG, classes: int = 8) -> tuple[Autoencoder, Flow]:
    """Networks in eval mode of which every layer does something, though nothing of use."""
    torch.manual_seed(0)
    made = (
        Autoencoder(config.channels, config.width).eval(),
        Flow(config.channels, config.flow_width, classes).eval(),
    )
    for network in made:
        for parameter in network.parameters():
            if parameter.ndim > 1 and not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    return made


def write_generator(root: Path, dataset: str = "bloodmnist") -> Generator:
    """Write one under ``root``; cell n (0 to 19) of class c on its sheet is of the grey level 20 * c + n."""
    made = _made(dataset)
    folder = generator_path(root, dataset)
    shutil.copytree(made.path, folder)
    return Generator(folder, made.facts)


@cache
def _made(dataset: str, columns: int = 20) -> Generator:
    """Exported once in a run of tests: that takes seconds."""
    spec = get_dataset(dataset)
    autoencoder, flow = networks(classes=len(spec.codes))
    folder = Path(tempfile.mkdtemp(prefix="generator-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    export_decoder(autoencoder.decoder, CONFIG.latent, folder / DECODER)
    export_flow(flow, CONFIG.latent, folder / FLOW)
    facts = {
        "codes": list(spec.codes),
        "config": asdict(CONFIG),
        "latent": list(CONFIG.latent),
        "sampling": SAMPLING | {"steps": 3},
        "data": {"train": 1234},
        "figures": {"cells": 800, "agreement": [{"n": 800, "accuracy": AGREED}]},
    }
    levels = 20 * np.repeat(np.arange(len(spec.codes)), columns) + np.tile(np.arange(columns), len(spec.codes))
    cells = np.broadcast_to(levels[:, None, None, None], (len(levels), 32, 32, 3)).astype(np.uint8)
    write_sheet(folder / SHEET, cells, len(spec.codes))
    (folder / CARD).write_text("# A card\n", encoding="utf-8")
    write_json(folder / FACTS, facts)
    return Generator(folder, facts)
