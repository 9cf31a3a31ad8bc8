"""What `test_distributed` runs in two processes: ``python -m tests.core.training.pair FOLDER``; no test itself."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from core.datasets import LoadedDataset, Provenance, Split, get_dataset
from core.datasets.base import content_hash, register
from core.training import TrainConfig, train
from core.training.distributed import init_process_group
from core.training.loop import fit_network

CPU = torch.device("cpu")


def small() -> LoadedDataset:
    """Pictures of one colour a class, with noise."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (8, 3))
    splits = {}
    for split, count in (("train", 256), ("val", 64), ("test", 64)):
        labels = rng.integers(0, 8, count)
        images = (rng.integers(0, 256, (count, 28, 28, 3)) + 3 * colours[labels][:, None, None]) // 4
        splits[split] = Split(images.astype("u1"), labels, np.array([f"{split}-{i}" for i in range(count)]))
    spec = replace(get_dataset("synthetic"), name="small", load=lambda size, **how: DATA)
    return LoadedDataset(spec, 28, Provenance("drawn", "drawn, not real", content_hash(splits)), splits)


def keep(network: nn.Module, path: Path) -> None:
    save_file({name: p.detach().contiguous() for name, p in network.named_parameters()}, path)


DATA = small()


def config(model: str, **choices) -> TrainConfig:
    return TrainConfig.for_model(
        model, dataset="small", size=28, batch_size=32, device="cpu", precision="fp32", **choices
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    register(DATA.spec)
    team = init_process_group(CPU, 2)
    # Without batch norm, dropout and augmentation nothing depends on who computes what.
    plain = config("cnn_2", epochs=2, augment="none", model_arguments={"width": 4, "hidden": 16, "dropout": 0.0})
    arguments = {"width": 8}
    normed = config("cnn_se", epochs=6, learning_rate=0.1, ema=0.9, devices=2, model_arguments=arguments)
    network, _ = fit_network(plain, DATA, CPU, process_group=team)
    keep(network, folder / f"plain-{team.rank}.safetensors")
    network, _ = fit_network(normed, DATA, CPU, process_group=team)
    keep(network, folder / f"normed-{team.rank}.safetensors")
    steps = []
    run = train(normed, report=steps.append)
    (folder / f"told-{team.rank}.json").write_text(json.dumps([len(steps), str(run.path)]))
    if team.is_main:
        network, _ = fit_network(plain, DATA, CPU)
        keep(network, folder / "alone.safetensors")
