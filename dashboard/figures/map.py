"""Figure of the Dataset page's map: every picture a point, where a model puts it."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.style import class_colours, contrast, finish

_INKS = ("#ffffff", "#231d36")


def map_scatter(
    table: pd.DataFrame,
    codes: Sequence[str],
    names: Mapping[str, str],
    *,
    title: str,
    axes: tuple[str, str],
    unit: str = "cell",
    dark: bool = False,
    height: int = 600,
) -> go.Figure:
    """A point a picture in its class's colour, each class's code at its middle.

    ``table`` is `dashboard.map.table`'s. Each point's custom data begins with its position in the table, for
    selections. ``axes`` are the titles of both axes. Nothing here may depend on what is selected: another figure
    would be another widget, and the selection would be gone.
    """
    colours = class_colours(codes, dark)
    fig = go.Figure()
    for code in codes:
        here = table[table["class"] == code]
        if here.empty:
            continue
        said = zip(here.index, here["id"], here["split"], 10 * here["same_class"], strict=True)
        fig.add_scatter(
            x=here["x"],
            y=here["y"],
            mode="markers",
            name=f"{code}  {names[code]}",
            marker={"color": colours[code], "size": 7, "opacity": 0.75},
            selected={"marker": {"opacity": 1, "size": 9}},
            unselected={"marker": {"opacity": 0.18}},
            customdata=[list(row) for row in said],
            hovertemplate=f"<b>{code}</b> {names[code]}<br>{unit} %{{customdata[1]}}, %{{customdata[2]}}<br>"
            f"%{{customdata[3]:.0f}} of its 10 nearest {unit}s are {code} too<extra></extra>",
        )
        fig.add_annotation(
            x=here["x"].median(),
            y=here["y"].median(),
            text=f"<b>{code}</b>",
            showarrow=False,
            bgcolor=colours[code],
            borderpad=3,
            font={"color": max(_INKS, key=lambda ink: contrast(ink, colours[code])), "size": 13},
            captureevents=False,
        )
    finish(fig, title=title, height=height, dark=dark)
    fig.update_layout(
        dragmode="select",
        margin={"t": 64},
        legend={"x": 0, "xanchor": "left", "y": -0.1, "yanchor": "top", "itemsizing": "constant"},
    )
    fig.update_xaxes(title_text=axes[0], zeroline=False, showticklabels=False)
    fig.update_yaxes(title_text=axes[1], zeroline=False, showticklabels=False)
    return fig
