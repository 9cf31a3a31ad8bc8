"""Figure of what the way to split decides: each recipe's accuracy under two ways, joined by a line."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.style import finish, ground, series_colours


def scheme_gaps(gaps: pd.DataFrame, titles: Mapping[str, str], *, dark: bool = False) -> go.Figure:
    """A row for each recipe of ``gaps`` (of `dashboard.schemes.what_the_split_decides`, one other way or several).

    The accuracy under the trusted way is a filled dot, under the others an open one, the line between them the gap.
    ``titles`` gives the ways' titles by name.
    """
    ways = list(dict.fromkeys([*gaps["trusted"], *gaps["other"]]))
    colours = dict(zip(ways, series_colours(len(ways), dark), strict=True))
    rows = list(dict.fromkeys(gaps["model"]))
    fig = go.Figure()
    for gap in gaps.itertuples():
        place = rows.index(gap.model)
        fig.add_scatter(
            x=[gap.trusted_accuracy, gap.other_accuracy],
            y=[place, place],
            mode="lines",
            line={"color": ground(dark)["line"], "width": 4},
            hoverinfo="skip",
            showlegend=False,
        )
    for way in ways:
        trusted = way == (gaps["trusted"].iloc[0] if len(gaps) else "")
        here = gaps.drop_duplicates("trusted_run") if trusted else gaps[gaps["other"] == way]
        kind = "trusted" if trusted else "other"
        fig.add_scatter(
            x=here[f"{kind}_accuracy"],
            y=[rows.index(model) for model in here["model"]],
            mode="markers",
            name=titles.get(way, way),
            marker={"color": colours[way], "size": 12, "symbol": "circle" if trusted else "circle-open"}
            | {"line": {"width": 2.5, "color": colours[way]}},
            customdata=here[["model", f"{kind}_n"]],
            hovertemplate="%{customdata[0]}: %{x:.2f} % of %{customdata[1]:,} test images<extra></extra>",
        )
    for gap in gaps.itertuples():
        fig.add_annotation(
            x=max(gap.trusted_accuracy, gap.other_accuracy),
            y=rows.index(gap.model),
            text=f"{gap.gap:+.1f}",
            showarrow=False,
            xanchor="left",
            xshift=12,
            font={"size": 13, "color": ground(dark)["text"]},
        )
    finish(fig, title=gaps_title(gaps, titles), height=130 + 34 * len(rows), dark=dark)
    fig.update_layout(margin={"t": 76, "r": 40}, legend={"x": 0, "xanchor": "left"})
    fig.update_xaxes(title_text="Accuracy on test (%)")
    fig.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=rows, range=[len(rows) - 0.5, -0.5], showgrid=False, zeroline=False
    )
    return fig


def gaps_title(gaps: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """What the gaps say, in one line."""
    if gaps.empty:
        return "No recipe was trained under two ways to split"
    way, mean = gaps["other"].mode().iloc[0], gaps.groupby("other")["gap"].mean()
    name, points = titles.get(way, way), mean[way]
    if abs(points) < 0.05:
        return f"{name}: the same accuracy as the split to trust"
    return f"{name}: {abs(points):.1f} points {'more' if points > 0 else 'less'} than the split to trust"
