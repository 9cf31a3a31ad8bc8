"""Compare, class by class: how well each run finds each class and leaves the others alone; ROC and precision-recall
curves.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.evaluation.metrics import CLASS_MEASURES, ClassCurves, class_curves, class_proportions
from core.formatting import capitalized, of_class, range_text
from core.inference.scope import spec_for
from core.probabilities import softmax
from core.runs import Run
from dashboard import cache
from dashboard.charts import MOST_RUNS, Panel, class_dots, show_figure
from dashboard.compare import CompareContext, run_selection
from dashboard.page import view
from dashboard.style import class_colours, error_bar, finish, framed_legend, ground, series_colours
from dashboard.url_state import choice

MEASURE_TITLES = {"sensitivity": "Sensitivity", "specificity": "Specificity", "precision": "Precision", "f1": "F1"}


def class_measures(runs: Sequence[Run], labels: Mapping[str, str], split: str = "test") -> pd.DataFrame:
    """A row for each run, class and measure, in that order; percent, NaN where there was nothing to count.

    Columns: run, model, code, measure (of `MEASURES`), value, low, high (95 % interval), cells (of the class).
    """
    rows = []
    for run in runs:
        confusion = run.metrics[split]["confusion"]
        for code, by_measure in zip(run.config["dataset"]["codes"], class_proportions(confusion), strict=True):
            for measure in CLASS_MEASURES:
                share, cells = by_measure[measure], by_measure["sensitivity"].n
                bounds = (100 * share.low, 100 * share.high) if share.n > 0 else (np.nan, np.nan)
                rows.append((run.name, labels[run.name], code, measure, 100 * share.value, *bounds, cells))
    return pd.DataFrame(rows, columns=["run", "model", "code", "measure", "value", "low", "high", "cells"])


def class_table(measures: pd.DataFrame) -> pd.DataFrame:
    """`class_measures` as people read it: a row for each class and run, a value and an interval (text) each."""
    rows: list[dict[str, Any]] = []
    for (code, _), own in measures.groupby(["code", "run"], sort=False):
        row: dict[str, Any] = {"class": code, "model": own["model"].iloc[0], "cells": own["cells"].iloc[0]}
        for measure, value, low, high in own[["measure", "value", "low", "high"]].to_numpy():
            row |= {measure: value, f"{measure} interval": "" if np.isnan(low) else f"{low:.1f} to {high:.1f}"}
        rows.append(row)
    codes = list(dict.fromkeys(measures["code"]))
    rows.sort(key=lambda row: codes.index(row["class"]))
    return pd.DataFrame(rows)


def curve_points(curves: Mapping[str, ClassCurves], kind: str) -> pd.DataFrame:
    """The points that are drawn, for export: name, x and y of the curves' ``kind`` ('roc' or 'precision_recall')."""
    x, y = ("false_positive_rate", "sensitivity") if kind == "roc" else ("recall", "precision")
    parts = [pd.DataFrame(getattr(one, kind), columns=[x, y]).assign(name=name) for name, one in curves.items()]
    return pd.concat(parts)[["name", x, y]] if parts else pd.DataFrame(columns=["name", x, y])


_SHORT = 5  # letters
_BETWEEN = 0.025  # panels, of the width


def measure_dots(
    measures: pd.DataFrame, codes: Sequence[str], names: Mapping[str, str], *, unit: str = "cell", dark: bool = False
) -> go.Figure:
    """A dot with its 95 % interval for each class (row), measure (panel) and run (symbol), in the class's colour.

    ``measures`` is `dashboard.compare.classes.class_measures` of `MOST_RUNS` runs at most, ``names`` gives each code's
    class name, ``unit`` what one picture shows.
    """
    runs = list(dict.fromkeys(measures["run"]))
    colours, quiet = list(class_colours(codes, dark).values()), ground(dark)["quiet"]
    titles = [names[code] for code in codes]
    rows = {key: table.set_index("code").loc[list(codes)] for key, table in measures.groupby(["run", "measure"])}
    wide = (1 + _BETWEEN) / len(MEASURE_TITLES)
    panels = []
    for column, (measure, title) in enumerate(MEASURE_TITLES.items()):
        word = title if measure == "f1" else title.lower()
        traces = [
            {
                "x": own["value"].to_numpy(),
                "error_x": error_bar(own["value"], own["low"], own["high"], quiet),
                "customdata": list(zip(own["low"], own["high"], titles, own["cells"], strict=True)),
                "hovertemplate": f"<b>%{{customdata[2]}}</b>, {word} %{{x:.2f}} %<br>95 % interval "
                f"%{{customdata[0]:.1f}} to %{{customdata[1]:.1f}}<br>%{{customdata[3]:,}} {unit}s of the class",
            }
            for own in (rows[run, measure] for run in runs)
        ]
        axis = {"nticks": 4, "tickangle": 0}
        panels.append(Panel(f"{title} (%)", column * wide, (column + 1) * wide - _BETWEEN, axis, traces))
    labels = [rows[run, "sensitivity"]["model"].iloc[0] for run in runs]
    heading = measures_title(measures, names, unit)
    return class_dots(panels, labels, codes, names, [colours] * len(runs), title=heading, dark=dark)


def measures_title(measures: pd.DataFrame, names: Mapping[str, str], unit: str = "cell") -> str:
    """Which class is found least often, in one sentence."""
    sensitivities = measures[measures["measure"] == "sensitivity"].dropna(subset="value")
    if sensitivities.empty:
        return f"No {unit}s were scored"
    by_class = sensitivities.groupby("code", sort=False)["value"].agg(["min", "max", "mean"])
    if by_class["min"].min() == 100:
        return f"Every {unit} of every class is found"
    worst = str(by_class["mean"].idxmin())
    low, high = by_class.loc[[worst], ["min", "max"]].to_numpy(float)[0]
    share = range_text(f"{low:.1f}", f"{high:.1f}")
    return f"{capitalized(of_class(names[worst], unit))} are found least often: {share} % of them"


def curves_figure(
    curves: Mapping[str, ClassCurves],
    kind: str,
    colours: Sequence[str],
    *,
    title: str,
    answers: Mapping[str, tuple[float, float]] | None = None,
    corner: bool = True,
    dark: bool = False,
) -> go.Figure:
    """Curves by name with their area in the legend; ``corner`` zooms in on the one where they bend.

    ``kind`` 'roc': sensitivity against 1 - specificity, 'precision_recall': precision against recall. ``answers`` gives
    by name the (x, y) of the model's own answers (the likeliest class), drawn as a dot.
    """
    fig, roc, every = go.Figure(), kind == "roc", list(curves.values())
    if roc and not corner:
        chance = {"color": ground(dark)["quiet"], "dash": "dot", "width": 1}
        fig.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=chance, hoverinfo="skip", showlegend=False)
    for place, (name, one) in enumerate(curves.items()):
        points, colour = getattr(one, kind), colours[place]
        before = list(colours[:place]).count(colour)  # lines of one colour are told apart by their dashes
        fig.add_scatter(
            x=points[:, 0],
            y=points[:, 1],
            mode="lines",
            name=f"{name}  <b>{_area(one.auroc if roc else one.average_precision)}</b>",
            legendgroup=name,
            line={"color": colour, "width": 2, "dash": ("solid", "dash", "dot", "dashdot")[before % 4]},
            hovertemplate=f"<b>{name}</b><br>%{{x:.2%}}, %{{y:.2%}}<extra></extra>",
        )
        if answers and name in answers:
            x, y = answers[name]
            marker = {"size": 10, "color": colour, "line": {"width": 2, "color": ground(dark)["background"]}}
            hover = f"<b>{name}</b>, its answers<br>%{{x:.2%}}, %{{y:.2%}}<extra></extra>"
            dot = {"x": [x], "y": [y], "mode": "markers", "marker": marker, "hovertemplate": hover}
            fig.add_scatter(**dot, legendgroup=name, showlegend=False)
    if roc:
        right, low = roc_corner(every) if corner else (1.0, 0.0)
        across, titles = (0.0, right), ("Others called so by mistake (1 − specificity)", "Found (sensitivity)")
    else:
        left, low = precision_recall_corner(every) if corner else (0.0, 0.0)
        across, titles = (left, 1.0), ("Found (recall)", "Right among those called so (precision)")
    finish(fig, title=title, height=470, dark=dark)
    fig.update_xaxes(title_text=titles[0], range=_room(*across), tickformat="~%", zeroline=False)
    fig.update_yaxes(title_text=titles[1], range=_room(low, 1), tickformat="~%", zeroline=False)
    heading = {"text": "AUROC" if roc else "Average precision", "font": {"color": ground(dark)["quiet"], "size": 13}}
    return fig.update_layout(framed_legend(dark, right=roc, y=0.02, title=heading))


def roc_title(curves: Mapping[str, ClassCurves], of: str) -> str:
    """What ROC curves of ``of`` (a class or a run) say: how far the areas under them are apart."""
    if not curves:
        return "Nothing to draw: nothing to tell apart"
    areas = {name: one.auroc for name, one in curves.items()}
    low, high = _area(min(areas.values())), _area(max(areas.values()))
    worst = min(areas, key=lambda name: areas[name])
    if low != high and len(worst) <= _SHORT:  # a class's code; a run's name would not fit
        return f"{of}: {worst} is told apart least well"
    return f"{of}: AUROC {range_text(low, high)}"


def precision_title(curves: Mapping[str, ClassCurves]) -> str:
    """What precision-recall curves say: how many right answers are left where 99 % of a class are to be found."""
    if not curves:
        return "Nothing to draw: nothing to tell apart"
    precisions = {name: precision_at(one, 0.99) for name, one in curves.items()}
    worst = min(precisions, key=lambda name: precisions[name])
    low, high = _percent(precisions[worst]), _percent(max(precisions.values()))
    if low != high and len(worst) <= _SHORT:
        return f"Where 99 % are found, {low} ({worst}) to {high} are right"
    return f"Where 99 % are found, {range_text(low, high)} of those called so are right"


def precision_at(curves: ClassCurves, recall: float) -> float:
    """The highest precision at which at least ``recall`` of the class is found, 0 to 1."""
    x, y = curves.precision_recall.T
    after = y[x >= recall]
    return float(max(np.interp(recall, x, y), after.max() if len(after) else 0.0))


def roc_corner(curves: Sequence[ClassCurves]) -> tuple[float, float]:
    """The corner that shows every curve's bend: highest false positive rate, lowest sensitivity."""
    right, low = 0.01, 0.98
    for one in curves:
        x, y = one.roc[int(np.argmax(one.roc[:, 1] - one.roc[:, 0]))]
        right, low = max(right, 2.5 * x), min(low, 1 - 2.5 * (1 - y))
    return min(right, 1.0), max(low, 0.0)


def precision_recall_corner(curves: Sequence[ClassCurves]) -> tuple[float, float]:
    """The corner that shows every curve's bend: lowest recall, lowest precision."""
    left, low = 0.98, 0.98
    for one in curves:
        x, y = one.precision_recall[int(np.argmax(one.precision_recall.min(axis=1)))]
        left, low = min(left, 1 - 2.5 * (1 - x)), min(low, 1 - 2.5 * (1 - y))
    return max(left, 0.0), max(low, 0.0)


def _room(low: float, high: float) -> list[float]:
    """The axis from ``low`` to ``high`` with room for lines that run along its ends."""
    room = 0.02 * (high - low)
    return [low - room, high + room]


def _area(value: float) -> str:
    """'0.9987'; never a rounded 1.0000 for what is less."""
    if value < 1 and f"{value:.4f}" == "1.0000":
        return "> 0.9999"
    return f"{value:.4f}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %" if value < 0.995 or value == 1 else "> 99 %"


@st.cache_resource(max_entries=512, show_spinner=False, hash_funcs=cache.BY_VERSION)
def cached_curves(run: Run, index: int) -> ClassCurves | None:
    """ROC and precision-recall curves of class ``index`` on test; None where there is nothing to tell apart."""
    answers = cache.predictions(run)
    return class_curves(answers.labels, softmax(answers.logits), index)


_HELP = {
    "sensitivity": "Share of the class's {unit}s that are found (also called recall).",
    "specificity": "Share of all other {unit}s that are not called so.",
    "precision": "Share of the {unit}s called so that are of the class; it depends on how common the class is.",
    "f1": "Harmonic mean of sensitivity and precision; its interval is carried over from that of F*.",
}


@view(":material/category: Classes", order=30)
def render(context: CompareContext) -> None:
    """Sensitivity, specificity, precision and F1 of the ticked runs with intervals, and their curves."""
    runs = _of_one_kind(run_selection(context))
    if not runs:
        st.info("Choose a run above, and how it does on every class appears here.", icon=":material/category:")
        return
    spec = spec_for(runs[0])
    codes, names = list(spec.codes), spec.names
    measures = class_measures(runs, context.names)
    shown = measures[measures["run"].isin([run.name for run in runs[-MOST_RUNS:]])]
    labels = tuple(dict.fromkeys(shown["model"]))
    dots = partial(measure_dots, shown, codes, names, unit=context.unit, dark=context.dark)
    show_figure(dots, shown, "classes", "class_measures", made_of=(*runs[-MOST_RUNS:], labels, context.dark))
    more = (
        f" Drawn: the last {MOST_RUNS} of {len(runs)} chosen runs; the table has all." if len(runs) > MOST_RUNS else ""
    )
    st.caption(
        f"Lines are 95 % intervals (Wilson), on {runs[0].metrics['test']['n']:,} test {context.unit}s. Each panel has "
        f"its own axis.{more}"
    )
    _table(measures, len(runs), context.unit)
    _curves_section(runs, context, codes, names)


def _of_one_kind(runs: Sequence[Run]) -> list[Run]:
    """The runs that know the last chosen one's classes; the others are named."""
    same = [run for run in runs if run.codes == runs[-1].codes]
    if len(same) < len(runs):
        st.caption("Runs of other classes than the last chosen one's are left out here.")
    return same


def _table(measures: pd.DataFrame, runs: int, unit: str) -> None:
    table = class_table(measures)
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    config = {
        "class": text("Class", pinned=True, width="small"),
        "model": text("Model", pinned=runs > 1),
        "cells": number(f"{capitalized(unit)}s", format="localized", help=f"Test {unit}s of the class."),
    }
    for measure, title in MEASURE_TITLES.items():
        config[measure] = number(title, format="%.1f %%", help=_HELP[measure].format(unit=unit))
        config[f"{measure} interval"] = text("95 % interval", alignment="right")
    order = [c for c in config if runs > 1 or c != "model"]
    height = 39 + 35 * min(len(table), 12)
    st.dataframe(table, hide_index=True, column_config=config, column_order=order, placeholder="–", height=height)


def _curves_section(runs: Sequence[Run], context: CompareContext, codes: Sequence[str], names: dict[str, str]) -> None:
    """ROC and precision-recall curves, one-vs-rest: one class over the runs, or one run over all classes."""
    st.header("ROC and precision-recall curves", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        across = {"runs": "One class, the chosen runs", "classes": "One run, every class"}
        by = choice("curves", "Curves of", across, "runs" if len(runs) > 1 else "classes", "set of curves", hidden=True)
        if by == "runs":
            titles = {code: f"{code} · {names[code]}" for code in codes}
            code = choice("cell_class", "Class", titles, _hardest(runs[-1]), "class", box=True, width=260)
            curve_sources = {context.names[run.name]: (run, codes.index(code)) for run in runs}
            of, colours = capitalized(of_class(names[code], context.unit)), series_colours(len(runs), context.dark)
        else:
            titles = {run.name: context.names[run.name] for run in runs}
            name = choice("curves_of", "Run", titles, runs[-1].name, "run", box=True)
            run = next(run for run in runs if run.name == name)
            curve_sources = {code: (run, index) for index, code in enumerate(codes)}
            of, colours = context.names[run.name], list(class_colours(codes, context.dark).values())
        zoom = {"corner": "Corner enlarged", "whole": "Whole curves"}
        corner = choice("zoom", "Zoom", zoom, "corner", "zoom", hidden=True, help="The curves bend in one corner.")
    lines, dots, line_colours = _read_curves(curve_sources, colours)
    key = (of, tuple((name, *source) for name, source in curve_sources.items()), corner, context.dark)
    called = {name: (1 - d["specificity"], d["sensitivity"]) for name, d in dots.items()}
    found = {name: (d["sensitivity"], d["precision"]) for name, d in dots.items() if d["precision"] is not None}
    sides = (("roc", roc_title(lines, of), called), ("precision_recall", precision_title(lines), found))
    halves = st.grid(2, min_column_width=400, gap="medium")
    for kind, title, points in sides:
        options: dict[str, Any] = {"title": title, "answers": points, "corner": corner == "corner"}
        figure = partial(curves_figure, lines, kind, line_colours, dark=context.dark, **options)
        with halves.container():
            show_figure(figure, curve_points(lines, kind), kind.replace("_", "-"), kind, made_of=key)
    st.caption(
        f"Each class against all others, as the probability from which a {context.unit} is called so is lowered. Dots: "
        f"the answers as given, each {context.unit} the likeliest class. AUROC: how often one of the class gets a "
        "higher probability than another; average precision weighs rare classes harder."
    )


def _read_curves(
    curve_sources: dict[str, tuple[Run, int]], colours: Sequence[str]
) -> tuple[dict[str, ClassCurves], dict[str, dict[str, float]], list[str]]:
    """Curves by name, what the answers as given reach, and the colours of those that have curves."""
    lines, dots, line_colours = {}, {}, []
    for colour, (name, (run, index)) in zip(colours, curve_sources.items(), strict=True):
        one = cached_curves(run, index)
        if one is None:
            continue
        lines[name] = one
        line_colours.append(colour)
        stored = run.metrics["test"]["per_class"]
        dots[name] = {measure: stored[measure][index] for measure in ("sensitivity", "specificity", "precision")}
    return lines, dots, line_colours


def _hardest(run: Run) -> str:
    """The code of the class that ``run`` finds least often."""
    sensitivities = run.metrics["test"]["per_class"]["sensitivity"]
    return min(zip(run.codes, sensitivities, strict=True), key=lambda p: 2 if p[1] is None else p[1])[0]
