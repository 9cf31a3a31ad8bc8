"""Figures of the Compare page: accuracy against cost, confusion matrices and their difference, training curves."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.evaluation.compare import PairedComparison
from core.serving.wording import plural
from dashboard.figures.style import (
    contrast,
    diverging,
    finish,
    finish_altair,
    ground,
    sequential,
    series_colours,
)
from dashboard.leaderboard import COSTS, pareto_front


def scatter(table: pd.DataFrame, cost: str, *, chosen: Sequence[str] = (), dark: bool = False) -> go.Figure:
    """Accuracy with its 95 % interval against ``cost`` (a key of `COSTS`), with the Pareto front.

    ``table`` is `leaderboard`'s; ``chosen`` names runs to draw in their own colours.
    """
    axis_title, column, better = COSTS[cost]
    known = table[table[column].notna() & (table[column] > 0)].reset_index(drop=True)
    fig = go.Figure()
    colours, quiet = series_colours(6, dark), ground(dark)["quiet"]
    front = pareto_front(known[column].to_numpy(float), known["accuracy"].to_numpy(float))
    if len(front) > 1:
        fig.add_scatter(
            x=known[column].iloc[front],
            y=known["accuracy"].iloc[front],
            mode="lines",
            line={"color": quiet, "width": 1.5, "dash": "dot", "shape": "hv"},
            hoverinfo="skip",
            showlegend=False,
            name="front",
        )
    picked = list(chosen)
    colour = [
        colours[picked.index(name) % 6] if name in picked else (colours[0] if not picked else quiet)
        for name in known["run"]
    ]
    fig.add_scatter(
        x=known[column],
        y=known["accuracy"],
        mode="markers",
        error_y={
            "type": "data",
            "symmetric": False,
            "array": known["high"] - known["accuracy"],
            "arrayminus": known["accuracy"] - known["low"],
            "color": quiet,
            "thickness": 1,
            "width": 3,
        },
        marker={
            "size": [13 if name in picked else 10 for name in known["run"]],
            "color": colour,
            "symbol": ["circle" if i in set(front) else "circle-open" for i in range(len(known))],
            "line": {"width": 2, "color": colour},
        },
        customdata=np.stack([known["model"], known["interval"]], axis=1) if len(known) else None,
        hovertemplate=f"<b>%{{customdata[0]}}</b><br>%{{y:.2f}} % (95 % interval %{{customdata[1]}})<br>{axis_title}: "
        "%{x:,.4~g}<extra></extra>",
        showlegend=False,
        name="runs",
    )
    if len(known):
        low, high = np.log10(known[column].min()), np.log10(known[column].max())
        room = 0.12 * max(0.5, high - low)
        span = (low - room, high + room)
        for x, y, text, anchor, shift in _label_places(known, column, span):
            side = 1 if anchor == "left" else -1
            fig.add_annotation(
                x=x,
                y=y,
                text=text,
                showarrow=False,
                xanchor=anchor,
                xshift=11 * side,
                yshift=shift,
                font={"size": 12, "color": ground(dark)["text"]},
                bgcolor=ground(dark)["background"],
                borderpad=0,
            )
        fig.update_xaxes(type="log", range=span, tickvals=(ticks := _log_ticks(10**low, 10**high)))
        fig.update_xaxes(ticktext=[_short(v) for v in ticks], title=axis_title)
    else:
        fig.update_xaxes(visible=False)
    fig.update_yaxes(title="Accuracy on test (%)", visible=bool(len(known)))
    return finish(fig, title=scatter_title(known, front, better), dark=dark)


def scatter_title(table: pd.DataFrame, front: np.ndarray, better: str) -> str:
    """What the scatter shows, in one line."""
    if table.empty:
        return "Not measured yet for any of these runs"
    names = [table["model"].iloc[i] for i in front]
    if len(names) == 1:
        return f"{names[0]} is the most accurate, and none is {better}"
    return f"{len(names)} of {len(table)} on the front: none is both {better} and more accurate"


def confusion_title(confusion: np.ndarray, names: Sequence[str]) -> str:
    """The finding of a confusion matrix (rows are the truth) in one sentence; ``names`` are class names."""
    matrix = np.asarray(confusion)
    errors = matrix - np.diag(np.diag(matrix))
    total = int(errors.sum())
    if matrix.sum() == 0:
        return "No cells were scored"
    if total == 0:
        return "Every test cell is named right"
    rows = matrix.sum(axis=1, keepdims=True)
    # The commonest mix-up; of equals, the one that hits the larger share of its class.
    rank = errors + errors / np.maximum(rows, 1) / 2
    truth, called = np.unravel_index(int(rank.argmax()), rank.shape)
    count, of = int(errors[truth, called]), int(rows[truth, 0])
    if count > of / 2:
        return f"{plural(names[truth]).capitalize()} are mostly taken for {plural(names[called])}"
    if count == 1:
        return f"{total} of {int(matrix.sum())} cells wrong, no mix-up twice"
    return f"{count} of {of} {plural(names[truth])} taken for {plural(names[called])}"


def confusion_chart(
    confusion: np.ndarray,
    codes: Sequence[str],
    names: Sequence[str],
    *,
    percent: bool = False,
    marked: tuple[str, str] | None = None,
    title: str | None = None,
    subtitle: str = "",
    dark: bool = False,
    side: int = 360,
) -> alt.Chart:
    """A clickable confusion matrix (rows are the truth); its selection ``cell`` gives truth and called.

    ``percent`` prints the share of the row instead of counts; ``marked`` draws a frame around a cell.
    The colour is the square root of the row's share, so that rare mix-ups stay visible.
    """
    matrix = np.asarray(confusion, float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shown = 100 * shares if percent else matrix
    digits = _percent_text if percent else lambda v: f"{v:,.0f}" if v else ""
    scale, steps = sequential(dark), np.linspace(0, 1, len(sequential(dark)))
    data = _cells(codes, names, shown, digits)
    data["colour"] = np.sqrt(shares).ravel()
    data["ink"] = [_ink(v, steps, scale, dark) for v in data["colour"]]
    data["count"], data["row"] = matrix.ravel(), (100 * shares).ravel()
    colour = alt.Color("colour:Q", scale=alt.Scale(domain=list(steps), range=scale, interpolate="rgb"), legend=None)
    tooltip = [
        alt.Tooltip("truth_name:N", title="true class"),
        alt.Tooltip("called_name:N", title="named"),
        alt.Tooltip("count:Q", title="cells", format=",.0f"),
        alt.Tooltip("row:Q", title="% of the true class", format=".1f"),
    ]
    chart = _matrix(data, codes, colour, tooltip, marked, dark, side)
    return _titled(chart, title or confusion_title(matrix, names), subtitle, dark)


def difference_chart(
    first: np.ndarray,
    second: np.ndarray,
    codes: Sequence[str],
    names: Sequence[str],
    *,
    percent: bool = False,
    marked: tuple[str, str] | None = None,
    title: str,
    subtitle: str = "",
    dark: bool = False,
    side: int = 360,
) -> alt.Chart:
    """First minus second confusion matrix on a diverging scale, the ground's colour at zero; clickable."""
    one, two = np.asarray(first, float), np.asarray(second, float)
    share = 100 * (
        one / np.maximum(one.sum(axis=1, keepdims=True), 1) - two / np.maximum(two.sum(axis=1, keepdims=True), 1)
    )
    shown = share if percent else one - two
    digits = (lambda v: f"{v:+.1f}" if abs(v) >= 0.05 else "") if percent else (lambda v: f"{v:+,.0f}" if v else "")
    data = _cells(codes, names, shown, digits)
    limit = max(float(np.abs(shown).max()), 1e-9)
    scale = diverging(dark)
    steps = np.linspace(-limit, limit, len(scale))
    data["colour"] = shown.ravel()
    data["ink"] = [_ink(v, steps, scale, dark) for v in data["colour"]]
    colour = alt.Color("colour:Q", scale=alt.Scale(domain=list(steps), range=scale, interpolate="rgb"), legend=None)
    tooltip = [
        alt.Tooltip("truth_name:N", title="true class"),
        alt.Tooltip("called_name:N", title="named"),
        alt.Tooltip("colour:Q", title="points of the row" if percent else "cells", format="+.1f" if percent else "+d"),
    ]
    return _titled(_matrix(data, codes, colour, tooltip, marked, dark, side), title, subtitle, dark)


def difference_title(paired: PairedComparison | None, first: str, second: str) -> str:
    """What two runs' difference says, in one line."""
    if paired is None:
        return f"{first} minus {second}, each on its own cells"
    if paired.only_first == paired.only_second == 0:
        return "Both runs are right and wrong on the same cells"
    return f"{paired.only_first} cells only {first} names right, {paired.only_second} only {second}"


def curves(histories: Mapping[str, Mapping[str, np.ndarray]], *, dark: bool = False) -> go.Figure:
    """Loss, val accuracy and learning rate by epoch; a colour a run, train dotted where both are drawn.

    ``histories`` maps a run's label to its `history`.
    """
    fig = make_subplots(
        rows=1, cols=3, horizontal_spacing=0.07, subplot_titles=["Loss", "Accuracy on val (%)", "Learning rate"]
    )
    for (label, history), colour in zip(histories.items(), series_colours(len(histories), dark), strict=True):
        if not len(history.get("epoch", ())):
            continue
        line = {"color": colour, "width": 2}
        common = {"x": history["epoch"], "mode": "lines", "legendgroup": label}
        fig.add_scatter(
            y=history["train_loss"],
            line=line | {"dash": "dot", "width": 1.5},
            name=f"{label}, train",
            showlegend=False,
            hovertemplate="train %{y:.3f}",
            row=1,
            col=1,
            **common,
        )
        fig.add_scatter(
            y=history["val_loss"], line=line, name=label, hovertemplate="val %{y:.3f}", row=1, col=1, **common
        )
        fig.add_scatter(
            y=100 * history["val_accuracy"],
            line=line,
            name=label,
            showlegend=False,
            hovertemplate="%{y:.2f} %",
            row=1,
            col=2,
            **common,
        )
        fig.add_scatter(
            y=history["learning_rate"],
            line=line,
            name=label,
            showlegend=False,
            hovertemplate="%{y:.2g}",
            row=1,
            col=3,
            **common,
        )
    fig.update_xaxes(title="Epoch")
    finish(fig, title=curves_title(histories), height=360, dark=dark)
    fig.update_annotations(font={"size": 13, "color": ground(dark)["quiet"]})
    fig.update_layout(
        hovermode="x",
        margin={"t": 84},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.28, "yanchor": "top"},
    )
    return fig


def curves_title(histories: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """When each run was at its best on val."""
    parts = []
    for label, history in histories.items():
        accuracy = history.get("val_accuracy", np.zeros(0))
        if len(accuracy):
            best = int(np.argmax(accuracy))
            parts.append(
                f"{label} at its best after {int(history['epoch'][best])} of {int(history['epoch'][-1])} epochs"
            )
    return "; ".join(parts[:2]) or "No training curve was stored"


def _cells(codes: Sequence[str], names: Sequence[str], shown: np.ndarray, text) -> pd.DataFrame:
    rows = []
    for i, truth in enumerate(codes):
        for j, called in enumerate(codes):
            rows.append((truth, called, names[i], names[j], text(shown[i, j])))
    return pd.DataFrame(rows, columns=["truth", "called", "truth_name", "called_name", "text"])


def _matrix(data, codes, colour, tooltip, marked, dark, side) -> alt.LayerChart:
    order = list(codes)
    x = alt.X(
        "called:N", sort=order, title="named", axis=alt.Axis(orient="top", labelAngle=0, ticks=False, domain=False)
    )
    y = alt.Y("truth:N", sort=order, title="true class", axis=alt.Axis(ticks=False, domain=False))
    click = alt.selection_point(name="cell", fields=["truth", "called"], on="click", clear="dblclick")
    line = ground(dark)["line"]
    squares = (
        alt.Chart(data)
        .mark_rect(stroke=line, strokeWidth=0.5, cursor="pointer")
        .encode(x=x, y=y, color=colour, tooltip=tooltip)
        .add_params(click)
    )
    numbers = (
        alt.Chart(data).mark_text(fontSize=12).encode(x=x, y=y, text="text:N", color=alt.Color("ink:N", scale=None))
    )
    layers = [squares, numbers]
    if marked:
        here = data[(data["truth"] == marked[0]) & (data["called"] == marked[1])]
        frame = alt.Chart(here).mark_rect(fillOpacity=0, stroke=ground(dark)["text"], strokeWidth=2.5)
        layers.append(frame.encode(x=x, y=y))
    # The inks are colours already; a scale shared with the squares would be read where there is none.
    return alt.layer(*layers).resolve_scale(color="independent").properties(height=side)


def _titled(chart: alt.LayerChart, title: str, subtitle: str, dark: bool) -> alt.LayerChart:
    done = finish_altair(chart, title=title, dark=dark)
    done.title = alt.TitleParams(
        title,
        subtitle=subtitle,
        anchor="start",
        fontSize=14,
        color=ground(dark)["text"],
        subtitleColor=ground(dark)["quiet"],
        subtitleFontSize=13,
        offset=10,
        limit=420,
    )
    return done


def _ink(value: float, steps: np.ndarray, scale: Sequence[str], dark: bool) -> str:
    """The ink that reads best on the colour that ``scale`` has at ``value``."""
    channels = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in scale], float)
    mixed = [int(round(np.interp(value, steps, channels[:, k]))) for k in range(3)]
    under = "#{:02x}{:02x}{:02x}".format(*mixed)
    return max(("#231d36", "#ffffff"), key=lambda ink: contrast(ink, under))


def _percent_text(value: float) -> str:
    if value == 0:
        return ""
    return "< 0.1" if value < 0.05 else f"{value:.1f}"


def _log_ticks(low: float, high: float) -> list[float]:
    """Round values over a logarithmic axis: 1, 2, 5 per decade over a short span, else 1 and the decades."""
    steps = (1, 2, 5) if high / low < 200 else (1,)
    decades = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 2)
    return [step * 10.0**decade for decade in decades for step in steps]


def _short(value: float) -> str:
    for unit, letter in ((1e6, " M"), (1e3, " k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


def _label_places(
    table: pd.DataFrame, column: str, span: tuple[float, float], size: tuple[int, int] = (440, 340)
) -> list[tuple[float, float, str, str, int]]:
    """Where each point's name goes, so that names cover neither each other nor points.

    ``span`` is the axis' range (log10), ``size`` the plot's in pixels. Returns (log10 x, y, text, anchor,
    shift in pixels) for each point: beside it to the right or left, moved up or down where need be.
    """
    xs, ys = np.log10(table[column].to_numpy(float)), table["accuracy"].to_numpy(float)
    height = max(np.ptp(ys), 0.5) * 1.25
    x_px = (xs - span[0]) / (span[1] - span[0]) * size[0]
    y_px = (ys - ys.min()) / height * size[1]
    boxes = [(x - 7, x + 7, y - 7, y + 7) for x, y in zip(x_px, y_px, strict=True)]
    places = []
    for i in np.argsort(-ys, kind="stable"):
        text = str(table["model"].iloc[i])
        length = 6.2 * len(text)
        best = None
        for shift in (0, 14, -14, 28, -28, 42, -42, 56, -56):
            for anchor in ("left", "right"):
                left = x_px[i] + 11 if anchor == "left" else x_px[i] - 11 - length
                box = (left, left + length, y_px[i] + shift - 7, y_px[i] + shift + 7)
                outside = max(0, -left) + max(0, box[1] - size[0] - 20)
                cost = 40 * sum(_overlap(box, other) for k, other in enumerate(boxes) if k != i) + 30 * outside
                cost += abs(shift) + (2 if anchor == "right" else 0)
                if best is None or cost < best[0]:
                    best = (cost, anchor, shift, box)
        boxes.append(best[3])
        places.append((float(xs[i]), float(ys[i]), text, best[1], best[2]))
    return places


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
