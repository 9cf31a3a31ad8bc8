"""Figures of a data set's audit: what shortcuts reach, and the colours of each class."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.datasets.audit import Audit
from core.evaluation.metrics import accuracy_interval
from dashboard.figures.style import PRIMARY, class_colours, finish, ground

CHANNELS = ("red", "green", "blue")
_CHANNEL_COLOURS = {False: ("#c4313b", "#2d8a3e", "#2f62b5"), True: ("#f08080", "#7fd08f", "#8db7f5")}
_SYMBOLS = ("circle", "diamond", "square")
TALL = 0.25  # of the way from guessing to all right, from which a part without a whole cell counts as a shortcut


def shortcut_table(found: Audit) -> pd.DataFrame:
    """A row a part: title, meaning, right, n, accuracy, low, high (95 %, Wilson; 0 to 1)."""
    rows = []
    for s in found.shortcuts:
        low, high = accuracy_interval(s.right, s.n)
        rows.append((s.part.title, s.part.meaning, s.right, s.n, s.accuracy, low, high))
    return pd.DataFrame(rows, columns=["title", "meaning", "right", "n", "accuracy", "low", "high"])


def shortcut_bars(found: Audit, *, title: str, dark: bool = False) -> go.Figure:
    """What a small model reaches on each part of a picture, with 95 % intervals and a line where guessing stands."""
    base, table = ground(dark), shortcut_table(found)
    whole = [s.part.whole for s in found.shortcuts]
    percent = 100 * table["accuracy"]
    fig = go.Figure()
    fig.add_bar(
        x=percent,
        y=table["title"],
        orientation="h",
        marker={"color": [base["quiet"] if w else PRIMARY[dark] for w in whole]},
        error_x={
            "array": 100 * table["high"] - percent,
            "arrayminus": percent - 100 * table["low"],
            "color": base["text"],
            "thickness": 1.5,
            "width": 5,
        },
        customdata=table[["meaning", "right", "n"]],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]:,} of %{customdata[2]:,} right<extra></extra>",
        showlegend=False,
    )
    fig.add_scatter(
        x=100 * table["high"],
        y=table["title"],
        mode="text",
        text=[f"   {value:.1f} %" for value in percent],
        textposition="middle right",
        textfont={"color": base["text"]},
        hoverinfo="skip",
        showlegend=False,
        cliponaxis=False,
    )
    fig.add_vline(x=100 * found.majority, line={"color": base["quiet"], "width": 1.5, "dash": "dash"})
    fig.add_annotation(
        x=100 * found.majority, y=1, yref="paper", yanchor="bottom", showarrow=False, xanchor="left",
        text=f"always the commonest class: {100 * found.majority:.1f} %", font={"color": base["quiet"], "size": 13},
    )  # fmt: skip
    finish(fig, title=title, height=300, dark=dark)
    fig.update_layout(bargap=0.4, margin={"t": 76})
    fig.update_xaxes(title_text="pictures named right, %", range=[0, 112], tickvals=[0, 20, 40, 60, 80, 100])
    fig.update_xaxes(fixedrange=True)
    fig.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True, tickfont={"color": base["text"]})
    return fig


def colour_table(found: Audit) -> pd.DataFrame:
    """A row a class: code, then mean, deviation between pictures and within a picture of red, green and blue."""
    table = pd.DataFrame({"class": found.codes})
    for name, values in (
        ("mean", found.colours.mean),
        ("between", found.colours.between),
        ("within", found.colours.within),
    ):
        for number, channel in enumerate(CHANNELS):
            table[f"{channel}_{name}"] = np.array(values)[:, number]
    return table


def colour_dots(found: Audit, names: dict[str, str], *, title: str, dark: bool = False) -> go.Figure:
    """The mean red, green and blue of each class as marks, with lines of one deviation between pictures."""
    base, table = ground(dark), colour_table(found)
    rows = [f"{code}  {names[code]}" for code in found.codes]
    fig = go.Figure()
    for channel, colour, symbol in zip(CHANNELS, _CHANNEL_COLOURS[dark], _SYMBOLS, strict=True):
        fig.add_scatter(
            x=table[f"{channel}_mean"],
            y=rows,
            mode="markers",
            name=channel,
            marker={"color": colour, "symbol": symbol, "size": 11},
            error_x={"array": table[f"{channel}_between"], "color": colour, "thickness": 1.5, "width": 0},
            customdata=table[[f"{channel}_between", f"{channel}_within"]],
            hovertemplate=f"%{{y}}<br>{channel} %{{x:.0f}}; pictures differ by %{{customdata[0]:.1f}}, pixels of one "
            "picture by %{customdata[1]:.1f}<extra></extra>",
        )
    finish(fig, title=title, height=170 + 30 * len(rows), dark=dark)
    fig.update_layout(margin={"t": 76}, legend={"x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"})
    fig.update_xaxes(title_text="level of the whole picture (0 dark, 255 light)", fixedrange=True)
    colours = class_colours(found.codes, dark)
    ticks = [f'<span style="color:{colours[c]}">■</span> {row}' for c, row in zip(found.codes, rows, strict=True)]
    fig.update_yaxes(
        autorange="reversed", fixedrange=True, tickfont={"color": base["text"]}, tickvals=rows, ticktext=ticks
    )
    return fig


def shortcut_title(found: Audit) -> str:
    """What the bars say."""
    best = max((s for s in found.shortcuts if not s.part.whole), key=lambda s: s.accuracy)
    if (best.accuracy - found.majority) / max(1 - found.majority, 1e-9) < TALL:
        return "Parts without a cell tell little of the class"
    return f"{100 * best.accuracy:.0f} % are named right from this alone: {best.part.title.lower()}"


def colour_title(found: Audit) -> str:
    """Which classes lie furthest apart in lightness."""
    light = np.array(found.colours.mean).mean(1)
    return (
        f"{found.codes[int(light.argmin())]} pictures are the darkest, {found.codes[int(light.argmax())]} the lightest"
    )
