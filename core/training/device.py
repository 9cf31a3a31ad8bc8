"""Where a training runs and in which precision."""

import platform
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from core.errors import HemaLensError


def choose_device(name: str) -> torch.device:
    """The device called ``name``; 'auto' takes CUDA, else Apple's MPS, else the CPU."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(d for d, there in available.items() if there)
    if not available[name]:
        there = ", ".join(d for d, ok in available.items() if ok)
        raise HemaLensError(f"this machine has no {name} device that PyTorch can use; choose among: {there}, auto")
    return torch.device(name)


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether to train in bfloat16: on request, or by itself where the hardware multiplies it faster."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def autocast(device: torch.device, bf16: bool) -> AbstractContextManager:
    """bfloat16 for the operations that gain from it, or nothing."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()


def describe(device: torch.device) -> str:
    """What a person reads: 'NVIDIA H200', 'AMD EPYC ... (2 cores)'."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple {platform.processor() or 'GPU'} (MPS)"
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    threads = torch.get_num_threads()
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name} ({threads} thread{'s' if threads > 1 else ''})"
