"""How long does an answer take, one picture at a time and 64 at once, and how much memory, for every run?

The engine that HemaLens serves with beside torch eager (float32, inference_mode, as most would write it) on
the same CPU with the same number of threads, in turns in one run; the two must agree to 1e-3. Times are
medians over the rounds. Other work on the machine slows both, and eager's waiting threads far more: the ratio
of the fastest rounds tells how far, and ``--threads 1 --processor-time`` counts what no other work disturbs,
the processor's time of one thread. Memory, opening and the first answer are measured in a fresh process for
each run and way; memory is the most that it held while it opened the model and answered one and then 64
pictures, less what it held after its imports.
``python -m benchmarks.inference [RUN ...] [--keep]`` (``--keep`` writes the figures into each run's metrics,
from where Compare and the README take them).
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.answering import BATCH, Answer, eager_logits, pictures_for, served_logits
from benchmarks.reporting import publish
from core.inference import engine
from core.runs import Run, find_run, list_runs, update_metrics

ROOT = Path(__file__).resolve().parents[1]
ENGINE = "ONNX Runtime"
AGREEMENT = 1e-3


def alternate(
    answers: dict[str, Answer], pictures: np.ndarray, rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Milliseconds of each way by ``clock``, ``rounds`` times in turns; the call before each is for warming up."""
    times: dict[str, list[float]] = {name: [] for name in answers}
    for _ in range(rounds):
        for name, answer in answers.items():
            answer(pictures)
            started = clock()
            answer(pictures)
            times[name].append((clock() - started) * 1000)
    return times


def measure_fresh_process(run: Run, engine_name: str, threads: int) -> dict[str, float]:
    """What a fresh process pays for its first answer, see `benchmarks.answering`."""
    line = [sys.executable, "-m", "benchmarks.answering", str(run.path), engine_name, "--threads", str(threads)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(run: Run, rounds: int, threads: int, clock: Callable[[], float]) -> dict[str, object]:
    """One row of the table; what torch can't compute is None."""
    pictures = pictures_for(run)
    answers = {"served": served_logits(run)}
    if (reference := eager_logits(run, threads)) is not None:
        answers["eager"] = reference
    row: dict[str, object] = {"run": run.name}
    for batch, count in ((1, rounds), (BATCH, max(3, rounds // 6))):
        times = alternate(answers, np.ascontiguousarray(pictures[:batch]), count, clock)
        middle = {name: statistics.median(values) for name, values in times.items()}
        row[f"eager ms, {batch}"] = middle.get("eager")
        row[f"served ms, {batch}"] = middle["served"]
        row[f"ratio, {batch}"] = middle["eager"] / middle["served"] if "eager" in middle else None
        if batch == 1:
            row["fastest, 1"] = min(times["eager"]) / min(times["served"]) if "eager" in middle else None
    costs = {way: measure_fresh_process(run, way, threads) if way in answers else {} for way in ("eager", "served")}
    for engine_name, cost in costs.items():
        row[f"{engine_name} MB"] = cost.get("memory_mb")
        row[f"{engine_name} opens in ms"] = cost.get("open_ms")
        row[f"{engine_name} first ms"] = cost.get("first_answer_ms")
    row["difference"] = float(np.abs(reference(pictures) - answers["served"](pictures)).max()) if reference else None
    return row


def latency(row: dict, machine: str) -> dict[str, object]:
    """The row as a run's metrics keep it."""

    def rounded(value: float | None, digits: int) -> float | None:
        return None if value is None else round(value, digits)

    eager_batch_ms, each = row[f"eager ms, {BATCH}"], row[f"served ms, {BATCH}"] / BATCH
    return {
        "batch1_ms": rounded(row["served ms, 1"], 3),
        "batch64_ms_per_image": rounded(each, 4),
        "eager_batch1_ms": rounded(row["eager ms, 1"], 3),
        "eager_batch64_ms_per_image": rounded(None if eager_batch_ms is None else eager_batch_ms / BATCH, 4),
        "peak_memory_mb": rounded(row["served MB"], 1),
        "engine": ENGINE,
        "machine": machine,
    }


def median_of(rows: list[dict], column: str) -> float | None:
    """The median of a column over the rows that have it."""
    return statistics.median(values) if (values := [row[column] for row in rows if row[column] is not None]) else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="*", help="names of runs (default: all)")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--keep", action="store_true", help="write the figures into each run's metrics")
    parser.add_argument("--threads", type=int, help="threads of both ways (default: what the engine takes)")
    parser.add_argument("--processor-time", action="store_true", help="count the processor's time, not the clock's")
    options = parser.parse_args()
    import torch

    from core.training.optim import device_name

    machine, threads = device_name(torch.device("cpu")), options.threads or engine.thread_count()
    engine.MAX_THREADS = threads
    clock = time.process_time if options.processor_time else time.perf_counter
    rows = []
    for run in [find_run(name) for name in options.runs] or list_runs():
        row = measure(run, options.rounds, threads, clock)
        rows.append(row)
        print(f"{len(rows)}: {run.name}", file=sys.stderr)
        if options.keep:
            update_metrics(run, latency=latency(row, machine))
    summary = {f"median {name}": median_of(rows, name) for name in ("ratio, 1", "fastest, 1", f"ratio, {BATCH}")}
    facts = {"engine": ENGINE, "threads": threads, "rounds": options.rounds, "processor_time": options.processor_time}
    publish("inference", rows, **facts, **summary)
    for name, value in summary.items():
        print(f"{name}: {'–' if value is None else format(value, '.2f')}")
    wrong = [row["run"] for row in rows if row["difference"] is not None and row["difference"] > AGREEMENT]
    if wrong:
        print(f"the two ways differ by more than {AGREEMENT:g} for {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
