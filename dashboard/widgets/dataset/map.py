"""Dataset as a map: where a model puts the pictures, what lies in a corner of it, what is most like one of them."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from core.evaluation.projection import FEWEST, Projection, methods, nearest
from core.runs import Run
from core.serving.wording import count, percent
from dashboard import explore, state
from dashboard import map as maps
from dashboard.figures.map import map_scatter
from dashboard.map import Atlas
from dashboard.widgets.choice import choice
from dashboard.widgets.dataset.missing import missing_images
from dashboard.widgets.dataset.view import View
from dashboard.widgets.export import exported
from dashboard.widgets.page import link
from dashboard.widgets.pictures import enlarge
from dashboard.widgets.runs import run_picker

PER_PAGE = 18
SIMILAR = 12
_SIDE = 112
_LIKE = "like"  # the address bar's word for the picture whose like is shown
_ODD = 0.5  # of the ten nearest: a picture with fewer of its own class lies among the others


def map_(view: View) -> None:
    """The map, the pictures chosen on it, and those most similar to one of them."""
    if view.loaded is None:
        missing_images(view, standing_in=False)
        st.info(
            "The map shows where a model puts the pictures themselves, so it needs them: get them as said above, or "
            "choose a size that is here.",
            icon=":material/map:",
        )
        return
    runs = maps.suitable(view.name, view.size, view.scheme, view.spec.codes)
    if not runs:
        _no_model(view)
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width=460):
            run = run_picker(
                "As seen by", runs, key="map_run", help="The map is drawn from what this model's last layers say."
            )[0]
        method = choice("drawn", "Drawn by", methods(), "pca", "way to draw", help=_METHODS_HELP)
    found = _atlas(view, run)
    if len(found.sample) < FEWEST:
        st.info(f"val and test hold {view.count(len(found.sample))}: too few for a map.", icon=":material/map:")
        return
    with st.spinner("Drawing the map"):
        drawn = maps.points(run, view.loaded, found, method)
    chosen = _chosen(found)
    halves = st.grid(2, min_column_width=430, gap="medium")
    with halves.container():
        selected = _map(view, run, found, drawn, method)
        st.caption(_limits(view, run, found, drawn, method))
    with halves.container():
        _wall(view, found, selected, f"{run.name}-{view.content}")
    if chosen is not None:
        _similar(view, found, chosen)


_METHODS_HELP = (
    "**PCA** looks at all points from the side from which they spread most: far apart here is far apart for the "
    "model.\n\n**t-SNE** and **UMAP** keep neighbours together: groups show better, but their sizes and the distances "
    "between them mean nothing."
)


def _no_model(view: View) -> None:
    st.info(
        f"A map is drawn from what a network sees, and there is none yet that learnt {view.spec.title} at "
        f"{view.size} px, split in this way. Choose another size, or train one in a terminal:",
        icon=":material/map:",
    )
    st.code(f"python -m core train --dataset {view.name} --size {view.size} --model cnn_se", language="bash")


def _atlas(view: View, run: Run) -> Atlas:
    bar = st.empty()

    def report(step) -> None:
        bar.progress(step.done / max(step.total, 1), f"{run.title} looks at {step.done:,} of {step.total:,} pictures")

    found = maps.atlas(run, view.loaded, report)
    bar.empty()
    return found


# ---------------------------------------------------------------- the map and what is chosen on it
def _map(view: View, run: Run, found: Atlas, drawn: Projection, method: str) -> list[int]:
    """Draw it; returns the positions of the selected pictures."""
    table = maps.table(found, drawn, view.spec.codes)
    names = {c.code: c.name for c in view.spec.classes}
    axes = ("first axis", "second axis") if method == "pca" else ("", "")
    fig = map_scatter(
        table,
        view.spec.codes,
        names,
        title=_title(view, found),
        axes=axes,
        unit=view.spec.unit,
        dark=view.dark,
    )
    chart = f"map-{run.name}-{method}-{view.content}"
    event = exported(
        fig,
        table,
        f"{view.name}-map",
        chart,
        on_select=lambda: _point_chosen(chart, found),
        selection_mode=("points", "box", "lasso"),
    )
    return _positions(event.selection.points if event else (), len(found.sample))


def _positions(points: Sequence[dict], total: int) -> list[int]:
    found = [int(point["customdata"][0]) for point in points if point.get("customdata")]
    return sorted(position for position in set(found) if position < total)  # classes mixed, as they are in the sample


def _point_chosen(chart: str, found: Atlas) -> None:
    """One point clicked is one picture chosen."""
    positions = _positions(st.session_state[chart].selection.points, len(found.sample))
    if len(positions) == 1:
        _choose(found.sample.name(positions[0]))


def _choose(name: str) -> None:
    st.session_state["_like"] = name


def _chosen(found: Atlas) -> int | None:
    """Position of the picture whose like is wanted: the one chosen last, else the link's; a missing one is told."""
    link_says = state.parameter(_LIKE)
    if link_says is not None and link_says != state.remembered(_LIKE):
        st.session_state["_like"] = link_says
    wanted = st.session_state.get("_like")
    position = found.sample.find(wanted) if wanted else None
    if wanted and position is None and link_says:
        st.info(f"This map has no picture '{wanted[:60]}': choose one on it.", icon=":material/link:")
    state.put(_LIKE, wanted if position is not None else None)
    return position


def _title(view: View, found: Atlas) -> str:
    share = percent(float(found.agree.mean()))
    return f"{share} of a {view.spec.unit}'s ten nearest are of its own class"


def _limits(view: View, run: Run, found: Atlas, drawn: Projection, method: str) -> str:
    """What such a map can tell, and what it can't."""
    unit, numbers = view.spec.unit, found.vectors.shape[1]
    flat = (
        f"PCA keeps {100 * drawn.kept:.0f} % of their variance: {unit}s that lie apart here differ, those that overlap "
        "here may still differ in what is not shown."
        if drawn.kept is not None
        else "It keeps neighbours together; the size of a group and the distance between groups mean nothing."
    )
    text = (
        f"A drawn box, a lasso or a click chooses {unit}s. {view.count(len(found.sample))} of val and test, which no "
        f"model learns from; near each other is what the model sees alike. {numbers} numbers a {unit} are flattened "
        f"to two. {flat} A map shows what this model was taught to tell apart, not what nature keeps apart: "
        "a gap is no proof, and a point among strangers is a reason to look, not a diagnosis."
    )
    if run.config["dataset"]["provenance"].get("content_hash") != view.content:
        text += f" The model learnt from another build of this data set: it may have seen some of these {unit}s."
    return text


# ---------------------------------------------------------------- pictures
def _wall(view: View, found: Atlas, selected: list[int], where: str) -> None:
    """The selected pictures; before anything is selected those that lie among other classes."""
    unit = view.spec.unit
    if selected:
        shown = np.array(selected)
        labels = found.sample.labels[shown]
        by_class = {view.spec.codes[c]: int((labels == c).sum()) for c in np.unique(labels)}
        mix = ", ".join(f"{code} {n:,}" for code, n in sorted(by_class.items(), key=lambda item: -item[1]))
        st.markdown(f"**{view.count(len(shown))} chosen:** {mix}")
    else:
        shown = np.flatnonzero(found.agree < _ODD)
        shown = shown[np.argsort(found.agree[shown], kind="stable")]
        if not len(shown):
            st.info(f"Draw a box on the map, and its {unit}s appear here.", icon=":material/select:")
            return
        st.markdown(
            f"**Among strangers:** {view.count(len(shown))} whose ten nearest are mostly of another class. "
            "Draw a box on the map to see others.",
            help="Hard ones, mixed ones, and now and then a wrong label: worth a look by somebody who knows them.",
        )
    start, pager = explore.first_page(f"map-{where}-{hash(tuple(selected))}", pages := -(-len(shown) // PER_PAGE))
    place = st.container()
    page = st.pagination(pages, default=start, key=pager) if pages > 1 else 1
    explore.share_page(page)
    with place:
        part = shown[(page - 1) * PER_PAGE : page * PER_PAGE]
        _tiles(view, found, part, [view.spec.codes[c] for c in found.sample.labels[part]], "wall", 6)
    st.caption(f"Choose a {unit} to see which are most like it.")


def _tiles(
    view: View, found: Atlas, positions: np.ndarray, labels: Sequence[str], key: str, columns: int, width: int = 84
) -> None:
    """Pictures, each with a button of its label that asks for its like."""
    images = found.sample.images(view.loaded, positions)
    with st.grid(columns, min_column_width=width, gap="small"):
        for position, image, label in zip(positions, images, labels, strict=True):
            identity, name = found.sample.ids[position], view.spec.class_names[found.sample.labels[position]]
            with st.container(gap="xxsmall"):
                st.image(enlarge(image, _SIDE), width="stretch", alt=f"{view.spec.unit} {identity}, {name}")
                st.button(
                    label,
                    key=f"{key}-{position}",
                    help=f"{name}, {found.sample.splits[position]} {identity}",
                    on_click=_choose,
                    args=(found.sample.name(position),),
                    width="stretch",
                )


def _similar(view: View, found: Atlas, chosen: int) -> None:
    """The chosen picture beside those that the model sees most like it."""
    unit, codes = view.spec.unit, view.spec.codes
    rows, cosines = nearest(found.vectors, chosen, SIMILAR)
    label, identity = int(found.sample.labels[chosen]), found.sample.ids[chosen]
    st.subheader(f"Most like {unit} {identity}", anchor=False)
    left, right = st.columns([1, 3], gap="medium")
    with left:
        image = found.sample.images(view.loaded, np.array([chosen]))[0]
        st.image(enlarge(image, 256), width=220, alt=f"{unit} {identity}, {view.spec.class_names[label]}")
        st.markdown(f"**{codes[label]}** {view.spec.class_names[label]}")
        st.caption(f"{found.sample.splits[chosen]}, {view.size} px. {view.spec.classes[label].description}")
        if view.spec.real and found.sample.splits[chosen] == "test":  # those of val are not offered there
            query = {"dataset": view.name, "cell": f"{codes[label]} {identity}"}
            link("explain", "Explain", icon=":material/visibility:", query=query)
    with right:
        others = found.sample.labels[rows]
        same = int((others == label).sum())
        rest = [f"{codes[c]} {int((others == c).sum())}" for c in np.unique(others) if c != label]
        tail = f"; the others: {', '.join(rest)}" if rest else ""
        st.markdown(
            f"**{same} of the {count(len(rows), unit)}** most like it {'is' if same == 1 else 'are'} {codes[label]} "
            f"too{tail}.",
            help=f"By the cosine of the model's numbers, over the {len(found.sample):,} {unit}s of the map; 1 is the "
            "same direction.",
        )
        labels = [f"{codes[c]} · {cosine:.2f}" for c, cosine in zip(others, cosines, strict=True)]
        _tiles(view, found, rows, labels, "like", 6, 110)
