"""Figures of the Compare page's studies: searches, ablations, seeds."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from core.evaluation.effects import Effect, Spread
from core.evaluation.importance import Importance, as_number
from core.serving.wording import count
from core.studies import Study
from dashboard.figures.style import PRIMARY, contrast, finish, ground, sequential, series_colours
from dashboard.trials import best_so_far, pair_table, spoken, value_text

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
    return f"Best: {100 * best.score:.2f} % in trial {best.number}, of {count(len(study.trials), 'trial')}{tail}"


def pair_heatmap(study: Study, across: str, up: str, *, dark: bool = False, height: int = 420) -> go.Figure:
    """Mean score of the complete trials by two settings (binned on their own scale), with the number of trials."""
    table, columns, rows = pair_table(study, across, up)
    shape = (len(rows), len(columns))
    mean, hover = np.full(shape, np.nan), np.full(shape, "", object)
    for cell in table.itertuples():
        place = rows.index(cell.up), columns.index(cell.across)
        mean[place] = cell.mean
        hover[place] = (
            f"{spoken(across)}: {cell.across}<br>{spoken(up)}: {cell.up}<br>"
            f"<b>mean {cell.mean:.2f} %</b>, best {cell.best:.2f} %<br>"
            f"{count(cell.trials, 'trial')}, {cell.seconds:.0f} s each"
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
    fig.update_xaxes(title_text=spoken(across), categoryarray=columns, **axis)
    fig.update_yaxes(title_text=spoken(up), categoryarray=rows, **axis)
    return fig


def pair_title(table: pd.DataFrame, across: str, up: str) -> str:
    """Where the mean score is highest, among places tried twice or more where there are any."""
    if table.empty:
        return "No trial ran to its end yet"
    often = table[table["trials"] > 1]
    best = (often if len(often) else table).sort_values("mean", ascending=False).iloc[0]
    return f"Best on average: {spoken(across)} {best['across']} with {spoken(up)} {best['up']}"


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


def importance_bars(found: Importance, *, dark: bool = False) -> go.Figure:
    """Bars of how much each setting mattered, in points of explained variance."""
    names, drops = [spoken(name) for name in found.drop], [max(0.0, 100 * v) for v in found.drop.values()]
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
    finish(fig, title=importance_title(found), height=110 + 38 * len(names), dark=dark)
    fig.update_xaxes(
        title_text="Points of the scores' variance lost when shuffled",
        range=[0, 1.12 * max([*drops, 1])],
        zeroline=False,
    )
    fig.update_yaxes(autorange="reversed", showgrid=False, tickfont={"color": ground(dark)["text"]})
    return fig


def importance_title(found: Importance) -> str:
    """Which setting mattered most, or that the trials can't tell."""
    first, drop = next(iter(found.drop.items()))
    if found.explained < 0.1 or drop <= 0:
        return f"{count(found.trials, 'trial')} are too few to tell which setting matters"
    return f"{spoken(first).capitalize()} matters most"


def effect_dots(effects: Sequence[Effect], *, measure: str, dark: bool = False) -> go.Figure:
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
    ink = [colour if one.sure else colours["quiet"] for _, one in others]
    fig.add_scatter(
        x=[100 * one.gain for _, one in others],
        y=[place for place, _ in others],
        mode="markers",
        marker={"size": 10, "color": ink, "symbol": ["circle" if one.sure else "circle-open" for _, one in others]}
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


def effects_title(effects: Sequence[Effect]) -> str:
    """Which variant gave most, or cost most, and whether the seeds make it sure."""
    if len(effects) < 2:
        return "One variant alone: nothing to hold it against"
    best = max(effects[1:], key=lambda one: one.gain)
    if best.gain <= 0:
        return f"No variant is better than '{effects[0].label}'"
    sure = "" if best.sure else ", within the spread of seeds"
    return f"'{best.label}' gives most: {100 * best.gain:+.1f} points{sure}"


def seed_dots(spreads: Sequence[tuple[str, Spread]], *, measure: str, dark: bool = False) -> go.Figure:
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


def seeds_title(spreads: Sequence[tuple[str, Spread]]) -> str:
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
    one: Spread,
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
        hovertemplate=f"<b>{name}</b>, mean of {count(len(one.values), 'seed')}<br>%{{x:.2f}} %<extra></extra>",
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
        return {"label": spoken(name), "values": places, "tickvals": list(range(len(choices)))} | {
            "ticktext": [str(c) for c in choices],
            "range": [-0.1, len(choices) - 0.9],
        }
    if spec.get("log"):
        return {"label": spoken(name)} | _log_axis(np.array(values, float), spec["low"], spec["high"])
    if spec["kind"] == "int" and spec["high"] - spec["low"] <= 10:
        whole = list(range(int(spec["low"]), int(spec["high"]) + 1))
        return {"label": spoken(name), "values": [float(v) for v in values], "tickvals": whole} | {
            "ticktext": [str(v) for v in whole],
            "range": [spec["low"], spec["high"]],
        }
    return {"label": spoken(name), "values": [float(v) for v in values], "range": [spec["low"], spec["high"]]}


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
