"""Compare, study by study: what tuning, single ingredients and the seed changed."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from core.evaluation.importance import (
    MIN_TRIALS,
    Importance,
    SeedSpread,
    VariantEffect,
    as_number,
    base_label,
    importance,
    seed_spread,
    study_measures,
    variant_effects,
)
from core.formatting import counted
from core.studies import Study
from dashboard import cache
from dashboard.charts import cached_figure, show_figure
from dashboard.compare import CompareContext
from dashboard.pickers import choice
from dashboard.style import PRIMARY, contrast, finish, ground, sequential, series_colours

BINS = 6


def trial_table(study: Study) -> pd.DataFrame:
    """A row a trial, by number: number, state, score and test (percent, NaN unknown), seconds, epochs, seed, settings.

    ``label`` comes in where variants are labelled; columns that say nothing (no test, one seed) are left out.
    """
    rows = []
    for trial in sorted(study.trials, key=lambda t: t.number):
        row = {"number": trial.number, "label": trial.label, "state": trial.state}
        row |= {"score": _percent(trial.score), "test": _percent(trial.test), "seconds": trial.seconds}
        row |= {"epochs": trial.epochs, "seed": trial.seed}
        settings = study.parameters or dict.fromkeys(trial.params)
        rows.append(row | {name: trial.params.get(name) for name in settings if name != "variant"})
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    silent = [
        c for c, nothing in (("label", (table["label"] == "").all()), ("test", table["test"].isna().all())) if nothing
    ]
    if table["seed"].nunique() == 1:
        silent.append("seed")
    return table.drop(columns=silent)


def best_so_far(study: Study) -> pd.DataFrame:
    """A row a trial, by number: number, score (percent, NaN where it failed), state, seconds, best (so far)."""
    trials = sorted(study.trials, key=lambda t: t.number)
    score = np.array([_percent(t.score) for t in trials], float)
    counted = np.where([t.state == "complete" for t in trials], score, np.nan)
    best = pd.Series(counted).cummax().ffill() if len(trials) else pd.Series(dtype=float)
    return pd.DataFrame(
        {
            "number": [t.number for t in trials],
            "score": score,
            "state": [t.state for t in trials],
            "seconds": [t.seconds for t in trials],
            "best": best.to_numpy(),
        }
    )


def varied(study: Study) -> list[str]:
    """The settings that took more than one value in complete trials, in the study's order."""
    return [name for name in study.parameters if len({str(t.params.get(name)) for t in study.complete}) > 1]


def pair_table(study: Study, across: str, up: str) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Complete trials by the values of two settings, and the two axes' labels in order.

    A row for each pair of values (or intervals, cut evenly on the setting's own scale) that was tried:
    across, up (labels), trials, mean and best (percent), seconds (mean run time).
    """
    one, one_labels = _cut(study, across)
    other, other_labels = _cut(study, up)
    table = pd.DataFrame(
        {
            "across": one,
            "up": other,
            "score": [100 * t.score for t in study.complete],
            "seconds": [t.seconds for t in study.complete],
        }
    )
    table = table[(table["across"] >= 0) & (table["up"] >= 0)]
    grouped = table.groupby(["across", "up"], as_index=False).agg(
        trials=("score", "size"), mean=("score", "mean"), best=("score", "max"), seconds=("seconds", "mean")
    )
    grouped["across"] = [one_labels[i] for i in grouped["across"]]
    grouped["up"] = [other_labels[i] for i in grouped["up"]]
    return grouped, one_labels, other_labels


def effect_table(effects: Sequence[VariantEffect]) -> pd.DataFrame:
    """One row a variant: label, mean, gain, low, high (percent and points, NaN unknown), seeds, seconds."""
    return pd.DataFrame(
        [
            {
                "label": one.label,
                "mean": 100 * one.spread.mean,
                "gain": 100 * one.gain if number else np.nan,
                "low": np.nan if one.low is None else 100 * one.low,
                "high": np.nan if one.high is None else 100 * one.high,
                "seeds": len(one.spread.values),
                "seconds": one.spread.seconds,
            }
            for number, one in enumerate(effects)
        ]
    )


def spread_table(spreads: Sequence[tuple[str, SeedSpread]]) -> pd.DataFrame:
    """One row a recipe: model, mean, low, high, lowest, highest (percent, NaN unknown), seeds, seconds."""
    return pd.DataFrame(
        [
            {
                "model": name,
                "mean": 100 * one.mean,
                "low": np.nan if one.low is None else 100 * one.low,
                "high": np.nan if one.high is None else 100 * one.high,
                "lowest": 100 * min(one.values),
                "highest": 100 * max(one.values),
                "seeds": len(one.values),
                "seconds": one.seconds,
            }
            for name, one in spreads
        ]
    )


def setting_title(name: str) -> str:
    """A setting's name as people say it: 'learning rate'."""
    return name.replace("_", " ")


def value_text(value: object) -> str:
    """A setting's value in few characters: '0.0032', '128', 'adamw'."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return "–" if value is None else str(value)


def _cut(study: Study, name: str) -> tuple[np.ndarray, list[str]]:
    """For each complete trial the place of its value among the labels (-1: it has none), and the labels."""
    spec, values = study.parameters[name], [t.params.get(name) for t in study.complete]
    if spec["kind"] == "choice":
        choices = list(spec["choices"])
        return np.array([choices.index(v) if v in choices else -1 for v in values], int), [str(c) for c in choices]
    distinct = sorted({v for v in values if v is not None})
    if len(distinct) <= BINS and len(values) >= 2 * len(distinct):  # a grid, not the few values of a search's start
        return np.array([distinct.index(v) if v is not None else -1 for v in values], int), [
            value_text(v) for v in distinct
        ]
    scale = np.log10 if spec.get("log") else np.asarray
    edges = np.linspace(scale(spec["low"]), scale(spec["high"]), BINS + 1)
    numbers = np.array([np.nan if v is None else v for v in values], float)
    place = np.clip(np.searchsorted(edges, scale(numbers), side="right") - 1, 0, BINS - 1)
    ends = [f"{(10**e if spec.get('log') else e):.2g}" for e in edges]
    if spec["kind"] == "int":
        ends = [f"{(10**e if spec.get('log') else e):.0f}" for e in edges]
    labels = [f"{a} to {b}" for a, b in zip(ends, ends[1:], strict=False)]
    return np.where(np.isnan(numbers), -1, place), labels


def _percent(value: float | None) -> float:
    return np.nan if value is None else 100 * value


_SYMBOLS = {"complete": "circle", "pruned": "x-thin-open", "failed": "line-ns-open"}
_FIRST = 1  # shade of a map's lowest value: one that shows on the ground


def search_history(study: Study, *, dark: bool = False, height: int = 360) -> go.Figure:
    """Score by trial with the best so far; pruned trials are crosses at the score at which they were given up."""
    table, colours, quiet = best_so_far(study), series_colours(3, dark), ground(dark)["quiet"]
    fig = go.Figure()
    fig.add_scatter(
        x=table["number"],
        y=table["best"],
        mode="lines",
        name="best so far",
        line={"color": colours[1], "width": 2, "shape": "hv"},
        hovertemplate="best so far %{y:.2f} %<extra></extra>",
    )
    for state, label, colour in (("complete", "complete", colours[0]), ("pruned", "given up early (pruned)", quiet)):
        here = table[(table["state"] == state) & table["score"].notna()]
        if here.empty:
            continue
        fig.add_scatter(
            x=here["number"],
            y=here["score"],
            mode="markers",
            name=label,
            marker={"size": 8, "symbol": _SYMBOLS[state], "color": colour, "line": {"width": 1.5, "color": colour}},
            customdata=here["seconds"],
            hovertemplate=f"trial %{{x}}, {label}<br>%{{y:.2f}} %, %{{customdata:.0f}} s<extra></extra>",
        )
    finish(fig, title=history_title(study), height=height, dark=dark)
    fig.update_xaxes(title_text="Trial", zeroline=False)
    fig.update_yaxes(title_text=f"{study.metric[:1].upper()}{study.metric[1:]} (%)", zeroline=False)
    fig.update_layout(legend={"x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top"})
    return fig


def history_title(study: Study) -> str:
    """What the search found, and when."""
    best = study.best
    if best is None:
        return "No trial ran to its end yet"
    pruned = sum(trial.state == "pruned" for trial in study.trials)
    tail = f", {pruned} given up early" if pruned else ""
    return f"Best: {100 * best.score:.2f} % in trial {best.number}, of {counted(len(study.trials), 'trial')}{tail}"


def pair_heatmap(study: Study, across: str, up: str, *, dark: bool = False, height: int = 420) -> go.Figure:
    """Mean score of the complete trials by two settings (binned on their own scale), with the number of trials."""
    table, columns, rows = pair_table(study, across, up)
    shape = (len(rows), len(columns))
    mean, hover = np.full(shape, np.nan), np.full(shape, "", object)
    for cell in table.itertuples():
        place = rows.index(cell.up), columns.index(cell.across)
        mean[place] = cell.mean
        hover[place] = (
            f"{setting_title(across)}: {cell.across}<br>{setting_title(up)}: {cell.up}<br>"
            f"<b>mean {cell.mean:.2f} %</b>, best {cell.best:.2f} %<br>"
            f"{counted(cell.trials, 'trial')}, {cell.seconds:.0f} s each"
        )
    fig = go.Figure(
        go.Heatmap(
            x=columns,
            y=rows,
            z=mean,
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            xgap=2,
            ygap=2,
            colorscale=sequential(dark)[_FIRST:],
            colorbar=_colour_bar("mean (%)", dark),
        )
    )
    fig.add_scatter(
        x=table["across"],
        y=table["up"],
        mode="text",
        text=[f"{v:.1f}" for v in table["mean"]],
        textfont={"size": 13, "color": _inks(table["mean"], dark)},
        hoverinfo="skip",
    )
    finish(fig, title=pair_title(table, across, up), height=height, dark=dark)
    axis = {"type": "category", "showgrid": False, "zeroline": False, "categoryorder": "array"}
    fig.update_xaxes(title_text=setting_title(across), categoryarray=columns, **axis)
    fig.update_yaxes(title_text=setting_title(up), categoryarray=rows, **axis)
    return fig


def pair_title(table: pd.DataFrame, across: str, up: str) -> str:
    """Where the mean score is highest, among places tried twice or more where there are any."""
    if table.empty:
        return "No trial ran to its end yet"
    often = table[table["trials"] > 1]
    best = (often if len(often) else table).sort_values("mean", ascending=False).iloc[0]
    return f"Best on average: {setting_title(across)} {best['across']} with {setting_title(up)} {best['up']}"


def parallel_settings(study: Study, names: Sequence[str], *, dark: bool = False, height: int = 430) -> go.Figure:
    """One line a complete trial through its settings ``names`` to its score, coloured by its run time.

    Trials that lack a setting (it does not apply to them) are left out: a line can't have a gap.
    """
    trials = [t for t in study.complete if all(t.params.get(name) is not None for name in names)]
    dimensions = [_dimension(study, name, [t.params[name] for t in trials]) for name in names]
    seconds = np.array([t.seconds for t in trials], float)
    scores = [100 * t.score for t in trials]
    if trials:
        dimensions += [
            {"label": "run time (s)"} | _log_axis(np.maximum(seconds, 1e-3)),
            {"label": "score (%)", "values": scores, "tickformat": ".1f"},
        ]
    colours = ground(dark)
    time = _log_axis(np.maximum(seconds, 1e-3)) if trials else {"values": []}
    fig = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            line={
                "color": time["values"],
                "colorscale": sequential(dark)[3:],
                "showscale": True,
                "colorbar": _colour_bar("run time (s)", dark)
                | {"tickvals": time.get("tickvals"), "ticktext": time.get("ticktext")},
            },
            labelfont={"size": 13, "color": colours["text"]},
            tickfont={"size": 12, "color": colours["text"]},
            rangefont={"size": 11, "color": "rgba(0,0,0,0)", "shadow": "none"},
            unselected={"line": {"color": colours["line"], "opacity": 0.25}},
        )
    )
    finish(fig, title=parallel_title(study, trials), height=height, dark=dark)
    fig.update_layout(margin={"l": 70, "r": 40, "t": 96, "b": 24})
    if dark:  # the trace's own axes are black, whatever the theme
        line = {"type": "line", "yref": "paper", "xref": "paper", "y0": 0, "y1": 1, "line": {"color": colours["line"]}}
        places = np.linspace(0, 1, len(dimensions)) if len(dimensions) > 1 else []
        fig.update_layout(shapes=[line | {"x0": x, "x1": x, "layer": "below"} for x in places])
    return fig


def parallel_title(study: Study, trials: Sequence) -> str:
    """What the best tenth of the trials share in run time."""
    if not trials:
        return "No trial ran to its end yet"
    ranked = sorted(trials, key=lambda t: -t.score)
    top = ranked[: max(1, len(ranked) // 10)]
    quickest = min(top, key=lambda t: t.seconds)
    if len(top) == 1:
        return f"The best of {len(trials)} trials took {quickest.seconds:.0f} s"
    return f"Of the {len(top)} best trials the quickest took {quickest.seconds:.0f} s"


def importance_bars(importance: Importance, *, dark: bool = False) -> go.Figure:
    """Bars of how much each setting mattered, in points of explained variance."""
    names, drops = (
        [setting_title(name) for name in importance.drop],
        [max(0.0, 100 * v) for v in importance.drop.values()],
    )
    fig = go.Figure(
        go.Bar(
            x=drops,
            y=names,
            orientation="h",
            marker={"color": PRIMARY[dark]},
            text=[f"{v:.0f}" if v >= 0.5 else "< 1" for v in drops],
            textposition="outside",
            textfont={"color": ground(dark)["text"]},
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.1f} points<extra></extra>",
        )
    )
    finish(fig, title=importance_title(importance), height=110 + 38 * len(names), dark=dark)
    fig.update_xaxes(
        title_text="Points of the scores' variance lost when shuffled",
        range=[0, 1.12 * max([*drops, 1])],
        zeroline=False,
    )
    fig.update_yaxes(autorange="reversed", showgrid=False, tickfont={"color": ground(dark)["text"]})
    return fig


def importance_title(importance: Importance) -> str:
    """Which setting mattered most, or that the trials can't tell."""
    first, drop = next(iter(importance.drop.items()))
    if importance.explained < 0.1 or drop <= 0:
        return f"{counted(importance.trials, 'trial')} are too few to tell which setting matters"
    return f"{setting_title(first).capitalize()} matters most"


def effect_dots(effects: Sequence[VariantEffect], *, measure: str, dark: bool = False) -> go.Figure:
    """Left: every seed's accuracy and their mean by variant. Right: the gain on the base with its 95 % interval."""
    labels = [one.label for one in effects]
    colours, colour = ground(dark), PRIMARY[dark]
    fig = make_subplots(
        1,
        2,
        shared_yaxes=True,
        horizontal_spacing=0.05,
        column_widths=[0.5, 0.5],
        subplot_titles=[f"Accuracy on {measure}, a dot a seed", f"Gain on '{labels[0]}', points" if labels else ""],
    )
    for place, one in enumerate(effects):
        ink = colours["quiet"] if place == 0 else colour
        _seed_dots(fig, place, one.spread, one.label, ink, dark, panel={"row": 1, "col": 1})
    others = list(enumerate(effects))[1:]
    ink = [colour if one.significant else colours["quiet"] for _, one in others]
    fig.add_scatter(
        x=[100 * one.gain for _, one in others],
        y=[place for place, _ in others],
        mode="markers",
        marker={
            "size": 10,
            "color": ink,
            "symbol": ["circle" if one.significant else "circle-open" for _, one in others],
        }
        | {"line": {"width": 2, "color": ink}},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [100 * (one.high - one.gain) if one.high is not None else 0 for _, one in others],
            "arrayminus": [100 * (one.gain - one.low) if one.low is not None else 0 for _, one in others],
            "color": colours["quiet"],
            "thickness": 1.2,
            "width": 4,
        },
        customdata=[
            (one.label, "" if one.low is None else f"<br>95 % interval {100 * one.low:+.2f} to {100 * one.high:+.2f}")
            for _, one in others
        ],
        hovertemplate="<b>%{customdata[0]}</b><br>%{x:+.2f} points%{customdata[1]}<extra></extra>",
        showlegend=False,
        row=1,
        col=2,
    )
    fig.add_vline(x=0, line={"color": colours["quiet"], "width": 1, "dash": "dot"}, row=1, col=2)
    finish(fig, title=effects_title(effects), height=118 + 32 * max(len(labels), 2), dark=dark)
    _rows(fig, labels, dark)
    fig.update_xaxes(ticksuffix=" %", zeroline=False, col=1)
    fig.update_xaxes(tickformat="+~g", zeroline=False, col=2)
    fig.update_annotations(font={"size": 14, "color": colours["quiet"]})
    fig.update_layout(margin={"t": 84})
    return fig


def effects_title(effects: Sequence[VariantEffect]) -> str:
    """Which variant gave most, or cost most, and whether the seeds make it sure."""
    if len(effects) < 2:
        return "One variant alone: nothing to hold it against"
    best = max(effects[1:], key=lambda one: one.gain)
    if best.gain <= 0:
        return f"No variant is better than '{effects[0].label}'"
    sure = "" if best.significant else ", within the spread of seeds"
    return f"'{best.label}' gives most: {100 * best.gain:+.1f} points{sure}"


def seed_dots(spreads: Sequence[tuple[str, SeedSpread]], *, measure: str, dark: bool = False) -> go.Figure:
    """A row a model: a dot a seed, the mean and its 95 % t interval."""
    fig = go.Figure()
    for place, (name, one) in enumerate(spreads):
        _seed_dots(fig, place, one, name, PRIMARY[dark], dark, interval=True)
    finish(fig, title=seeds_title(spreads), height=112 + 40 * max(len(spreads), 2), dark=dark)
    _rows(fig, [name for name, _ in spreads], dark)
    fig.update_xaxes(title_text=f"Accuracy on {measure}: a dot a seed, bar: 95 % interval of the mean", ticksuffix=" %")
    ends = [100 * v for _, one in spreads for v in (*one.values, one.low, one.high) if v is not None]
    room = 0.05 * max(max(ends) - min(ends), 0.2) if ends else 0
    fig.update_xaxes(zeroline=False, range=[min(ends) - room, max(ends) + room] if ends else None)
    return fig


def seeds_title(spreads: Sequence[tuple[str, SeedSpread]]) -> str:
    """How much another seed changes."""
    several = [(name, 100 * (max(one.values) - min(one.values))) for name, one in spreads if len(one.values) > 1]
    if not several:
        return "One seed each: nothing is known of the spread yet"
    name, widest = max(several, key=lambda pair: pair[1])
    if len(several) == 1:
        return f"Another seed changes {name} by up to {widest:.1f} points"
    return f"Another seed changes up to {widest:.1f} points ({name})"


def _seed_dots(
    fig: go.Figure,
    place: int,
    one: SeedSpread,
    name: str,
    colour: str,
    dark: bool,
    *,
    interval: bool = False,
    panel: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """The row ``place``: small dots for seeds, a line at the mean, on request a bar for its interval."""
    if interval and one.low is not None:
        fig.add_scatter(
            x=[100 * one.low, 100 * one.high],
            y=[place, place],
            mode="lines",
            line={"color": ground(dark)["line"], "width": 12},
            hovertemplate=f"<b>{name}</b><br>95 % interval {100 * one.low:.2f} to {100 * one.high:.2f} %",
            showlegend=False,
            **panel,
        )
    fig.add_scatter(
        x=[100 * v for v in one.values],
        y=[place] * len(one.values),
        mode="markers",
        marker={"size": 9, "color": colour, "opacity": 0.75},
        customdata=list(one.seeds),
        hovertemplate=f"<b>{name}</b>, seed %{{customdata}}<br>%{{x:.2f}} %<extra></extra>",
        showlegend=False,
        **panel,
    )
    fig.add_scatter(
        x=[100 * one.mean],
        y=[place],
        mode="markers",
        marker={"size": 18, "symbol": "line-ns-open", "color": ground(dark)["text"], "line": {"width": 2}},
        hovertemplate=f"<b>{name}</b>, mean of {counted(len(one.values), 'seed')}<br>%{{x:.2f}} %<extra></extra>",
        showlegend=False,
        **panel,
    )


def _colour_bar(title: str, dark: bool) -> dict:
    quiet = ground(dark)["quiet"]
    look = {"thickness": 12, "outlinewidth": 0, "tickfont": {"color": quiet}}
    return {"title": {"text": title, "font": {"size": 13, "color": quiet}}} | look


def _inks(values: Sequence[float], dark: bool) -> list[str]:
    """For each of ``values`` the ink that reads best on the colour that the map gives it."""
    values = np.asarray(values, float)
    if not len(values):
        return []
    span = np.ptp(values)
    places = (values - values.min()) / span if span else np.full(len(values), 0.5)
    under = sample_colorscale(sequential(dark)[_FIRST:], places, colortype="tuple")
    shades = ["#" + "".join(f"{round(255 * level):02x}" for level in colour) for colour in under]
    return [max(("#231d36", "#ffffff"), key=lambda ink, on=shade: contrast(ink, on)) for shade in shades]


def _rows(fig: go.Figure, labels: Sequence[str], dark: bool) -> None:
    fig.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=list(labels),
        range=[len(labels) - 0.4, -0.6],
        zeroline=False,
        tickfont={"color": ground(dark)["text"]},
    )


def _dimension(study: Study, name: str, values: list) -> dict:
    """One axis of the parallel coordinates, with ticks in the setting's own values."""
    spec = study.parameters[name]
    if spec["kind"] == "choice":
        choices = list(spec["choices"])
        places = [as_number(spec, v) for v in values]
        return {"label": setting_title(name), "values": places, "tickvals": list(range(len(choices)))} | {
            "ticktext": [str(c) for c in choices],
            "range": [-0.1, len(choices) - 0.9],
        }
    if spec.get("log"):
        return {"label": setting_title(name)} | _log_axis(np.array(values, float), spec["low"], spec["high"])
    if spec["kind"] == "int" and spec["high"] - spec["low"] <= 10:
        whole = list(range(int(spec["low"]), int(spec["high"]) + 1))
        return {"label": setting_title(name), "values": [float(v) for v in values], "tickvals": whole} | {
            "ticktext": [str(v) for v in whole],
            "range": [spec["low"], spec["high"]],
        }
    return {"label": setting_title(name), "values": [float(v) for v in values], "range": [spec["low"], spec["high"]]}


def _log_axis(values: np.ndarray, low: float | None = None, high: float | None = None) -> dict:
    """Logarithms of ``values`` with ticks that say what they stand for."""
    low, high = np.log10(low or values.min()), np.log10(high or values.max())
    if high - low < 1e-9:
        low, high = low - 0.1, high + 0.1
    ticks: list[float] = []
    for steps in ((1,), (1, 2, 5), (1, 2, 3, 4, 5, 6, 8), np.arange(10, 100) / 10):
        ticks = [s * 10.0**d for d in range(int(np.floor(low)), int(np.ceil(high)) + 1) for s in steps]
        ticks = [t for t in ticks if low - 1e-9 <= np.log10(t) <= high + 1e-9]
        if len(ticks) >= 3:
            break
    ticks = ticks[:: max(1, len(ticks) // 6)]
    return {
        "values": np.log10(values),
        "tickvals": [float(np.log10(t)) for t in ticks],
        "ticktext": [value_text(float(t)) for t in ticks],
        "range": [low, high],
    }


SEEDS = "seeds"  # in the address bar: all studies of seeds together
_MEASURES = {"test": "On test", "score": "On val"}
_SHORT = {"test": "test", "score": "val"}


def studies(context: CompareContext) -> None:
    """One study at a time: a search, an ablation, or all studies of seeds together."""
    of_dataset = [study for study in cache.studies() if study.dataset == context.spec.name]
    if not of_dataset:
        _nothing_yet(context.spec.name)
        return
    named = _named(of_dataset)
    titles = {key: _title(group) for key, group in named.items()}
    key = choice("study", "Study", titles, next(iter(titles)), "study", box=True, width=520)
    group = named[key]
    if group[0].kind == "tune":
        _search(group[0], context)
    elif group[0].kind == "ablation":
        _ablation(group[0], context)
    else:
        _seeds(group, context)


def _nothing_yet(dataset: str) -> None:
    st.info(
        "Here will be what many small trainings found out: which settings are best, what each ingredient gives, how "
        "much the seed changes. There is no study yet. One of these commands in a terminal makes one:",
        icon=":material/science:",
    )
    st.code(
        "python -m core tune --model cnn_4 --trials 40      # which settings are best\n"
        "python -m core ablate                              # what each ingredient gives\n"
        "python -m core repeat cnn_bn --seeds 3             # how much the seed changes",
        language="bash",
    )


def _version(*group: Study) -> tuple:
    """What everything computed from the studies depends on."""
    return tuple(
        (s.dataset, s.name, *((t.number, t.label, t.score, t.test, t.seconds, t.state) for t in s.trials))
        for s in group
    )


def _named(of_dataset: Sequence[Study]) -> dict[str, list[Study]]:
    """What can be chosen, by its name in the address bar; studies of seeds stand together."""
    named: dict[str, list[Study]] = {}
    for study in of_dataset:
        named.setdefault(SEEDS if study.kind == "seeds" else study.name, []).append(study)
    return named


def _title(group: Sequence[Study]) -> str:
    kind = {"tune": "Search", "ablation": "Ingredients", "seeds": "Seeds"}[group[0].kind]
    return f"{kind}: {group[0].title if group[0].kind != 'seeds' else counted(len(group), 'model')}"


def _facts(group: Sequence[Study], extra: str = "") -> None:
    """One line: what was measured, on what, for how long."""
    seconds, first = sum(study.seconds for study in group), group[0]
    time = f"{seconds / 3600:.1f} hours" if seconds >= 7200 else f"{max(1, seconds / 60):.0f} min"
    facts = [f"{counted(sum(len(study.trials) for study in group), 'training')} in {time}"]
    facts[0] += f" on {', '.join(dict.fromkeys(study.device for study in group))}"
    facts.append(", ".join(dict.fromkeys(study.metric for study in group)))
    facts.append(", ".join(dict.fromkeys(study.provenance.get("label", "") for study in group)))
    st.caption("; ".join(facts) + f".{extra}{f' {first.note}' if first.note and len(group) == 1 else ''}")


def _search(study: Study, context: CompareContext) -> None:
    """The best trial and the history, then one of the figures of settings."""
    dark, best = context.dark, study.best
    with st.container(horizontal=True, gap="medium"):
        with st.container(width=880):  # the settings beside it, or below it on a narrow page
            history = best_so_far(study)
            fig = cached_figure(("history", _version(study), dark), lambda: search_history(study, dark=dark))
            show_figure(fig, history, f"{study.name}-history", "search_history")
        with st.container(width=330):
            if best is None:
                st.info("No trial ran to its end yet.", icon=":material/hourglass_empty:")
            else:
                st.markdown(f"**Best settings**, trial {best.number}: {100 * best.score:.2f} %")
                settings = [(setting_title(name), value_text(value)) for name, value in best.params.items()]
                settings += [("run time", f"{best.seconds:.0f} s"), ("epochs", str(best.epochs))]
                st.table(
                    pd.DataFrame(settings, columns=["setting", "value"]),
                    hide_index=True,
                    hide_header=True,
                    border="horizontal",
                )
    _facts([study], f" Scores chose the settings; they say little of new {context.unit}s.")
    if best is None:
        _trials(study)
        return
    kinds = {
        "pairs": "Two settings",
        "all": "All settings at once",
        "importance": "What mattered",
        "trials": "Every trial",
    }
    shown = choice("settings", "Settings", kinds, "pairs", "figure", hidden=True)
    if shown == "trials":
        _trials(study)
    elif shown == "importance":
        _importance(study, dark)
    elif shown == "all":
        names = varied(study)
        show_figure(
            cached_figure(("parallel", _version(study), dark), lambda: parallel_settings(study, names, dark=dark)),
            trial_table(study),
            f"{study.name}-settings",
            "parallel_settings",
        )
        st.caption(
            "A line a trial. Drag along an axis to keep the lines that cross it there; drag a name to move its axis."
        )
    else:
        _pairs(study, dark)


def _pairs(study: Study, dark: bool) -> None:
    names = varied(study)
    if len(names) < 2:
        st.info("Two settings that vary make a map; this study varies fewer.", icon=":material/grid_on:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        titles = {name: f"across: {setting_title(name)}" for name in names}
        across = choice("across", "Across", titles, names[0], "setting", box=True, width=220)
        others = {name: f"up: {setting_title(name)}" for name in names if name != across}
        up = choice("up", "Up", others, next(iter(others)), "setting", box=True, width=220)
    table, _, _ = pair_table(study, across, up)
    data = table.rename(columns={"across": across, "up": up})
    fig = cached_figure(
        ("pairs", _version(study), across, up, dark), lambda: pair_heatmap(study, across, up, dark=dark)
    )
    show_figure(fig, data, f"{study.name}-{across}-{up}", "pair_heatmap")
    st.caption(
        "Mean score (%) of the complete trials whose settings fall there; hover for how many they are. A search asks "
        "more often where it does well, so empty and single places say little."
    )


@st.cache_data(max_entries=32, show_spinner="Learning score from settings")
def _learnt(marks: tuple, _study: Study) -> Importance | None:
    return importance(_study)


def _importance(study: Study, dark: bool) -> None:
    learnt = _learnt(_version(study), study)
    if learnt is None:
        st.info(
            f"{counted(len(study.complete), 'complete trial')}: from {MIN_TRIALS} on, with scores that differ, it can be "
            "told which setting matters.",
            icon=":material/bar_chart:",
        )
        return
    data = pd.DataFrame({"setting": list(learnt.drop), "points": [100 * v for v in learnt.drop.values()]})
    show_figure(importance_bars(learnt, dark=dark), data, f"{study.name}-importance", "importance_bars")
    reach = (
        f"it foretells {100 * learnt.explained:.0f} % of the variance of scores it has not seen"
        if learnt.explained > 0
        else "it foretells nothing of scores it has not seen, so the bars say nothing either"
    )
    st.caption(
        f"Permutation importance: a random forest learns score from settings on four fifths of {learnt.trials} complete "
        f"trials and is asked about the rest, with each setting shuffled in turn; {reach}."
    )


def _trials(study: Study) -> None:
    table = trial_table(study)
    percent = st.column_config.NumberColumn(format="%.2f %%")
    st.dataframe(
        table,
        hide_index=True,
        height=min(480, 39 + 35 * len(table)),
        column_config={
            "number": st.column_config.NumberColumn("Trial", pinned=True, width="small"),
            "score": percent,
            "test": percent,
            "seconds": st.column_config.NumberColumn("run time", format="%.0f s"),
        },
        placeholder="–",
    )
    st.download_button(
        "Download these trials (CSV)",
        lambda: table.to_csv(index=False),
        f"hemalens-{study.name}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _measure(available: Sequence[str]) -> str:
    """The measure to show; asked only where there are two."""
    if len(available) < 2:
        return available[0] if available else "score"
    return choice(
        "measure", "Accuracy", {name: _MEASURES[name] for name in available}, available[0], "measure", hidden=True
    )


def _ablation(study: Study, context: CompareContext) -> None:
    """What each variant gave against the base."""
    if not study.complete:
        st.info("No variant has been trained to its end yet.", icon=":material/hourglass_empty:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        labels = {label: f"against '{label}'" for label in study.by_label()}
        base = choice("base", "Against", labels, base_label(study), "variant", box=True)
        measure = _measure(study_measures(study))
    effects = variant_effects(study, measure, base)
    table = effect_table(effects)
    key = ("effects", _version(study), measure, base, context.dark)
    fig = cached_figure(key, lambda: effect_dots(effects, measure=_SHORT[measure], dark=context.dark))
    show_figure(fig, table, study.name, "effect_dots")
    points = st.column_config.NumberColumn(format="%+.2f")
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        column_config={
            "label": st.column_config.TextColumn("Variant", pinned=True),
            "mean": st.column_config.NumberColumn("Mean accuracy", format="%.2f %%"),
            "gain": st.column_config.NumberColumn("Gain (points)", format="%+.2f"),
            "low": st.column_config.NumberColumn("from", format="%+.2f", help="95 % interval over seeds (Welch's t)."),
            "high": points | {"label": "to"},
            "seeds": st.column_config.NumberColumn("Seeds"),
            "seconds": st.column_config.NumberColumn("One training", format="%.0f s"),
        },
        placeholder="–",
    )
    _facts(
        [study], " Filled dots: the interval leaves zero out; with so many variants one in twenty does so by chance."
    )


def _seeds(group: Sequence[Study], context: CompareContext) -> None:
    """How far each recipe spreads over its seeds, the best first."""
    group = [study for study in group if study.complete]
    if not group:
        st.info("No training has run to its end yet.", icon=":material/hourglass_empty:")
        return
    available = [measure for measure in _MEASURES if all(measure in study_measures(study) for study in group)]
    measure = _measure(available)
    titles = {run.model: run.config["model"]["title"] for run in context.every}
    spreads = [
        (f"{titles.get(study.model, study.model)}, {study.size} px", seed_spread(study.complete, measure))
        for study in group
    ]
    spreads.sort(key=lambda pair: -pair[1].mean)
    data = pd.DataFrame(
        [(name, seed, 100 * v) for name, one in spreads for seed, v in zip(one.seeds, one.values, strict=True)],
        columns=["model", "seed", "accuracy"],
    )
    key = ("seeds", _version(*group), measure, tuple(name for name, _ in spreads), context.dark)
    fig = cached_figure(key, lambda: seed_dots(spreads, measure=_SHORT[measure], dark=context.dark))
    show_figure(fig, data, "seeds", "seed_dots")
    number = st.column_config.NumberColumn
    interval = "95 % interval of the mean (Student's t)."
    st.dataframe(
        spread_table(spreads),
        hide_index=True,
        height="content",
        column_config={
            "model": st.column_config.TextColumn("Model", pinned=True),
            "mean": number("Mean", format="%.2f %%"),
            "low": number("from", format="%.2f %%", help=interval),
            "high": number("to", format="%.2f %%", help=interval),
            "lowest": number("Lowest", format="%.2f %%"),
            "highest": number("Highest", format="%.2f %%"),
            "seeds": number("Seeds"),
            "seconds": st.column_config.NumberColumn("One training", format="%.0f s"),
        },
        placeholder="–",
    )
    _facts(group)
