"""Figure of the Compare page's view of hard cells: how many cells are missed by how many models."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from core.evaluation.hardest import Combined
from core.serving.wording import count
from dashboard.figures.style import class_colours, finish, ground


def missed_histogram(
    missed: pd.DataFrame,
    together: Combined,
    codes: Sequence[str],
    names: Mapping[str, str],
    *,
    unit: str = "cell",
    dark: bool = False,
    height: int = 300,
) -> go.Figure:
    """Bars of how many cells are missed by 1, 2, ... all models, stacked by true class in the classes' colours.

    ``missed`` is `dashboard.by_class.missed_by`. Cells that nobody misses are told in words: their bar would
    leave no room for the others. ``unit`` is what one picture shows.
    """
    models, colours = len(together.missed) - 1, class_colours(codes, dark)
    fig = go.Figure()
    for code in codes:
        here = missed[(missed["code"] == code) & (missed["missed_by"] > 0)]
        if not here["cells"].any():
            continue
        fig.add_bar(
            x=here["missed_by"],
            y=here["cells"],
            name=code,
            marker={"color": colours[code], "line": {"width": 0.5, "color": ground(dark)["background"]}},
            hovertemplate=f"%{{y}} {unit}s labelled {names[code]} are missed by %{{x}} of {models}<extra></extra>",
        )
    totals = together.missed[1:]
    fig.add_scatter(
        x=list(range(1, models + 1)),
        y=totals,
        mode="text",
        text=[f"{n:,}" if n else "" for n in totals],
        textposition="top center",
        textfont={"color": ground(dark)["text"], "size": 12},
        hoverinfo="skip",
        showlegend=False,
        cliponaxis=False,
    )
    finish(fig, title=missed_title(together, unit), height=height, dark=dark)
    fig.update_layout(
        barmode="stack",
        bargap=0.15,
        margin={"t": 76},
        legend={"x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
    )
    fig.update_xaxes(
        title_text=f"Missed by so many of {models} models",
        showgrid=False,
        range=[0.4, models + 0.6],
        dtick=_step(models),
    )
    fig.update_yaxes(
        title_text=f"Test {unit}s", rangemode="tozero", range=[0, 1.14 * max(1, int(totals.max(initial=0)))]
    )
    return fig


def missed_title(together: Combined, unit: str = "cell") -> str:
    """What the histogram says: the cells that no model gets, and those that none misses."""
    models, nobody, everybody = len(together.missed) - 1, int(together.missed[-1]), int(together.missed[0])
    if everybody == together.n:
        return f"Every one of {count(together.n, unit)} is named right by every model"
    none = f"{count(everybody, unit)} of {together.n:,} missed by none"
    if models == 1:
        return f"{none}, {nobody:,} by the one model shown"
    return f"{none}, {nobody:,} by all {models}"


def _step(models: int) -> int:
    return 1 if models <= 16 else 2 if models <= 32 else 5
