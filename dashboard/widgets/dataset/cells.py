"""Dataset, the pictures: how many of each class there are, what they look like, what tells them from their like."""

import streamlit as st

from core.datasets import SPLITS
from dashboard import explore, stand_in
from dashboard.figures.dataset import class_bars, colour_histograms
from dashboard.widgets import cells as pictures
from dashboard.widgets.dataset.missing import missing_images
from dashboard.widgets.dataset.view import View
from dashboard.widgets.page import plot
from dashboard.widgets.waiting import Waiting


def cells(view: View) -> None:
    """Bars at the left, a wall of the chosen class at the right; below its neighbours and the facts."""
    halves = st.grid(2, min_column_width=430, gap="medium")
    with halves.container():
        _bars(view)
    with halves.container():
        _wall(view)
    if view.summary is None:
        return
    st.subheader(f"What tells {view.some(view.code)} from their neighbours", anchor=False)
    near = pictures.show_neighbours(view.summary, view.spec, view.code)
    fig = colour_histograms(view.summary, view.spec.classes, near, unit=view.spec.unit, dark=view.dark)
    plot(fig, key="colours")

    st.subheader("Facts", anchor=False)
    columns = st.grid(2, min_column_width=430, gap="medium")
    with columns.container():
        facts = pictures.facts(view.spec, view.summary, view.loaded, view.size)
        st.table(facts, hide_index=True, hide_header=True, border="horizontal")
    with columns.container():
        pictures.show_counts(pictures.counts_table(view.summary, view.spec.classes))


def _bars(view: View) -> None:
    if view.summary is None:
        return
    chart = f"bars-{view.name}-{view.size}-{view.code}"
    plot(
        class_bars(view.summary, view.spec.classes, view.code, unit=view.spec.unit, dark=view.dark),
        key=chart,
        on_select=lambda: _bar_chosen(chart),
        selection_mode="points",
    )
    note = f"{view.note} " if view.note else ""
    st.caption(f"Click a bar to see its {view.spec.unit}s. {note}Counted in: {view.summary.provenance.label}.")


def _bar_chosen(key: str) -> None:
    """A click on a bar chooses its class, and its split."""
    points = st.session_state[key].selection.points
    if points and "customdata" in points[0]:
        code, split = points[0]["customdata"][:2]
        st.session_state["class"], st.session_state["split"] = code, split


def _wall(view: View) -> None:
    missing_images(view)
    if view.loaded is None and not view.can_stand_in:
        return
    count = explore.pages(explore.count(view.loaded, view.code, view.split))
    start, pager = explore.first_page(f"{view.name}-{view.size}-{view.scheme}-{view.code}-{view.split}", count)
    place = st.container()
    page = st.pagination(count, default=start, key=pager)
    explore.share_page(page)
    with place:
        waiting = Waiting("Generating cells")
    wall = explore.wall(view.spec, view.loaded, view.size, view.code, view.split, page, waiting)
    with place:
        if len(wall.images):
            about = None if wall.real else stand_in.about(view.spec)
            pictures.show_wall(wall, view.some(view.code), view.size, about)
        else:
            here = [s for s in SPLITS if explore.count(view.loaded, view.code, s)]
            st.info(f"{view.split} has no {view.some(view.code)}; look in {' or '.join(here)}.")
