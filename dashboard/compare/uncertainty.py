"""Compare, uncertainty: does a run know what it doesn't know, on its own test cells and on another laboratory's.
Reliability, risk against coverage, and how often what is told holds the right class.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.datasets import get_dataset
from core.datasets.pictures import read_dataset_pictures
from core.evaluation.external import cache_validation, cached_validation, external_datasets, validate_externally
from core.evaluation.uncertainty import TOLERATED_RISK, run_uncertainty
from core.formatting import capitalized, listed, of_class, range_text
from core.inference.scope import spec_for
from core.probabilities import wilson_interval
from core.progress import Progress
from core.runs import Run
from dashboard import cache
from dashboard.charts import MOST_RUNS, SYMBOLS, Panel, class_dots, csv_button, show_figure
from dashboard.compare import CompareContext, run_selection
from dashboard.page import ProgressBar, view
from dashboard.style import error_bar, finish, framed_legend, ground, series_colours
from dashboard.url_state import choice

Figures = Mapping[str, Any]  # of one run on one set of cells: see `core.evaluation.uncertainty.uncertainty_summary`


def reliability_points(figures_by_name: Mapping[str, Figures]) -> pd.DataFrame:
    """A row for each name and bin: said and right (%), low, high (95 % interval, Wilson), cells in the bin."""
    rows = []
    for name, figures in figures_by_name.items():
        bins = (figures["reliability"][key] for key in ("confidence", "accuracy", "counts"))
        for confidence, accuracy, count in zip(*bins, strict=True):
            low, high = wilson_interval(round(accuracy * count), count)
            rows.append((name, *(100 * v for v in (confidence, accuracy, low, high)), count))
    return pd.DataFrame(rows, columns=["name", "said", "right", "low", "high", "cells"])


def risk_points(figures_by_name: Mapping[str, Figures]) -> pd.DataFrame:
    """A row for each name and point of its curve: answered and wrong (%), from (the probability, %)."""
    rows = []
    for name, figures in figures_by_name.items():
        curve = (figures["risk_coverage"][key] for key in ("coverage", "risk", "from_probability"))
        rows += [(name, *(100 * value for value in point)) for point in zip(*curve, strict=True)]
    return pd.DataFrame(rows, columns=["name", "answered", "wrong", "from"])


def coverage_points(figures_by_name: Mapping[str, Figures], codes: Sequence[str]) -> pd.DataFrame:
    """A row for each name and class: held and its interval (%), size (mean classes told), cells; NaN without any."""
    rows = []
    for name, figures in figures_by_name.items():
        sets = figures["told"]
        for code, held, count, size in zip(
            codes, sets["coverage"], sets["counts"], sets["mean_size_by_class"], strict=True
        ):
            if held is None:
                rows.append((name, code, *[np.nan] * 4, 0))
                continue
            low, high = wilson_interval(round(held * count), count)
            rows.append((name, code, *(100 * v for v in (held, low, high)), size, count))
    return pd.DataFrame(rows, columns=["name", "code", "held", "low", "high", "size", "cells"])


def uncertainty_table(figures_by_name: Mapping[str, Figures]) -> pd.DataFrame:
    """A row a name: cells, calibration error, share sure and right of these, what is told, what silence buys; percent.

    ``not_a_cell`` and ``sure_and_wrong`` are NaN where ``figures_by_name`` has no ``verdicts``, ``held_on_val`` where
    nothing is known of val.
    """
    rows = []
    for name, figures in figures_by_name.items():
        told, right = figures["told"], figures["sure_accuracy"]
        verdicts = figures.get("verdicts") or {"not_a_cell": np.nan, "confident_and_wrong": np.nan}
        rows.append(
            {
                "name": name,
                "cells": figures["n"],
                "error": 100 * figures["reliability"]["error"],
                "sure": 100 * figures["sure"],
                "sure_right": None if right is None else 100 * right,
                "held": 100 * told["overall"],
                "held_on_val": 100 * figures.get("held_on_val", np.nan),
                "lowest": 100 * min(share for share in told["coverage"] if share is not None),
                "size": told["mean_size"],
                "answered": 100 * figures["risk_coverage"]["answered"],
                "not_a_cell": 100 * verdicts.get("not_a_cell", np.nan),
                "sure_and_wrong": 100 * verdicts["confident_and_wrong"],
            }
        )
    return pd.DataFrame(rows)


def reliability_title(figures_by_name: Mapping[str, Figures]) -> str:
    """How far said and seen are apart, in a line."""
    errors = [100 * figures["reliability"]["error"] for figures in figures_by_name.values()]
    apart = range_text(f"{min(errors):.1f}", f"{max(errors):.1f}")
    return f"What is said and what is right are {apart} points apart"


def risk_title(figures_by_name: Mapping[str, Figures], unit: str = "cell") -> str:
    """How many cells can be answered with 1 % of the answers wrong, in a line."""
    shares = [100 * figures["risk_coverage"]["answered"] for figures in figures_by_name.values()]
    if max(shares) == 0:
        return f"However few {unit}s are answered, more than {100 * TOLERATED_RISK:.0f} % are wrong"
    of = range_text(_percent_text(min(shares)), _percent_text(max(shares)))
    return f"{of} % of the {unit}s can be answered with {100 * TOLERATED_RISK:.0f} % wrong"


def coverage_title(points: pd.DataFrame, names: Mapping[str, str], nominal: float, unit: str = "cell") -> str:
    """Of which class what is told holds the right one least often, in a line."""
    counted = points.dropna(subset="held")
    if counted.empty:
        return "Nothing was scored"
    worst = counted.iloc[int(counted["held"].argmin())]
    if worst["held"] == 100:
        return f"What is told holds the right class of every {unit}"
    promise = f"{100 * (1 - nominal):.0f} % allowed"
    missed = of_class(names[worst["code"]], unit)
    return f"What is told misses {missed} most often: {100 - worst['held']:.1f} % ({promise})"


def _percent_text(value: float) -> str:
    return f"{value:.0f}" if value < 99.5 or value == 100 else f"{value:.1f}"


HEIGHT = 400


def reliability_figure(points: pd.DataFrame, *, title: str, unit: str = "cell", dark: bool = False) -> go.Figure:
    """What is right against what is said, a line a name with 95 % intervals; the diagonal is honest.

    ``points`` is `reliability_points` of `MOST_RUNS` names at most; larger dots stand for more cells.
    """
    fig = go.Figure()
    left, low = (10 * np.floor(min(values.min(), 89) / 10) for values in (points["said"], points["right"]))
    ends, line = [max(left, low), 100], {"color": ground(dark)["quiet"], "dash": "dot", "width": 1}
    fig.add_scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    for place, (name, part) in enumerate(_by_name(points)):
        colour = series_colours(MOST_RUNS, dark)[place]
        share = part["cells"] / part["cells"].sum()
        fig.add_scatter(
            x=part["said"],
            y=part["right"],
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"symbol": SYMBOLS[place], "color": colour, "size": 6 + 12 * np.sqrt(share)},
            error_y=error_bar(part["right"], part["low"], part["high"], colour, thickness=1),
            customdata=part[["cells", "low", "high"]].to_numpy(),
            hovertemplate=f"<b>{name}</b><br>said %{{x:.1f}} %, right %{{y:.1f}} %<br>95 % interval "
            f"%{{customdata[1]:.1f}} to %{{customdata[2]:.1f}}, %{{customdata[0]:,}} {unit}s<extra></extra>",
        )
    across, up = 0.03 * (100 - left), 0.03 * (100 - low)
    fig.update_xaxes(title="Said: probability of the answer (%)", range=[left - across, 100 + across], zeroline=False)
    fig.update_yaxes(title="Right (%)", range=[low - up, 100 + up], zeroline=False)
    finish(fig, title=title, height=HEIGHT, dark=dark)
    return fig.update_layout(framed_legend(dark, y=0.97))


def risk_figure(points: pd.DataFrame, *, title: str, unit: str = "cell", dark: bool = False) -> go.Figure:
    """Wrong answers (%) against the share of cells that are answered, the surest first; a line a name.

    ``points`` is `dashboard.compare.uncertainty.risk_points` of `MOST_RUNS` names at most.
    """
    fig = go.Figure()
    for place, (name, part) in enumerate(_by_name(points)):
        colour = series_colours(MOST_RUNS, dark)[place]
        fig.add_scatter(
            x=part["answered"],
            y=part["wrong"],
            name=name,
            mode="lines",
            line={"color": colour, "width": 2, "dash": ("solid", "dash", "dot", "dashdot")[place]},
            customdata=part["from"],
            hovertemplate=f"<b>{name}</b><br>the surest %{{x:.1f}} % of the {unit}s: %{{y:.2f}} % wrong"
            "<br>probability from %{customdata:.1f} %<extra></extra>",
        )
    # One wrong answer among the ten surest cells is a tenth: the first twentieth would be all that one sees.
    high = max(points.loc[points["answered"] >= 5, "wrong"].max(), 1.5 * 100 * TOLERATED_RISK)
    fig.add_hline(100 * TOLERATED_RISK, line={"color": ground(dark)["quiet"], "width": 1, "dash": "dot"})
    fig.update_xaxes(title=f"{unit.capitalize()}s answered, the surest first (%)", range=[-1, 101], zeroline=False)
    fig.update_yaxes(title="Wrong among them (%)", range=[-0.02 * high, 1.05 * high], zeroline=False)
    finish(fig, title=title, height=HEIGHT, dark=dark)
    return fig.update_layout(framed_legend(dark, y=0.06 if points["wrong"].median() > high / 2 else 0.97))


def coverage_figure(
    points: pd.DataFrame,
    codes: Sequence[str],
    names: Mapping[str, str],
    nominal: float,
    *,
    title: str,
    unit: str = "cell",
    dark: bool = False,
) -> go.Figure:
    """How often what is told holds the right class (left, with 95 % intervals), of how many classes (right), by class.

    ``points`` is `coverage_points` of `MOST_RUNS` names at most, ``nominal`` the share promised, 0 to 1.
    """
    every = _by_name(points)
    colours, titles = series_colours(MOST_RUNS, dark), [names[code] for code in codes]
    held, sizes = [], []
    for place, (name, part) in enumerate(every):
        own = part.set_index("code").reindex(list(codes))
        held.append(
            {
                "x": own["held"],
                "error_x": error_bar(own["held"], own["low"], own["high"], colours[place]),
                "customdata": list(zip(own["low"], own["high"], own["cells"], titles, strict=True)),
                "hovertemplate": f"<b>{name}</b><br>%{{customdata[3]}}: %{{x:.1f}} % held<br>95 % interval "
                f"%{{customdata[0]:.1f}} to %{{customdata[1]:.1f}}, %{{customdata[2]:,}} {unit}s<extra></extra>",
            }
        )
        told = f"<b>{name}</b><br>%{{customdata}}: %{{x:.2f}} classes told<extra></extra>"
        sizes.append({"x": own["size"], "customdata": titles, "hovertemplate": told})
    promised = {"type": "line", "x0": 100 * nominal, "x1": 100 * nominal, "yref": "paper", "y0": 0, "y1": 1}
    promised["line"] = {"color": ground(dark)["quiet"], "width": 1, "dash": "dot"}
    low = points["low"].min()
    low = 100 * nominal - 4 if np.isnan(low) else min(low, 100 * nominal - 2)
    room, longest = 0.02 * (100 - low), np.nanmax([points["size"].max(), 1.2])
    panels = [
        Panel("Right class among those told (%)", 0, 0.64, {"range": [low - room, 100 + room], "nticks": 6}, held),
        Panel("Classes told", 0.69, 1, {"range": [0.9, longest * 1.08], "nticks": 5, "anchor": "y"}, sizes),
    ]
    runs = [name for name, _ in every]
    return class_dots(panels, runs, codes, names, colours, title=title, lines=[promised], dark=dark)


def _by_name(points: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    groups = [(str(name), part) for name, part in points.groupby("name", sort=False)]
    if len(groups) > MOST_RUNS:
        raise ValueError(f"{len(groups)} names: {MOST_RUNS} symbols at most can be told apart")
    return groups


@st.cache_resource(max_entries=128, show_spinner=False, hash_funcs=cache.BY_VERSION)
def home_uncertainty(run: Run) -> Figures:
    """How far the run's certainty can be trusted on its test images, see `run_uncertainty`, and the share that what is
    told holds of the val images, ``held_on_val``.
    """
    return run_uncertainty(run) | {"held_on_val": run_uncertainty(run, "val")["told"]["overall"]}


_HOME = "home"


@view(":material/help_center: Doubt", order=50, key="doubt")
def render(context: CompareContext) -> None:
    """Reliability, risk against coverage, and what is told, of the ticked runs at home or elsewhere."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        selected = run_selection(context)
        labs = list(dict.fromkeys(name for run in selected for name in external_datasets(run)))
        places = {_HOME: f"At home: own test {context.unit}s"} | {name: get_dataset(name).title for name in labs}
        place = choice("cells", "On", places, _HOME, "set of cells", box=True, width=260) if labs else _HOME
    if not selected:
        st.info("Choose a run above, and how far it can be trusted appears here.", icon=":material/help_center:")
        return
    runs = [run for run in selected if run.codes == selected[-1].codes][-MOST_RUNS:]
    if len(runs) < len(selected):
        st.caption(f"Drawn: the last {MOST_RUNS} ticked runs at most, those that know the last one's classes.")
    by_run = {run: home_uncertainty(run) for run in runs} if place == _HOME else _on_laboratory(runs, place, context)
    if by_run:
        _draw(by_run, place, places[place], context)


def _on_laboratory(runs: Sequence[Run], laboratory: str, context: CompareContext) -> dict[Run, Figures]:
    """What is stored of ``runs`` on laboratory ``laboratory``, beside a button for those that were not asked yet."""
    stored = {run: cached_validation(run).get(laboratory) for run in runs}
    missing = [run for run in runs if not stored[run]]
    if missing:
        names = listed([context.names[run.name] for run in missing])
        st.info(
            f"{names} {'has' if len(missing) == 1 else 'have'} not been asked about {get_dataset(laboratory).title} "
            "yet. That takes seconds to a minute, on this computer.",
            icon=":material/quiz:",
        )
        if st.button("Ask now", icon=":material/play_arrow:", key="ask_elsewhere"):
            with ProgressBar("Reading the pictures", _step_line) as bar:
                lab = read_dataset_pictures(laboratory, bar)
                for run in missing:
                    cache_validation(run, laboratory, validate_externally(run, lab, report=bar)[0])
            st.rerun()
    asked = {run: figures for run, figures in stored.items() if figures}
    return {run: found["uncertainty"] | {"verdicts": found.get("verdicts")} for run, found in asked.items()}


def _step_line(step: Progress) -> str:
    return f"{capitalized(step.message)}: {step.done} of {step.total}"


def _draw(by_run: Mapping[Run, Figures], place: str, title: str, context: CompareContext) -> None:
    runs = list(by_run)
    figures_by_name = {context.names[run.name]: figures for run, figures in by_run.items()}
    spec = spec_for(runs[-1])
    codes, names = list(spec.codes), spec.names
    key = (
        place,
        tuple((run, by_run[run]["risk_coverage"]["area"]) for run in runs),
        tuple(figures_by_name),
        context.dark,
    )
    look: dict[str, Any] = {"unit": context.unit, "dark": context.dark}
    nominal = next(iter(figures_by_name.values()))["nominal_coverage"]
    halves = st.grid(2, min_column_width=400, gap="medium")
    with halves.container():
        reliability = reliability_points(figures_by_name)
        figure = partial(reliability_figure, reliability, title=reliability_title(figures_by_name), **look)
        show_figure(figure, reliability, "reliability", "reliability", made_of=key)
    with halves.container():
        risk = risk_points(figures_by_name)
        figure = partial(risk_figure, risk, title=risk_title(figures_by_name, context.unit), **look)
        show_figure(figure, risk, "risk", "risk", made_of=key)
    st.caption(
        f"Left: of the answers given with so much probability, how many are right; on the dotted line what is said is "
        f"what is right. Right: where only the surest {context.unit}s are answered, how many of these answers are "
        "wrong (Geifman and El-Yaniv 2017); the dotted line is 1 %. Val set the calibration, none of these "
        f"{context.unit}s did."
    )
    held = coverage_points(figures_by_name, codes)
    heading = coverage_title(held, names, nominal, context.unit)
    figure = partial(coverage_figure, held, codes, names, nominal, title=heading, **look)
    show_figure(figure, held, "told", "told", made_of=key)
    units = f"{context.unit}s"
    told = (
        "Told is one class where the answer is sure, else a list: the likeliest two and each class whose probability "
        f"reaches its threshold. One rule takes the thresholds of every run from its val {units}, so that what is told "
        f"holds the right class of {100 * nominal:.0f} % of each class's {units} like those of val. That is aimed at, "
        f"not guaranteed: a hundred {units} of a class, or a few, set its threshold, and val had chosen the model's "
        "epoch and temperature before, so that it may keep the promise better itself (in the table: '... on val')."
    )
    away = f" For {context.unit}s of another laboratory nothing is promised." if place != _HOME else ""
    where = f"{title}, framed as uploads are" if place != _HOME else f"test {context.unit}s of {runs[-1].provenance}"
    counts = listed(sorted({f"{figures['n']:,}" for figures in figures_by_name.values()}))
    st.caption(f"On {counts} {context.unit}s: {where}. {told}{away}")
    _table(figures_by_name, context)


def _table(figures_by_name: Mapping[str, Figures], context: CompareContext) -> None:
    table = uncertainty_table(figures_by_name)
    number = st.column_config.NumberColumn
    units = f"{context.unit}s"
    config = {
        "name": st.column_config.TextColumn("Model", pinned=True),
        "cells": number(capitalized(units), format="localized"),
        "error": number("Said against right", format="%.2f", help="Expected calibration error in points, 15 bins."),
        "sure": number(
            "Sure",
            format="%.1f %%",
            help=f"Share of the {units} of which one class is told: no other reaches its threshold, and its "
            "probability is one from which 99.5 % of val's answers are right.",
        ),
        "sure_right": number("Right when sure", format="%.2f %%"),
        "held": number(
            "Told holds it",
            format="%.2f %%",
            help=f"Share of the {units} whose right class is among those told, sure answers included.",
        ),
        "held_on_val": number(
            "... on val",
            format="%.2f %%",
            help="The same of val, which set the thresholds and chose epoch and temperature: what it is above the "
            "figure beside it, the promise was made too well.",
        ),
        "lowest": number(
            "Lowest class", format="%.2f %%", help="The class of which what is told holds it least often."
        ),
        "size": number("Classes told", format="%.2f", help="Mean; a sure answer counts as one."),
        "answered": number(
            "Answered at 1 % wrong",
            format="%.2f %%",
            help=f"The largest share of the {units}, surest first, of which 1 % of the answers are wrong.",
        ),
        "not_a_cell": number("Not a cell", format="%.1f %%", help="Share of the pictures that are told to show none."),
        "sure_and_wrong": number(
            "Sure and wrong",
            format="%.1f %%",
            help=f"Share of all {units}, after pictures that show none were told apart.",
        ),
    }
    order = [column for column in config if not table[column].isna().all()]
    st.dataframe(table, hide_index=True, column_config=config, column_order=order, placeholder="–")
    csv_button("Download table (CSV)", lambda: table, f"doubt-{context.spec.name}")
