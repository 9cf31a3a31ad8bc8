"""Compare, the overview: all runs in one table and one scatter, the best for an aim (chosen on val, with intervals in
mind), below them the ticked ones side by side with their training curves.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from core.datasets import Scheme
from core.evaluation.compare import compare_with_best
from core.evaluation.hard_examples import gather_votes
from core.formatting import percent_or_nan
from core.runs import Predictions, Run
from core.studies import Study, mean_interval
from dashboard import cache
from dashboard.charts import csv_button, show_figure
from dashboard.compare import CompareContext, family_of, scheme_of, scheme_titles, select_names
from dashboard.compare.matrices import side_by_side
from dashboard.compare.split_gap import split_gap
from dashboard.page import errors_told, view
from dashboard.style import error_bar, finish, ground, series_colours
from dashboard.url_state import choice

MARGIN = 1.0  # points: how far behind the most accurate run a faster or smaller one may be

# Aim: title, column of the leaderboard (None: accuracy itself), word for its best, word for better, unit of the value.
AIMS = {
    "accuracy": ("Accuracy", None, "Most accurate", "more accurate", ""),
    "speed": ("Speed", "latency_ms", "Fastest", "faster", "ms for one picture"),
    "size": ("Size", "megabytes", "Smallest", "smaller", "MB"),
}


@dataclass(frozen=True)
class Standing:
    """How runs stand to the most accurate one on the same cells.

    ``leader`` is its position; ``lag`` and ``at_most`` (R,) are by how many points (of 100) each is behind and
    may be behind (upper end of the 95 % interval), NaN where it was scored on other cells; ``ties`` (R,) is
    True where chance could explain the lag. ``n`` cells.
    """

    leader: int
    lag: np.ndarray
    at_most: np.ndarray
    ties: np.ndarray
    n: int


def standing(answers: Sequence[Predictions]) -> Standing:
    """How each of R runs stands to the most accurate of those that share the first one's cells; R is 1 or more."""
    votes, left_out = gather_votes(answers)
    compared = [position for position in range(len(answers)) if position not in left_out]
    leader, behind = compare_with_best(votes.labels, votes.answers)
    lag, at_most, ties = (np.full(len(answers), np.nan) for _ in range(3))
    for position, paired in zip(compared, behind, strict=True):
        lag[position] = 100 * paired.difference
        at_most[position] = 100 * paired.interval[1]
        ties[position] = paired.p_value >= 0.05
    at_most[compared[leader]] = 0
    return Standing(compared[leader], lag, at_most, np.nan_to_num(ties).astype(bool), len(votes.labels))


def sort_by_aim(table: pd.DataFrame, standing: Standing, aim: str) -> pd.DataFrame:
    """``table`` (of `leaderboard`) with the column 'behind', in the order of ``aim``.

    Accuracy: by accuracy on test. Else: first the runs that are surely within the margin, those with the least
    of the aim's cost first, then the others by accuracy.
    """
    table = table.assign(behind=standing.at_most)
    column = AIMS[aim][1]
    if column is None:
        return table.sort_values("accuracy", ascending=False, kind="stable").reset_index(drop=True)
    close = table["behind"] <= MARGIN
    near = table[close].sort_values(column, kind="stable")
    far = table[~close].sort_values("accuracy", ascending=False, kind="stable")
    return pd.concat([near, far]).reset_index(drop=True)


def advice(table: pd.DataFrame, standing: Standing, aim: str, unit: str = "cell") -> str:
    """What ``aim`` leads to, in words. ``table`` is `leaderboard`'s, in the order in which ``standing`` was made.

    ``unit`` is what one picture shows.
    """
    _, column, superlative, comparative, measure = AIMS[aim]
    leader = table.iloc[standing.leader]
    if column is None:
        return _most_accurate(table, standing, leader, unit)
    close = table.assign(at_most=standing.at_most, lag=standing.lag)
    close = close[(close["at_most"] <= MARGIN) & close[column].notna()]
    if close.empty:
        return f"Nothing is known of this for **{leader['model']}** and the runs close to it."
    winner = close.iloc[int(close[column].argmin())]
    digits = 2 if winner[column] < 1 else 1 if winner[column] < 10 else 0
    value = f"{winner[column]:,.{digits}f} {measure}"
    if winner["run"] == leader["run"]:
        return (
            f"**{leader['model']}** ({value}): no {comparative} run is surely within {MARGIN:g} point of it on the "
            f"{standing.n:,} val {unit}s, by which runs are chosen."
        )
    times = leader[column] / winner[column]
    than = f", {times:.1f} times {comparative} than **{leader['model']}**" if times >= 1.05 else ""
    behind = f"{winner['lag']:.1f} points behind it" if winner["lag"] >= 0.05 else "level with it"
    return (
        f"{superlative} surely within {MARGIN:g} point of the most accurate: **{winner['model']}** ({value}{than}). "
        f"On the same {standing.n:,} val {unit}s it is {behind}, at most {winner['at_most']:.1f} (95 % interval); "
        f"on test it reaches {winner['accuracy']:.2f} %."
    )


def _most_accurate(table: pd.DataFrame, standing: Standing, leader: pd.Series, unit: str) -> str:
    opening = (
        f"Most accurate on the {standing.n:,} val {unit}s, by which runs are chosen: **{leader['model']}**, "
        f"{leader['accuracy']:.2f} % on test."
    )
    level = [name for place, name in enumerate(table["model"]) if standing.ties[place] and place != standing.leader]
    if not level:
        return opening + (" Chance alone doesn't explain its lead over any other." if len(table) > 1 else "")
    named = ", ".join(level[:3]) + (f" and {len(level) - 3} more" if len(level) > 3 else "")
    return f"{opening} Chance could explain its lead over {named}."


# Axis of the scatter: label, column of `leaderboard`, and the adjective of being better there.
COSTS = {
    "latency": ("Milliseconds for one picture", "latency_ms", "faster"),
    "memory": ("Peak memory (MB)", "peak_memory_mb", "leaner"),
    "size": ("File size (MB)", "megabytes", "smaller"),
    "parameters": ("Parameters", "parameters", "smaller"),
    "training": ("Training time (s)", "train_seconds", "quicker to train"),
}


def leaderboard(
    runs: Sequence[Run],
    labels: Mapping[str, str],
    split: str = "test",
    studies: Sequence[Study] = (),
    schemes: Sequence[Scheme] = (),
) -> pd.DataFrame:
    """One row a run, in the order given. Shares are in percent, except AUROC (0 to 1); unknown values are NaN.

    Columns: run, model, family, accuracy, low, high (95 % interval), interval (text), seeds (text: mean and
    interval over several seeds, where ``studies`` have them), balanced, macro_f1, macro_auroc, ece, parameters,
    megabytes, train_seconds, device, latency_ms, peak_memory_mb, data, size, seed, owner; and, where the data set can
    be split in several ways (``schemes``), scheme, the title of the run's.
    """
    spread, titles = over_seeds(runs, studies), scheme_titles(schemes)
    rows = []
    for run in runs:
        m, overall, latency = run.metrics[split], run.metrics, run.metrics.get("latency") or {}
        low, high = (100 * bound for bound in m["accuracy_interval"])
        rows.append(
            {
                "run": run.name,
                "model": labels[run.name],
                "family": family_of(run),
                **({"scheme": titles.get(scheme := scheme_of(run, schemes), scheme)} if schemes else {}),
                "accuracy": 100 * m["accuracy"],
                "low": low,
                "high": high,
                "interval": f"{low:.1f} to {high:.1f}",
                "seeds": spread.get(run.name, ""),
                "balanced": percent_or_nan(m["balanced_accuracy"]),
                "macro_f1": percent_or_nan(m["macro_f1"]),
                "macro_auroc": _number(m["macro_auroc"]),
                "ece": percent_or_nan(m["ece"]),
                "parameters": _number(overall.get("parameters")),
                "megabytes": run.model_bytes / 1e6,
                "train_seconds": _number(overall.get("train_seconds")),
                "device": overall.get("device") or "",
                "latency_ms": _number(latency.get("batch1_ms")),
                "peak_memory_mb": _number(latency.get("peak_memory_mb")),
                "data": run.provenance,
                "size": run.size,
                "seed": run.config["train"].get("seed"),
                "owner": "shipped" if run.shipped else "your own",
            }
        )
    return pd.DataFrame(rows)


def over_seeds(runs: Sequence[Run], studies: Sequence[Study]) -> dict[str, str]:
    """By the run's name: what a study of several seeds found for its model and size, '95.4 ± 0.3 (5)' in percent.

    That is the mean on test (on the study's own metric where test wasn't scored) with half its 95 % interval
    and the number of seeds. Runs without such a study have no entry.
    """
    texts = {}
    for study in studies:
        if study.kind != "seeds":
            continue
        tested = [trial.test for trial in study.complete if trial.test is not None]
        scores = [trial.score for trial in study.complete if trial.score is not None]
        values = tested if len(tested) == len(study.complete) else scores
        if len(values) < 2:
            continue
        mean, _, high = mean_interval(values)
        text = f"{100 * mean:.2f} ± {100 * (high - mean):.2f} ({len(values)})"
        for run in runs:
            if (run.dataset, run.size, run.model) == (study.dataset, study.size, study.model):
                texts[run.name] = text
    return texts


def measured_cost(table: pd.DataFrame) -> str:
    """The first of `COSTS` that any run has a value for: what the scatter shows when none is asked for."""
    return next((key for key, (_, column, _) in COSTS.items() if len(table) and table[column].notna().any()), "size")


def per_class(runs: Sequence[Run], labels: Mapping[str, str], split: str = "test") -> pd.DataFrame:
    """One row a run: model, then for each class its sensitivity and specificity in percent ('ERB sensitivity')."""
    rows = []
    for run in runs:
        measures = run.metrics[split]["per_class"]
        row: dict[str, object] = {"model": labels[run.name]}
        for number, code in enumerate(run.config["dataset"]["codes"]):
            for measure in ("sensitivity", "specificity"):
                row[f"{code} {measure}"] = percent_or_nan(measures[measure][number])
        rows.append(row)
    return pd.DataFrame(rows)


def pareto_front(cost: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Indices of the points that no other beats (cost no higher and gain no lower, one of them strictly), by cost.

    Points whose cost or gain is NaN are left out.
    """
    measured = np.flatnonzero(~(np.isnan(cost) | np.isnan(gain)))
    order = measured[np.lexsort((-gain[measured], cost[measured]))]
    front, best = [], -np.inf
    for index in order:
        if gain[index] > best:
            front.append(index)
            best = gain[index]
    return np.array(front, int)


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


HEIGHT = 560
PLOT = (415, 330)  # pixels between the axes on a page of 1440: where names must not touch
SMALL, LARGE = 9, 14  # diameter of a point in pixels, by the size of the images
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "triangle-down", "pentagon", "hexagon", "x")
_CLEAR = "rgba(0,0,0,0)"
_LEAST_ERROR = 0.02  # percent: where a run without an error is drawn, on an axis that has no zero
Box = tuple[float, float, float, float]  # left, right, low, high
_LETTER, _LINE = 6.4, 15  # size of a name in pixels: width of a letter, height


def scatter(
    table: pd.DataFrame,
    cost: str,
    *,
    chosen: Sequence[str] = (),
    families: Sequence[str] | None = None,
    dark: bool = False,
) -> go.Figure:
    """Accuracy with its 95 % interval against ``cost`` (a key of `COSTS`), with the Pareto front.

    ``table`` is `leaderboard`'s. Colour and symbol tell the family (``families`` is the whole list, so that a
    family looks the same whatever is filtered away), the size of a point that of the images; a point is filled
    where it is on the front. ``chosen`` names runs to draw a ring around. Named are these and the front, as far
    as names find room; hovering names the others. The upright axis is logarithmic in the errors, so that 98 and
    99 % lie as far apart as 80 and 90 %.
    """
    axis_title, column, better = COSTS[cost]
    measured = table[table[column].notna() & (table[column] > 0)].reset_index(drop=True)
    front = pareto_front(measured[column].to_numpy(float), measured["accuracy"].to_numpy(float))
    errors = np.maximum(100 - measured["accuracy"].to_numpy(float), _LEAST_ERROR)
    cost_of, ticked = measured[column].to_numpy(float), measured["run"].isin(list(chosen)).to_numpy()
    diameters, ink = np.where(measured["size"] < 64, SMALL, LARGE), ground(dark)
    fig = go.Figure()
    if len(front) > 1:
        stairs = {"color": ink["quiet"], "width": 1.5, "dash": "dot", "shape": "hv"}
        trace = {"x": cost_of[front], "y": errors[front], "mode": "lines", "line": stairs}
        fig.add_scatter(**trace, name="front", hoverinfo="skip", showlegend=False)
    if ticked.any():
        ring = {"color": _CLEAR, "line": {"width": 2, "color": ink["text"]}, "size": diameters[ticked] + 10}
        dots = {"x": cost_of[ticked], "y": errors[ticked], "mode": "markers", "marker": ring}
        fig.add_scatter(**dots, hoverinfo="skip", name="ticked")
    families = list(families) if families is not None else sorted(table["family"].unique())
    seeds = np.array([f"<br>{text} % over seeds" if text else "" for text in measured["seeds"]])
    for place, (family, colour) in enumerate(zip(families, series_colours(len(families), dark), strict=True)):
        own = np.flatnonzero(measured["family"] == family)
        if not len(own):
            continue
        runs, symbol, y = measured.iloc[own], _SYMBOLS[place % len(_SYMBOLS)], errors[own]
        symbols = [symbol if filled else f"{symbol}-open" for filled in np.isin(own, front)]
        marker = {"size": diameters[own], "color": colour, "symbol": symbols, "line": {"width": 2, "color": colour}}
        low, high = np.maximum(100 - runs["high"], 0.1 * y), 100 - runs["low"]
        fig.add_scatter(
            x=cost_of[own],
            y=y,
            mode="markers",
            error_y=error_bar(y, low, high, colour, thickness=1, width=3),
            marker=marker,
            customdata=np.stack([runs["model"], runs["accuracy"], runs["interval"], seeds[own]], axis=1),
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]:.2f} % (95 % interval %{customdata[2]})"
            f"%{{customdata[3]}}<br>{axis_title}: %{{x:,.4~g}}<extra>{family}</extra>",
            name=family,
        )
    if set(diameters) == {SMALL, LARGE}:  # legend entries that say which points are small
        for text, diameter in (("28 px", SMALL), ("64 px or more", LARGE)):
            dot = {"size": diameter, "color": _CLEAR, "line": {"width": 1, "color": ink["quiet"]}}
            fig.add_scatter(x=[None], y=[None], mode="markers", marker=dot, name=text, hoverinfo="skip")
    if len(measured):
        _axes(fig, cost_of, errors, axis_title)
        named = list(dict.fromkeys([*np.flatnonzero(ticked), *front[::-1]]))
        texts = [measured["model"][i] for i in named]
        x, y = _in_pixels(fig, cost_of, errors)
        line = _line_boxes(x[front], y[front])
        for name in place_names(x, y, texts, named, far=int(ticked.sum()), keep_off=line):
            _write_name(fig, cost_of[name.point], errors[name.point], name, dark)
    fig.update_xaxes(visible=bool(len(measured)))
    fig.update_yaxes(visible=bool(len(measured)))
    finish(fig, title=scatter_title(measured, front, better), height=HEIGHT, dark=dark)
    below = {"y": -0.16, "yanchor": "top", "x": 0, "xanchor": "left", "font": {"size": 11}}
    return fig.update_layout(legend=below | {"itemsizing": "trace", "itemwidth": 30})


def scatter_title(table: pd.DataFrame, front: np.ndarray, better: str) -> str:
    """What the scatter shows, in one line."""
    if table.empty:
        return "Not measured yet for any of these runs"
    names = [table["model"].iloc[i] for i in front]
    if len(names) == 1:
        return f"{names[0]} is the most accurate, and none is {better}"
    return f"{len(names)} of {len(table)} on the front: none is both {better} and more accurate"


@dataclass(frozen=True)
class PlacedName:
    """Where a name stands: ``point`` it belongs to, ``dx`` and ``dy`` (pixels, up is positive) from it to the
    name's near end, ``anchor`` the end that is near ('left': the name begins there)."""

    point: int
    text: str
    dx: float
    dy: float
    anchor: str


def place_names(
    x: np.ndarray,
    y: np.ndarray,
    texts: Sequence[str],
    points: Sequence[int],
    *,
    far: int = 0,
    keep_off: Sequence[Box] = (),
    size: tuple[int, int] = PLOT,
) -> list[PlacedName]:
    """Places for names that touch neither each other nor any point, nor leave the plot; first come, first served.

    ``x``, ``y`` (N,) are all points in pixels (up is positive) in a plot of ``size``; ``texts`` are the names of
    ``points``; ``keep_off`` are other places that no name may cover. A name that finds no room near its point is
    left out; the first ``far`` may stand far from theirs. Plotly places no names, and no library that is kept does it
    for a figure that the browser draws.
    """
    taken = [(a - 8, a + 8, b - 8, b + 8) for a, b in zip(x, y, strict=True)] + list(keep_off)
    placed = []
    for number, (point, text) in enumerate(zip(points, texts, strict=True)):
        offsets = _offsets(15 if number < far else 5)
        length = _LETTER * len(text)
        for dx, dy, anchor in ((dx, dy, anchor) for dx, dy in offsets for anchor in ("left", "right")):
            near = x[point] + (dx if anchor == "left" else -dx)
            left = near if anchor == "left" else near - length
            box = (left, left + length, y[point] + dy - _LINE / 2, y[point] + dy + _LINE / 2)
            inside = box[0] >= 2 and box[1] <= size[0] and box[2] >= 0 and box[3] <= size[1] + 10
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                placed.append(PlacedName(point, text, near - x[point], dy, anchor))
                break
    return placed


def _line_boxes(x: np.ndarray, y: np.ndarray) -> list[Box]:
    """Where the front's stairs run, in pixels: level from each point to the next one's cost, then up."""
    level = [(a + 9, b, c - 2, c + 2) for a, b, c in zip(x[:-1], x[1:], y[:-1], strict=True)]
    return level + [(a - 2, a + 2, b, c) for a, b, c in zip(x[1:], y[:-1], y[1:], strict=True)]


def _offsets(steps: int) -> list[tuple[float, float]]:
    """Where a name may stand beside its point, the nearest first: pixels to the side, pixels up."""
    offsets = [(dx, _LINE * step) for dx in (15, 28, 48) for step in range(-steps, steps + 1)]
    return sorted(offsets, key=lambda offset: (offset[0] + 1.2 * abs(offset[1]), offset[1] < 0))


def _axes(fig: go.Figure, cost: np.ndarray, errors: np.ndarray, title: str) -> None:
    low, high = np.log10(cost.min()), np.log10(cost.max())
    room = 0.12 * max(0.5, high - low)
    ticks = _log_ticks(10**low, 10**high)
    words = {"tickvals": ticks, "ticktext": [_short_number(v) for v in ticks], "title": title}
    fig.update_xaxes(type="log", range=(low - room, high + room), **words)
    low, high = np.log10(errors.min()), np.log10(errors.max())
    room = 0.1 * max(0.5, high - low)
    ticks = [v for v in _log_ticks(10**low, 10**high) if v < 100]
    words = {"tickvals": ticks, "ticktext": [f"{100 - v:g}" for v in ticks], "title": "Accuracy on test (%)"}
    fig.update_yaxes(type="log", range=(high + room, low - room), **words)


def _in_pixels(fig: go.Figure, cost: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pixels = []
    for values, axis, length in ((cost, fig.layout.xaxis, PLOT[0]), (errors, fig.layout.yaxis, PLOT[1])):
        first, last = axis.range
        pixels.append((np.log10(np.asarray(values, float)) - first) / (last - first) * length)
    return pixels[0], pixels[1]


def _write_name(fig: go.Figure, x: float, y: float, name: PlacedName, dark: bool) -> None:
    far = abs(name.dy) > _LINE or abs(name.dx) > 24
    arrow = {"ax": name.dx, "ay": -name.dy, "arrowhead": 0, "arrowwidth": 1, "standoff": 7, "showarrow": True}
    text = {"text": name.text, "font": {"size": 12, "color": ground(dark)["text"]}, "borderpad": 0}
    text |= {"arrowcolor": ground(dark)["quiet"] if far else _CLEAR}
    fig.add_annotation(arrow | text, x=np.log10(x), y=np.log10(y), xanchor=name.anchor, yanchor="middle")


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _log_ticks(low: float, high: float) -> list[float]:
    """Round values over a logarithmic axis: as few a decade as leave three or more between ``low`` and ``high``."""
    decades = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 2)
    ticks: list[float] = []
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        if sum(low <= tick <= high for tick in ticks) >= 3:
            break
    return ticks


def _short_number(value: float) -> str:
    for unit, letter in ((1e6, " M"), (1e3, " k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


def training_curves(histories: Mapping[str, Mapping[str, np.ndarray]], *, dark: bool = False) -> go.Figure:
    """Loss, val accuracy and learning rate by epoch; a colour a run, train dotted where both are drawn.

    ``histories`` maps a run's label to its `history`.
    """
    titles = ["Loss", "Accuracy on val (%)", "Learning rate"]
    fig = make_subplots(rows=1, cols=3, horizontal_spacing=0.07, subplot_titles=titles)
    for (label, history), colour in zip(histories.items(), series_colours(len(histories), dark), strict=True):
        if not len(history.get("train_loss", ())):  # a model that isn't trained in epochs
            continue
        line = {"color": colour, "width": 2}
        dotted = line | {"dash": "dot", "width": 1.5}
        for column, y, name, look, hover in (
            (1, history["train_loss"], f"{label}, train", dotted, "train %{y:.3f}"),
            (1, history["val_loss"], label, line, "val %{y:.3f}"),
            (2, 100 * history["val_accuracy"], label, line, "%{y:.2f} %"),
            (3, history["learning_rate"], label, line, "%{y:.2g}"),
        ):
            named = hover.startswith("val")  # one entry a run in the legend
            trace = {"x": history["epoch"], "y": y, "mode": "lines", "line": look, "hovertemplate": hover}
            fig.add_scatter(**trace, name=name, legendgroup=label, showlegend=named, row=1, col=column)
    fig.update_xaxes(title="Epoch")
    finish(fig, title=training_curves_title(histories), height=360, dark=dark)
    fig.update_annotations(font={"size": 13, "color": ground(dark)["quiet"]})
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.28, "yanchor": "top"}
    return fig.update_layout(hovermode="x", margin={"t": 84}, legend=legend)


def training_curves_title(histories: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """When each run was at its best on val."""
    parts = []
    for label, history in histories.items():
        accuracy = history.get("val_accuracy", np.zeros(0))
        if len(accuracy):
            best, last = (int(history["epoch"][at]) for at in (int(np.argmax(accuracy)), -1))
            parts.append(f"{label} at its best after {best} of {last} epochs")
    return "; ".join(parts[:2]) or "No training curve was stored"


def leaderboard_columns(unit: str = "cell") -> dict[str, Any]:
    """How each column of `dashboard.compare.overview.leaderboard` is shown; ``unit`` is what one picture shows."""
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    on = f" On the same test {unit}s."
    return {
        "model": text("Model", pinned=True, width=232),
        "accuracy": number("Accuracy", format="%.2f %%", help=f"Share of {unit}s that are named right." + on),
        "interval": text(
            "95 % interval",
            alignment="right",
            help=f"Where the accuracy on more such {unit}s would lie (Wilson), in %. They come from few people, "
            "so the real uncertainty is larger.",
        ),
        "behind": number(
            "At most behind",
            format="%.1f points",
            help="How far this run may be behind the most accurate one: the upper end of the 95 % interval of their "
            f"difference on the same val {unit}s. 'Best for' goes by it.",
        ),
        "seeds": text(
            "Over seeds",
            alignment="right",
            help="Mean accuracy on test of several trainings that differ by the seed only, with half the 95 % interval "
            "of the mean (Student's t) and their number. Where a study was made, see Studies.",
        ),
        "scheme": text(
            "Split",
            width="medium",
            help="How the data set was split into train, val and test. Accuracies under different ways don't compare.",
        ),
        "family": text("Family"),
        "balanced": number("Balanced", format="%.2f %%", help="Mean of the classes' sensitivities." + on),
        "macro_f1": number("Macro F1", format="%.2f %%", help="Mean over classes of sensitivity and precision's mean."),
        "macro_auroc": number("AUROC", format="%.4f", help="Mean over classes: how well a class is ranked above all."),
        "ece": number("ECE", format="%.2f %%", help="Mean gap between how sure a model is and how often it is right."),
        "parameters": number("Parameters", format="localized"),
        "megabytes": number("File", format="%.1f MB", help="Size on disk of graph and weights."),
        "latency_ms": number(
            "One picture", format="%.1f ms", help="Time for one picture with ONNX Runtime, where measured."
        ),
        "peak_memory_mb": number(
            "Memory",
            format="%.0f MB",
            help="The most that opening it and answering took beyond the program itself, where measured.",
        ),
        "train_seconds": number("Training", format="%.0f s"),
        "device": text("Device", help="What it was trained on; training times of different devices don't compare."),
        "seed": number("Seed", format="%d"),
        "data": text("Data", help="Where the images come from that it was trained and scored on."),
        "owner": text("From"),
    }


def run_table(
    table: pd.DataFrame, chosen: Sequence[str], *, dataset: str, unit: str = "cell", height: int
) -> list[str]:
    """Draw ``table`` (of `leaderboard`) with ``chosen`` rows ticked; returns the ticked runs, last ticked last.

    ``dataset`` is that of all rows, ``unit`` what one of its pictures shows.
    """
    names, config = list(table["run"]), leaderboard_columns(unit)
    # Row selections are positions: another set of rows needs another widget.
    key = "runs_" + hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
    rows = [names.index(name) for name in chosen if name in names]
    event = st.dataframe(
        table,
        key=key,
        height=height,
        hide_index=True,
        column_order=[c for c in config if c in table and not (c == "seeds" and not any(table[c]))],
        column_config=config | dict.fromkeys(("run", "low", "high", "size")),
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": rows}},
        placeholder="–",
    )
    now = [names[row] for row in event.selection.rows]
    hidden = [name for name in chosen if name not in names]  # filtered away, not unticked
    order = [name for name in chosen if name in now or name in hidden]
    order += [name for name in now if name not in order]
    select_names(dataset, order)
    return order


@view(":material/leaderboard: All runs", order=10)
def render(context: CompareContext) -> None:
    """Leaderboard and scatter; the matrices of the last two ticked runs, their difference and its test."""
    table = leaderboard(context.runs, context.names, studies=cache.studies(), schemes=context.schemes)
    standing = _standing(context.runs)
    with st.container(horizontal=True, gap="medium"):  # one below the other on a narrow page
        with st.container(width=760):
            aims = {key: f"Best for {title.lower()}" for key, (title, *_) in AIMS.items()}
            aim = choice("best", "Best for", aims, "accuracy", "aim", hidden=True)
            if len({scheme_of(run, context.schemes) for run in context.runs}) > 1:
                st.markdown("Runs under several ways to split stand here together: their accuracies don't compare.")
            else:
                st.markdown(advice(table, standing, aim, context.unit))
            table = sort_by_aim(table, standing, aim)
            height = min(458, 38 + 35 * len(table))
            chosen = run_table(table, context.selected, dataset=context.spec.name, unit=context.unit, height=height)
            with st.container(horizontal=True, vertical_alignment="center"):
                by_class = partial(per_class, context.runs, context.names)
                csv_button("Download table (CSV)", lambda: table.merge(by_class(), on="model"), "runs")
                if AIMS[aim][1]:
                    st.caption(f"First the runs surely within {MARGIN:g} point of the most accurate, then the others.")
        with st.container(width="stretch"):
            axes = {key: f"Accuracy against {value[0][0].lower()}{value[0][1:]}" for key, value in COSTS.items()}
            cost = choice("against", "Axis", axes, measured_cost(table), "axis", box=True)
            families = sorted({family_of(run) for run in context.every})
            marks = (*context.runs, *table["seeds"], *families)
            drawn = partial(scatter, table, cost, chosen=chosen, families=families, dark=context.dark)
            key = (cost, tuple(chosen), context.dark, marks)
            show_figure(drawn, table, f"accuracy-against-{cost}", "scatter", made_of=key)
    split_gap(context)
    picked = context.find(chosen)
    if not picked:
        st.info("Tick one run to see where it errs, two to see them side by side.", icon=":material/check_box:")
        return
    with errors_told():
        side_by_side(picked[-2:], context)
    histories = {context.names[run.name]: run.history for run in picked[-4:]}
    epochs = pd.concat([pd.DataFrame(history).assign(model=label) for label, history in histories.items()])
    curves = partial(training_curves, histories, dark=context.dark)
    show_figure(curves, epochs, "training-curves", "curves", made_of=(*picked[-4:], *histories, context.dark))


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=cache.BY_VERSION)
def _standing(runs: tuple[Run, ...]) -> Standing:
    return standing([cache.predictions(run, "val") for run in runs])
