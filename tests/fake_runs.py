"""Made-up runs for tests of what reads runs: plausible answers from a seeded generator, no training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from core.datasets import get_dataset
from core.evaluation.metrics import score
from core.runs import Predictions, Run, seal_run, write_run
from core.storage import write_json


def fake_run(
    root: Path,
    name: str,
    *,
    title: str = "CNN",
    size: int = 64,
    accuracy: float = 0.9,
    seed: int = 0,
    dataset: str = "bloodmnist",
    label: str = "rebuilt BloodMNIST (own split)",
    content: str | None = None,
    n: int = 320,
    parameters: int = 100_000,
    latency: float | None = 2.0,
    data_seed: int = 7,
    ids: list[str] | None = None,
    codes: Sequence[str] | None = None,
    scheme: str = "",
    train: Mapping[str, object] | None = None,
) -> Run:
    """Write one run under ``root`` and return it.

    Runs of the same ``data_seed`` and ``n`` have the same test images, called ``ids`` where given. Wrong
    answers go to the next class but one, those on erythroblasts (class 2) to lymphocytes (class 4). ``codes``
    are the classes it knows (all of the data set's if None), ``scheme`` the way that was split; ``train`` changes
    what the configuration says of the training.
    """
    spec = get_dataset(dataset)
    spec = spec.with_classes(codes) if codes else spec
    classes = len(spec.codes)

    def answers(split: str) -> Predictions:
        truth = np.random.default_rng([data_seed, len(split)]).integers(0, classes, n)
        rng = np.random.default_rng([seed, len(split), round(accuracy * 1000)])
        wrong = rng.random(n) > accuracy
        called = np.where(wrong, (truth + 2) % classes, truth)
        logits = rng.normal(0, 0.5, (n, classes))
        logits[np.arange(n), called] += 4
        logits[np.arange(n), truth] += 1
        names = np.array(ids if ids is not None else [f"{split}-{i:05d}" for i in range(n)])
        return Predictions(names, truth, logits.astype("f4"))

    predictions = {split: answers(split) for split in ("val", "test")}
    metrics = {split: score(p.labels, p.logits.astype("f2").astype("f4")) for split, p in predictions.items()}
    metrics |= {"parameters": parameters, "train_seconds": 60.0 + seed, "device": "cpu", "best_epoch": 3}
    metrics["images_per_second"] = 500.0
    if latency is not None:
        metrics["latency"] = {"batch1_ms": latency, "batch64_ms_per_image": latency / 2, "engine": "ONNX Runtime"}
    config = {
        "name": name,
        "train": {"dataset": dataset, "size": size, "model": title.lower(), "epochs": 4, "seed": seed}
        | dict(train or {}),
        "model": {
            "name": title.lower(),
            "title": title,
            "family": "CNN",
            "paper": "",
            "paper_url": "",
            "summary": "Made up.",
        },
        "dataset": {
            "name": dataset,
            "title": spec.title,
            "size": size,
            "provenance": {"kind": "rebuilt", "label": label, "content_hash": content or f"{size:012x}"},
            **({"scheme": scheme} if scheme else {}),
            "codes": list(spec.codes),
            "counts": {"train": n, "val": n, "test": n},
        },
        "versions": {},
        "created": "2026-01-01T00:00:00Z",
    }
    history = [
        {
            "epoch": e,
            "learning_rate": 0.1 / e,
            "train_loss": 2.0 / e,
            "train_accuracy": 1 - 0.5 / e,
            "val_loss": 2.2 / e,
            "val_accuracy": accuracy - 0.2 / e,
            "seconds": 1.0,
        }
        for e in range(1, 5)
    ]

    def export(graph: Path, weights: Path) -> None:
        graph.write_bytes(b"not a graph")

    return write_run(
        root,
        name,
        config=config,
        metrics=metrics,
        history=history,
        predictions=predictions,
        weights={"w": np.zeros(3, "f4")},
        gate_means={},
        card=lambda _: f"# {title}\n\nMade up for tests.",
        export=export,
    )


def combined(run: Run, members: list[Run], views: int = 8) -> Run:
    """``run`` made into a combination of ``members``: its answers stay, its graph and weights go."""
    config = run.config | {"kind": "combination", "members": [m.name for m in members], "tta_views": views}
    write_json(run.path / "config.json", config | {"selected_on_val": False})
    metrics = {k: v for k, v in run.metrics.items() if k not in ("best_epoch", "epochs", "images_per_second")}
    write_json(run.path / "metrics.json", metrics | {"temperature": 1.0})
    for name in ("model.onnx", "weights.safetensors", "history.csv"):
        (run.path / name).unlink(missing_ok=True)
    return seal_run(run)
