"""From the best weights to a whole run: calibrate on val, score val and test once, write folder, card and guard."""

from pathlib import Path

import torch

from core.datasets import LoadedDataset
from core.evaluation import fit_temperature, score
from core.explain.gates import gate_means
from core.models import ImageClassifier
from core.models.export import export_graph, round_to_stored, storable
from core.runs import Predictions, Run, write_run
from core.serving.guarding import make_guard
from core.training.beside import Guests
from core.training.card import card
from core.training.checkpoint import Progressed
from core.training.config import TrainConfig
from core.training.device import describe, uses_bf16
from core.training.pixels import network_logits
from core.training.record import SCORED, run_config


def finish(
    config: TrainConfig,
    name: str,
    data: LoadedDataset,
    network: ImageClassifier,
    reached: Progressed,
    device: torch.device,
    root: Path,
    devices: int = 1,
    guests: Guests | None = None,
) -> Run:
    """Calibrate the network on val, round it to the precision that is stored, score it, write the run under ``root``.

    The temperature is folded into the last layer, so that whatever serves the weights gives calibrated
    probabilities; classes and their order stay the same. ``devices`` like ``device`` trained it, with the
    cells ``guests`` beside.
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
    stored_config = run_config(config, name, data, "torch", "torchvision", "numpy", "onnx")
    if guests:
        stored_config["beside"] = guests.facts
    network = network.cpu()
    run = write_run(
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
    make_guard(run, data)
    return run
