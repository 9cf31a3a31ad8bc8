"""Compare, doubt: does a run know what it doesn't know, on its own test cells and on another laboratory's."""

from collections.abc import Mapping, Sequence

import streamlit as st

from core.datasets import get_dataset
from core.progress import Progress
from core.runs import Run
from core.serving.domain import known
from core.serving.laboratory import evaluate_on, keep, kept, lab_pictures, labs_for
from core.serving.wording import listed, sentence_case
from dashboard import catalogue
from dashboard.doubt import (
    Figures,
    coverage_points,
    coverage_title,
    doubt_table,
    reliability_points,
    reliability_title,
    risk_points,
    risk_title,
)
from dashboard.drawn import drawn
from dashboard.figures.doubt import MOST, coverage_figure, reliability_figure, risk_figure
from dashboard.scored import doubt_at_home
from dashboard.widgets.choice import choice
from dashboard.widgets.compare.bench import Bench
from dashboard.widgets.compare.ticks import tick_runs
from dashboard.widgets.export import csv_text, exported

_HOME = "home"


def doubt(bench: Bench) -> None:
    """Reliability, risk against coverage, and what short lists hold, of the ticked runs at home or elsewhere."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        ticked = tick_runs(bench, "Runs", help="The runs ticked in the table of all runs.")
        labs = list(dict.fromkeys(name for run in ticked for name in labs_for(run)))
        places = {_HOME: f"At home: own test {bench.unit}s"} | {name: get_dataset(name).title for name in labs}
        place = choice("cells", "On", places, _HOME, "set of cells", box=True, width=260) if labs else _HOME
    if not ticked:
        st.info("Choose a run above, and how far it can be trusted appears here.", icon=":material/help_center:")
        return
    runs = [run for run in ticked if run.codes == ticked[-1].codes][-MOST:]
    if len(runs) < len(ticked):
        st.caption(f"Drawn: the last {MOST} ticked runs at most, those that know the last one's classes.")
    found = {run: doubt_at_home(run) for run in runs} if place == _HOME else _elsewhere(runs, place, bench)
    if found:
        _draw(found, place, places[place], bench)


def _elsewhere(runs: Sequence[Run], place: str, bench: Bench) -> dict[Run, Figures]:
    """What is stored of ``runs`` on laboratory ``place``, beside a button for those that were not asked yet."""
    stored = {run: kept(run).get(place) for run in runs}
    missing = [run for run in runs if not stored[run]]
    if missing:
        names = listed([bench.names[run.name] for run in missing])
        st.info(
            f"{names} {'has' if len(missing) == 1 else 'have'} not been asked about {get_dataset(place).title} yet. "
            "That takes seconds to a minute, on this computer.",
            icon=":material/quiz:",
        )
        if st.button("Ask now", icon=":material/play_arrow:", key="ask_elsewhere"):
            _ask(missing, place, bench)
            st.rerun()
    return {run: figures["doubt"] | {"voices": figures.get("voices")} for run, figures in stored.items() if figures}


def _ask(runs: Sequence[Run], place: str, bench: Bench) -> None:
    bar = st.progress(0.0, "Reading the pictures")

    def show(step: Progress) -> None:
        bar.progress(step.done / max(1, step.total), f"{sentence_case(step.message)}: {step.done} of {step.total}")

    lab = lab_pictures(place, show)
    for run in runs:
        figures, _ = evaluate_on(run, lab, show)
        keep(run, place, figures)
    bar.empty()


def _draw(by_run: Mapping[Run, Figures], place: str, title: str, bench: Bench) -> None:
    runs = list(by_run)
    found = {bench.names[run.name]: figures for run, figures in by_run.items()}
    spec = known(runs[-1])
    codes, names = list(spec.codes), dict(zip(spec.codes, spec.class_names, strict=True))
    key = (place, tuple((*catalogue.mark(run), by_run[run]["risk"]["area"]) for run in runs), tuple(found), bench.dark)
    look = {"unit": bench.unit, "dark": bench.dark}
    nominal = next(iter(found.values()))["nominal"]
    halves = st.grid(2, min_column_width=400, gap="medium")
    with halves.container():
        said = reliability_points(found)
        fig = drawn(("reliability", *key), lambda: reliability_figure(said, title=reliability_title(found), **look))
        exported(fig, said, "reliability", "reliability")
    with halves.container():
        risk = risk_points(found)
        heading = risk_title(found, bench.unit)
        fig = drawn(("risk", *key), lambda: risk_figure(risk, title=heading, **look))
        exported(fig, risk, "risk", "risk")
    st.caption(
        f"Left: of the answers given with so much probability, how many are right; on the dotted line what is said is "
        f"what is right. Right: where only the surest {bench.unit}s are answered, how many of these answers are wrong "
        "(Geifman and El-Yaniv 2017); the dotted line is 1 %. Val set the calibration, none of these "
        f"{bench.unit}s did."
    )
    held = coverage_points(found, codes)
    name = coverage_title(held, names, nominal, bench.unit)
    fig = drawn(("lists", *key), lambda: coverage_figure(held, codes, names, nominal, title=name, **look))
    exported(fig, held, "short-lists", "short_lists")
    promise = (
        f"The lists promise to hold the right class of {100 * nominal:.0f} % of each class's {bench.unit}s like those "
        "of val (conformal prediction for each class: Sadinle, Lei and Wasserman 2019, arXiv:1609.00451)."
    )
    away = f" For {bench.unit}s of another laboratory nothing is promised." if place != _HOME else ""
    where = f"{title}, framed as uploads are" if place != _HOME else f"test {bench.unit}s of {runs[-1].provenance}"
    counts = listed(sorted({f"{figures['n']:,}" for figures in found.values()}))
    st.caption(f"On {counts} {bench.unit}s: {where}. {promise} An unsure answer shows its list.{away}")
    _table(found, bench)


def _table(found: Mapping[str, Figures], bench: Bench) -> None:
    table = doubt_table(found)
    number = st.column_config.NumberColumn
    units = f"{bench.unit}s"
    sure_from = ", ".join(f"{100 * figures['sure_from']:.0f} %" for figures in found.values())
    config = {
        "name": st.column_config.TextColumn("Model", pinned=True),
        "cells": number(sentence_case(units), format="localized"),
        "error": number("Said against right", format="%.2f", help="Expected calibration error in points, 15 bins."),
        "sure": number(
            "Sure",
            format="%.1f %%",
            help=f"Share of the {units} answered with the probability of a sure answer "
            f"or more ({sure_from}), set on val so that 99.5 % of them are right.",
        ),
        "sure_right": number("Right when sure", format="%.2f %%"),
        "held": number("List holds it", format="%.2f %%", help="Share of short lists that hold the right class."),
        "lowest": number("Lowest class", format="%.1f %%", help="The class whose lists hold it least often."),
        "size": number(
            "Classes in a list", format="%.2f", help="Mean; the model's list for every answer, also sure ones."
        ),
        "single": number("Lists of one", format="%.1f %%"),
        "answered": number(
            "Answered at 1 % wrong",
            format="%.1f %%",
            help=f"The largest share of the {units}, surest first, of which 1 % of the answers are wrong.",
        ),
    }
    config |= {
        "foreign": number(
            "Foreign", format="%.1f %%", help=f"Share of the {units} answered as not looking like those it knows."
        ),
        "sure_and_wrong": number(
            "Sure and wrong", format="%.1f %%", help=f"Share of all {units}, after the foreign ones were told apart."
        ),
    }
    order = [column for column in config if not table[column].isna().all()]
    st.dataframe(table, hide_index=True, column_config=config, column_order=order, placeholder="–")
    st.download_button(
        "Download table (CSV)",
        lambda: csv_text(table),
        f"hemalens-doubt-{bench.spec.name}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
