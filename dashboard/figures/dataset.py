"""Figures of the Dataset page: how many cells of each class there are, and which colours they have."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.datasets.base import CellClass
from core.datasets.summary import BINS, Summary
from core.serving.wording import of_class, sentence_case
from dashboard.figures.style import class_colours, finish, ground

# How much of its class's colour a split's part of the bar has; the rest is the ground's.
_STRENGTH = {"train": 1.0, "val": 0.45, "test": 0.7}
_CHANNELS = ("Red", "Green", "Blue")


def _blend(colour: str, base: str, strength: float) -> str:
    pairs = zip(_levels(colour), _levels(base), strict=True)
    return "#" + "".join(f"{round(strength * c + (1 - strength) * b):02x}" for c, b in pairs)


def _levels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def class_bars(
    summary: Summary,
    classes: Sequence[CellClass],
    chosen: str | None = None,
    *,
    unit: str = "cell",
    dark: bool = False,
    height: int = 470,
) -> go.Figure:
    """A bar a class, stacked by split, with its count and share; the ``chosen`` class (a code) is outlined.

    Each mark's custom data is (code, split, count, share of the split), for clicks and hovering.
    """
    colours, base = class_colours(summary.codes, dark), ground(dark)
    rows = [
        f"<b>{c.code}  {c.name}</b>" if c.code == chosen else f"{c.code}  {c.name}"
        for c in sorted(classes, key=lambda c: summary.codes.index(c.code))
    ]
    fig = go.Figure()
    for split, counts in summary.counts.items():
        strength = _STRENGTH.get(split, 1.0)
        share = counts / max(counts.sum(), 1)
        fig.add_bar(
            x=counts,
            y=rows,
            orientation="h",
            name=split,
            showlegend=False,
            marker={
                "color": [_blend(colours[code], base["background"], strength) for code in summary.codes],
                "line": {
                    "color": [base["text"] if code == chosen else colours[code] for code in summary.codes],
                    "width": [2 if code == chosen else 1 for code in summary.codes],
                },
            },
            # A click dims nothing: the page itself outlines what was chosen.
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
            customdata=[[code, split, int(n), s] for code, n, s in zip(summary.codes, counts, share, strict=True)],
            hovertemplate="%{y}<br>%{customdata[1]}: %{x:,} images, %{customdata[3]:.1%} of the split<extra></extra>",
        )
        # The legend's sample: a bar has eight colours, so a grey stands for how strong they are.
        fig.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=split,
            marker={"symbol": "square", "size": 11, "color": _blend(base["text"], base["background"], strength)},
        )
    totals = summary.by_class
    fig.add_scatter(
        x=totals,
        y=rows,
        mode="text",
        text=[f"  {n:,} · {s:.1%}".replace("%", " %") for n, s in zip(totals, summary.shares, strict=True)],
        textposition="middle right",
        textfont={"color": base["text"]},
        hoverinfo="skip",
        showlegend=False,
        cliponaxis=False,
    )
    finish(fig, title=_balance(summary, classes, unit), height=height, dark=dark)
    fig.update_layout(
        barmode="stack", bargap=0.28, legend={"y": -0.16, "yanchor": "top", "x": 1, "traceorder": "normal"}
    )
    fig.update_xaxes(title_text="images", range=[0, totals.max() * 1.36], fixedrange=True, tickformat=",")
    fig.update_yaxes(autorange="reversed", fixedrange=True, showgrid=False, tickfont={"color": base["text"]})
    return fig


def _balance(summary: Summary, classes: Sequence[CellClass], unit: str) -> str:
    names = {c.code: of_class(c.name, unit) for c in classes}
    most = sentence_case(names[summary.codes[int(summary.by_class.argmax())]])
    least = names[summary.codes[int(summary.by_class.argmin())]]
    if summary.imbalance < 1.05:
        return "Every class is equally common"
    return f"{most} are {summary.imbalance:.1f} times as common as {least}"


def colour_histograms(
    summary: Summary,
    classes: Sequence[CellClass],
    codes: Sequence[str],
    *,
    unit: str = "cell",
    dark: bool = False,
    height: int = 320,
) -> go.Figure:
    """How much of the picture's middle, where a cell is, has which level of each colour; a line for each code."""
    colours = class_colours(summary.codes, dark)
    names = {c.code: c.name for c in classes}
    levels = (np.arange(BINS) + 0.5) * 256 / BINS
    dashes = ("solid", "dash", "dot", "dashdot")
    fig = make_subplots(1, 3, shared_yaxes=True, subplot_titles=_CHANNELS, horizontal_spacing=0.03)
    for number, code in enumerate(codes):
        lines = summary.histograms[summary.codes.index(code)]
        for channel in range(3):
            fig.add_scatter(
                x=levels,
                y=lines[channel],
                name=f"{code}  {names[code]}",
                legendgroup=code,
                showlegend=channel == 0,
                mode="lines",
                line={"color": colours[code], "width": 3 if number == 0 else 2, "dash": dashes[number % 4]},
                hovertemplate=f"{code}, {_CHANNELS[channel].lower()} about %{{x:.0f}}: %{{y:.1%}} of the middle"
                "<extra></extra>",
                row=1,
                col=channel + 1,
            )
    finish(fig, title=_darkest(summary, classes, codes, unit), height=height, dark=dark)
    fig.update_layout(margin={"t": 84}, legend={"y": 1.16, "yanchor": "bottom", "x": 1})
    fig.update_annotations(font={"size": 14, "color": ground(dark)["quiet"]})
    fig.update_xaxes(range=[0, 256], tickvals=[0, 64, 128, 192, 255], title_text="level (0 dark, 255 light)")
    fig.update_yaxes(tickformat=".0%", rangemode="tozero")
    fig.update_yaxes(title_text="share of the middle", col=1)
    return fig


def _darkest(summary: Summary, classes: Sequence[CellClass], codes: Sequence[str], unit: str) -> str:
    names = {c.code: of_class(c.name, unit) for c in classes}
    light = {code: float(summary.colour_mean[summary.codes.index(code)].mean()) for code in codes}
    darkest, lightest = min(light, key=light.get), max(light, key=light.get)
    if light[lightest] - light[darkest] < 2:
        return f"Colours of the {unit}s: they are about equally dark"
    return f"Colours of the {unit}s: {names[darkest]} are the darkest, {names[lightest]} the lightest"
