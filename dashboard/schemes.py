"""What the way to split a data set decides: one recipe's accuracy under each way, as a pure function of runs."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from core.datasets import Scheme
from core.evaluation.compare import difference_interval
from core.runs import Run
from core.serving.wording import sentence_case

# Where and how it was split, not how it learnt.
_NO_RECIPE = ("dataset", "scheme", "size", "model", "model_arguments", "start", "weights")


def scheme_of(run: Run, schemes: Sequence[Scheme]) -> str:
    """The name of the way in which a run's data was split; '' means the first, where there are several."""
    return run.scheme or (schemes[0].name if schemes else "")


def scheme_titles(schemes: Sequence[Scheme]) -> dict[str, str]:
    """Title by name, each with a capital."""
    return {scheme.name: sentence_case(scheme.title) for scheme in schemes}


def what_the_split_decides(runs: Sequence[Run], schemes: Sequence[Scheme], labels: Mapping[str, str]) -> pd.DataFrame:
    """A row for each recipe and each way to split against the trusted (first) one: the gap in accuracy on test.

    A recipe is a model with its arguments, its size and where it begins; of several runs the one best on val
    counts. Combinations have no recipe. Columns: model, trusted, other (names of the ways), trusted_run, other_run,
    trusted_accuracy, other_accuracy (percent), trusted_n, other_n (test images), gap (points, other minus trusted),
    low, high (its 95 % interval), differs (other settings of the training that were not the same, '' where none).
    The widest gap stands first.
    """
    found: dict[tuple, dict[str, Run]] = {}
    for run in sorted(runs, key=lambda run: run.metrics["val"]["accuracy"]):
        if run.kind != "combination":
            found.setdefault(_recipe(run), {})[scheme_of(run, schemes)] = run
    titles = Counter(next(iter(by_scheme.values())).title for by_scheme in found.values())
    rows = []
    for by_scheme in found.values():
        trusted = by_scheme.get(schemes[0].name) if schemes else None
        for name, other in by_scheme.items():
            if trusted is not None and other is not trusted:
                label = trusted.title if titles[trusted.title] == 1 else labels[trusted.name]
                rows.append({"model": label} | _row(trusted, other, schemes[0].name, name))
    columns = ["model", "trusted", "other", "trusted_run", "other_run", "trusted_accuracy", "other_accuracy"]
    columns += ["trusted_n", "other_n", "gap", "low", "high", "differs"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("gap", ascending=False, kind="stable").reset_index(drop=True)


def _row(trusted: Run, other: Run, first: str, second: str) -> dict[str, object]:
    scores = [run.metrics["test"] for run in (other, trusted)]
    right = tuple(round(m["accuracy"] * m["n"]) for m in scores)
    low, high = difference_interval(right, tuple(m["n"] for m in scores))
    return {
        "trusted": first,
        "other": second,
        "trusted_run": trusted.name,
        "other_run": other.name,
        "trusted_accuracy": 100 * scores[1]["accuracy"],
        "other_accuracy": 100 * scores[0]["accuracy"],
        "trusted_n": scores[1]["n"],
        "other_n": scores[0]["n"],
        "gap": 100 * (scores[0]["accuracy"] - scores[1]["accuracy"]),
        "low": 100 * low,
        "high": 100 * high,
        "differs": ", ".join(_differing(trusted, other)),
    }


def _recipe(run: Run) -> tuple:
    train = run.config["train"]
    arguments = json.dumps(train.get("model_arguments") or {}, sort_keys=True)
    return run.model, run.size, arguments, train.get("start") or "", train.get("weights") or "", run.codes


def _differing(one: Run, other: Run) -> list[str]:
    """Settings of the training that differ, in words, without those that say what a recipe is."""
    first, second = one.config["train"], other.config["train"]
    names = [name for name in dict.fromkeys([*first, *second]) if name not in _NO_RECIPE]
    return [name.replace("_", " ") for name in names if first.get(name) != second.get(name)]
