"""Figure of the Dataset page's quiz: how many pictures of each class were named right."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.style import class_colours, finish, ground


def quiz_bars(
    table: pd.DataFrame, codes: Sequence[str], names: Mapping[str, str], *, title: str, dark: bool = False
) -> go.Figure:
    """A bar a class asked: what was named right in its colour, the rest of what was asked as an empty frame.

    ``table`` is `dashboard.quiz.score`'s; ``codes`` are all classes of the data set, which give the colours.
    """
    colours, base = class_colours(codes, dark), ground(dark)
    rows = [f"{code}  {names[code]}" for code in table["class"]]
    own = [colours[code] for code in table["class"]]
    fig = go.Figure()
    fig.add_bar(x=table["right"], y=rows, orientation="h", marker={"color": own}, hoverinfo="skip")
    fig.add_bar(
        x=table["asked"] - table["right"],
        y=rows,
        orientation="h",
        marker={"color": base["panel"], "line": {"color": own, "width": 1}},
        text=[
            f"{r.right} of {r.asked}" + (f", taken for {missed}" if (missed := r[4]) else "")
            for r in table.itertuples()
        ],
        textposition="outside",
        textfont={"color": base["text"]},
        cliponaxis=False,
        hoverinfo="skip",
    )
    finish(fig, title=title, height=110 + 32 * len(table), dark=dark)
    most = int(table["asked"].max()) if len(table) else 1
    fig.update_layout(barmode="stack", bargap=0.35, showlegend=False)
    fig.update_xaxes(title_text="pictures", range=[0, 1.7 * most], dtick=max(1, -(-most // 5)), fixedrange=True)
    fig.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True, tickfont={"color": base["text"]})
    return fig
