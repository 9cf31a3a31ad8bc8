"""Figures of two and more runs on the same cells: what each says, how sure the difference is, who agrees with whom."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.evaluation.compare import Agreement, Resampled
from core.serving.wording import of_class
from dashboard.figures.compare import confusion_chart
from dashboard.figures.squares import Spec, even_steps, squares
from dashboard.figures.style import finish, ground, sequential, series_colours


def agreement_chart(
    found: Agreement, codes: Sequence[str], names: Sequence[str], *, unit: str = "cell", dark: bool = False
) -> Spec:
    """What the first says (rows) against what the second says of the same cell; clickable like a confusion matrix."""
    subtitle = f"The same answer to {100 * found.share:.2f} % of the {unit}s"
    if found.kappa is not None:
        subtitle += f", Cohen's kappa {found.kappa:.3f}"
    title = agreement_title(found.matrix, names, unit)
    return confusion_chart(
        found.matrix,
        codes,
        names,
        title=title,
        subtitle=subtitle,
        axes=("the first says", "the second says"),
        unit=unit,
        dark=dark,
    )


def agreement_title(matrix: np.ndarray, names: Sequence[str], unit: str = "cell") -> str:
    """The finding of an agreement matrix in one sentence."""
    apart = matrix - np.diag(np.diag(matrix))
    if matrix.sum() == 0:
        return f"No {unit}s were scored"
    if not apart.any():
        return f"Both say the same of every {unit}"
    either = apart + apart.T
    one, other = sorted(np.unravel_index(int(either.argmax()), either.shape))
    between = f"{of_class(names[one], unit)} or {of_class(names[other], unit)}"
    return f"{int(either[one, other])} of {int(apart.sum())} disputes: {between}"


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
    reach = np.array([min(values.min(), 0), max(values.max(), 0)]) if len(values) else np.zeros(2)
    room = max(0.08 * np.ptp(reach), 0.02)
    fig.update_xaxes(title=f"Points: {first} minus {second}", range=(reach[0] - room, reach[1] + room))
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


def together_chart(alike: pd.DataFrame, order: Sequence[str], *, title: str, dark: bool = False) -> Spec:
    """Runs against runs: how alike each two are, in percent; a click chooses two (selection ``pair``: one, other).

    ``alike`` has a row for each two runs: one, other (names), one_model, other_model (labels), value (percent).
    ``order`` are the labels in the order of the axes.
    """
    low = float(np.floor(alike["value"].min())) if len(alike) else 0.0
    scale = sequential(dark)
    data = alike.assign(text=[f"{value:.0f}" for value in alike["value"]], colour=alike["value"])
    tooltip = [
        {"field": "one_model", "title": "one"},
        {"field": "other_model", "title": "the other"},
        {"field": "value", "type": "quantitative", "title": "%", "format": ".1f"},
    ]
    return squares(
        data,
        "one_model",
        "other_model",
        order=order,
        steps=even_steps(min(low, 99.0), 100, scale),
        scale=scale,
        tooltip=tooltip,
        titles=(None, None),
        title=title,
        click=("pair", ("one", "other")),
        side=max(160, 24 * len(order)),
        font_size=9 if len(order) > 16 else 12,
        label_size=11,
        label_angle=-60,
        dark=dark,
    )


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
