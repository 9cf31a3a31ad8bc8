"""How long does an answer take, one picture at a time and 64 at once, for every shipped run?

ONNX Runtime (what HemaLens serves with) beside torch eager on the same CPU with the same threads, in
turns in one run; the two must agree. ``python -m benchmarks.prediction [--keep]`` (``--keep`` writes the
milliseconds into each run's metrics, from where Compare and the README take them).
"""

import argparse
import statistics
import time

import numpy as np
import torch

from benchmarks.reporting import publish
from core.datasets.synthetic import draw_cells
from core.models import load
from core.runs import list_runs, update_metrics
from core.serving import engine
from core.training.device import describe
from core.training.pixels import as_float


def median_milliseconds(call, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--keep", action="store_true", help="write the milliseconds into each run's metrics")
    options = parser.parse_args()
    machine = describe(torch.device("cpu"))
    rows = []
    for run in list_runs():
        pictures = draw_cells(np.arange(64) % 8, run.size, seed=0)
        network = load(run).to(memory_format=torch.channels_last)

        @torch.inference_mode()
        def eager(part: np.ndarray, network=network) -> np.ndarray:
            return network(as_float(torch.from_numpy(part))).numpy()

        def served(part: np.ndarray, run=run) -> np.ndarray:
            return engine.logits(run, part)

        difference = float(np.abs(eager(pictures) - served(pictures)).max())
        row = {"run": run.name}
        for batch, rounds in ((1, options.rounds), (64, max(3, options.rounds // 5))):
            part = np.ascontiguousarray(pictures[:batch])
            for name, call in (("torch", eager), ("served", served)):
                call(part)
                row[f"{name} ms, {batch}"] = median_milliseconds(lambda call=call, part=part: call(part), rounds)
            row[f"ratio, {batch}"] = row[f"torch ms, {batch}"] / row[f"served ms, {batch}"]
        row["largest difference"] = difference
        rows.append(row)
        if options.keep:
            update_metrics(
                run,
                latency={
                    "batch1_ms": round(row["served ms, 1"], 3),
                    "batch64_ms_per_image": round(row["served ms, 64"] / 64, 4),
                    "engine": "ONNX Runtime",
                    "machine": machine,
                },
            )
    publish("prediction", rows, median_ratio_batch_1=statistics.median(r["ratio, 1"] for r in rows))


if __name__ == "__main__":
    main()
