"""Tables of runs as pure functions: what the Compare page shows and exports."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from core.datasets import Scheme
from core.evaluation import softmax
from core.runs import Predictions, Run
from core.studies import Study, mean_interval
from dashboard.schemes import scheme_of, scheme_titles

# Axis of the scatter: label, column of `leaderboard`, and the adjective of being better there.
COSTS = {
    "latency": ("Milliseconds for one picture", "latency_ms", "faster"),
    "memory": ("Peak memory (MB)", "peak_memory_mb", "leaner"),
    "size": ("File size (MB)", "megabytes", "smaller"),
    "parameters": ("Parameters", "parameters", "smaller"),
    "training": ("Training time (s)", "train_seconds", "quicker to train"),
}


def family(run: Run) -> str:
    """The family of a run's model ('Plain CNN'), 'Other' where it tells none."""
    return run.config["model"].get("family") or "Other"


def leaderboard(
    runs: Sequence[Run],
    labels: Mapping[str, str],
    split: str = "test",
    studies: Sequence[Study] = (),
    schemes: Sequence[Scheme] = (),
) -> pd.DataFrame:
    """One row a run, in the order given. Shares are in percent, except AUROC (0 to 1); unknown values are NaN.

    Columns: run, model, family, accuracy, low, high (95 % interval), interval (text), seeds (text: mean and
    interval over several seeds, where ``studies`` have them), balanced, macro_f1, macro_auroc, ece, parameters,
    megabytes, train_seconds, device, latency_ms, peak_memory_mb, data, size, seed, owner; and, where the data set can
    be split in several ways (``schemes``), scheme, the title of the run's.
    """
    spread, titles = over_seeds(runs, studies), scheme_titles(schemes)
    rows = []
    for run in runs:
        m, overall = run.metrics[split], run.metrics
        low, high = (100 * bound for bound in m["accuracy_interval"])
        rows.append(
            {
                "run": run.name,
                "model": labels[run.name],
                "family": family(run),
                **({"scheme": titles.get(way := scheme_of(run, schemes), way)} if schemes else {}),
                "accuracy": 100 * m["accuracy"],
                "low": low,
                "high": high,
                "interval": f"{low:.1f} to {high:.1f}",
                "seeds": spread.get(run.name, ""),
                "balanced": 100 * _number(m["balanced_accuracy"]),
                "macro_f1": 100 * _number(m["macro_f1"]),
                "macro_auroc": _number(m["macro_auroc"]),
                "ece": 100 * _number(m["ece"]),
                "parameters": _number(overall.get("parameters")),
                "megabytes": run.model_bytes / 1e6,
                "train_seconds": _number(overall.get("train_seconds")),
                "device": overall.get("device") or "",
                "latency_ms": _number((overall.get("latency") or {}).get("batch1_ms")),
                "peak_memory_mb": _number((overall.get("latency") or {}).get("peak_memory_mb")),
                "data": run.provenance,
                "size": run.size,
                "seed": run.config["train"].get("seed"),
                "owner": "shipped" if run.shipped else "your own",
            }
        )
    return pd.DataFrame(rows)


def over_seeds(runs: Sequence[Run], studies: Sequence[Study]) -> dict[str, str]:
    """By the run's name: what a study of several seeds found for its model and size, '95.4 ± 0.3 (5)' in percent.

    That is the mean on test (on the study's own metric where test wasn't scored) with half its 95 % interval
    and the number of seeds. Runs without such a study have no entry.
    """
    found = {}
    for study in studies:
        if study.kind != "seeds":
            continue
        tested = [trial.test for trial in study.complete if trial.test is not None]
        values = tested if len(tested) == len(study.complete) else [trial.score for trial in study.complete]
        if len(values) < 2:
            continue
        mean, _, high = mean_interval(values)
        text = f"{100 * mean:.2f} ± {100 * (high - mean):.2f} ({len(values)})"
        for run in runs:
            if (run.dataset, run.size, run.model) == (study.dataset, study.size, study.model):
                found[run.name] = text
    return found


def measured_cost(table: pd.DataFrame) -> str:
    """The first of `COSTS` that any run has a value for: what the scatter shows when none is asked for."""
    return next((key for key, (_, column, _) in COSTS.items() if len(table) and table[column].notna().any()), "size")


def per_class(runs: Sequence[Run], labels: Mapping[str, str], split: str = "test") -> pd.DataFrame:
    """One row a run: model, then for each class its sensitivity and specificity in percent ('ERB sensitivity')."""
    rows = []
    for run in runs:
        measures = run.metrics[split]["per_class"]
        row = {"model": labels[run.name]}
        for number, code in enumerate(run.config["dataset"]["codes"]):
            for measure in ("sensitivity", "specificity"):
                row[f"{code} {measure}"] = 100 * _number(measures[measure][number])
        rows.append(row)
    return pd.DataFrame(rows)


def pareto_front(cost: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Indices of the points that no other beats (cost no higher and gain no lower, one of them strictly), by cost.

    Points whose cost or gain is NaN are left out.
    """
    known = np.flatnonzero(~(np.isnan(cost) | np.isnan(gain)))
    order = known[np.lexsort((-gain[known], cost[known]))]
    front, best = [], -np.inf
    for index in order:
        if gain[index] > best:
            front.append(index)
            best = gain[index]
    return np.array(front, int)


def confusion_table(confusion: Sequence[Sequence[int]], codes: Sequence[str]) -> pd.DataFrame:
    """A confusion matrix ready for export: rows are the true class, columns the answer."""
    table = pd.DataFrame(confusion, columns=list(codes), index=list(codes))
    table.index.name = "true class"
    return table


def cell_answers(answers: Mapping[str, tuple[Predictions, np.ndarray]], truth: int, called: int) -> pd.DataFrame:
    """The images of class ``truth``, one row each, with every run's answer.

    ``answers`` maps a run's label to its predictions and their order, such that equal positions are the
    same image. Columns: id, then for each label '<label> answer' (class index), '<label> p' (share of its
    answer), '<label> p true' and '<label> p called' (shares, 0 to 1, of the classes asked about).
    """
    first, order = next(iter(answers.values()))
    keep = first.labels[order] == truth
    table = {"id": first.ids[order][keep]}
    for label, (predictions, places) in answers.items():
        shares = softmax(predictions.logits[places][keep])
        table[f"{label} answer"] = shares.argmax(1) if len(shares) else np.zeros(0, int)
        table[f"{label} p"] = shares.max(1) if len(shares) else np.zeros(0)
        table[f"{label} p true"] = shares[:, truth]
        table[f"{label} p called"] = shares[:, called]
    return pd.DataFrame(table)


def share(value: float) -> str:
    """A probability as a whole percent, '> 99 %' and '< 1 %' at the ends."""
    if value > 0.99:
        return "> 99 %"
    return "< 1 %" if value < 0.01 else f"{100 * value:.0f} %"


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
