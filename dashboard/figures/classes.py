"""Figures of the Compare page's view by class: measures with intervals, ROC and precision-recall curves."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.evaluation.curves import ClassCurves
from core.serving.wording import of_class, sentence_case
from dashboard.by_class import TITLES
from dashboard.figures.style import class_colours, finish, ground

SYMBOLS = ("circle", "diamond-open", "square", "cross-open")
MOST_RUNS = len(SYMBOLS)
_SHORT = 5  # letters
_BETWEEN = 0.025  # panels, of the width


def measure_dots(
    measures: pd.DataFrame,
    codes: Sequence[str],
    names: Mapping[str, str],
    *,
    unit: str = "cell",
    dark: bool = False,
) -> go.Figure:
    """A dot with its 95 % interval for each class (row), measure (panel) and run (symbol), in the class's colour.

    ``measures`` is `dashboard.by_class.class_measures` of `MOST_RUNS` runs at most, ``names`` gives each code's
    class name, ``unit`` what one picture shows.
    """
    runs = list(dict.fromkeys(measures["run"]))
    if len(runs) > MOST_RUNS:
        raise ValueError(f"{len(runs)} runs: {MOST_RUNS} symbols at most can be told apart")
    colours, quiet = list(class_colours(codes, dark).values()), ground(dark)["quiet"]
    titles = [names[code] for code in codes]
    step = 0.62 / max(len(runs), 1)
    rows = {key: table.set_index("code").loc[list(codes)] for key, table in measures.groupby(["run", "measure"])}
    # Put together as one dictionary: plotly then checks it once, which takes a third of the time of adding trace by
    # trace to subplots.
    traces, axes, headings = [], {}, []
    for column, (measure, title) in enumerate(TITLES.items()):
        axis, left = f"x{column + 1}" if column else "x", column * (1 + _BETWEEN) / len(TITLES)
        right = left + (1 + _BETWEEN) / len(TITLES) - _BETWEEN
        axes[axis.replace("x", "xaxis")] = {"domain": [left, right], "zeroline": False, "nticks": 4, "tickangle": 0}
        heading = {"text": f"{title} (%)", "x": (left + right) / 2, "xref": "paper", "y": 1, "yref": "paper"}
        font = {"size": 14, "color": quiet}
        headings.append(heading | {"yanchor": "bottom", "yshift": 2, "showarrow": False, "font": font})
        for place, run in enumerate(runs):
            here = rows[run, measure]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "xaxis": axis,
                    "x": here["value"].to_numpy(),
                    "y": np.arange(len(codes)) + (place - (len(runs) - 1) / 2) * step,
                    "name": here["model"].iloc[0],
                    "legendgroup": run,
                    "showlegend": False,
                    "marker": {"symbol": SYMBOLS[place], "size": 9, "color": colours}
                    | {"line": {"width": 2, "color": colours}},
                    "error_x": _interval(here["value"], here["low"], here["high"], quiet),
                    "customdata": list(zip(here["low"], here["high"], titles, here["cells"], strict=True)),
                    "hovertemplate": f"<b>%{{customdata[2]}}</b>, {title.lower() if measure != 'f1' else title} "
                    "%{x:.2f} %<br>95 % interval %{customdata[0]:.1f} to %{customdata[1]:.1f}"
                    f"<br>%{{customdata[3]:,}} {unit}s of the class",
                }
            )
    for place, run in enumerate(runs if len(runs) > 1 else ()):
        # The legend's sample: dots have their classes' colours, so a grey stands for the symbol.
        marker = {"symbol": SYMBOLS[place], "size": 9, "color": quiet, "line": {"width": 2, "color": quiet}}
        name = rows[run, "sensitivity"]["model"].iloc[0]
        traces.append({"type": "scatter", "mode": "markers", "x": [None], "y": [None], "name": name, "marker": marker})
        traces[-1]["legendgroup"] = run
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "line": {"color": ground(dark)["line"], "width": 1}}
    borders = [place + 0.5 for place in range(len(codes) - 1)]
    legend = {"x": 0, "xanchor": "left", "xref": "container", "y": 0, "yref": "container", "yanchor": "bottom"}
    fig = go.Figure(
        {
            "data": traces,
            "layout": axes
            | {
                "annotations": headings,
                "shapes": [line | {"y0": border, "y1": border, "layer": "below"} for border in borders],
                "yaxis": {
                    "tickvals": list(range(len(codes))),
                    "ticktext": [f"<b>{code}</b>  {names[code]}" for code in codes],
                    "range": [len(codes) - 0.5, -0.5],
                    "showgrid": False,
                    "zeroline": False,
                },
            },
        }
    )
    height = 126 + max(38, 14 + 15 * len(runs)) * len(codes)
    finish(fig, title=measures_title(measures, names, unit), height=height, dark=dark)
    fig.update_layout(margin={"t": 76}, legend=legend, yaxis={"tickfont": {"color": ground(dark)["text"]}})
    return fig


def measures_title(measures: pd.DataFrame, names: Mapping[str, str], unit: str = "cell") -> str:
    """Which class is found least often, in one sentence."""
    found = measures[measures["measure"] == "sensitivity"].dropna(subset="value")
    if found.empty:
        return f"No {unit}s were scored"
    by_class = found.groupby("code", sort=False)["value"].agg(["min", "max", "mean"])
    if by_class["min"].min() == 100:
        return f"Every {unit} of every class is found"
    worst = by_class["mean"].idxmin()
    low, high = by_class.loc[worst, ["min", "max"]]
    share = f"{low:.1f} %" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f} %"
    return f"{sentence_case(of_class(names[worst], unit))} are found least often: {share} of them"


def roc_figure(
    curves: Mapping[str, ClassCurves],
    colours: Sequence[str],
    *,
    title: str,
    answers: Mapping[str, tuple[float, float]] | None = None,
    corner: bool = True,
    dark: bool = False,
) -> go.Figure:
    """ROC curves by name, the area under each in the legend; ``corner`` zooms in on the upper left one.

    ``answers`` gives by name (1 - specificity, sensitivity) of the model's own answers (the likeliest class),
    drawn as a dot.
    """
    fig = go.Figure()
    if not corner:
        fig.add_scatter(
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            line={"color": ground(dark)["quiet"], "dash": "dot", "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
    for place, (name, one) in enumerate(curves.items()):
        _line(fig, one.roc, f"{name}  <b>{_area(one.auroc)}</b>", name, colours, place)
        if answers and name in answers:
            _dot(fig, answers[name], name, colours[place], dark)
    reach = roc_corner(list(curves.values())) if corner else (1.0, 0.0)
    fig.update_xaxes(title="Others called so by mistake (1 − specificity)", range=_room(0, reach[0]))
    fig.update_yaxes(title="Found (sensitivity)", range=_room(reach[1], 1))
    return _finish(fig, title, "AUROC", dark, right=True)


def precision_recall_figure(
    curves: Mapping[str, ClassCurves],
    colours: Sequence[str],
    *,
    title: str,
    answers: Mapping[str, tuple[float, float]] | None = None,
    corner: bool = True,
    dark: bool = False,
) -> go.Figure:
    """Precision against recall by name, the average precision in the legend; ``corner`` zooms in on the upper right.

    ``answers`` gives by name (recall, precision) of the model's own answers (the likeliest class).
    """
    fig = go.Figure()
    for place, (name, one) in enumerate(curves.items()):
        label = f"{name}  <b>{_area(one.average_precision)}</b>"
        _line(fig, one.precision_recall, label, name, colours, place)
        if answers and name in answers:
            _dot(fig, answers[name], name, colours[place], dark)
    low = precision_recall_corner(list(curves.values())) if corner else (0.0, 0.0)
    fig.update_xaxes(title="Found (recall)", range=_room(low[0], 1))
    fig.update_yaxes(title="Right among those called so (precision)", range=_room(low[1], 1))
    return _finish(fig, title, "Average precision", dark, right=False)


def roc_title(curves: Mapping[str, ClassCurves], of: str) -> str:
    """What ROC curves of ``of`` (a class or a run) say: how far the areas under them are apart."""
    if not curves:
        return "Nothing to draw: nothing to tell apart"
    areas = {name: one.auroc for name, one in curves.items()}
    low, high = _area(min(areas.values())), _area(max(areas.values()))
    if low == high:
        return f"{of}: AUROC {high}"
    worst = min(areas, key=areas.get)
    if len(worst) <= _SHORT:  # a class's code; a run's name would not fit
        return f"{of}: {worst} is told apart least well"
    return f"{of}: AUROC {low} to {high}"


def precision_title(curves: Mapping[str, ClassCurves]) -> str:
    """What precision-recall curves say: how many right answers are left where 99 % of a class are to be found."""
    if not curves:
        return "Nothing to draw: nothing to tell apart"
    reached = {name: precision_at(one, 0.99) for name, one in curves.items()}
    worst = min(reached, key=reached.get)
    low, high = _percent(reached[worst]), _percent(max(reached.values()))
    if low == high:
        return f"Where 99 % are found, {high} of those called so are right"
    if len(worst) <= _SHORT:
        return f"Where 99 % are found, {low} ({worst}) to {high} are right"
    return f"Where 99 % are found, {low} to {high} of those called so are right"


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


def _interval(value: pd.Series, low: pd.Series, high: pd.Series, colour: str) -> dict:
    """Error bars from ``low`` to ``high``."""
    lengths = {"array": (high - value).to_numpy(), "arrayminus": (value - low).to_numpy()}
    return {"type": "data", "symmetric": False, "color": colour, "thickness": 1.2, "width": 0} | lengths


def _line(fig: go.Figure, points: np.ndarray, label: str, name: str, colours: Sequence[str], place: int) -> None:
    before = list(colours[:place]).count(colours[place])  # lines of one colour are told apart by their dashes
    fig.add_scatter(
        x=points[:, 0],
        y=points[:, 1],
        mode="lines",
        name=label,
        legendgroup=name,
        line={"color": colours[place], "width": 2, "dash": ("solid", "dash", "dot", "dashdot")[before % 4]},
        hovertemplate=f"<b>{name}</b><br>%{{x:.2%}}, %{{y:.2%}}<extra></extra>",
    )


def _dot(fig: go.Figure, point: tuple[float, float], name: str, colour: str, dark: bool) -> None:
    fig.add_scatter(
        x=[point[0]],
        y=[point[1]],
        mode="markers",
        legendgroup=name,
        showlegend=False,
        marker={"size": 10, "color": colour, "line": {"width": 2, "color": ground(dark)["background"]}},
        hovertemplate=f"<b>{name}</b>, its answers<br>%{{x:.2%}}, %{{y:.2%}}<extra></extra>",
    )


def _finish(fig: go.Figure, title: str, legend: str, dark: bool, *, right: bool) -> go.Figure:
    finish(fig, title=title, height=470, dark=dark)
    side = {"x": 0.985, "xanchor": "right"} if right else {"x": 0.015, "xanchor": "left"}
    colours = ground(dark)
    look = {"orientation": "v", "y": 0.02, "yanchor": "bottom", "bgcolor": colours["background"]}
    title_look = {"text": legend, "font": {"color": colours["quiet"], "size": 13}}
    fig.update_layout(
        legend=side
        | look
        | {"bordercolor": colours["line"], "borderwidth": 1, "title": title_look}
        | {"font": {"size": 13}},
        margin={"t": 52, "r": 16},
    )
    fig.update_xaxes(tickformat="~%", zeroline=False)
    fig.update_yaxes(tickformat="~%", zeroline=False)
    return fig


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
