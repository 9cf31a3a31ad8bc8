"""From the best weights to a whole run: calibrate on val, score val and test once, write folder and card."""

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from core import __version__
from core.datasets import LoadedDataset
from core.evaluation import fit_temperature, score
from core.explain.gates import gate_means
from core.models import ImageClassifier, get_model
from core.models.export import export_graph, round_to_stored, storable
from core.runs import Predictions, Run, write_run
from core.training.card import card
from core.training.checkpoint import Progressed
from core.training.config import TrainConfig
from core.training.device import describe, uses_bf16
from core.training.pixels import network_logits

SCORED = ("val", "test")


def finish(
    config: TrainConfig,
    name: str,
    data: LoadedDataset,
    network: ImageClassifier,
    reached: Progressed,
    device: torch.device,
    root: Path,
    devices: int = 1,
) -> Run:
    """Calibrate the network on val, round it to the precision that is stored, score it, write the run under ``root``.

    The temperature is folded into the last layer, so that whatever serves the weights gives calibrated
    probabilities; classes and their order stay the same. ``devices`` like ``device`` trained it.
    """
    temperature = fit_temperature(data["val"].labels, network_logits(network, data["val"].images, device).numpy())
    network.divide_logits(temperature)
    round_to_stored(network)
    predictions = {}
    for split in SCORED:
        part = data[split]
        logits = network_logits(network, part.images, device).numpy()
        predictions[split] = Predictions(part.ids, part.labels, logits)
    trained = len(data["train"]) * reached.epoch
    metrics = {split: score(answers.labels, answers.logits) for split, answers in predictions.items()} | {
        "parameters": sum(p.numel() for p in network.parameters()),
        "train_seconds": round(reached.seconds, 1),
        "images_per_second": round(trained / max(1e-9, reached.seconds), 1),
        "device": describe(device) if devices == 1 else f"{devices} x {describe(device)}",
        "bf16": uses_bf16(config.precision, device),
        "epochs": reached.epoch,
        "best_epoch": reached.best_epoch,
        "temperature": round(temperature, 4),
    }
    stored_config = run_config(config, name, data)
    network = network.cpu()
    return write_run(
        root,
        name,
        config=stored_config,
        metrics=metrics,
        history=reached.history,
        predictions=predictions,
        weights=storable(network),
        gate_means=gate_means(network, data["val"].images, data["val"].labels, len(data.spec.classes)),
        card=card(stored_config, metrics, data.spec),
        export=lambda graph, weights: export_graph(network, config.size, graph, weights),
    )


def run_config(config: TrainConfig, name: str, data: LoadedDataset) -> dict:
    """The content of ``config.json``: all that is needed to train the run again."""
    model = get_model(config.model)
    return {
        "name": name,
        **({} if model.kind == "network" else {"kind": model.kind}),
        "train": config.as_json(),
        "model": {
            "name": model.name,
            "title": model.title,
            "family": model.family,
            "summary": model.summary,
            "paper": model.paper,
            "paper_url": model.paper_url,
        },
        "dataset": {
            "name": data.spec.name,
            "title": data.spec.title,
            "size": data.size,
            "provenance": {
                "kind": data.provenance.kind,
                "label": data.provenance.label,
                "content_hash": data.provenance.content_hash,
            },
            "codes": list(data.spec.codes),
            "counts": {split: len(part) for split, part in data.splits.items()},
        },
        "versions": {
            "hemalens": __version__,
            "python": platform.python_version(),
            **{p: version(p) for p in ("torch", "torchvision", "numpy", "onnx")},
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
