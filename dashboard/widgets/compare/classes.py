"""Compare, class by class: how well each run finds each class and leaves the others alone."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.evaluation.curves import ClassCurves
from core.runs import Run
from core.serving.domain import known
from core.serving.wording import of_class, sentence_case
from dashboard import catalogue
from dashboard.by_class import TITLES, class_measures, class_table, curve_points
from dashboard.drawn import drawn
from dashboard.figures.classes import (
    MOST_RUNS,
    measure_dots,
    precision_recall_figure,
    precision_title,
    roc_figure,
    roc_title,
)
from dashboard.figures.style import class_colours, series_colours
from dashboard.scored import curves
from dashboard.widgets.choice import choice
from dashboard.widgets.compare.bench import Bench
from dashboard.widgets.compare.ticks import tick_runs
from dashboard.widgets.export import exported

_HELP = {
    "sensitivity": "Share of the class's {unit}s that are found (also called recall).",
    "specificity": "Share of all other {unit}s that are not called so.",
    "precision": "Share of the {unit}s called so that are of the class; it depends on how common the class is.",
    "f1": "Harmonic mean of sensitivity and precision; its interval is carried over from that of F*.",
}


def classes(bench: Bench) -> None:
    """Sensitivity, specificity, precision and F1 of the ticked runs with intervals, and their curves."""
    runs = _of_one_kind(tick_runs(bench, "Runs", help="The runs ticked in the table of all runs."))
    if not runs:
        st.info("Choose a run above, and how it does on every class appears here.", icon=":material/category:")
        return
    spec = known(runs[0])
    codes, names = list(spec.codes), dict(zip(spec.codes, spec.class_names, strict=True))
    measures = class_measures(runs, bench.names)
    shown = measures[measures["run"].isin([run.name for run in runs[-MOST_RUNS:]])]
    marks = tuple(catalogue.mark(run) for run in runs[-MOST_RUNS:])
    labels = tuple(dict.fromkeys(shown["model"]))
    key = ("measure_dots", marks, labels, bench.dark)
    dots = drawn(key, lambda: measure_dots(shown, codes, names, unit=bench.unit, dark=bench.dark))
    exported(dots, shown, "classes", "class_measures")
    more = (
        f" Drawn: the last {MOST_RUNS} of {len(runs)} chosen runs; the table has all." if len(runs) > MOST_RUNS else ""
    )
    st.caption(
        f"Lines are 95 % intervals (Wilson), on {runs[0].metrics['test']['n']:,} test {bench.unit}s. Each panel has "
        f"its own axis.{more}"
    )
    _table(measures, len(runs), bench.unit)
    _curves(runs, bench, codes, names)


def _of_one_kind(runs: Sequence[Run]) -> list[Run]:
    """The runs that know the last chosen one's classes; the others are named."""
    same = [run for run in runs if run.codes == runs[-1].codes]
    if len(same) < len(runs):
        st.caption("Runs of other classes than the last chosen one's are left out here.")
    return same


def _table(measures: pd.DataFrame, runs: int, unit: str) -> None:
    table = class_table(measures)
    config = {
        "class": st.column_config.TextColumn("Class", pinned=True, width="small"),
        "model": st.column_config.TextColumn("Model", pinned=runs > 1),
        "cells": st.column_config.NumberColumn(
            f"{sentence_case(unit)}s", format="localized", help=f"Test {unit}s of the class."
        ),
    }
    for measure, title in TITLES.items():
        config[measure] = st.column_config.NumberColumn(title, format="%.1f %%", help=_HELP[measure].format(unit=unit))
        config[f"{measure} interval"] = st.column_config.TextColumn("95 % interval", alignment="right")
    order = [c for c in config if runs > 1 or c != "model"]
    height = 39 + 35 * min(len(table), 12)
    st.dataframe(table, hide_index=True, column_config=config, column_order=order, placeholder="–", height=height)


def _curves(runs: Sequence[Run], bench: Bench, codes: Sequence[str], names: dict[str, str]) -> None:
    """ROC and precision-recall curves, one-vs-rest: one class over the runs, or one run over all classes."""
    st.subheader("ROC and precision-recall curves", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        across = {"runs": "One class, the chosen runs", "classes": "One run, every class"}
        by = choice("curves", "Curves of", across, "runs" if len(runs) > 1 else "classes", "set of curves", hidden=True)
        if by == "runs":
            titles = {code: f"{code} · {names[code]}" for code in codes}
            code = choice("cell_class", "Class", titles, _hardest(runs[-1]), "class", box=True, width=260)
            found = {bench.names[run.name]: (run, codes.index(code)) for run in runs}
            of, colours = sentence_case(of_class(names[code], bench.unit)), series_colours(len(runs), bench.dark)
        else:
            titles = {run.name: bench.names[run.name] for run in runs}
            name = choice("curves_of", "Run", titles, runs[-1].name, "run", box=True)
            run = next(run for run in runs if run.name == name)
            found = {code: (run, index) for index, code in enumerate(codes)}
            of, colours = bench.names[run.name], list(class_colours(codes, bench.dark).values())
        zoom = {"corner": "Corner enlarged", "whole": "Whole curves"}
        corner = choice("zoom", "Zoom", zoom, "corner", "zoom", hidden=True, help="The curves bend in one corner.")
    lines, dots, kept = _read(found, colours)
    options = {"corner": corner == "corner", "dark": bench.dark}
    key = (of, tuple((name, catalogue.mark(run), index) for name, (run, index) in found.items()), corner, bench.dark)
    halves = st.grid(2, min_column_width=400, gap="medium")
    with halves.container():
        points = {name: (1 - d["specificity"], d["sensitivity"]) for name, d in dots.items()}
        title = roc_title(lines, of)
        fig = drawn(("roc", *key), lambda: roc_figure(lines, kept, title=title, answers=points, **options))
        exported(fig, curve_points(lines, "roc"), "roc", "roc")
    with halves.container():
        spots = {name: (d["sensitivity"], d["precision"]) for name, d in dots.items() if d["precision"] is not None}
        name = precision_title(lines)
        fig = drawn(
            ("precision_recall", *key),
            lambda: precision_recall_figure(lines, kept, title=name, answers=spots, **options),
        )
        exported(fig, curve_points(lines, "precision_recall"), "precision-recall", "precision_recall")
    st.caption(
        f"Each class against all others, as the probability from which a {bench.unit} is called so is lowered. Dots: "
        f"the answers as given, each {bench.unit} the likeliest class. AUROC: how often one of the class gets a higher "
        "probability than another; average precision weighs rare classes harder."
    )


def _read(
    found: dict[str, tuple[Run, int]], colours: Sequence[str]
) -> tuple[dict[str, ClassCurves], dict[str, dict[str, float]], list[str]]:
    """Curves by name, what the answers as given reach, and the colours of those that have curves."""
    lines, dots, kept = {}, {}, []
    for colour, (name, (run, index)) in zip(colours, found.items(), strict=True):
        one = curves(run, index)
        if one is None:
            continue
        lines[name] = one
        kept.append(colour)
        stored = run.metrics["test"]["per_class"]
        dots[name] = {measure: stored[measure][index] for measure in ("sensitivity", "specificity", "precision")}
    return lines, dots, kept


def _hardest(run: Run) -> str:
    """The code of the class that ``run`` finds least often."""
    found = run.metrics["test"]["per_class"]["sensitivity"]
    return min(zip(run.codes, found, strict=True), key=lambda p: 2 if p[1] is None else p[1])[0]
