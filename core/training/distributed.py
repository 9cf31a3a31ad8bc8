"""The processes that train one network together, one a device; mostly it is a single one.

With several, Lightning Fabric starts the others (each runs the same command) and PyTorch's DistributedDataParallel
averages their gradients (Li et al. 2020, arXiv:2006.15704). Each rank takes its part of every batch, so that the
recipe means the same on any number of devices, but for batch norm, which each rank computes on its part.
"""

import os
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from core.errors import HemaLensError
from core.formatting import counted

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")


class ProcessGroup:
    """One process alone on ``device``: every method gives back what it is given. `FabricGroup` does the real work."""

    def __init__(self, device: torch.device, world_size: int = 1, rank: int = 0) -> None:
        self.device, self.world_size, self.rank = device, world_size, rank
        self.is_main = rank == 0  # the process that validates, stores, and speaks to the person

    def local_indices(self, indices: Tensor) -> Tensor:
        """This process's part of the batch ``indices`` (indices)."""
        return indices

    def wrap_module(self, network: nn.Module) -> nn.Module:
        """The network to call while training: its gradients are those of the whole batch."""
        return network

    def all_reduce_mean(self, value: Tensor) -> Tensor:
        """The mean of ``value`` over all processes."""
        return value

    def broadcast(self, value: T) -> T:
        """The leader's ``value``, in every process."""
        return value


class FabricGroup(ProcessGroup):
    """This process and the others that ``fabric`` has started."""

    def __init__(self, fabric: "Fabric") -> None:
        super().__init__(fabric.device, fabric.world_size, fabric.global_rank)
        self.fabric = fabric

    def local_indices(self, indices: Tensor) -> Tensor:
        """This process's share of ``indices`` (N,): every ``world_size``-th, from its rank on."""
        return indices[self.rank :: self.world_size]

    def wrap_module(self, network: nn.Module) -> nn.Module:
        """``network`` with its gradients averaged over the processes."""
        return self.fabric.setup_module(network, move_to_device=False)

    def all_reduce_mean(self, value: Tensor) -> Tensor:
        """The mean of ``value`` over the processes, the same in each."""
        mean = self.fabric.all_reduce(value.clone(), reduce_op="mean")
        assert isinstance(mean, Tensor)  # as what was given
        return mean

    def broadcast(self, value: T) -> T:
        """What the main process holds as ``value``."""
        return self.fabric.broadcast(value)


def is_secondary() -> bool:
    """Whether this process was started by another one to train with it: it has nothing to tell a person."""
    return int(os.environ.get("LOCAL_RANK", 0)) > 0


def resolve_world_size(device: torch.device, devices: int) -> int:
    """Number of processes for ``devices`` as a person asks for it: 0 means all GPUs, where ``device`` is one.

    Raises `HemaLensError` where the machine has fewer.
    """
    available = {"cuda": torch.cuda.device_count, "cpu": lambda: max(devices, 1)}.get(device.type, lambda: 1)()
    requested = devices or (available if device.type == "cuda" else 1)
    if requested > available:
        devices_text = counted(available, f"{device.type} device")
        raise HemaLensError(f"--devices {requested} can't be: this machine has {devices_text} that PyTorch can use")
    return requested


@cache
def init_process_group(device: torch.device, world_size: int) -> ProcessGroup:
    """The group of ``world_size`` processes on devices like ``device``, started where it has not been.

    The others begin by running this program's command from its start, and meet this one here.
    """
    if world_size == 1:
        return ProcessGroup(device)
    import logging

    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(accelerator=device.type, devices=world_size, strategy="ddp")
    fabric.launch()
    return FabricGroup(fabric)
