"""Compare, the split gap: what the way to split a data set alone does to the accuracy of one recipe."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.datasets import Scheme
from core.evaluation.compare import newcombe_interval
from core.runs import Run
from dashboard.charts import show_figure
from dashboard.compare import CompareContext, scheme_of, scheme_titles
from dashboard.style import finish, ground, name_rows, series_colours

# Where and how it was split, not how it learnt.
_NO_RECIPE = ("dataset", "scheme", "size", "model", "model_arguments", "warm_start", "weights")


def split_gaps(runs: Sequence[Run], schemes: Sequence[Scheme], labels: Mapping[str, str]) -> pd.DataFrame:
    """A row for each recipe and each way to split against the trusted (first) one: the gap in accuracy on test.

    A recipe is a model with its arguments, its size and where it begins; of several runs the one best on val
    counts. Combinations have no recipe. Columns: model, trusted, other (names of the ways), trusted_run, other_run,
    trusted_accuracy, other_accuracy (percent), trusted_n, other_n (test images), gap (points, other minus trusted),
    low, high (its 95 % interval), differs (other settings of the training that were not the same, '' where none).
    The widest gap stands first.
    """
    recipes: dict[tuple, dict[str, Run]] = {}
    for run in sorted(runs, key=lambda run: run.metrics["val"]["accuracy"]):
        if run.kind != "combination":
            recipes.setdefault(_recipe(run), {})[scheme_of(run, schemes)] = run
    titles = Counter(next(iter(by_scheme.values())).title for by_scheme in recipes.values())
    rows = []
    for by_scheme in recipes.values():
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
    there, there_n = (other.metrics["test"][key] for key in ("accuracy", "n"))
    here, here_n = (trusted.metrics["test"][key] for key in ("accuracy", "n"))
    low, high = newcombe_interval((round(there * there_n), round(here * here_n)), (there_n, here_n))
    return {
        "trusted": first,
        "other": second,
        "trusted_run": trusted.name,
        "other_run": other.name,
        "trusted_accuracy": 100 * here,
        "other_accuracy": 100 * there,
        "trusted_n": here_n,
        "other_n": there_n,
        "gap": 100 * (there - here),
        "low": 100 * low,
        "high": 100 * high,
        "differs": ", ".join(_differing(trusted, other)),
    }


def _recipe(run: Run) -> tuple:
    train = run.config["train"]
    arguments = json.dumps(train.get("model_arguments") or {}, sort_keys=True)
    return run.model, run.size, arguments, train.get("warm_start") or "", train.get("weights") or "", run.codes


def _differing(one: Run, other: Run) -> list[str]:
    """Settings of the training that differ, in words, without those that say what a recipe is."""
    first, second = one.config["train"], other.config["train"]
    names = [name for name in dict.fromkeys([*first, *second]) if name not in _NO_RECIPE]
    return [name.replace("_", " ") for name in names if first.get(name) != second.get(name)]


def split_gap_figure(gaps: pd.DataFrame, titles: Mapping[str, str], *, dark: bool = False) -> go.Figure:
    """A row for each recipe of ``gaps`` (of `dashboard.compare.split_gap.split_gaps`, one other way or several).

    The accuracy under the trusted way is a filled dot, under the others an open one, the line between them the gap.
    ``titles`` gives the ways' titles by name.
    """
    schemes = list(dict.fromkeys([*gaps["trusted"], *gaps["other"]]))
    colours = dict(zip(schemes, series_colours(len(schemes), dark), strict=True))
    rows = list(dict.fromkeys(gaps["model"]))
    fig = go.Figure()
    line = {"color": ground(dark)["line"], "width": 4}
    pairs = gaps[["trusted_accuracy", "other_accuracy"]].to_numpy(float)
    places = [rows.index(model) for model in gaps["model"]]
    for ends, place in zip(pairs, places, strict=True):
        fig.add_scatter(x=ends, y=[place, place], mode="lines", line=line, hoverinfo="skip", showlegend=False)
    for scheme in schemes:
        trusted = scheme == (gaps["trusted"].iloc[0] if len(gaps) else "")
        points = gaps.drop_duplicates("trusted_run") if trusted else gaps[gaps["other"] == scheme]
        kind = "trusted" if trusted else "other"
        fig.add_scatter(
            x=points[f"{kind}_accuracy"],
            y=[rows.index(model) for model in points["model"]],
            mode="markers",
            name=titles.get(scheme, scheme),
            marker={"color": colours[scheme], "size": 12, "symbol": "circle" if trusted else "circle-open"}
            | {"line": {"width": 2.5, "color": colours[scheme]}},
            customdata=points[["model", f"{kind}_n"]],
            hovertemplate="%{customdata[0]}: %{x:.2f} % of %{customdata[1]:,} test images<extra></extra>",
        )
    words = {"showarrow": False, "xanchor": "left", "xshift": 12, "font": {"size": 13, "color": ground(dark)["text"]}}
    for ends, place, gap in zip(pairs, places, gaps["gap"], strict=True):
        fig.add_annotation(words, x=ends.max(), y=place, text=f"{gap:+.1f}")
    finish(fig, title=split_gap_title(gaps, titles), height=130 + 34 * len(rows), dark=dark)
    fig.update_layout(margin={"t": 76, "r": 40}, legend={"x": 0, "xanchor": "left"})
    fig.update_xaxes(title_text="Accuracy on test (%)")
    name_rows(fig, rows, dark, showgrid=False, tickfont={"color": ground(dark)["quiet"]})
    return fig


def split_gap_title(gaps: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """What the gaps say, in one line."""
    if gaps.empty:
        return "No recipe was trained under two ways to split"
    scheme, mean = gaps["other"].mode().iloc[0], gaps.groupby("other")["gap"].mean()
    name, points = titles.get(scheme, scheme), mean[scheme]
    if abs(points) < 0.05:
        return f"{name}: the same accuracy as the split to trust"
    return f"{name}: {abs(points):.1f} points {'more' if points > 0 else 'less'} than the split to trust"


def split_gap(context: CompareContext) -> None:
    """The same recipes under the split to trust and under the others; nothing where there are no such runs."""
    if not context.schemes:
        return
    schemes = context.spec.schemes
    gaps, titles = split_gaps(context.every, schemes, context.names), scheme_titles(schemes)
    st.header("What the split decides", anchor=False)
    if gaps.empty:
        st.caption(
            f"Here the same recipe will stand under '{schemes[0].title}' and under another split, with the gap between "
            "them: no recipe has been trained under both yet."
        )
        return
    with st.container(horizontal=True, gap="medium"):  # one below the other on a narrow page
        with st.container(width=620):
            key = (*context.every, *gaps["model"], context.dark)
            figure = partial(split_gap_figure, gaps, titles, dark=context.dark)
            show_figure(figure, gaps, "splits", "scheme_gaps", made_of=key)
        with st.container(width="stretch"):
            _table(gaps, titles)
            compared = [scheme for scheme in schemes if scheme.name in {*gaps["other"], schemes[0].name}]
            ways = "  \n".join(f"**{titles[scheme.name]}:** {scheme.description}" for scheme in compared)
            st.caption(
                f"{ways}  \nThe gap's interval (95 %, Newcombe) takes both test parts for separate draws of single "
                f"{context.unit}s; {context.unit}s of one person or slide are alike, so the real uncertainty is larger."
            )


def _table(gaps: pd.DataFrame, titles: dict[str, str]) -> None:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    shown = gaps.assign(
        other=[titles.get(way, way) for way in gaps["other"]],
        interval=[f"{low:+.1f} to {high:+.1f}" for low, high in zip(gaps["low"], gaps["high"], strict=True)],
    )
    trusted = titles.get(gaps["trusted"].iloc[0], gaps["trusted"].iloc[0])
    others = list(dict.fromkeys(shown["other"]))
    one = others[0] if len(others) == 1 else None  # then the column's title says which
    order = ["model", "trusted_accuracy", *([] if one else ["other"]), "other_accuracy", "gap", "interval"]
    st.dataframe(
        shown,
        hide_index=True,
        height="content",
        column_order=[*order, "differs"] if gaps["differs"].any() else order,
        column_config={
            "model": text("Model", pinned=True),
            "trusted_accuracy": number(trusted, format="%.2f %%", help="Accuracy on test under the split to trust."),
            "other": text("Other split"),
            "other_accuracy": number(one or "Accuracy there", format="%.2f %%"),
            "gap": number("Gap (points)", format="%+.2f", help="How much the other split shows more than the trusted."),
            "interval": text("95 % interval", alignment="right"),
            "differs": text("Also differs", help="Settings of the two trainings that differ."),
        },
    )
