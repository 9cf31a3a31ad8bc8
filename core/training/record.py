"""What a run's ``config.json`` says, whatever kind of run it is."""

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from core import __version__
from core.datasets import LoadedDataset
from core.models import get_model
from core.runs import ROBUST
from core.training.config import TrainConfig

SCORED = ("val", "test")  # the splits on which every run is scored


def run_config(config: TrainConfig, name: str, data: LoadedDataset, *packages: str) -> dict[str, Any]:
    """The content of ``config.json``: all that is needed to train the run again, with the ``packages`` used."""
    kind = get_model(config.model).kind
    return {
        "name": name,
        **({} if kind == "network" else {"kind": kind}),
        "train": config.as_json(),
        "model": model_facts(config.model, _title(config)),
        "dataset": {
            "name": data.spec.name,
            "title": data.spec.title,
            "size": data.size,
            "provenance": data.provenance.as_json(),
            **({"scheme": data.scheme} if data.scheme else {}),
            "codes": list(data.spec.codes),
            "counts": {split: len(part) for split, part in data.splits.items()},
        },
        **made_with(*packages),
    }


def _title(config: TrainConfig) -> str:
    """The model's title, with what sets the run apart from others of its kind that were trained for home."""
    return f"{get_model(config.model).title}, any laboratory" if config.augment == ROBUST else ""


def model_facts(name: str, title: str = "") -> dict[str, str]:
    """What a person reads of the registered model ``name``, under ``title`` where it has one of its own."""
    model = get_model(name)
    return {
        "name": model.name,
        "title": title or model.title,
        "family": model.family,
        "summary": model.summary,
        "paper": model.paper,
        "paper_url": model.paper_url,
    }


def made_with(*packages: str) -> dict[str, Any]:
    """The entries ``versions`` (HemaLens, Python and ``packages``) and ``created`` (UTC, ISO 8601)."""
    return {
        "versions": {
            "hemalens": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
