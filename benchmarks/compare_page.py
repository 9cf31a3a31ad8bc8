"""How long does a rerun of the Compare page take, with 30 runs?

Fills a folder with the shipped runs and stand-ins (their answers disturbed, so that no two are alike) and
drives the page's script by Streamlit's own test harness: the seconds are those of the server's work, without
the browser's. The first visit reads the runs from disk; a rerun is what every click costs. Beside the clock's
milliseconds stand those of the processor, which other work on the machine doesn't lengthen.
``python -m benchmarks.compare_page``
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from streamlit.testing.v1 import AppTest

from benchmarks.reporting import publish
from core import paths
from core.evaluation.metrics import score
from core.runs import Predictions, Run, list_runs, write_run

PAGE = Path(__file__).resolve().parents[1] / "pages" / "compare.py"
VIEWS = ("overview", "pair", "classes", "hardest", "studies")
FAMILIES = ("Dense and recurrent", "Plain CNN", "Attention CNN", "Residual network", "Forests", "Combination")


def fake_run(root: Path, model: Run, number: int) -> Run:
    """Write a run like ``model`` under ``root``, its answers disturbed, its costs and name changed."""
    rng = np.random.default_rng(number)
    strength = rng.uniform(1, 6)

    def disturbed(split: str) -> Predictions:
        stored = model.predictions(split)
        noise = rng.normal(0, strength, stored.logits.shape)
        return Predictions(stored.ids, stored.labels, (stored.logits + noise).astype("f4"))

    predictions = {split: disturbed(split) for split in ("val", "test")}
    metrics = {split: score(p.labels, p.logits.astype("f2").astype("f4")) for split, p in predictions.items()}
    factor = float(np.exp(rng.normal(0, 1)))
    latency = {k: round(v * factor, 3) if isinstance(v, float) else v for k, v in model.metrics["latency"].items()}
    metrics = {**model.metrics, **metrics, "latency": latency | {"peak_memory_mb": round(100 + 40 * factor, 1)}}
    metrics["parameters"] = int(metrics["parameters"] * factor)
    name = f"stand_in_{number}-{model.size}-{number:06x}"
    described = {"title": f"Stand-in {number}", "family": FAMILIES[number % len(FAMILIES)]}
    config = {**model.config, "name": name, "model": {**model.config["model"], **described}}
    columns = model.history
    history = [{k: float(v[i]) for k, v in columns.items()} for i in range(len(columns["epoch"]))]
    return write_run(
        root,
        name,
        config=config,
        metrics=metrics,
        history=history,
        predictions=predictions,
        weights={"w": np.zeros(3, "f4")},
        gate_means={},
        card=f"# Stand-in {number}\n\nMade for a measurement.",
        export=lambda graph, weights: graph.write_bytes(b"not a graph"),
    )


def fill(root: Path, n: int) -> list[str]:
    """Put ``n`` runs of BloodMNIST under ``root``: the shipped ones, then stand-ins. Returns their names."""
    shipped = list_runs("bloodmnist", shipped_only=True)[:n]
    for run in shipped:
        shutil.copytree(run.path, root / "bloodmnist" / run.name, dirs_exist_ok=True)
    studies = paths.shipped_runs_root() / "bloodmnist" / "studies"
    if studies.exists():
        shutil.copytree(studies, root / "bloodmnist" / "studies", dirs_exist_ok=True)
    like = [run for run in shipped if run.kind == "network" and "latency" in run.metrics]
    fake_runs = [fake_run(root, like[i % len(like)], i) for i in range(n - len(shipped))]
    return [run.name for run in [*shipped, *fake_runs]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--reruns", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names = fill(Path(folder) / "runs", options.runs)
        os.environ |= {"HEMALENS_PRETRAINED": f"{folder}/runs", "HEMALENS_CACHE": f"{folder}/cache"}
        os.environ.setdefault("HEMALENS_DATA", f"{folder}/data")
        rows = [visit(view, names, options.reruns) for view in VIEWS]
    publish("compare_page", rows, runs=len(names))


def visit(view: str, names: list[str], reruns: int) -> dict[str, float | str]:
    """Open ``view`` and rerun it; then open it anew, each time by a link to two runs not yet set together."""
    first, page = opened(view)
    same = [timed(page.run) for _ in range(reruns)]
    other_pairs = [opened(view, runs=",".join(names[i : i + 2]))[0] for i in range(reruns)]
    clock, processor = zip(*same, strict=True)
    other_clock, other_processor = zip(*other_pairs, strict=True)
    return {
        "view": view,
        "first visit ms": first[0],
        "rerun ms": statistics.median(clock),
        "another pair ms": statistics.median(other_clock),
        "rerun, processor ms": statistics.median(processor),
        "another pair, processor ms": statistics.median(other_processor),
    }


def opened(view: str, **link: str) -> tuple[tuple[float, float], AppTest]:
    """How long a new visit to ``view`` takes, as `timed`, and the page."""
    page = AppTest.from_file(str(PAGE), default_timeout=600)
    for key, value in {"view": view, **link}.items():
        page.query_params[key] = value
    taken = timed(page.run)
    problems = [*page.exception, *page.error]
    assert not problems, f"{view}: {problems}"
    return taken, page


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds that ``work`` takes by the clock and of the processor (all threads)."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - processor)


if __name__ == "__main__":
    main()
