"""Made-up studies for tests of what reads studies: plausible scores from a seeded generator, no training."""

import math

import numpy as np

from core.evaluation.left_out import Area, LeftOutClass, LeftOutStudy
from core.studies import Study, Trial, list_studies

FACTS = {
    "dataset": "bloodmnist",
    "size": 28,
    "provenance": {"kind": "rebuilt", "label": "rebuilt BloodMNIST (own split)", "content_hash": "0123456789ab"},
    "device": "a made-up processor (1 thread)",
    "created": "2026-01-01T00:00:00+00:00",
}
PARAMETERS = {
    "learning_rate": {"kind": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "dropout": {"kind": "float", "low": 0.0, "high": 0.6, "log": False},
    "hidden": {"kind": "int", "low": 32, "high": 512, "log": True},
    "optimizer": {"kind": "choice", "choices": ["sgd", "adamw"]},
    "batch_size": {"kind": "choice", "choices": [32, 64, 128, 256]},
}
VARIANTS = {
    "base: 4 layers": 0.90,
    "2 layers": 0.84,
    "3 layers": 0.88,
    "dropout 0.4": 0.91,
    "batch norm": 0.945,
    "batch norm + dropout 0.4": 0.95,
    "SE": 0.905,
}


def fake_tune_study(trials: int = 40, seed: int = 0, name: str = "tune-cnn_4-28") -> Study:
    """A search over five parameters with complete, pruned and (the fourth trial) failed ones."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(trials):
        params = {
            "learning_rate": float(10 ** rng.uniform(-4, -1)),
            "dropout": float(rng.uniform(0, 0.6)),
            "hidden": int(2 ** rng.uniform(5, 9)),
            "optimizer": str(rng.choice(["sgd", "adamw"])),
            "batch_size": int(rng.choice([32, 64, 128, 256])),
        }
        score = 0.93 - 0.06 * (math.log10(params["learning_rate"]) + 2.5) ** 2 - 0.1 * (params["dropout"] - 0.3) ** 2
        score += float(rng.normal(0, 0.01)) + 0.01 * math.log2(params["hidden"] / 128)
        state = "failed" if number == 3 else "pruned" if score < 0.86 and number > 5 else "complete"
        epochs = {"failed": 0, "pruned": 3, "complete": 8}[state]
        seconds = (0.5 + params["hidden"] / 200 + 64 / params["batch_size"]) * epochs
        made.append(Trial(number, params, 0, None if state == "failed" else score, seconds, epochs, state))
    return Study(
        name=name,
        kind="tune",
        title="CNN, 4 layers, 28 px: settings",
        model="cnn_4",
        metric="accuracy on val",
        parameters=PARAMETERS,
        trials=tuple(made),
        base={"epochs": 8},
        **FACTS,
    )


def fake_ablation_study(seeds: int = 3, name: str = "ablation-28") -> Study:
    """Seven variants, each with ``seeds`` seeds, val and test."""
    rng = np.random.default_rng(1)
    trials = []
    for label, level in VARIANTS.items():
        for seed in range(seeds):
            score = level + float(rng.normal(0, 0.004))
            seconds = 40 + 10 * ("SE" in label) + float(rng.uniform(0, 3))
            test = score - 0.003 + float(rng.normal(0, 0.002))
            params = {"variant": label}
            trials.append(Trial(len(trials), params, seed, score, seconds, 8, label=label, test=test))
    return Study(
        name=name,
        kind="ablation",
        title="What each ingredient gives, 28 px",
        model="cnn_custom",
        metric="accuracy on val",
        trials=tuple(trials),
        note="Every variant changes one thing.",
        **FACTS,
    )


def fake_seeds_study(seeds: int = 5, model: str = "cnn_bn", level: float = 0.95) -> Study:
    """One recipe, ``seeds`` seeds, val and test."""
    rng = np.random.default_rng(2)
    trials = []
    for seed in range(seeds):
        score = level + float(rng.normal(0, 0.004))
        trials.append(Trial(seed, {}, seed, score, 60 + float(rng.uniform(0, 3)), 10, test=score - 0.002))
    return Study(
        name=f"seeds-{model}-28",
        kind="seeds",
        title=f"{model}, 28 px: {seeds} seeds",
        model=model,
        metric="accuracy on val",
        trials=tuple(trials),
        **FACTS,
    )


def stored_study(name: str) -> Study:
    """The study of that name, as pages find it."""
    return next(study for study in list_studies() if study.name == name)


def fake_left_out_study() -> LeftOutStudy:
    """Two classes left out, two scores each."""

    def left_out(code: str, area: float, flagged: float) -> LeftOutClass:
        areas = {"OOD detector": Area(area, area - 0.01, area + 0.005), "energy": Area(0.8, 0.7, 0.85)}
        return LeftOutClass(code, 40, 300, areas, flagged, 0.012, 0.95, (0.92, 0.97), 120.0)

    return LeftOutStudy(
        dataset="bloodmnist",
        size=64,
        provenance=FACTS["provenance"],
        train={"model": "cnn_se", "epochs": 5, "seed": 0, "half": True},
        parameters=1234,
        milliseconds={"one": 1.5, "batch": 0.75},
        machine=FACTS["device"],
        created=FACTS["created"],
        scores={"OOD detector": "the detector", "energy": "of the logits"},
        classes=(left_out("BA", 0.7, 0.1), left_out("ERB", 0.99, 0.5)),
    )
