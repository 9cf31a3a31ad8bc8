"""Two ways to the same answer: torch eager, the ordinary way, and the engine that HemaLens serves with.

Run as a script it takes one way in a process of its own and prints, as JSON, what a first answer costs:
``python -m benchmarks.answering RUN_FOLDER eager|served --threads N``
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from core.runs import Run

Answer = Callable[[np.ndarray], np.ndarray]
BATCH = 64


def served_logits(run: Run) -> Answer:
    """Logits float32 (N, C) from uint8 (N, S, S, 3) as the dashboard and the shell get them."""
    from core.inference import engine

    engine.load(run)
    return lambda pictures: engine.logits(run, pictures)


def eager_logits(run: Run, threads: int) -> Answer | None:
    """The same by torch eager in float32 under inference_mode; None for a run that torch can't compute.

    A combination is computed in the same manner: every member, every view, then the mean.
    """
    members = run.members or (run,)
    if any(member.kind != "network" for member in members):
        return None
    import torch

    from core.inference.engine import tta_views as views
    from core.models import load_network

    torch.set_num_threads(threads)
    networks = [load_network(member) for member in members]

    @torch.inference_mode()
    def one(pictures: np.ndarray) -> np.ndarray:
        return networks[0](torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255).numpy()

    @torch.inference_mode()
    def combined(pictures: np.ndarray) -> np.ndarray:
        seen = np.concatenate(list(views(pictures, run.tta_views)))
        x = torch.from_numpy(seen).permute(0, 3, 1, 2).float() / 255
        mean = torch.stack([network(x).double().softmax(1) for network in networks]).mean(0)
        mean = mean.reshape(run.tta_views, len(pictures), -1).mean(0)
        return (mean.clamp_min(1e-12).log() / run.metrics["temperature"]).float().numpy()

    return combined if run.kind == "combination" else one


def pictures_for(run: Run) -> np.ndarray:
    """`BATCH` pictures for ``run``, uint8: noise, because speed does not depend on what they show."""
    return np.random.default_rng(0).integers(0, 256, (BATCH, run.size, run.size, 3), dtype=np.uint8)


def _resident() -> float:
    """Memory in MB that this process holds now; 0 where the system doesn't tell."""
    status = Path("/proc/self/status")
    return _field(status, "VmRSS") if status.exists() else 0.0


def _peak() -> float:
    """The most memory in MB that this process has held.

    Linux tells it of the program itself; ``ru_maxrss`` there begins at what the parent process held, so it is
    asked only where there is nothing else (in bytes on macOS).
    """
    status = Path("/proc/self/status")
    if status.exists():
        return _field(status, "VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def _field(status: Path, name: str) -> float:
    line = next(line for line in status.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("way", choices=("eager", "served"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    run = Run(options.run)
    pictures = pictures_for(run)
    before = time.perf_counter()
    if options.way == "eager":
        from core.models import model_names

        model_names()  # imports torch and every network
    else:
        from core.inference import engine

        engine.MAX_THREADS = options.threads
    imported, held, highest = time.perf_counter(), _resident(), _peak()
    answer = served_logits(run) if options.way == "served" else eager_logits(run, options.threads)
    opened = time.perf_counter()
    answer(pictures[:1])
    answered = time.perf_counter()
    answer(pictures)
    # Where importing itself held more than answering ever did, the rise since then is all that can be told.
    peak = _peak()
    memory = peak - held if peak > highest else max(0.0, _resident() - held)
    print(
        json.dumps(
            {
                "import_ms": (imported - before) * 1000,
                "open_ms": (opened - imported) * 1000,
                "first_answer_ms": (answered - opened) * 1000,
                "memory_mb": memory,
            }
        )
    )


if __name__ == "__main__":
    main()
