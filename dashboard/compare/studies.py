"""Compare, study by study: what tuning, single ingredients and the seed changed."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from core.evaluation.importance import (
    MIN_TRIALS,
    SeedSpread,
    VariantEffect,
    base_label,
    seed_spread,
    setting_importance,
    study_measures,
    variant_effects,
)
from core.formatting import capitalized, counted, exact_percent, percent_or_nan
from core.studies import Study, Trial
from dashboard import cache
from dashboard.charts import csv_button, show_figure
from dashboard.compare import CompareContext
from dashboard.page import view
from dashboard.style import PRIMARY, error_bar, finish, ground, inks, name_rows, sequential, series_colours
from dashboard.url_state import choice

BINS = 6
SEEDS = "seeds"  # in the address bar: all studies of seeds together
_MEASURES = {"test": "On test", "score": "On val"}
_SHORT = {"test": "test", "score": "val"}
_NOTHING = "No trial ran to its end yet"


def trial_table(study: Study) -> pd.DataFrame:
    """A row a trial, by number: number, state, score and test (percent, NaN unknown), seconds, epochs, seed, settings.

    ``label`` comes in where variants are labelled; columns that say nothing (no test, one seed) are left out.
    """
    table = pd.DataFrame(
        [
            {"number": t.number, "label": t.label, "state": t.state}
            | {"score": percent_or_nan(t.score), "test": percent_or_nan(t.test)}
            | {"seconds": t.seconds, "epochs": t.epochs, "seed": t.seed}
            | {name: t.params.get(name) for name in study.parameters or t.params if name != "variant"}
            for t in sorted(study.trials, key=lambda t: t.number)
        ]
    )
    if table.empty:
        return table
    says = {"label": table["label"].any(), "test": table["test"].notna().any(), "seed": table["seed"].nunique() > 1}
    return table.drop(columns=[column for column, something in says.items() if not something])


def best_so_far(study: Study) -> pd.DataFrame:
    """A row a trial, by number: number, score (percent, NaN where it failed), state, seconds, best (so far)."""
    table = trial_table(study).reindex(columns=["number", "score", "state", "seconds"])
    return table.assign(best=table["score"].where(table["state"] == "complete").astype(float).cummax().ffill())


def varied(study: Study) -> list[str]:
    """The settings that took more than one value in complete trials, in the study's order."""
    return [name for name in study.parameters if len({str(t.params.get(name)) for t in study.complete}) > 1]


def pair_table(study: Study, across: str, up: str) -> pd.DataFrame:
    """Complete trials by the values of two settings: a row for each pair that was tried.

    across, up (ordered categories: all values, or intervals cut evenly on the setting's own scale), trials, mean and
    best (percent), seconds (mean run time).
    """
    scores = [100 * t.score for t in study.complete if t.score is not None]
    table = pd.DataFrame({"score": scores, "seconds": [t.seconds for t in study.complete]})
    table = table.assign(across=_places(study, across), up=_places(study, up))
    return table.groupby(["across", "up"], as_index=False, observed=True).agg(
        trials=("score", "size"), mean=("score", "mean"), best=("score", "max"), seconds=("seconds", "mean")
    )


def _places(study: Study, name: str) -> pd.Categorical:
    """The place of each complete trial on a setting's axis; missing where it has no such setting."""
    spec, values = study.parameters[name], [t.params.get(name) for t in study.complete]
    if spec["kind"] == "choice":
        return pd.Categorical(_texts(values), [value_text(choice) for choice in spec["choices"]], ordered=True)
    distinct = sorted({value for value in values if value is not None})
    if len(distinct) <= BINS and len(values) >= 2 * len(distinct):  # a grid, not the few values of a search's start
        return pd.Categorical(_texts(values), [value_text(value) for value in distinct], ordered=True)
    edges = (np.geomspace if spec.get("log") else np.linspace)(spec["low"], spec["high"], BINS + 1)
    ends = [f"{edge:.0f}" if spec["kind"] == "int" else f"{edge:.2g}" for edge in edges]
    labels = [f"{low} to {high}" for low, high in zip(ends, ends[1:], strict=False)]
    open_ended = [-np.inf, *edges[1:-1], np.inf]
    return pd.cut(np.array(values, float), open_ended, right=False, labels=labels)


def _texts(values: Sequence[object]) -> list[str | None]:
    return [None if value is None else value_text(value) for value in values]


def effect_table(effects: Sequence[VariantEffect]) -> pd.DataFrame:
    """One row a variant: label, mean, gain, low, high (percent and points, NaN unknown), seeds, seconds."""
    return pd.DataFrame(
        [
            {"label": one.label, "mean": 100 * one.spread.mean, "gain": 100 * one.gain if number else np.nan}
            | {"low": percent_or_nan(one.low), "high": percent_or_nan(one.high)}
            | {"seeds": len(one.spread.values), "seconds": one.spread.seconds}
            for number, one in enumerate(effects)
        ]
    )


def spread_table(spreads: Sequence[tuple[str, SeedSpread]]) -> pd.DataFrame:
    """One row a recipe: model, mean, low, high, lowest, highest (percent, NaN unknown), seeds, seconds."""
    return pd.DataFrame(
        [
            {"model": name, "mean": 100 * one.mean, "low": percent_or_nan(one.low), "high": percent_or_nan(one.high)}
            | {"lowest": 100 * min(one.values), "highest": 100 * max(one.values)}
            | {"seeds": len(one.values), "seconds": one.seconds}
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


def search_history(study: Study, *, dark: bool = False) -> go.Figure:
    """Score by trial with the best so far; pruned trials are crosses at the score at which they were given up."""
    table, colours, quiet = best_so_far(study), series_colours(2, dark), ground(dark)["quiet"]
    line, hover = {"color": colours[1], "width": 2, "shape": "hv"}, "best so far %{y:.2f} %<extra></extra>"
    best = {"x": table["number"], "y": table["best"], "line": line, "hovertemplate": hover}
    fig = go.Figure(go.Scatter(best, mode="lines", name="best so far"))
    for state, label, symbol, colour in (
        ("complete", "complete", "circle", colours[0]),
        ("pruned", "given up early (pruned)", "x-thin-open", quiet),
    ):
        shown = table[(table["state"] == state) & table["score"].notna()]
        if shown.empty:
            continue
        fig.add_scatter(
            x=shown["number"],
            y=shown["score"],
            mode="markers",
            name=label,
            marker={"size": 8, "symbol": symbol, "color": colour, "line": {"width": 1.5, "color": colour}},
            customdata=shown["seconds"],
            hovertemplate=f"trial %{{x}}, {label}<br>%{{y:.2f}} %, %{{customdata:.0f}} s<extra></extra>",
        )
    finish(fig, title=history_title(study), height=360, dark=dark)
    fig.update_xaxes(title_text="Trial", zeroline=False)
    fig.update_yaxes(title_text=f"{capitalized(study.metric)} (%)", zeroline=False)
    fig.update_layout(legend={"x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top"})
    return fig


def history_title(study: Study) -> str:
    """What the search found, and when."""
    if study.best is None:
        return _NOTHING
    pruned = sum(trial.state == "pruned" for trial in study.trials)
    found = f"Best: {_score_text(study.best)} in trial {study.best.number}, of {counted(len(study.trials), 'trial')}"
    return f"{found}, {pruned} given up early" if pruned else found


def _score_text(trial: Trial) -> str:
    return "–" if trial.score is None else exact_percent(trial.score, 2)


def pair_heatmap(study: Study, across: str, up: str, *, dark: bool = False) -> go.Figure:
    """Mean score of the complete trials by two settings (binned on their own scale), with the number of trials."""
    table = pair_table(study, across, up)
    columns, rows = list(table["across"].cat.categories), list(table["up"].cat.categories)
    places = (table["up"].cat.codes, table["across"].cat.codes)
    mean, text = np.full((len(rows), len(columns)), np.nan), np.full((len(rows), len(columns)), "", object)
    mean[places] = table["mean"]
    text[places] = [
        f"{setting_title(across)}: {cell['across']}<br>{setting_title(up)}: {cell['up']}<br>"
        f"<b>mean {cell['mean']:.2f} %</b>, best {cell['best']:.2f} %<br>"
        f"{counted(cell['trials'], 'trial')}, {cell['seconds']:.0f} s each"
        for cell in table.to_dict("records")
    ]
    scale = sequential(dark)[1:]  # the lowest value shows on the ground too
    fig = go.Figure(
        go.Heatmap(
            {"x": columns, "y": rows, "z": mean, "xgap": 2, "ygap": 2, "hoverongaps": False},
            customdata=text,
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=scale,
            colorbar=_colour_bar("mean (%)", dark),
        )
    )
    steps = np.linspace(table["mean"].min(), table["mean"].max(), len(scale))
    fig.add_scatter(
        x=table["across"].astype(str),
        y=table["up"].astype(str),
        mode="text",
        text=[f"{value:.1f}" for value in table["mean"]],
        textfont={
            "size": 13,
            "color": inks(table["mean"].to_numpy(), steps.tolist(), scale),
        },  # a heatmap's own text has one ink
        hoverinfo="skip",
    )
    finish(fig, title=pair_title(table, across, up), height=420, dark=dark)
    axis = {"type": "category", "showgrid": False, "zeroline": False, "categoryorder": "array"}
    fig.update_xaxes(title_text=setting_title(across), categoryarray=columns, **axis)
    fig.update_yaxes(title_text=setting_title(up), categoryarray=rows, **axis)
    return fig


def pair_title(table: pd.DataFrame, across: str, up: str) -> str:
    """Where the mean score is highest, among places tried twice or more where there are any."""
    if table.empty:
        return _NOTHING
    often = table[table["trials"] > 1]
    best = (often if len(often) else table).sort_values("mean", ascending=False).iloc[0]
    return f"Best on average: {setting_title(across)} {best['across']} with {setting_title(up)} {best['up']}"


def parallel_settings(study: Study, names: Sequence[str], *, dark: bool = False) -> go.Figure:
    """One line a complete trial through its settings ``names`` to its score, coloured by its run time.

    Trials that lack a setting (it does not apply to them) are left out: a line can't have a gap.
    """
    trials = [t for t in study.complete if all(t.params.get(name) is not None for name in names)]
    seconds = _log_axis([max(t.seconds, 1e-3) for t in trials])
    dimensions = [
        *({"label": setting_title(n)} | _axis(study.parameters[n], [t.params[n] for t in trials]) for n in names),
        {"label": "run time (s)"} | seconds,
        {"label": "score (%)", "values": [percent_or_nan(t.score) for t in trials], "tickformat": ".1f"},
    ]
    ticks = {"tickvals": seconds.get("tickvals"), "ticktext": seconds.get("ticktext")}
    colours = ground(dark)
    fig = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            line={"color": seconds["values"], "colorscale": sequential(dark)[3:], "showscale": True}
            | {"colorbar": _colour_bar("run time (s)", dark) | ticks},
            labelfont={"size": 13, "color": colours["text"]},
            tickfont={"size": 12, "color": colours["text"]},
            rangefont={"size": 11, "color": "rgba(0,0,0,0)", "shadow": "none"},
            unselected={"line": {"color": colours["line"], "opacity": 0.25}},
        )
    )
    finish(fig, title=parallel_title(trials), height=430, dark=dark)
    fig.update_layout(margin={"l": 70, "r": 40, "t": 96, "b": 24})
    if dark:  # the trace's own axes are black, whatever the theme
        line = {"type": "line", "xref": "paper", "yref": "paper", "y0": 0, "y1": 1, "line": {"color": colours["line"]}}
        places = np.linspace(0, 1, len(dimensions))
        fig.update_layout(shapes=[line | {"x0": x, "x1": x, "layer": "below"} for x in places])
    return fig


def parallel_title(trials: Sequence[Trial]) -> str:
    """What the best tenth of the trials share in run time."""
    if not trials:
        return _NOTHING
    top = sorted(trials, key=lambda t: -(t.score or 0))[: max(1, len(trials) // 10)]
    which = f"Of the {len(top)} best trials the quickest" if len(top) > 1 else f"The best of {len(trials)} trials"
    return f"{which} took {min(t.seconds for t in top):.0f} s"


def _axis(spec: Mapping[str, Any], values: Sequence[Any]) -> dict[str, Any]:
    """One axis of the parallel coordinates: its values, and ticks in the setting's own words."""
    if spec["kind"] == "choice":
        choices = list(spec["choices"])
        places = [choices.index(v) if v in choices else -1 for v in values]
        ticks = {"tickvals": list(range(len(choices))), "ticktext": [str(c) for c in choices]}
        return {"values": places} | ticks | {"range": [-0.1, len(choices) - 0.9]}
    if spec.get("log"):
        return _log_axis(values, spec["low"], spec["high"])
    axis: dict[str, Any] = {"values": [float(v) for v in values], "range": [spec["low"], spec["high"]]}
    if spec["kind"] == "int" and spec["high"] - spec["low"] <= 10:
        whole = list(range(spec["low"], spec["high"] + 1))
        axis |= {"tickvals": whole, "ticktext": [str(v) for v in whole]}
    return axis


def _log_axis(values: Sequence[float], low: float | None = None, high: float | None = None) -> dict[str, Any]:
    """Logarithms of ``values`` with ticks that say what they stand for, from ``low`` to ``high`` (else as they lie)."""
    if not values:
        return {"values": []}
    bottom, top = float(np.log10(low or min(values))), float(np.log10(high or max(values)))
    if top - bottom < 1e-9:
        bottom, top = bottom - 0.1, top + 0.1
    decades = range(int(np.floor(bottom)), int(np.ceil(top)) + 1)
    ticks: list[float] = []
    for steps in ((1,), (1, 2, 5), (1, 2, 3, 4, 5, 6, 8), np.arange(10, 100) / 10):
        ticks = [s * 10.0**d for d in decades for s in steps if bottom - 1e-9 <= np.log10(s) + d <= top + 1e-9]
        if len(ticks) >= 3:
            break
    ticks = ticks[:: max(1, len(ticks) // 6)]
    places = {"values": np.log10(values).tolist(), "tickvals": np.log10(ticks).tolist(), "range": [bottom, top]}
    return places | {"ticktext": [value_text(float(tick)) for tick in ticks]}


def importance_bars(shares: Mapping[str, float], *, dark: bool = False) -> go.Figure:
    """Bars of how much of the scores' variance each setting explains; ``shares`` (0 to 1), the largest first."""
    percents = [100 * share for share in shares.values()]
    ends = {"text": [f"{v:.0f}" if v >= 0.5 else "< 1" for v in percents], "textfont": {"color": ground(dark)["text"]}}
    bars = {"x": percents, "y": [setting_title(name) for name in shares], "orientation": "h"} | ends
    bars |= {"textposition": "outside", "cliponaxis": False, "hovertemplate": "%{y}: %{x:.1f} %<extra></extra>"}
    fig = go.Figure(go.Bar(bars, marker={"color": PRIMARY[dark]}))
    title = f"{setting_title(next(iter(shares))).capitalize()} mattered most in these trials"
    finish(fig, title=title, height=110 + 38 * len(shares), dark=dark)
    fig.update_xaxes(title_text="Share of the scores' variance (%)", range=[0, 1.12 * max(percents)], zeroline=False)
    fig.update_yaxes(autorange="reversed", showgrid=False, tickfont={"color": ground(dark)["text"]})
    return fig


def effect_dots(effects: Sequence[VariantEffect], *, measure: str, dark: bool = False) -> go.Figure:
    """Left: every seed's accuracy and their mean by variant. Right: the gain on the base with its 95 % interval."""
    labels = [one.label for one in effects]
    colours, colour = ground(dark), PRIMARY[dark]
    titles = [f"Accuracy on {measure}, a dot a seed", f"Gain on '{labels[0]}', points" if labels else ""]
    fig = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.05, subplot_titles=titles)
    for place, one in enumerate(effects):
        ink = colours["quiet"] if place == 0 else colour
        _seed_dots(fig, place, one.spread, one.label, ink, dark)
    others = effects[1:]
    shades = [colour if one.significant else colours["quiet"] for one in others]
    # Where the interval isn't known, the dot has none: its ends are the gain itself.
    ends = [(one.gain if one.low is None else one.low, one.gain if one.high is None else one.high) for one in others]
    gains, bounds = 100 * np.array([one.gain for one in others]), 100 * np.array(ends).reshape(-1, 2)
    told = [
        f"<br>95 % interval {100 * one.low:+.2f} to {100 * one.high:+.2f}"
        if one.low is not None and one.high is not None
        else ""
        for one in others
    ]
    fig.add_scatter(
        x=gains,
        y=list(range(1, len(effects))),
        mode="markers",
        marker={"size": 10, "color": shades, "line": {"width": 2, "color": shades}}
        | {"symbol": ["circle" if one.significant else "circle-open" for one in others]},
        error_x=error_bar(gains, bounds[:, 0], bounds[:, 1], colours["quiet"], width=4),
        customdata=list(zip((one.label for one in others), told, strict=True)),
        hovertemplate="<b>%{customdata[0]}</b><br>%{x:+.2f} points%{customdata[1]}<extra></extra>",
        showlegend=False,
        row=1,
        col=2,
    )
    fig.add_vline(x=0, line={"color": colours["quiet"], "width": 1, "dash": "dot"}, row=1, col=2)
    finish(fig, title=effects_title(effects), height=118 + 32 * max(len(labels), 2), dark=dark)
    name_rows(fig, labels, dark, room=0.6)
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
    name_rows(fig, [name for name, _ in spreads], dark, room=0.6)
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
    fig: go.Figure, place: int, one: SeedSpread, name: str, colour: str, dark: bool, *, interval: bool = False
) -> None:
    """The row ``place``: small dots for seeds, a line at the mean, on request a bar for its interval."""
    if interval and one.low is not None and one.high is not None:
        ends = [100 * one.low, 100 * one.high]
        hover = f"<b>{name}</b><br>95 % interval {ends[0]:.2f} to {ends[1]:.2f} %"
        bar = {"mode": "lines", "line": {"color": ground(dark)["line"], "width": 12}, "hovertemplate": hover}
        fig.add_scatter(x=ends, y=[place, place], showlegend=False, **bar)
    fig.add_scatter(
        x=[100 * v for v in one.values],
        y=[place] * len(one.values),
        mode="markers",
        marker={"size": 9, "color": colour, "opacity": 0.75},
        customdata=list(one.seeds),
        hovertemplate=f"<b>{name}</b>, seed %{{customdata}}<br>%{{x:.2f}} %<extra></extra>",
        showlegend=False,
    )
    fig.add_scatter(
        x=[100 * one.mean],
        y=[place],
        mode="markers",
        marker={"size": 18, "symbol": "line-ns-open", "color": ground(dark)["text"], "line": {"width": 2}},
        hovertemplate=f"<b>{name}</b>, mean of {counted(len(one.values), 'seed')}<br>%{{x:.2f}} %<extra></extra>",
        showlegend=False,
    )


def _colour_bar(title: str, dark: bool) -> dict[str, Any]:
    quiet = ground(dark)["quiet"]
    font = {"title": {"text": title, "font": {"size": 13, "color": quiet}}, "tickfont": {"color": quiet}}
    return {"thickness": 12, "outlinewidth": 0} | font


@view(":material/science: Studies", order=70)
def render(context: CompareContext) -> None:
    """One study at a time: a search, an ablation, or all studies of seeds together."""
    named: dict[str, list[Study]] = {}
    for study in cache.studies():
        if study.dataset == context.spec.name:
            named.setdefault(SEEDS if study.kind == "seeds" else study.name, []).append(study)
    if not named:
        st.info(
            "Here will be what many small trainings found out: which settings are best, what each ingredient gives, "
            "how much the seed changes. There is no study yet. One of these commands in a terminal makes one:",
            icon=":material/science:",
        )
        st.code(
            "python -m core tune --model cnn_4 --trials 40      # which settings are best\n"
            "python -m core ablate                              # what each ingredient gives\n"
            "python -m core repeat cnn_bn --seeds 3             # how much the seed changes",
            language="bash",
        )
        return
    kinds = {"tune": "Search", "ablation": "Ingredients", "seeds": "Seeds"}
    titles = {
        key: f"{kinds[first.kind]}: {counted(1 + len(others), 'model') if key == SEEDS else first.title}"
        for key, (first, *others) in named.items()
    }
    chosen = named[choice("study", "Study", titles, next(iter(titles)), "study", box=True, width=520)]
    if chosen[0].kind == "seeds":
        _seeds(chosen, context)
    else:
        (_search if chosen[0].kind == "tune" else _ablation)(chosen[0], context)


def _version(*group: Study) -> tuple:
    """What everything computed from the studies depends on."""
    return tuple(
        (s.dataset, s.name, *((t.number, t.label, t.score, t.test, t.seconds, t.state) for t in s.trials))
        for s in group
    )


def _facts(group: Sequence[Study], extra: str = "") -> None:
    """One line: what was measured, on what, for how long."""
    seconds = sum(study.seconds for study in group)
    time = f"{seconds / 3600:.1f} hours" if seconds >= 7200 else f"{max(1, seconds / 60):.0f} min"
    devices, metrics, data = (
        ", ".join(dict.fromkeys(texts))
        for texts in zip(*((s.device, s.metric, s.provenance.get("label", "")) for s in group), strict=True)
    )
    trainings = counted(sum(len(study.trials) for study in group), "training")
    note = f" {group[0].note}" if len(group) == 1 and group[0].note else ""
    st.caption(f"{trainings} in {time} on {devices}; {metrics}; {data}.{extra}{note}")


def _search(study: Study, context: CompareContext) -> None:
    """The best trial and the history, then one of the figures of settings."""
    dark, best, key = context.dark, study.best, (_version(study), context.dark)
    with st.container(horizontal=True, gap="medium"):
        with st.container(width=880):  # the settings beside it, or below it on a narrow page
            history, name = partial(search_history, study, dark=dark), f"{study.name}-history"
            show_figure(history, best_so_far(study), name, "search_history", made_of=key)
        with st.container(width=330):
            if best is None:
                st.info("No trial ran to its end yet.", icon=":material/hourglass_empty:")
            else:
                st.markdown(f"**Best settings**, trial {best.number}: {_score_text(best)}")
                settings = [(setting_title(name), value_text(value)) for name, value in best.params.items()]
                settings += [("run time", f"{best.seconds:.0f} s"), ("epochs", str(best.epochs))]
                st.table(pd.DataFrame(settings), hide_index=True, hide_header=True, border="horizontal")
    _facts([study], f" Scores chose the settings; they say little of new {context.unit}s.")
    if best is None:
        _trials(study)
        return
    titles = ("Two settings", "All settings at once", "What mattered", "Every trial")
    kinds = dict(zip(("pairs", "all", "importance", "trials"), titles, strict=True))
    shown = choice("settings", "Settings", kinds, "pairs", "figure", hidden=True)
    if shown == "trials":
        _trials(study)
    elif shown == "importance":
        _importance(study, dark)
    elif shown == "all":
        lines = partial(parallel_settings, study, varied(study), dark=dark)
        show_figure(lines, trial_table(study), f"{study.name}-settings", "parallel_settings", made_of=key)
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
    data = pair_table(study, across, up).rename(columns={"across": across, "up": up})
    heatmap, key = partial(pair_heatmap, study, across, up, dark=dark), (_version(study), across, up, dark)
    show_figure(heatmap, data, f"{study.name}-{across}-{up}", "pair_heatmap", made_of=key)
    st.caption(
        "Mean score (%) of the complete trials whose settings fall there; hover for how many they are. A search asks "
        "more often where it does well, so empty and single places say little."
    )


@st.cache_data(max_entries=32, show_spinner="Learning score from settings")
def _shares(version: tuple, _study: Study) -> dict[str, float] | None:
    return setting_importance(_study)


def _importance(study: Study, dark: bool) -> None:
    shares = _shares(_version(study), study)
    trials = counted(len(study.complete), "complete trial")
    if shares is None:
        st.info(
            f"{trials}: from {MIN_TRIALS} on, with scores that differ, it can be told which setting matters.",
            icon=":material/bar_chart:",
        )
        return
    data = pd.DataFrame({"setting": list(shares), "percent": [100 * share for share in shares.values()]})
    show_figure(importance_bars(shares, dark=dark), data, f"{study.name}-importance", "importance_bars")
    st.caption(
        f"fANOVA by Optuna: a random forest learns score from settings on {trials}; a bar is the share of the scores' "
        "variance that a setting explains by itself. The forest knows these trials only: of few, or where settings "
        "were seldom varied, the bars say little."
    )


def _trials(study: Study) -> None:
    table = trial_table(study)
    number = st.column_config.NumberColumn
    st.dataframe(
        table,
        hide_index=True,
        height=min(480, 39 + 35 * len(table)),
        column_config={
            "number": number("Trial", pinned=True, width="small"),
            "score": number(format="%.2f %%"),
            "test": number(format="%.2f %%"),
            "seconds": number("run time", format="%.0f s"),
        },
        placeholder="–",
    )
    csv_button("Download these trials (CSV)", lambda: table, study.name)


def _measure(group: Sequence[Study]) -> str:
    """The measure to show, of those that all have; asked only where there are two."""
    titles = {key: title for key, title in _MEASURES.items() if all(key in study_measures(one) for one in group)}
    if len(titles) < 2:
        return next(iter(titles), "score")
    return choice("measure", "Accuracy", titles, next(iter(titles)), "measure", hidden=True)


def _ablation(study: Study, context: CompareContext) -> None:
    """What each variant gave against the base."""
    base = base_label(study)
    if base is None:
        st.info("No variant has been trained to its end yet.", icon=":material/hourglass_empty:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        labels = {label: f"against '{label}'" for label in study.by_label()}
        base = choice("base", "Against", labels, base, "variant", box=True)
        measure = _measure([study])
    effects = variant_effects(study, measure, base)
    table = effect_table(effects)
    dots = partial(effect_dots, effects, measure=_SHORT[measure], dark=context.dark)
    key = (_version(study), measure, base, context.dark)
    show_figure(dots, table, study.name, "effect_dots", made_of=key)
    number = st.column_config.NumberColumn
    _numbers_below(
        table,
        label=st.column_config.TextColumn("Variant", pinned=True),
        mean=number("Mean accuracy", format="%.2f %%"),
        gain=number("Gain (points)", format="%+.2f"),
        low=number("from", format="%+.2f", help="95 % interval over seeds (Welch's t)."),
        high=number("to", format="%+.2f"),
    )
    _facts(
        [study], " Filled dots: the interval leaves zero out; with so many variants one in twenty does so by chance."
    )


def _numbers_below(table: pd.DataFrame, **columns: Any) -> None:
    """``table`` in full below its figure; ``seeds`` and ``seconds`` are named alike everywhere."""
    number = st.column_config.NumberColumn
    columns |= {"seeds": number("Seeds"), "seconds": number("One training", format="%.0f s")}
    st.dataframe(table, hide_index=True, height="content", column_config=columns, placeholder="–")


def _seeds(group: Sequence[Study], context: CompareContext) -> None:
    """How far each recipe spreads over its seeds, the best first."""
    group = [study for study in group if study.complete]
    if not group:
        st.info("No training has run to its end yet.", icon=":material/hourglass_empty:")
        return
    measure = _measure(group)
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
    key = (_version(*group), measure, tuple(name for name, _ in spreads), context.dark)
    dots = partial(seed_dots, spreads, measure=_SHORT[measure], dark=context.dark)
    show_figure(dots, data, "seeds", "seed_dots", made_of=key)
    number, interval = st.column_config.NumberColumn, "95 % interval of the mean (Student's t)."
    _numbers_below(
        spread_table(spreads),
        model=st.column_config.TextColumn("Model", pinned=True),
        mean=number("Mean", format="%.2f %%"),
        low=number("from", format="%.2f %%", help=interval),
        high=number("to", format="%.2f %%", help=interval),
        lowest=number("Lowest", format="%.2f %%"),
        highest=number("Highest", format="%.2f %%"),
    )
    _facts(group)
