"""Compare, cell by cell: the test cells that most runs get wrong, labels that may be the mistake, and what the runs
reach together.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.datasets import DatasetSpec
from core.datasets.quality.near_duplicates import ImageRef, identical_images
from core.evaluation.hard_examples import EnsembleAccuracy, Hardness, Votes
from core.formatting import capitalized, counted, percent
from core.inference.scope import spec_for
from core.runs import Run
from dashboard import cache
from dashboard.charts import csv_button, show_figure
from dashboard.compare import PICTURE_SIDE, CompareContext, HardImages, hard_images, tile_page
from dashboard.page import link, view
from dashboard.pictures import enlarge
from dashboard.style import LEGEND_ABOVE, class_colours, finish, ground
from dashboard.url_state import choice


def hard_cells(votes: Votes, hard: Hardness, codes: Sequence[str], *, suspects_first: bool) -> pd.DataFrame:
    """One row for each image that any model misses, the hardest (or most suspicious) first.

    Columns: id, label (code), instead (the code most models name instead), wrong (how many models miss it),
    models, wrong_share, p_label, votes (how many models name the other class), p_instead, suspect (bool).
    Shares and probabilities are in 0 to 1.
    """
    order = hard.order(suspects_first=suspects_first)
    names = np.array(list(codes))
    return pd.DataFrame(
        {
            "id": votes.ids[order],
            "label": names[votes.labels[order]],
            "instead": names[hard.rival[order]],
            "wrong": votes.wrong[order],
            "models": votes.models,
            "wrong_share": hard.error_rate[order],
            "p_label": hard.p_label[order],
            "votes": np.rint(hard.rival_fraction[order] * votes.models).astype(int),
            "p_instead": hard.p_rival[order],
            "suspect": hard.suspect[order],
        }
    )


def missed_by(votes: Votes, codes: Sequence[str]) -> pd.DataFrame:
    """How many images of each class are missed by how many models: columns missed_by, code, cells; every pair once."""
    wrong = votes.wrong
    rows = [
        (count, code, int(((wrong == count) & (votes.labels == index)).sum()))
        for count in range(votes.models + 1)
        for index, code in enumerate(codes)
    ]
    return pd.DataFrame(rows, columns=["missed_by", "code", "cells"])


def missed_histogram(
    missed: pd.DataFrame,
    together: EnsembleAccuracy,
    codes: Sequence[str],
    names: Mapping[str, str],
    *,
    unit: str = "cell",
    dark: bool = False,
    height: int = 300,
) -> go.Figure:
    """Bars of how many cells are missed by 1, 2, ... all models, stacked by true class in the classes' colours.

    ``missed`` is `dashboard.compare.hardest.missed_by`. Cells that nobody misses are told in words: their bar would
    leave no room for the others. ``unit`` is what one picture shows.
    """
    models, colours = len(together.missed) - 1, class_colours(codes, dark)
    fig = go.Figure()
    for code in codes:
        of_class = missed[(missed["code"] == code) & (missed["missed_by"] > 0)]
        if not of_class["cells"].any():
            continue
        marker = {"color": colours[code], "line": {"width": 0.5, "color": ground(dark)["background"]}}
        hover = f"%{{y}} {unit}s labelled {names[code]} are missed by %{{x}} of {models}<extra></extra>"
        fig.add_bar(x=of_class["missed_by"], y=of_class["cells"], name=code, marker=marker, hovertemplate=hover)
    totals = together.missed[1:]
    fig.add_scatter(
        x=list(range(1, models + 1)),
        y=totals,
        mode="text",
        text=[f"{n:,}" if n else "" for n in totals],
        textposition="top center",
        textfont={"color": ground(dark)["text"], "size": 12},
        hoverinfo="skip",
        showlegend=False,
        cliponaxis=False,
    )
    finish(fig, title=missed_title(together, unit), height=height, dark=dark)
    fig.update_layout(LEGEND_ABOVE, barmode="stack", bargap=0.15)
    step = 1 if models <= 16 else 2 if models <= 32 else 5
    fig.update_xaxes(title_text=f"Missed by so many of {models} models", showgrid=False, dtick=step)
    fig.update_xaxes(range=[0.4, models + 0.6])
    top = 1.14 * max(1, int(totals.max(initial=0)))
    return fig.update_yaxes(title_text=f"Test {unit}s", rangemode="tozero", range=[0, top])


def missed_title(together: EnsembleAccuracy, unit: str = "cell") -> str:
    """What the histogram says: the cells that no model gets, and those that none misses."""
    models, nobody, everybody = len(together.missed) - 1, int(together.missed[-1]), int(together.missed[0])
    if everybody == together.n:
        return f"Every one of {counted(together.n, unit)} is named right by every model"
    none = f"{counted(everybody, unit)} of {together.n:,} missed by none"
    if models == 1:
        return f"{none}, {nobody:,} by the one model shown"
    return f"{none}, {nobody:,} by all {models}"


def comparable_runs(runs: Sequence[Run]) -> list[Run]:
    """The runs whose answers may be counted together: of the data that most of ``runs`` were scored on.

    Combinations (ensembles, averaged views) don't vote: the models that they ask do already.
    """
    single = [run for run in runs if run.kind != "combination"] or list(runs)
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in single:
        groups.setdefault((run.dataset, run.provenance, run.scheme, *run.codes), []).append(run)
    return max(groups.values(), key=len, default=[])


def exact_duplicates(run: Run) -> dict[str, tuple[ImageRef, ...]]:
    """By id of a test image: the other images of the data set that are the same picture. {} without the images."""
    return _exact_duplicates(run, cache.images_version(run.dataset))


@st.cache_resource(max_entries=4, show_spinner="Looking for identical pictures", hash_funcs=cache.BY_VERSION)
def _exact_duplicates(run: Run, images: str) -> dict[str, tuple[ImageRef, ...]]:
    by_id: dict[str, tuple[ImageRef, ...]] = {}
    loaded = cache.scored_images(run)
    for members in identical_images(loaded) if loaded is not None else ():
        for one in members:
            if one.split == "test":
                by_id[one.id] = tuple(other for other in members if other != one)
    return by_id


_LEVELS = (
    ("Best model alone", "The highest accuracy on test among the models shown."),
    ("Mean of all", "Each {unit} gets the class with the highest mean probability over the models shown."),
    (
        "At least one is right",
        "What picking the right model for every {unit} would reach. Nobody can pick so: it is an upper bound for any "
        "way of choosing among these models.",
    ),
)


@view(":material/troubleshoot: Hardest {unit}s", order=40)
def render(context: CompareContext) -> None:
    """The cells that the shown runs miss, possible label errors first; what the runs reach together."""
    runs = comparable_runs(context.runs)
    difficulty = hard_images(runs)
    spec = spec_for(runs[0])
    codes, names = list(spec.codes), spec.names
    with st.container(horizontal=True, vertical_alignment="bottom"):
        orders = {"labels": "Possible label errors first", "missed": "Missed by most first"}
        by = choice("order", "Order", orders, "labels", "order", hidden=True)
        titles = {"all": "All classes"} | {code: f"{code} · {names[code]}" for code in codes}
        only = choice("labelled", "Labelled", titles, "all", "class", box=True, width=260)
    table = hard_cells(difficulty.votes, difficulty.hardness, codes, suspects_first=by == "labels")
    table = table[table["label"] == only] if only != "all" else table
    _summary(table, difficulty, only, context.unit)
    if len(table):
        _cells_section(table, difficulty, spec, f"{by}-{only}-{len(difficulty.runs)}")
    st.header("What all of them miss", anchor=False)
    _together_section(difficulty, context, codes, names)


def _together_section(
    difficulty: HardImages, context: CompareContext, codes: list[str], names: Mapping[str, str]
) -> None:
    """How many cells are missed by how many models; what the models reach alone and together."""
    together, models = difficulty.combined, len(difficulty.runs)
    missed = missed_by(difficulty.votes, codes)
    with st.container(horizontal=True, gap="medium"):
        with st.container(width=980):  # the levels beside it, or below it on a narrow page
            bars = partial(missed_histogram, missed, together, codes, names, unit=context.unit, dark=context.dark)
            show_figure(bars, missed, "missed-by", "missed_by", made_of=(difficulty.runs, context.dark))
        with st.container(width=230):
            values = (together.best, together.mean, together.any_right)
            for (label, help_line), value in zip(_LEVELS, values, strict=True):
                st.metric(label, f"{100 * value:.2f} %", help=help_line.format(unit=context.unit))
    sizes = sorted({run.size for run in difficulty.runs})
    parts = [f"{counted(models, 'model')} on {together.n:,} test {context.unit}s of {difficulty.runs[0].provenance}"]
    if len(sizes) > 1:
        parts.append(f"seen at {' and '.join(map(str, sizes))} px and matched by their ids")
    if left := len(context.runs) - models:
        why = f"combinations of these models, or scored on other {context.unit}s"
        parts.append(f"{counted(left, 'run')} left out ({why})")
    st.caption("; ".join(parts) + ".")


def _summary(table: pd.DataFrame, difficulty: HardImages, only: str, unit: str) -> None:
    """How many there are, what 'possible label error' means, and the table to take along."""
    suspects = int(table["suspect"].sum())
    kind = "" if only == "all" else f" labelled {only}"
    if table.empty:
        st.info(f"No test {unit}{kind} is missed by any model shown here.", icon=":material/check_circle:")
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(
            f"**{counted(len(table), unit)}**{kind} missed by at least one model, among them "
            f"**{counted(suspects, 'possible label error')}**.",
            width="content",
            help="Most models agree on one other class, and their mean probability of it is as high as it usually is "
            f"on {unit}s that are labelled so (the rule of confident learning, Northcutt et al. 2021). A person who "
            "knows them must decide; the models may share an error.",
        )
        csv_button(
            f"Download these {unit}s (CSV)",
            lambda: table.drop(columns="wrong_share"),
            f"hardest-{difficulty.runs[0].dataset}{'' if only == 'all' else f'-{only}'}",
            type="tertiary",
        )


def _cells_section(table: pd.DataFrame, difficulty: HardImages, spec: DatasetSpec, pager_key: str) -> None:
    """A wall of pictures where they are here, else the table of facts and the way to the pictures."""
    pictures = cache.largest_pictures(difficulty.runs)
    if isinstance(pictures, str):
        best = max(difficulty.runs, key=lambda run: run.size)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f":material/image: {pictures}")
            query = {"dataset": best.dataset, "size": str(best.size)}
            link("dataset", "Get the pictures", icon=":material/download:", query=query)
        _fact_table(table, spec.unit)
        return
    shown, alike = pictures, exact_duplicates(pictures.run)
    tile_page(f"hardest-{pager_key}", table, lambda cell: _tile(cell, shown, alike.get(cell["id"], ()), spec))


def _tile(cell: pd.Series, pictures: cache.TestPictures, same: tuple[ImageRef, ...], spec: DatasetSpec) -> None:
    """One cell: its picture, its label, what the models say instead, and the way to Explain."""
    names, unit = spec.names, spec.unit
    identity, label, instead = cell["id"], cell["label"], cell["instead"]
    picture = pictures.get(identity)
    if picture is not None:
        alt = f"test {unit} {identity}, labelled {names[label]}"
        st.image(enlarge(picture, PICTURE_SIDE), width="stretch", alt=alt)
    st.markdown(
        f"**{label}** :material/arrow_forward: **{instead}**",
        help=f"Labelled {names[label]}; the models that err say {names[instead]} most often.",
    )
    wrong, votes = f"{cell['wrong']} of {cell['models']}", cell["votes"]
    lines = [
        f"{wrong} say {instead}" if votes == cell["wrong"] else f"{wrong} miss it, {votes} say {instead}",
        f"{label} {percent(cell['p_label'])}, {instead} {percent(cell['p_instead'])}",
    ]
    if cell["suspect"]:
        lines.append(":material/flag: possible label error")
    for other in same:
        called = f", labelled {spec.codes[other.label]}" if spec.codes[other.label] != label else ""
        lines.append(f":material/content_copy: the same picture is {other.split} {other.id}{called}")
    st.caption("  \n".join([*lines, f"{unit} {identity}"]))
    if spec.real:  # drawn cells can't be found again by a link
        query = {"dataset": pictures.run.dataset, "cell": f"{label} {identity}"}
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
            "id": st.column_config.TextColumn(capitalized(unit), pinned=True),
            "label": st.column_config.TextColumn("Labelled"),
            "instead": st.column_config.TextColumn("Named instead", help="By most of the models that err."),
            "wrong": whole("Miss it", help=f"Of {int(table['models'].iloc[0])} models."),
            "votes": whole("Say the other", help="Models that name this other class."),
            "p_label": whole("Probability of the label", format="%.0f %%", help="Mean over the models."),
            "p_instead": whole("Of the other", format="%.0f %%", help="Mean over the models."),
            "suspect": st.column_config.CheckboxColumn("Possible label error"),
        },
    )
