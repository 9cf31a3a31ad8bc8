"""The table of runs: sortable, its first column pinned, rows to tick."""

import hashlib
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.state import nearest, not_there, parameter, put, remembered

KEY = "runs"  # in the address bar: the ticked runs, in the order in which they were ticked
_TICKED = "_ticked"  # by data set


def columns(unit: str = "cell") -> dict[str, object]:
    """How each column of `dashboard.leaderboard.leaderboard` is shown; ``unit`` is what one picture shows."""
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    on = f" On the same test {unit}s."
    return {
        "model": text("Model", pinned=True, width=232),
        "accuracy": number("Accuracy", format="%.2f %%", help=f"Share of {unit}s that are named right." + on),
        "interval": text(
            "95 % interval",
            alignment="right",
            help=f"Where the accuracy on more such {unit}s would lie (Wilson), in %. They come from few people, "
            "so the real uncertainty is larger.",
        ),
        "behind": number(
            "At most behind",
            format="%.1f points",
            help="How far this run may be behind the most accurate one: the upper end of the 95 % interval of their "
            f"difference on the same val {unit}s. 'Best for' goes by it.",
        ),
        "seeds": text(
            "Over seeds",
            alignment="right",
            help="Mean accuracy on test of several trainings that differ by the seed only, with half the 95 % interval "
            "of the mean (Student's t) and their number. Where a study was made, see Studies.",
        ),
        "scheme": text(
            "Split",
            width="medium",
            help="How the data set was split into train, val and test. Accuracies under different ways don't compare.",
        ),
        "family": text("Family"),
        "balanced": number("Balanced", format="%.2f %%", help="Mean of the classes' sensitivities." + on),
        "macro_f1": number("Macro F1", format="%.2f %%", help="Mean over classes of sensitivity and precision's mean."),
        "macro_auroc": number("AUROC", format="%.4f", help="Mean over classes: how well a class is ranked above all."),
        "ece": number("ECE", format="%.2f %%", help="Mean gap between how sure a model is and how often it is right."),
        "parameters": number("Parameters", format="localized"),
        "megabytes": number("File", format="%.1f MB", help="Size on disk of graph and weights."),
        "latency_ms": number(
            "One picture", format="%.1f ms", help="Time for one picture with ONNX Runtime, where measured."
        ),
        "peak_memory_mb": number(
            "Memory",
            format="%.0f MB",
            help="The most that opening it and answering took beyond the program itself, where measured.",
        ),
        "train_seconds": number("Training", format="%.0f s"),
        "device": text("Device", help="What it was trained on; training times of different devices don't compare."),
        "seed": number("Seed", format="%d"),
        "data": text("Data", help="Where the images come from that it was trained and scored on."),
        "owner": text("From"),
    }


def ticked(
    dataset: str, names: Sequence[str], labels: dict[str, str], default: Sequence[str]
) -> tuple[list[str], str | None]:
    """The ticked runs of ``dataset`` by the link, else as left, else ``default``; a sentence where one isn't there."""
    kept = st.session_state.setdefault(_TICKED, {}).get(dataset)
    link = parameter(KEY)
    if link is None or link == remembered(KEY):
        left = [name for name in kept or () if name in names] if kept is not None else list(default)
        return left, None
    found, missing = [], []
    for wanted in link.split(","):
        here = wanted if wanted in names else nearest(wanted, [n for n in names if n not in found])
        if wanted not in names:
            missing.append(wanted)
        if here and here not in found:
            found.append(here)
    instead = [labels[name] for name in found]
    return found, not_there("run", missing, instead) if missing else None


def tick(dataset: str, names: Sequence[str]) -> None:
    """Remember ``names`` as the ticked runs of ``dataset`` (the last ticked last), and have the address bar say so."""
    st.session_state.setdefault(_TICKED, {})[dataset] = list(names)
    put(KEY, ",".join(names))


def run_table(
    table: pd.DataFrame, chosen: Sequence[str], *, dataset: str, unit: str = "cell", height: int
) -> list[str]:
    """Draw ``table`` (of `leaderboard`) with ``chosen`` rows ticked; returns the ticked runs, last ticked last.

    ``dataset`` is that of all rows, ``unit`` what one of its pictures shows.
    """
    names = list(table["run"])
    config = columns(unit) | {"run": None, "low": None, "high": None, "size": None}
    # Row selections are positions: another set of rows needs another widget.
    key = "runs_" + hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
    rows = [names.index(name) for name in chosen if name in names]
    event = st.dataframe(
        table,
        key=key,
        height=height,
        hide_index=True,
        column_order=[c for c in columns() if c in table and not (c == "seeds" and not any(table[c]))],
        column_config=config,
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": rows}},
        placeholder="–",
    )
    now = [names[row] for row in event.selection.rows]
    hidden = [name for name in chosen if name not in names]  # filtered away, not unticked
    order = [name for name in chosen if name in now or name in hidden]
    order += [name for name in now if name not in order]
    tick(dataset, order)
    return order
