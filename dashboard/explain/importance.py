"""Explain, importance: what the answers of trees rest on, as the accuracy lost when features are shuffled between
pictures.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from dashboard.charts import plot
from dashboard.explain import ExplainContext
from dashboard.page import is_dark, view
from dashboard.style import finish, ground, series_colours

SHOWN = 15
BAR = 24  # pixels of height for one bar
HEADINGS = ("A whole family shuffled", "One feature shuffled")


def importance_table(importances: Mapping[str, Any]) -> pd.DataFrame:
    """A row for each family and each feature of `Run.importances`, families first, the greatest loss first.

    Columns: shuffled ('family' or 'feature'), name, family, loss (percentage points of accuracy).
    """
    families = [("family", name, name, 100 * loss) for name, loss in importances["group_importance"].items()]
    each = zip(importances["features"], importances["groups"], importances["importance"], strict=True)
    features = [("feature", name, group, 100 * loss) for name, group, loss in each]
    table = pd.DataFrame([*families, *features], columns=["shuffled", "name", "family", "loss"])
    # 'family' comes before 'feature' by its letters too
    return table.sort_values(["shuffled", "loss"], ascending=[True, False], kind="stable", ignore_index=True)


def importance_figure(importances: Mapping[str, Any], *, shown: int = SHOWN, dark: bool = False) -> go.Figure:
    """Horizontal bars of `importance_table`: all families above, the ``shown`` features that matter most below."""
    table = importance_table(importances)
    parts = [table[table["shuffled"] == kind] for kind in ("family", "feature")]
    parts[1] = parts[1].head(shown)
    heights = [len(part) + 1.5 for part in parts]
    fig = make_subplots(
        rows=2, cols=1, row_heights=heights, vertical_spacing=2.6 / sum(heights), shared_xaxes=False,
        subplot_titles=HEADINGS,
    )  # fmt: skip
    colours, text = series_colours(2, dark), ground(dark)["text"]
    longest = max(1e-9, float(table["loss"].max()))
    for row, (part, colour) in enumerate(zip(parts, colours, strict=True), 1):
        fig.add_bar(
            x=part["loss"], y=part["name"], orientation="h", marker_color=colour, showlegend=False,
            text=[f"{loss:.1f}" for loss in part["loss"]], textposition="outside", textfont_color=text,
            cliponaxis=False, customdata=part["family"],
            hovertemplate="%{y}<br>%{customdata}<br>%{x:.2f} points lost<extra></extra>", row=row, col=1,
        )  # fmt: skip
        low = min(0.0, float(part["loss"].min()))
        room = 1.2 * float(part["loss"].clip(lower=0).max() or longest)
        fig.update_xaxes(range=[1.15 * low, room], rangemode="tozero", row=row, col=1)
        fig.update_yaxes(autorange="reversed", automargin=True, showgrid=False, row=row, col=1)
    first = parts[0].iloc[0]
    title = f"Most rests on {_within(first['name'])} ({first['loss']:.0f} points of accuracy)"
    finish(fig, title=title, height=round(180 + BAR * sum(heights)), dark=dark)
    fig.update_xaxes(title_text="accuracy lost (percentage points)", title_standoff=8, row=2, col=1)
    fig.update_annotations(x=0, xanchor="left", font={"size": 13, "color": ground(dark)["quiet"]})
    fig.update_layout(bargap=0.3, margin={"t": 84, "r": 24}, title_font_size=15)
    return fig


def _within(name: str) -> str:
    """A family's name inside a sentence."""
    return name[:1].lower() + name[1:]


@view("Features", order=30)
def render(context: ExplainContext) -> None:
    """What the answers of models that are no networks rest on, whatever the picture."""
    unit = context.spec.unit
    for explanation in context.explanations:
        importances = explanation.run.importances()
        if importances is None:
            continue
        st.header(f"Features: what {explanation.title} rests on", anchor=False)
        st.caption(
            f"Measured over {importances['images']:,} {unit}s of {importances['split']}, not for this {unit}: the "
            f"accuracy lost when a feature is shuffled between the {unit}s. Features that tell the same stand in for "
            "each other, so a family can matter where none of its features does alone."
        )
        plot(importance_figure(importances, dark=is_dark()), key=f"features-{explanation.run.name}")
