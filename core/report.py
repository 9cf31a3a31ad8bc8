"""The results table of all shipped runs, as Markdown, made from the run folders alone."""

from pathlib import Path

from core.errors import HemaLensError
from core.models import get_model
from core.runs import Run, list_runs

BEGIN = "<!-- results: written by `python -m core report --write README.md` -->"
END = "<!-- end of results -->"


def results_table(runs: list[Run]) -> str:
    """A Markdown table a data set, best val accuracy first within each picture size, with what the figures mean."""
    parts = []
    for dataset in dict.fromkeys(run.dataset for run in runs):
        of_set = [run for run in runs if run.dataset == dataset]
        lines = [
            "| model | px | test accuracy (95 % interval) | published | macro F1 | ECE | parameters | MB | "
            "training | ms an image, one / 64 at once | run |",
            "|---|--:|---|--:|--:|--:|--:|--:|---|---|---|",
            *(_row(run) for run in sorted(of_set, key=lambda r: (-r.size, -r.metrics["val"]["accuracy"]))),
        ]
        provenances = sorted({f"{r.provenance}, {r.metrics['test']['n']:,} test images" for r in of_set})
        machines = sorted({machine for r in of_set for machine in r.metrics["device"].split("; ")})
        notes = (
            f"{of_set[0].config['dataset']['title']}: {'; '.join(provenances)}. One seed each, one view of each "
            "picture unless several are named; val chose the epoch and the calibration, test was scored once. "
            "'published' is the test accuracy that a public notebook reports for this kind of model, on the official "
            f"split. Trained on {'; '.join(machines)}."
        )
        parts.append("\n".join([*lines, "", notes]))
    return "\n\n".join(parts)


def _row(run: Run) -> str:
    metrics = run.metrics
    test = metrics["test"]
    low, high = test["accuracy_interval"]
    published = get_model(run.model).published.get(run.size)
    latency = metrics.get("latency")
    speed = f"{latency['batch1_ms']:.1f} / {latency['batch64_ms_per_image']:.2f}" if latency else "–"
    cells = (
        run.config["model"]["title"],
        str(run.size),
        f"**{test['accuracy']:.2%}** ({low:.2%} to {high:.2%})",
        f"{published:.2%}" if published else "–",
        f"{test['macro_f1']:.4f}",
        f"{test['ece']:.3f}",
        f"{metrics['parameters']:,}",
        f"{run.model_bytes / 1e6:.1f}",
        _training(run),
        speed,
        f"`{run.name}`",
    )
    return "| " + " | ".join(cells) + " |"


def _training(run: Run) -> str:
    """How it came to be: '60 epochs, 36 min', '12 s', '5 members'."""
    if run.members:
        return f"{len(run.members)} members" if len(run.members) > 1 else f"of `{run.members[0].name}`"
    seconds = run.metrics["train_seconds"]
    time = f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
    epochs = f"{run.metrics['epochs']} epochs, " if "epochs" in run.metrics else ""
    start = run.config["train"].get("start")
    return f"{epochs}{time}" + (f", begun at `{start}`" if start else "")


def shipped_table() -> str:
    """`results_table` of the runs that ship."""
    return results_table([run for run in list_runs() if run.shipped])


def write_into(path: Path) -> None:
    """Replace what stands between the two marks of ``path`` by the table; raises where a mark is missing."""
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise HemaLensError(f"{path} has no place for the results: it needs the lines {BEGIN} and {END}")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    path.write_text(f"{before}{BEGIN}\n\n{shipped_table()}\n\n{END}{after}", encoding="utf-8")
