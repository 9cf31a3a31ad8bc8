"""Run time that means something on a machine that other programs use as well."""

import time

import torch


class Stopwatch:
    """Seconds from its making on: without the waits for other programs where the CPU does the work.

    A search often shares its machine; the time on the wall would then tell of the neighbours.
    """

    def __init__(self, device: torch.device) -> None:
        self.on_cpu = device.type == "cpu"
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def seconds(self) -> float:
        """Wall time, on a CPU at most the processor's time of all threads."""
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        return min(wall, cpu) if self.on_cpu else wall
