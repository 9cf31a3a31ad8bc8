"""The processes that train one network together, one a device; mostly it is a single one.

With several, Lightning Fabric starts the others (each runs the same command) and PyTorch's
DistributedDataParallel averages their gradients (Li et al. 2020, arXiv:2006.15704). Each takes its share of
every batch, so that the recipe means the same on any number of devices, but for batch norm, which each
computes on its share.
"""

import os
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from core.errors import HemaLensError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")


class Team:
    """One process alone on ``device``: every method gives back what it is given. `Several` does the real work."""

    size = 1
    rank = 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def leads(self) -> bool:
        """Whether this process validates, stores, and speaks to the person."""
        return self.rank == 0

    def share(self, chosen: Tensor) -> Tensor:
        """This process's part of the batch ``chosen`` (indices)."""
        return chosen

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network to call while training: its gradients are those of the whole batch."""
        return network

    def mean(self, value: Tensor) -> Tensor:
        """The mean of ``value`` over all processes."""
        return value

    def agree(self, value: T) -> T:
        """The leader's ``value``, in every process."""
        return value


class Several(Team):
    """This process and the others that ``fabric`` has started."""

    def __init__(self, fabric: "Fabric") -> None:
        super().__init__(fabric.device)
        self.fabric = fabric
        self.size, self.rank = fabric.world_size, fabric.global_rank

    def share(self, chosen: Tensor) -> Tensor:
        return chosen[self.rank :: self.size]

    def wrap(self, network: nn.Module) -> nn.Module:
        return self.fabric.setup_module(network, move_to_device=False)

    def mean(self, value: Tensor) -> Tensor:
        return self.fabric.all_reduce(value.clone(), reduce_op="mean")

    def agree(self, value: T) -> T:
        return self.fabric.broadcast(value)


def is_helper() -> bool:
    """Whether this process was started by another one to train with it: it has nothing to tell a person."""
    return int(os.environ.get("LOCAL_RANK", 0)) > 0


def how_many(device: torch.device, devices: int) -> int:
    """Number of processes for ``devices`` as a person asks for it: 0 means all GPUs, where ``device`` is one.

    Raises `HemaLensError` where the machine has fewer.
    """
    there = {"cuda": torch.cuda.device_count, "cpu": lambda: max(devices, 1)}.get(device.type, lambda: 1)()
    wanted = devices or (there if device.type == "cuda" else 1)
    if wanted > there:
        raise HemaLensError(
            f"--devices {wanted} can't be: this machine has {there} {device.type} device{'s' if there != 1 else ''} "
            "that PyTorch can use"
        )
    return wanted


@cache
def assemble(device: torch.device, size: int) -> Team:
    """The team of ``size`` processes on devices like ``device``, started where it has not been.

    The others begin by running this program's command from its start, and meet this one here.
    """
    if size == 1:
        return Team(device)
    import logging

    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(accelerator=device.type, devices=size, strategy="ddp")
    fabric.launch()
    return Several(fabric)
