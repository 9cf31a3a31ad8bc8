"""Figures of the Dataset page's view to learn from: how common classes are, and how a feature spreads in each."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.datasets.texture_statistics import Feature
from core.serving.wording import sentence_case
from dashboard.figures.style import PRIMARY, class_colours, finish, ground

BINS = 36
GRID = 200  # points of a density's curve
FEWEST = 5  # values for which a density says anything
_MARKS = ("circle", "diamond", "square")
_DASHES = ("solid", "dash", "dot", "dashdot")


def class_shares(
    counts: Mapping[str, np.ndarray],
    codes: Sequence[str],
    names: Mapping[str, str],
    split: str,
    *,
    title: str,
    unit: str = "cell",
    dark: bool = False,
) -> go.Figure:
    """Each class's share of ``split`` as a bar, that of the other splits as a mark, and a line where all were even.

    ``counts`` (C,) by split, in the order of ``codes``; ``names`` gives each code's class name.
    """
    colours, base = class_colours(codes, dark), ground(dark)
    rows = [f"{code}  {names[code]}" for code in codes]
    shares = {s: 100 * n / max(n.sum(), 1) for s, n in counts.items()}
    fig = go.Figure()
    fig.add_bar(
        x=shares[split],
        y=rows,
        orientation="h",
        name=split,
        marker={"color": [colours[code] for code in codes]},
        customdata=counts[split],
        hovertemplate=f"%{{y}}<br>{split}: %{{customdata:,}} {unit}s, %{{x:.1f}} %<extra></extra>",
        showlegend=False,
    )
    others = [s for s in counts if s != split]
    for symbol, other in zip(_MARKS, others, strict=False):
        fig.add_scatter(
            x=shares[other],
            y=rows,
            mode="markers",
            name=other,
            marker={
                "symbol": symbol,
                "size": 9,
                "color": base["background"],
                "line": {"color": base["text"], "width": 2},
            },
            customdata=counts[other],
            hovertemplate=f"%{{y}}<br>{other}: %{{customdata:,}} {unit}s, %{{x:.1f}} %<extra></extra>",
        )
    fig.add_scatter(
        x=np.max(list(shares.values()), axis=0),
        y=rows,
        mode="text",
        text=[f"   {share:.1f} %" for share in shares[split]],
        textposition="middle right",
        textfont={"color": base["text"]},
        hoverinfo="skip",
        showlegend=False,
        cliponaxis=False,
    )
    even = 100 / max(int(np.count_nonzero(counts[split])), 1)
    fig.add_vline(x=even, line={"color": base["quiet"], "width": 1, "dash": "dash"})
    fig.add_annotation(
        x=even, y=1, yref="paper", yanchor="bottom", text=f"even: {even:.1f} %", showarrow=False,
        font={"color": base["quiet"], "size": 13},
    )  # fmt: skip
    finish(fig, title=title, height=150 + 34 * len(codes), dark=dark)
    fig.update_layout(bargap=0.35, margin={"t": 76}, legend={"y": -0.14, "yanchor": "top"})
    highest = max(float(share.max(initial=0)) for share in shares.values())
    fig.update_xaxes(title_text=f"share of {split}, %", range=[0, 1.18 * highest], fixedrange=True)
    fig.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True, tickfont={"color": base["text"]})
    return fig


def separation_dots(
    table: pd.DataFrame, chosen: str, *, title: str, dark: bool = False, height: int = 380
) -> go.Figure:
    """How well each feature tells classes apart: a dot for the mean over pairs, a line from the worst to the best pair.

    ``table`` is `dashboard.learn.ranking`'s; the ``chosen`` feature (its key) is filled. Each mark's custom data is
    (key, best pair, worst pair), for clicks.
    """
    base, colour = ground(dark), PRIMARY[dark]
    rows = [f"<b>{r.title}</b>" if r.feature == chosen else r.title for r in table.itertuples()]
    said = [[r.feature, " and ".join(r.best_pair), " and ".join(r.worst_pair)] for r in table.itertuples()]
    mean, best, worst = (100 * table[column] for column in ("mean", "best", "worst"))
    fig = go.Figure()
    fig.add_scatter(
        x=mean,
        y=rows,
        mode="markers+text",
        error_x={
            "array": best - mean,
            "arrayminus": mean - worst,
            "color": base["quiet"],
            "thickness": 1.5,
            "width": 0,
        },
        marker={
            "size": 15,
            "color": [colour if f == chosen else base["background"] for f in table["feature"]],
            "line": {"color": colour, "width": 2},
        },
        text=[f"{value:.0f} %" for value in mean],
        textposition="top center",
        textfont={"color": base["text"]},
        cliponaxis=False,
        selected={"marker": {"opacity": 1}, "textfont": {"color": base["text"]}},
        unselected={"marker": {"opacity": 1}, "textfont": {"color": base["text"]}},
        customdata=said,
        hovertemplate="%{y}: right for %{x:.1f} % of pairs<br>best for %{customdata[1]}, worst for %{customdata[2]}"
        "<extra></extra>",
        showlegend=False,
    )
    finish(fig, title=title, height=height, dark=dark)
    fig.update_xaxes(
        title_text="pairs put in the right order, % (50 is chance)", range=[47, 103], tickvals=[50, 60, 70, 80, 90, 100]
    )
    fig.update_xaxes(fixedrange=True)
    fig.update_yaxes(autorange="reversed", fixedrange=True, tickfont={"color": base["text"]})
    return fig


def distribution(
    values: Mapping[str, np.ndarray],
    feature: Feature,
    codes: Sequence[str],
    names: Mapping[str, str],
    *,
    title: str,
    unit: str = "cell",
    dark: bool = False,
    height: int = 380,
) -> go.Figure:
    """Histogram and density of one ``feature``'s ``values`` (n,) by class, over bins that all classes share.

    ``codes`` are all classes of the data set (they give the colours), ``names`` their names. The densities are
    Gaussian kernel estimates (Scott's rule), in the unit of the bars: % of the class's pictures a bin.
    """
    colours = class_colours(codes, dark)
    together = np.concatenate([np.asarray(v, float) for v in values.values()] or [np.zeros(1)])
    low, high = (float(edge) for edge in (together.min(), together.max()))
    if high - low < 1e-9:  # all the same: one bin around it
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    width = edges[1] - edges[0]
    fig = go.Figure()
    for number, (code, some) in enumerate(values.items()):
        name = f"{code}  {names[code]}"
        share = 100 * np.histogram(some, edges)[0] / max(len(some), 1)
        fig.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=share,
            width=width,
            name=name,
            legendgroup=code,
            showlegend=False,
            opacity=0.32,
            marker={"color": colours[code], "line": {"width": 0}},
            hovertemplate=f"{code}, %{{x:.4g}}: %{{y:.1f}} % of {len(some):,}<extra></extra>",
        )
        grid, height_of = density(some, low, high)
        fig.add_scatter(
            x=grid,
            y=100 * width * height_of,
            mode="lines",
            name=name,
            legendgroup=code,
            line={"color": colours[code], "width": 2.5, "dash": _DASHES[number % len(_DASHES)]},
            hoverinfo="skip",
        )
    finish(fig, title=title, height=height, dark=dark)
    fig.update_layout(
        barmode="overlay",
        margin={"t": 76},
        legend={"x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom"},
    )
    fig.update_xaxes(title_text=sentence_case(feature.axis), showgrid=False)
    fig.update_yaxes(title_text=f"% of the class's {unit}s", rangemode="tozero")
    return fig


def density(values: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian kernel estimate of ``values`` (n,) at `GRID` places from ``low`` to ``high``: (places, heights).

    Both are empty where there are too few values, or all are the same.
    """
    from scipy.stats import gaussian_kde

    values = np.asarray(values, float)
    if len(values) < FEWEST or np.ptp(values) < 1e-9 * max(1.0, abs(float(values[0]))):
        return np.empty(0), np.empty(0)
    grid = np.linspace(low, high, GRID)
    return grid, gaussian_kde(values)(grid)
