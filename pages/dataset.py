"""Dataset: how many cells of each class there are, what they look like, and what tells them apart."""

import streamlit as st

from core.datasets import SPLITS, dataset_names
from core.serving.wording import plural
from dashboard import catalogue, explore, state
from dashboard.figures.dataset import class_bars, colour_histograms
from dashboard.widgets import cells
from dashboard.widgets.download import offer_download
from dashboard.widgets.page import header, is_dark, plot

PAGE = {"title": "Dataset", "icon": ":material/grid_view:", "path": "dataset", "order": 20}

header("Dataset", "See many cells of a kind, and what tells one kind from another.")


def bar_chosen(key: str) -> None:
    """A click on a bar chooses its class, and its split."""
    points = st.session_state[key].selection.points
    if points and "customdata" in points[0]:
        code, split = points[0]["customdata"][:2]
        st.session_state["class"], st.session_state["split"] = code, split


# ---------------------------------------------------------------- what is looked at
name = explore.choose_dataset()
spec = catalogue.spec(name)
titles = {c.code: c.name for c in spec.classes}
sizes = [str(size) for size in spec.sizes]
default_size = "64" if "64" in sizes else sizes[0]
for notice in (
    state.prepare("class", spec.codes, spec.codes[0], what="class"),
    state.prepare("size", sizes, default_size, what="image size"),
    state.prepare("split", SPLITS, SPLITS[0], what="split"),
):
    if notice:
        st.info(notice, icon=":material/link:")

with st.container(horizontal=True, vertical_alignment="bottom"):
    code = st.selectbox("Class", spec.codes, key="class", format_func=lambda c: f"{c}  {titles[c]}", width=260)
    size = int(
        st.segmented_control(
            "Pixels a side",
            sizes,
            key="size",
            required=True,
            help="The same cells, published at four sizes. A model is trained for one of them.",
        )
    )
    split = st.segmented_control(
        "Split",
        SPLITS,
        key="split",
        required=True,
        help="Models learn from train, are chosen by val, and are scored once on test.",
    )
    st.selectbox("Data set", dataset_names(), key="dataset", format_func=lambda n: catalogue.spec(n).title, width=220)
for key in ("dataset", "class", "size", "split"):
    state.share(key)

loaded, broken = explore.present(name, size)
summary, note = explore.statistics(name, size, loaded)
cell = next(c for c in spec.classes if c.code == code)

# ---------------------------------------------------------------- bars at the left, cells at the right
halves = st.grid(2, min_column_width=430, gap="medium")
with halves.container():
    if summary is not None:
        chart = f"bars-{name}-{size}-{code}"
        plot(
            class_bars(summary, spec.classes, code, dark=is_dark()),
            key=chart,
            on_select=lambda: bar_chosen(chart),
            selection_mode="points",
        )
        st.caption(f"Click a bar to see its cells. {note or ''} Counted in: {summary.provenance.label}.")
with halves.container():
    if broken:
        st.warning(broken, icon=":material/broken_image:")
    if loaded is None and spec.real:
        offer_download(spec, size)
    count = explore.pages(explore.count(loaded, name, code, split))
    start, pager = explore.first_page(f"{name}-{size}-{code}-{split}", count)
    place = st.container()
    page = st.pagination(count, default=start, key=pager)
    explore.share_page(page)
    with place:
        cells.show_wall(explore.wall(loaded, name, size, code, split, page), cell, size)

# ---------------------------------------------------------------- neighbours, then facts
if summary is None:
    st.stop()
st.subheader(f"What tells {plural(cell.name)} from their neighbours", anchor=False)
near = cells.show_neighbours(summary, spec.classes, code)
plot(colour_histograms(summary, spec.classes, near, dark=is_dark()), key="colours")

st.subheader("Facts", anchor=False)
columns = st.grid(2, min_column_width=430, gap="medium")
with columns.container():
    st.table(cells.facts(spec, summary, loaded, size), hide_index=True, hide_header=True, border="horizontal")
with columns.container():
    cells.show_counts(cells.counts_table(summary, spec.classes))
