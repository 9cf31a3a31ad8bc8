"""Choosing runs: every picker in the dashboard names them in the same way."""

from collections.abc import Sequence

import streamlit as st

from core.runs import Run
from dashboard.state import prepare, share


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """A short name for each run (by its name): its title, told apart by the seed or the name where titles repeat."""
    titles = [run.title for run in runs]
    out = {}
    for run in runs:
        twins = [r for r in runs if r.title == run.title]
        seeds = {r.config["train"].get("seed") for r in twins}
        if titles.count(run.title) == 1:
            out[run.name] = run.title
        elif len(seeds) == len(twins):
            out[run.name] = f"{run.title}, seed {run.config['train'].get('seed')}"
        else:
            out[run.name] = f"{run.title} ({run.name.rsplit('-', 1)[-1]})"
    return out


def describe(run: Run, label: str | None = None) -> str:
    """One line: title, accuracy on test, the data behind it, and whether it is the user's own."""
    own = "" if run.shipped else ", your own"
    return f"{label or run.title} · {run.metrics['test']['accuracy']:.1%} on {run.provenance}{own}".replace("%", " %")


def run_picker(
    label: str,
    runs: Sequence[Run],
    *,
    key: str,
    multiple: bool = False,
    default: Sequence[str] = (),
    max_selections: int | None = None,
    linked: bool = True,
    help: str | None = None,
) -> list[Run]:
    """A select box (or several choices) over ``runs``; returns the chosen ones, one or more.

    ``default`` names the runs chosen at first, else the best on val. ``linked`` keeps the choice in
    the address bar under ``key``; a link to a run that is not there is told in a sentence.
    """
    if not runs:
        return []
    by_name = {run.name: run for run in runs}
    names = list(by_name)
    short = labels(runs)
    best = max(runs, key=lambda r: r.metrics["val"]["accuracy"]).name
    chosen = [name for name in default if name in by_name] or [best]
    if linked:
        notice = prepare(key, names, chosen if multiple else chosen[0], what="run", many=multiple)
        if notice:
            st.info(notice, icon=":material/link:")
    elif key not in st.session_state:
        st.session_state[key] = chosen if multiple else chosen[0]

    def line(name: str) -> str:
        return describe(by_name[name], short[name])

    if multiple:
        picked = st.multiselect(
            label, names, format_func=lambda n: short[n], key=key, max_selections=max_selections, help=help
        )
    else:
        picked = [st.selectbox(label, names, format_func=line, key=key, help=help)]
    if linked:
        share(key)
    return [by_name[name] for name in picked]
