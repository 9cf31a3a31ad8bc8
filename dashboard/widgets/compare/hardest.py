"""Compare, cell by cell: the test cells that most runs get wrong, and labels that may be the mistake."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import streamlit as st

from core.datasets import DatasetSpec, LoadedDataset
from core.datasets.twins import Member
from core.runs import Run
from core.serving.domain import known
from core.serving.wording import count, percent, sentence_case
from dashboard import catalogue, explore
from dashboard.by_class import hard_cells, missed_by
from dashboard.drawn import drawn
from dashboard.figures.hardest import missed_histogram
from dashboard.scored import Hard, hard, twins, voters
from dashboard.widgets.choice import choice
from dashboard.widgets.compare.bench import Bench
from dashboard.widgets.export import csv_text, exported
from dashboard.widgets.page import link
from dashboard.widgets.pictures import enlarge

PER_PAGE = 12
_SIDE = 128
_LEVELS = (
    ("Best model alone", "best", "The highest accuracy on test among the models shown."),
    ("Mean of all", "mean", "Each {unit} gets the class with the highest mean probability over the models shown."),
    (
        "At least one is right",
        "any_right",
        "What picking the right model for every {unit} would reach. Nobody can pick so: it is an upper bound for any "
        "way of choosing among these models.",
    ),
)


def hardest(bench: Bench) -> None:
    """The cells that the shown runs miss, possible label errors first; what the runs reach together."""
    runs = voters(bench.runs)
    found = hard(runs)
    spec = known(runs[0])
    codes, names = list(spec.codes), dict(zip(spec.codes, spec.class_names, strict=True))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        orders = {"labels": "Possible label errors first", "missed": "Missed by most first"}
        by = choice("order", "Order", orders, "labels", "order", hidden=True)
        titles = {"all": "All classes"} | {code: f"{code} · {names[code]}" for code in codes}
        only = choice("labelled", "Labelled", titles, "all", "class", box=True, width=260)
    table = hard_cells(found.votes, found.hardness, codes, suspects_first=by == "labels")
    table = table[table["label"] == only] if only != "all" else table
    _summary(table, found, only, bench.unit)
    if len(table):
        _cells(table, found, spec, f"{by}-{only}-{len(found.runs)}")
    st.subheader("What all of them miss", anchor=False)
    _together(found, bench, codes, names)


def _together(found: Hard, bench: Bench, codes: list[str], names: Mapping[str, str]) -> None:
    """How many cells are missed by how many models; what the models reach alone and together."""
    together, models = found.combined, len(found.runs)
    missed = missed_by(found.votes, codes)
    with st.container(horizontal=True, gap="medium"):
        with st.container(width=980):  # the levels beside it, or below it on a narrow page
            key = ("missed", tuple(catalogue.mark(run) for run in found.runs), bench.dark)
            fig = drawn(key, lambda: missed_histogram(missed, together, codes, names, unit=bench.unit, dark=bench.dark))
            exported(fig, missed, "missed-by", "missed_by")
        with st.container(width=230):
            for label, value, help_line in _LEVELS:
                st.metric(label, f"{100 * getattr(together, value):.2f} %", help=help_line.format(unit=bench.unit))
    sizes = sorted({run.size for run in found.runs})
    parts = [f"{count(models, 'model')} on {together.n:,} test {bench.unit}s of {found.runs[0].provenance}"]
    if len(sizes) > 1:
        parts.append(f"seen at {' and '.join(map(str, sizes))} px and matched by their ids")
    left = len(bench.runs) - models
    if left:
        parts.append(f"{count(left, 'run')} left out (combinations of these models, or scored on other {bench.unit}s)")
    st.caption("; ".join(parts) + ".")


def _summary(table: pd.DataFrame, found: Hard, only: str, unit: str) -> None:
    """How many there are, what 'possible label error' means, and the table to take along."""
    suspects = int(table["suspect"].sum())
    kind = "" if only == "all" else f" labelled {only}"
    if table.empty:
        st.info(f"No test {unit}{kind} is missed by any model shown here.", icon=":material/check_circle:")
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(
            f"**{count(len(table), unit)}**{kind} missed by at least one model, among them "
            f"**{count(suspects, 'possible label error')}**.",
            width="content",
            help="Most models agree on one other class, and their mean probability of it is as high as it usually is "
            f"on {unit}s that are labelled so (the rule of confident learning, Northcutt et al. 2021). A person who "
            "knows them must decide; the models may share an error.",
        )
        st.download_button(
            f"Download these {unit}s (CSV)",
            lambda: csv_text(table.drop(columns="wrong_share")),
            f"hemalens-hardest-{found.runs[0].dataset}{'' if only == 'all' else f'-{only}'}.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            type="tertiary",
        )


def _cells(table: pd.DataFrame, found: Hard, spec: DatasetSpec, view: str) -> None:
    """A wall of pictures where they are here, else the table of facts and the way to the pictures."""
    seen, loaded = _pictured(found.runs)
    if loaded is None:
        best = max(found.runs, key=lambda run: run.size)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f":material/image: Pictures appear here once {best.provenance} at {best.size} px is on this computer."
            )
            link("dataset", "Get the pictures", icon=":material/download:", query=_address(best, size=str(best.size)))
        _fact_table(table, spec.unit)
        return
    start, pager = explore.first_page(f"hardest-{view}", pages := -(-len(table) // PER_PAGE))
    place = st.container()
    page = st.pagination(pages, default=start, key=pager)
    explore.share_page(page)
    split = loaded["test"]
    where = {identity: i for i, identity in enumerate(split.ids)}
    alike = twins(seen)
    with place, st.grid(6, min_column_width=150, gap="small"):
        for cell in table.iloc[(page - 1) * PER_PAGE : page * PER_PAGE].itertuples():
            picture = split.images[where[cell.id]] if cell.id in where else None
            _tile(cell, picture, alike.get(cell.id, ()), seen, spec)


def _tile(cell, picture: np.ndarray | None, same: tuple[Member, ...], run: Run, spec: DatasetSpec) -> None:
    """One cell: its picture, its label, what the models say instead, and the way to Explain."""
    names, unit = dict(zip(spec.codes, spec.class_names, strict=True)), spec.unit
    with st.container(border=True, gap="xsmall"):
        if picture is not None:
            st.image(
                enlarge(picture, _SIDE), width="stretch", alt=f"test {unit} {cell.id}, labelled {names[cell.label]}"
            )
        st.markdown(
            f"**{cell.label}** {':material/arrow_forward:'} **{cell.instead}**",
            help=f"Labelled {names[cell.label]}; the models that err say {names[cell.instead]} most often.",
        )
        wrong = f"{cell.wrong} of {cell.models}"
        lines = [
            f"{wrong} say {cell.instead}"
            if cell.votes == cell.wrong
            else f"{wrong} miss it, {cell.votes} say {cell.instead}",
            f"{cell.label} {percent(cell.p_label)}, {cell.instead} {percent(cell.p_instead)}",
        ]
        if cell.suspect:
            lines.append(":material/flag: possible label error")
        for other in same:
            label = f", labelled {spec.codes[other.label]}" if spec.codes[other.label] != cell.label else ""
            lines.append(f":material/content_copy: the same picture is {other.split} {other.id}{label}")
        st.caption("  \n".join([*lines, f"{unit} {cell.id}"]))
        if spec.real:  # drawn cells can't be found again by a link
            query = _address(run, cell=f"{cell.label} {cell.id}")
            link("explain", "Explain", icon=":material/visibility:", query=query)


def _fact_table(table: pd.DataFrame, unit: str) -> None:
    """The facts without pictures."""
    shown = table.assign(p_label=100 * table["p_label"], p_instead=100 * table["p_instead"])
    whole = st.column_config.NumberColumn
    st.dataframe(
        shown,
        hide_index=True,
        height=420,
        column_order=["id", "label", "instead", "wrong", "votes", "p_label", "p_instead", "suspect"],
        column_config={
            "id": st.column_config.TextColumn(sentence_case(unit), pinned=True),
            "label": st.column_config.TextColumn("Labelled"),
            "instead": st.column_config.TextColumn("Named instead", help="By most of the models that err."),
            "wrong": whole("Miss it", help=f"Of {int(table['models'].iloc[0])} models."),
            "votes": whole("Say the other", help="Models that name this other class."),
            "p_label": whole("Probability of the label", format="%.0f %%", help="Mean over the models."),
            "p_instead": whole("Of the other", format="%.0f %%", help="Mean over the models."),
            "suspect": st.column_config.CheckboxColumn("Possible label error"),
        },
    )


def _pictured(runs: tuple[Run, ...]) -> tuple[Run | None, LoadedDataset | None]:
    """The run of the largest pictures that are on this computer, and these pictures."""
    for size in sorted({run.size for run in runs}, reverse=True):
        run = next(run for run in runs if run.size == size)
        loaded = catalogue.scored_on(run)
        if loaded is not None:
            return run, loaded
    return None, None


def _address(run: Run, **more: str) -> dict[str, str]:
    return {"dataset": run.dataset, **more}
