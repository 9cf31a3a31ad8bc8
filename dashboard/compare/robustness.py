"""Compare, robustness: how much blur, bad light or dirt until a run fails, with a cell to show what that means."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from PIL import Image

from core.evaluation.robustness import CORRUPTIONS, SEVERITIES, corrupt, worst_corruption
from core.formatting import capitalized, percent
from core.inference.scope import spec_for
from core.probabilities import wilson_interval
from core.runs import Run
from dashboard.charts import clicked, csv_button, show_figure
from dashboard.compare import CompareContext, run_selection
from dashboard.page import view
from dashboard.pictures import enlarge
from dashboard.samples import Sample, samples
from dashboard.style import PRIMARY, finish, ground, series_colours
from dashboard.url_state import choice

FAILS = 10  # points of accuracy: so much lost is told as a failure
CLEAN = 0  # the severity of a picture as it came


def severity_points(figures_by_run: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]) -> pd.DataFrame:
    """A row for each run, corruption and severity 0 (as it came) to 5; percent.

    ``figures_by_run`` holds `Run.robustness` by the run's name, ``labels`` its short name. Columns: run, model,
    corruption, title, severity, accuracy, low, high (95 % interval), confidence (mean, of the answers given), cells.
    """
    rows = []
    for run, figures in figures_by_run.items():
        n, clean = figures["n"], figures["clean"]
        for name, kind in CORRUPTIONS.items():
            of_corruption = figures["corruptions"].get(name)
            if of_corruption is None:
                continue
            shares, sure = ([clean[key], *of_corruption[key]] for key in ("accuracy", "confidence"))
            for severity, share, confidence in zip((CLEAN, *SEVERITIES), shares, sure, strict=True):
                low, high = wilson_interval(share * n, n)
                percents = [100 * value for value in (share, low, high, confidence)]
                rows.append((run, labels[run], name, kind.title, severity, *percents, n))
    columns = ["run", "model", "corruption", "title", "severity", "accuracy", "low", "high", "confidence", "cells"]
    return pd.DataFrame(rows, columns=columns)


def corruption_table(figures_by_run: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]) -> pd.DataFrame:
    """A row a run, the least harmed first: accuracy (%) as the pictures came, over all, by corruption; the worst.

    Columns: model, clean, mean, interval (text, of the mean), worst (title), be (MedMNIST-C's balanced error; None
    where it has none; only roughly comparable, so exported but not shown), then one for each corruption, by its name:
    the mean over the five severities.
    """
    rows = []
    for run, figures in figures_by_run.items():
        low, high = (100 * bound for bound in figures["mean_accuracy_interval"])
        row = {
            "model": labels[run],
            "clean": 100 * figures["clean"]["accuracy"],
            "mean": 100 * figures["mean_accuracy"],
            "interval": f"{low:.1f} to {high:.1f}",
            "worst": CORRUPTIONS[worst_corruption(figures)].title,
            "be": figures.get("be"),
        }
        rows.append(row | {name: 100 * one["mean_accuracy"] for name, one in figures["corruptions"].items()})
    columns = ["model", "clean", "mean", "interval", "worst", "be", *CORRUPTIONS]
    return pd.DataFrame(rows, columns=columns).sort_values("mean", ascending=False, ignore_index=True)


def corruption_title(points: pd.DataFrame, corruption: str) -> str:
    """What ``corruption`` costs, in a line: the severity from which some run loses `FAILS` points, and how many."""
    of_corruption = points[points["corruption"] == corruption]
    models = list(dict.fromkeys(of_corruption["model"]))
    accuracy = of_corruption.pivot(index="severity", columns="model", values="accuracy")[models]
    lost = accuracy.loc[CLEAN] - accuracy
    title = CORRUPTIONS[corruption].title
    failed = lost[(lost >= FAILS).any(axis=1)]
    if failed.empty:
        most = lost.loc[SEVERITIES[-1]].max()
        costs = f"costs {most:.1f} points at most" if most >= 0.05 else "costs nothing"
        return f"{title}: the highest severity {costs}"
    severity, losses = failed.index[0], failed.iloc[0].sort_values(ascending=False, kind="stable")
    others = f", {losses.index[1]} {losses.iloc[1]:.0f}" if len(losses) == 2 else ""
    return f"{title}, severity {severity}: {losses.index[0]} loses {losses.iloc[0]:.0f} points{others}"


def without_size(labels: Mapping[str, str], size: int) -> dict[str, str]:
    """Short names without the size, 'CNN + SE' for 'CNN + SE, 64 px'; as they are where one is of another size."""
    tail = f", {size} px"
    bare = {run: label.replace(tail, "") for run, label in labels.items()}
    same = all(tail in label for label in labels.values()) and len(set(bare.values())) == len(bare)
    return bare if same else dict(labels)


SYMBOLS = ("circle", "diamond", "square", "cross")
MOST_RUNS = len(SYMBOLS)
_COLUMNS = 4
_BETWEEN = 0.03, 0.11  # panels, of the width and of the height


def severity_panels(
    points: pd.DataFrame, chosen: str, *, title: str, sure: bool = False, unit: str = "cell", dark: bool = False
) -> go.Figure:
    """A panel for each corruption with a line a run: accuracy (%) at severity 0 (as it came) to 5.

    ``points`` is `dashboard.compare.robustness.severity_points` of `MOST_RUNS` runs at most; the panel of corruption
    ``chosen`` stands out. With ``sure`` a dotted line tells the mean confidence. A dot's customdata begins with its
    corruption, so that a click can choose it.
    """
    runs, panels = list(dict.fromkeys(points["run"])), list(dict.fromkeys(points["corruption"]))
    if len(runs) > MOST_RUNS:
        raise ValueError(f"{len(runs)} runs: {MOST_RUNS} lines at most can be told apart")
    colours, look = series_colours(len(runs), dark), ground(dark)
    rows = -(-len(panels) // _COLUMNS)
    low = points["accuracy"].min()
    low = 10 * int((min(low, points["confidence"].min()) if sure else low) / 10.5)
    table = dict(iter(points.groupby(["run", "corruption"])))
    traces, axes, headings, shapes = [], {}, [], []
    # One dictionary, checked by plotly once: adding traces to subplots one by one takes several times as long.
    across = {
        "range": [-0.3, 5.3],
        "tickvals": list(range(6)),
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }
    up = {"range": [low, 103], "nticks": 5, "zeroline": False, "fixedrange": True}
    for place, corruption in enumerate(panels):
        number, column = str(place + 1) if place else "", place % _COLUMNS
        left, right = _domain(column, _COLUMNS, _BETWEEN[0])
        bottom, top = _domain(rows - 1 - place // _COLUMNS, rows, _BETWEEN[1])
        title_across = {"title": {"text": "Severity", "standoff": 4}} if place + _COLUMNS >= len(panels) else {}
        title_up = {} if column else {"title": {"text": "Right (%)"}}
        axes[f"xaxis{number}"] = across | {"domain": [left, right], "anchor": f"y{number}"} | title_across
        axes[f"yaxis{number}"] = up | {"domain": [bottom, top], "anchor": f"x{number}"} | title_up
        axes[f"yaxis{number}"]["showticklabels"] = not column
        outstanding = corruption == chosen
        heading = points.loc[points["corruption"] == corruption, "title"].iloc[0]
        headings.append(
            {"text": f"<b>{heading}</b>" if outstanding else heading, "x": left, "xref": "paper", "xanchor": "left"}
            | {"y": top, "yref": "paper", "yanchor": "bottom", "yshift": 1, "showarrow": False}
            | {"font": {"size": 14, "color": PRIMARY[dark] if outstanding else look["text"]}}
        )
        if outstanding:
            shapes.append(
                {"type": "rect", "xref": "paper", "yref": "paper", "layer": "below", "line": {"width": 0}}
                | {"x0": left, "x1": right, "y0": bottom, "y1": top, "fillcolor": look["panel"]}
            )
        for order, run in enumerate(runs):
            part = table.get((run, corruption))
            if part is None:
                continue
            common = {"type": "scatter", "x": part["severity"], "xaxis": f"x{number}", "yaxis": f"y{number}"}
            common |= {"legendgroup": run, "name": part["model"].iloc[0]}
            facts = ["corruption", "low", "high", "confidence", "title", "cells"]
            if sure:
                line = {"color": colours[order], "width": 1.5, "dash": "dot"}
                dotted = {"y": part["confidence"], "mode": "lines", "line": line}
                traces.append(common | dotted | {"showlegend": False, "hoverinfo": "skip"})
            traces.append(
                common
                | {
                    "y": part["accuracy"],
                    "mode": "lines+markers",
                    "showlegend": place == 0,
                    "line": {"color": colours[order], "width": 2},
                    "marker": {"symbol": SYMBOLS[order], "size": 7, "color": colours[order]},
                    "unselected": {"marker": {"opacity": 1}},
                    "customdata": part[facts].to_numpy(),
                    "hovertemplate": f"<b>{part['model'].iloc[0]}</b><br>%{{customdata[4]}}, severity %{{x}}: "
                    "%{y:.1f} % right<br>95 % interval %{customdata[1]:.1f} to %{customdata[2]:.1f}, "
                    f"on %{{customdata[5]:,}} {unit}s<br>mean confidence %{{customdata[3]:.0f}} %<extra></extra>",
                }
            )
    fig = go.Figure({"data": traces, "layout": axes | {"annotations": headings, "shapes": shapes}})
    finish(fig, title=title, height=200 * rows + 60, dark=dark)
    fig.update_layout(margin={"t": 76, "l": 8})
    if len(panels) % _COLUMNS:  # the legend fills the place that is left over
        left, top = _domain(len(panels) % _COLUMNS, _COLUMNS, _BETWEEN[0])[0], _domain(0, rows, _BETWEEN[1])[1]
        legend = {"x": left, "xanchor": "left", "y": top, "yanchor": "top", "orientation": "v", "font": {"size": 13}}
        fig.update_layout(legend=legend)
    return fig


def _domain(place: int, of: int, gap: float) -> tuple[float, float]:
    """Where panel ``place`` of ``of`` begins and ends, 0 to 1, with ``gap`` between two."""
    width = (1 + gap) / of - gap
    start = place * (width + gap)
    return start, min(1.0, start + width)


_SIDE = 192
_CHOSEN = "damage"  # in the address bar and the session: the corruption looked at

Figures = Mapping[str, Mapping[str, Any]]


@view(":material/blur_on: Picture quality", order=60, key="quality")
def render(context: CompareContext) -> None:
    """Accuracy against severity for the ticked runs, the chosen corruption on a cell, and all measured runs' table."""
    selected = run_selection(context)
    measured = {run.name: figures for run in context.runs if (figures := run.robustness())}
    if not measured:
        st.info(
            "How much blur, bad light or dirt until a model fails will stand here, once a run was asked about spoilt "
            f"pictures of test {context.unit}s. That takes a few minutes in a terminal:",
            icon=":material/blur_on:",
        )
        _command((selected or context.runs)[-1:])
        return
    runs = _runs_to_draw(selected, measured, context)
    figures_by_run = {run.name: measured[run.name] for run in runs}
    titles = {name: kind.title for name, kind in CORRUPTIONS.items()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        corruption = choice(
            _CHOSEN, "What is wrong with the picture", titles, "defocus_blur", "damage", box=True, width=240
        )
        spec = spec_for(runs[-1])
        cells = {cell.truth: cell for cell in samples(spec.name, runs[-1].size) if cell.truth in runs[-1].codes}
        cell = None
        if cells:
            start = "NE" if "NE" in cells else next(iter(cells))
            titles = {code: f"{code} · {spec.names[code]}" for code in cells}
            cell = cells[choice("on", "On", titles, start, "class", box=True, width=240)]
        sure = st.toggle(
            "How sure it is",
            key="damage_sure",
            help="Dotted: the mean probability of the answers given. Where it stays high while fewer are right, the "
            "model is sure and wrong.",
        )
    names = without_size({run.name: context.names[run.name] for run in runs}, runs[-1].size)
    _severity_strip(cell, corruption, figures_by_run, names, runs[-1].size)
    _panels(runs, figures_by_run, names, corruption, sure, context)
    _table(measured, context)
    _unmeasured([run for run in selected if run.name not in measured], context)


def _runs_to_draw(selected: Sequence[Run], measured: Figures, context: CompareContext) -> list[Run]:
    """The ticked runs that were measured, `MOST_RUNS` at most; else the two best of those that were.

    One made for pictures from anywhere comes along where there is room: it shows what can be had.
    """
    to_draw = [run for run in selected if run.name in measured]
    made_for_it = [run for run in context.runs if run.any_laboratory and run.name in measured]
    if made_for_it and 0 < len(to_draw) < MOST_RUNS and not any(run.any_laboratory for run in to_draw):
        st.caption(f"Beside the ticked runs: {context.names[made_for_it[0].name]}, made for pictures from anywhere.")
        to_draw = [made_for_it[0], *to_draw]
    if len(to_draw) > MOST_RUNS:
        st.caption(f"Drawn: the last {MOST_RUNS} of {len(to_draw)} ticked runs; the table has all.")
    if to_draw:
        return to_draw[-MOST_RUNS:]
    best = [run for run in context.runs if run.name in measured][:2]
    reason = "None of the ticked runs was asked about spoilt pictures" if selected else "No run is ticked"
    st.caption(f"{reason}; shown instead: {' and '.join(context.names[run.name] for run in best)}.")
    return best


def _severity_strip(
    cell: Sample | None, corruption: str, figures_by_run: Figures, names: Mapping[str, str], size: int
) -> None:
    """The cell as it came and at five severities, with what each run makes of such pictures under each."""
    kind = CORRUPTIONS[corruption]
    if cell is None:
        st.caption(":material/image: Example pictures appear here once the data set is on this computer (see Dataset).")
    picture = None if cell is None else _at(cell.pixels, size)
    with st.grid(6, min_column_width=100, gap="small"):
        for severity in (0, *SEVERITIES):
            with st.container(gap="xxsmall"):
                title = f"Severity {severity}" if severity else "As it came"
                if cell is not None and picture is not None:
                    seen = corrupt(picture[None], corruption, severity)[0] if severity else picture
                    st.image(enlarge(seen, _SIDE), width="stretch", alt=f"{cell.truth}, {kind.title}, {title}")
                st.markdown(f"**{title}**")
                scores = [_scores_text(one, corruption, severity, names[run]) for run, one in figures_by_run.items()]
                st.caption("  \n".join(scores))
    if cell is not None:
        st.caption(f"{kind.title}: {kind.cause}. The cell: {cell.truth}, {cell.source}, {size} px.")


def _at(pixels: np.ndarray, size: int) -> np.ndarray:
    """``pixels`` uint8 (H, W, 3) at ``size`` px, in which the run sees it."""
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def _scores_text(figures: Mapping[str, Any], corruption: str, severity: int, name: str) -> str:
    """'CNN + SE: 86 % right, 97 % sure'."""
    clean, spoilt = figures["clean"], figures["corruptions"][corruption]
    right, sure = (spoilt[key][severity - 1] if severity else clean[key] for key in ("accuracy", "confidence"))
    return f"{name}: **{percent(right)}** right, {percent(sure)} sure"


def _panels(
    runs: Sequence[Run],
    figures_by_run: Figures,
    names: Mapping[str, str],
    corruption: str,
    sure: bool,
    context: CompareContext,
) -> None:
    points = severity_points(figures_by_run, names)
    key = (tuple(runs), tuple(names.values()), corruption, sure, context.dark)
    look: dict[str, Any] = {"title": corruption_title(points, corruption), "unit": context.unit, "dark": context.dark}
    panels = partial(severity_panels, points, corruption, sure=sure, **look)

    def choose() -> None:
        if facts := clicked("damage_panels"):
            st.session_state[_CHOSEN] = facts[0]

    options: dict[str, Any] = {"on_select": choose, "selection_mode": "points", "made_of": key}
    show_figure(panels, points, "picture-quality", "damage_panels", **options)
    kinds = {_cells_of(figures, context.unit) for figures in figures_by_run.values()}
    half_width = 100 * 1.96 * 0.5 / figures_by_run[runs[-1].name]["n"] ** 0.5
    apart = " These runs see pictures of different sizes." if len({run.size for run in runs}) > 1 else ""
    st.caption(
        f"On {' and '.join(sorted(kinds))}, spoilt by code; 95 % intervals on hover (about "
        f"{half_width:.0f} points either way at half right). Kinds and severities follow MedMNIST-C (Di Salvo et "
        "al. 2024, arXiv:2406.17536), meant for 224 px: blur and dirt are scaled to the size that a run sees, while "
        f"too few pixels and JPEG act on that small picture itself and harm it more.{apart} Click a dot to see that "
        f"damage on the {context.unit} above."
    )


def _cells_of(figures: Mapping[str, Any], unit: str) -> str:
    drawn_from = f" of {figures['test_images']:,}" if figures["test_images"] > figures["n"] else ""
    return f"{figures['n']:,}{drawn_from} test {unit}s of {figures['provenance']}"


def _table(measured: Figures, context: CompareContext) -> None:
    """All measured runs with their mean accuracy by corruption."""
    table = corruption_table(measured, context.names)
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.header("Right by kind of damage", anchor=False, width="content")
        csv_button("Download table (CSV)", lambda: table, f"picture-quality-{context.spec.name}", type="tertiary")
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    config = {
        "model": text("Model", pinned=True),
        "clean": number("As they came", format="%.1f %%", help=f"On the same {context.unit}s, not spoilt."),
        "mean": number("Spoilt, mean", format="%.1f %%", help="Mean over all kinds of damage and the five severities."),
        "interval": text("95 % interval", alignment="right", help="Of this mean (Wilson), in %."),
        "worst": text("Worst"),
    }
    for name, kind in CORRUPTIONS.items():
        about = f"{capitalized(kind.cause)}. Mean over the five severities."
        config[name] = number(kind.title, format="%.1f %%", help=about)
    order = [column for column in config if not table[column].isna().all()]
    st.dataframe(table, hide_index=True, column_config=config, column_order=order, placeholder="–")


def _unmeasured(runs: Sequence[Run], context: CompareContext) -> None:
    """The ticked runs without figures, and what makes them."""
    if runs:
        names = " and ".join(context.names[run.name] for run in runs)
        st.caption(f"Not asked about spoilt pictures yet: {names}. In a terminal, a few minutes each:")
        _command(runs)


def _command(runs: Sequence[Run]) -> None:
    st.code("\n".join(f"python -m core evaluate {run.name} --corrupted" for run in runs), language="bash")
