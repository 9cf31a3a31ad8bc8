"""How much memory does a training take that reads its pictures from disk, with ten times as many pictures?

Draws pictures into a file, trains the light CNN on them for an epoch in a fresh process, and reads that process's
largest resident memory (from Linux's /proc). Prints a table and writes JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.reporting import publish
from core.datasets.synthetic import draw_cells

SIZE = 64
CHILD = """
import json, sys
from pathlib import Path
import numpy as np, torch
from core.datasets import LoadedDataset, Provenance, Split, get_dataset
from core.datasets.base import ImageRows
from core.training.config import TrainConfig
from core.training.loop import fit

path, count = Path(sys.argv[1]), int(sys.argv[2])
labels = np.arange(count) % 8
part = lambda rows: Split(ImageRows(path, rows), labels[rows], rows.astype(str))
order = np.random.default_rng(0).permutation(count)
held_out = max(1000, count // 10)
splits = {"train": part(order[held_out:]), "val": part(order[:held_out]), "test": part(order[:held_out])}
data = LoadedDataset(get_dataset("synthetic"), 64, Provenance("drawn", "drawn", "0"), splits)
config = TrainConfig.for_model("light", dataset="synthetic", size=64, epochs=1, augment="flips", device="cpu")
torch.set_num_threads(1)
fit(config, data, torch.device("cpu"))
# Not ru_maxrss, which counts what the parent had when it made this process.
high = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps(int(high.split()[1]) * 1024))
"""


def draw(path: Path, count: int) -> None:
    """``count`` drawn cells; a thousand different ones, turned and shaded, so that drawing takes no hour."""
    cells = draw_cells(np.arange(1000) % 8, SIZE, seed=0)
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (count, SIZE, SIZE, 3))
    for start in range(0, count, 1000):
        part = cells[: count - start]
        images[start : start + len(part)] = np.rot90(part, start // 1000 % 4, (1, 2)) - np.uint8(start // 4000 % 8)
    images.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000])
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in options.counts:
            path = Path(folder) / f"{count}.npy"
            draw(path, count)
            done = subprocess.run(
                [sys.executable, "-c", CHILD, str(path), str(count)], capture_output=True, text=True, check=True
            )
            peak = json.loads(done.stdout)
            megabytes = {"pictures_mb": round(path.stat().st_size / 1e6), "peak_memory_mb": round(peak / 1e6)}
            rows.append({"pictures": count, **megabytes})
            path.unlink()
    first = rows[0]["peak_memory_mb"]
    rows = [{**row, "against_first": round(row["peak_memory_mb"] / first, 2)} for row in rows]
    publish("streaming", rows, size=SIZE)


if __name__ == "__main__":
    main()
