"""Figures of two and more runs on the same cells: what each says, how sure the difference is, who agrees with whom."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.evaluation.compare import Agreement, Resampled
from core.serving.wording import plural
from dashboard.figures.compare import confusion_chart
from dashboard.figures.style import finish, finish_altair, ground, inks, sequential, series_colours


def agreement_chart(found: Agreement, codes: Sequence[str], names: Sequence[str], *, dark: bool = False) -> alt.Chart:
    """What the first says (rows) against what the second says of the same cell; clickable like a confusion matrix."""
    subtitle = f"The same answer to {100 * found.share:.2f} % of the cells"
    if found.kappa is not None:
        subtitle += f", Cohen's kappa {found.kappa:.3f}"
    title = agreement_title(found.matrix, names)
    return confusion_chart(
        found.matrix,
        codes,
        names,
        title=title,
        subtitle=subtitle,
        axes=("the first says", "the second says"),
        dark=dark,
    )


def agreement_title(matrix: np.ndarray, names: Sequence[str]) -> str:
    """The finding of an agreement matrix in one sentence."""
    apart = matrix - np.diag(np.diag(matrix))
    if matrix.sum() == 0:
        return "No cells were scored"
    if not apart.any():
        return "Both say the same of every cell"
    either = apart + apart.T
    one, other = sorted(np.unravel_index(int(either.argmax()), either.shape))
    return f"{int(either[one, other])} of {int(apart.sum())} disputes: {plural(names[one])} or {plural(names[other])}"


def difference_figure(resampled: Resampled, first: str, second: str, *, dark: bool = False) -> go.Figure:
    """How the difference of two accuracies spreads over resamples of the cells, in points; zero marked."""
    points = 100 * resampled.differences
    values, counts = np.unique(np.round(points, 6), return_counts=True)
    low, high = (100 * bound for bound in resampled.interval)
    inside = (values >= low - 1e-9) & (values <= high + 1e-9)
    strong, quiet = series_colours(1, dark)[0], ground(dark)["line"]
    fig = go.Figure()
    fig.add_bar(
        x=values,
        y=100 * counts / max(len(points), 1),
        marker={"color": np.where(inside, strong, quiet).tolist(), "line": {"width": 0}},
        hovertemplate="%{x:+.2f} points: %{y:.1f} % of the resamples<extra></extra>",
        name="resamples",
    )
    fig.add_vline(x=0, line={"color": ground(dark)["text"], "width": 1.5, "dash": "dot"})
    reach = max(abs(values.min()), abs(values.max()), 0.05) if len(values) else 1.0
    fig.update_xaxes(
        title=f"Points by which the first is ahead: {first} minus {second}", range=(-1.1 * reach, 1.1 * reach)
    )
    fig.update_yaxes(title="Resamples (%)")
    fig.update_layout(bargap=0.05, showlegend=False)
    return finish(fig, title=difference_words(resampled), height=360, dark=dark)


def difference_words(resampled: Resampled) -> str:
    """The finding of a bootstrap in one line."""
    low, high = (100 * bound for bound in resampled.interval)
    ahead = max(resampled.ahead, 1 - resampled.ahead)
    who = "first" if resampled.ahead >= 0.5 else "second"
    share = "> 99.9" if ahead > 0.999 else f"{100 * ahead:.1f}"
    if low <= 0 <= high:
        return f"The interval holds zero; the {who} leads in {share} % of the resamples"
    return f"The {who} leads in {share} % of the resamples"


def together_chart(alike: pd.DataFrame, order: Sequence[str], *, title: str, dark: bool = False) -> alt.Chart:
    """Runs against runs: how alike each two are, in percent; a click chooses two (selection ``pair``: one, other).

    ``alike`` has a row for each two runs: one, other (names), one_model, other_model (labels), value (percent).
    ``order`` are the labels in the order of the axes.
    """
    low = np.floor(alike["value"].min()) if len(alike) else 0.0
    scale, steps = sequential(dark), np.linspace(low, 100, len(sequential(dark)))
    small = len(order) > 16
    data = alike.assign(
        text=[f"{value:.0f}" for value in alike["value"]],
        ink=inks(alike["value"], steps, scale),
    )
    axis = {"ticks": False, "domain": False, "labelFontSize": 11, "labelLimit": 230, "title": None}
    x = alt.X("other_model:N", sort=list(order), axis=alt.Axis(orient="top", labelAngle=-60, **axis))
    y = alt.Y("one_model:N", sort=list(order), axis=alt.Axis(**axis))
    colour = alt.Color("value:Q", scale=alt.Scale(domain=list(steps), range=scale, interpolate="rgb"), legend=None)
    tooltip = [
        alt.Tooltip("one_model:N", title="one"),
        alt.Tooltip("other_model:N", title="the other"),
        alt.Tooltip("value:Q", title="%", format=".1f"),
    ]
    click = alt.selection_point(name="pair", fields=["one", "other"], on="click", clear="dblclick")
    squares = (
        alt.Chart(data)
        .mark_rect(stroke=ground(dark)["line"], strokeWidth=0.5, cursor="pointer")
        .encode(x=x, y=y, color=colour, tooltip=tooltip)
        .add_params(click)
    )
    numbers = (
        alt.Chart(data)
        .mark_text(fontSize=9 if small else 12)
        .encode(x=x, y=y, text="text:N", color=alt.Color("ink:N", scale=None), tooltip=tooltip)
    )
    chart = alt.layer(squares, numbers).resolve_scale(color="independent")
    return finish_altair(chart, title=title, height=max(160, 24 * len(order)), dark=dark)


def together_title(alike: pd.DataFrame, what: str) -> str:
    """The finding of `together_chart` in one line; ``what`` says what the two have in common."""
    others = alike[alike["one"] != alike["other"]]
    if others.empty:
        return "Nothing to set against each other"
    best = others.loc[others["value"].idxmax()]
    least = others.loc[others["value"].idxmin()]
    return (
        f"Most {what}: {best['one_model']} and {best['other_model']} ({best['value']:.1f} %); "
        f"least: {least['one_model']} and {least['other_model']} ({least['value']:.1f} %)"
    )
