"""The state of a training between two epochs, written whole or not at all, without pickle."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core.errors import HemaLensError, plain_reason
from core.storage import write_atomic


@dataclass
class TrainState:
    """What a training has reached: finished ``epoch``s, their ``history`` rows, the best epoch and its weights."""

    epoch: int = 0
    best_epoch: int = 0
    best_accuracy: float = -1.0
    best_loss: float = float("inf")
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best_weights: dict[str, Tensor] = field(default_factory=dict)


def save(
    path: Path, state: TrainState, network: nn.Module, averaged: nn.Module | None, optimizer: torch.optim.Optimizer
) -> None:
    """Write one file that `restore` continues from; a kill at any moment leaves the former one or this one."""
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    if averaged is not None:
        tensors |= {f"averaged.{k}": v for k, v in averaged.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in state.best_weights.items()}
    for index, entries in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in entries.items() if isinstance(v, Tensor)}
    facts = {k: v for k, v in vars(state).items() if k != "best_weights"}
    # Copies, because safetensors refuses tensors that share memory (a fresh best is the averaged net itself).
    copies = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in tensors.items()}
    write_atomic(path, lambda temporary: save_file(copies, temporary, {"facts": json.dumps(facts)}))


def restore(path: Path, network: nn.Module, averaged: nn.Module | None, optimizer: torch.optim.Optimizer) -> TrainState:
    """Load `save`'s file into the three objects and return what had been reached. Raises `InvalidCheckpoint`."""
    try:
        return _restore(path, network, averaged, optimizer)
    except Exception as error:  # whatever a damaged file may bring about
        raise InvalidCheckpoint(
            f"{path} can't be gone on with ({plain_reason(error)}): without --resume the training begins anew"
        ) from error


class InvalidCheckpoint(HemaLensError):
    """The state of an interrupted training can't be read; the message says what to do."""


def _restore(
    path: Path, network: nn.Module, averaged: nn.Module | None, optimizer: torch.optim.Optimizer
) -> TrainState:
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 - safe_open is no mapping

    def part(prefix: str) -> dict[str, Any]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    network.load_state_dict(part("network."))
    if averaged is not None:
        averaged.load_state_dict(part("averaged."))
    optimizer_state: dict[int, dict[str, Any]] = {}
    for key, value in part("optimizer.").items():
        index, name = key.split(".", 1)
        optimizer_state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": optimizer_state, "param_groups": optimizer.state_dict()["param_groups"]})
    return TrainState(**facts, best_weights=part("best."))
