"""Dataset as a map: where a model puts the pictures, what lies in a corner of it, what is most like one of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Condition

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from cachetools import LRUCache, cached

from core.datasets import LoadedDataset
from core.evaluation.embeddings import (
    MIN_POINTS,
    Projection,
    nearest_neighbours,
    neighbour_purity,
    normalise,
    project,
    projection_methods,
)
from core.formatting import counted, percent
from core.inference.engine import embed, has_embedding
from core.progress import Progress
from core.runs import Run
from dashboard import cache, pickers, url_state
from dashboard.charts import show_figure
from dashboard.dataset import DatasetContext, missing_images
from dashboard.page import ProgressBar, link, view
from dashboard.pickers import run_picker
from dashboard.pictures import enlarge
from dashboard.style import class_colours, contrast, finish
from dashboard.url_state import choice

SAMPLE = 1500
UNSEEN_SPLITS = ("val", "test")  # what no model has learnt from


@dataclass(frozen=True)
class MapSample:
    """N pictures of val and test: ``splits`` and ``ids`` str (N,), ``rows`` within their split and ``labels`` (N,)."""

    splits: np.ndarray
    rows: np.ndarray
    ids: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, loaded: LoadedDataset, chosen: np.ndarray | None = None) -> np.ndarray:
        """The pictures uint8 (n, S, S, 3) of the ``chosen`` positions, in their order (None: all)."""
        chosen = np.arange(len(self)) if chosen is None else np.asarray(chosen, int)
        out = np.empty((len(chosen), loaded.size, loaded.size, 3), np.uint8)
        for split in UNSEEN_SPLITS:
            here = np.flatnonzero(self.splits[chosen] == split)
            if len(here):
                out[here] = loaded[split].images[self.rows[chosen[here]]]
        return out

    def name(self, position: int) -> str:
        """What the picture is called in an address: ids are unique within a split only."""
        return f"{self.splits[position]} {self.ids[position]}"

    def find(self, name: str) -> int | None:
        """The position of the picture with this `name`; None where the sample hasn't got it."""
        split, _, identity = name.partition(" ")
        positions = np.flatnonzero((self.splits == split) & (self.ids == identity))
        return int(positions[0]) if len(positions) else None


@dataclass(frozen=True)
class EmbeddedSample:
    """A sample and the ``vectors`` float32 (N, K) that a model gives it; ``agree``: see `neighbour_purity`, K = 10."""

    sample: MapSample
    vectors: np.ndarray
    agree: np.ndarray


def suitable_runs(name: str, size: int, scheme: str, codes: tuple[str, ...]) -> list[Run]:
    """Runs that can draw a map of the data set at ``size``: networks of these classes that learnt in this split."""
    return [
        run
        for run in cache.runs(name)
        if run.size == size and has_embedding(run) and run.codes == codes and run.scheme in ("", scheme)
    ]


def draw_sample(loaded: LoadedDataset, most: int = SAMPLE) -> MapSample:
    """Up to ``most`` pictures of val and test, each as likely as any other, always the same ones."""
    sizes = [len(loaded[split]) for split in UNSEEN_SPLITS]
    chosen = np.sort(np.random.default_rng(0).permutation(sum(sizes))[:most])
    splits = np.repeat(UNSEEN_SPLITS, sizes)[chosen]
    rows = np.concatenate([np.arange(size) for size in sizes])[chosen]
    ids = np.concatenate([loaded[split].ids for split in UNSEEN_SPLITS])[chosen].astype(str)
    labels = np.concatenate([loaded[split].labels for split in UNSEEN_SPLITS])[chosen]
    return MapSample(splits, rows, ids, labels)


def _embedded_by(run: Run, loaded: LoadedDataset, *_: object) -> tuple[str, str]:
    return run.version, loaded.provenance.content_hash


# Not Streamlit's cache: what it keeps can't draw a bar that stands outside of it. Of several visitors who ask for the
# same the first one makes it, the others wait.
@cached(LRUCache(8), key=_embedded_by, condition=Condition())
def embed_sample(run: Run, loaded: LoadedDataset, report: Callable[[Progress], None]) -> EmbeddedSample:
    """Where ``run`` puts the sample; asked once for each run and build of the images. Raises `EngineError`."""
    chosen = draw_sample(loaded)
    vectors = embed(run, chosen.images(loaded), report)
    return EmbeddedSample(chosen, vectors, neighbour_purity(vectors, chosen.labels))


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=cache.BY_VERSION)
def map_points(run: Run, content: str, _embedded: EmbeddedSample, method: str) -> Projection:
    """The map of ``_embedded``, by directions as likeness is, drawn once for each run, build ``content`` and method."""
    return project(normalise(_embedded.vectors), method)


def map_table(embedded: EmbeddedSample, projection: Projection, codes: tuple[str, ...]) -> pd.DataFrame:
    """A row a picture: id, split, class, x and y on the map, and the share of its ten nearest of its own class."""
    chosen = embedded.sample
    return pd.DataFrame(
        {
            "id": chosen.ids,
            "split": chosen.splits,
            "class": np.array(codes)[chosen.labels],
            "x": projection.points[:, 0],
            "y": projection.points[:, 1],
            "same_class": embedded.agree,
        }
    )


_INKS = ("#ffffff", "#231d36")


def map_scatter(
    table: pd.DataFrame,
    codes: Sequence[str],
    names: Mapping[str, str],
    *,
    title: str,
    axes: tuple[str, str],
    unit: str = "cell",
    dark: bool = False,
    height: int = 600,
) -> go.Figure:
    """A point a picture in its class's colour, each class's code at its middle.

    ``table`` is `map_table`'s. Each point's custom data begins with its position in the table, for
    selections. ``axes`` are the titles of both axes. Nothing here may depend on what is selected: another figure
    would be another widget, and the selection would be gone.
    """
    colours = class_colours(codes, dark)
    fig = go.Figure()
    for code in codes:
        here = table[table["class"] == code]
        if here.empty:
            continue
        said = zip(here.index, here["id"], here["split"], 10 * here["same_class"], strict=True)
        fig.add_scatter(
            x=here["x"],
            y=here["y"],
            mode="markers",
            name=f"{code}  {names[code]}",
            marker={"color": colours[code], "size": 7, "opacity": 0.75},
            selected={"marker": {"opacity": 1, "size": 9}},
            unselected={"marker": {"opacity": 0.18}},
            customdata=[list(row) for row in said],
            hovertemplate=f"<b>{code}</b> {names[code]}<br>{unit} %{{customdata[1]}}, %{{customdata[2]}}<br>"
            f"%{{customdata[3]:.0f}} of its 10 nearest {unit}s are {code} too<extra></extra>",
        )
        fig.add_annotation(
            x=here["x"].median(),
            y=here["y"].median(),
            text=f"<b>{code}</b>",
            showarrow=False,
            bgcolor=colours[code],
            borderpad=3,
            font={"color": max(_INKS, key=lambda ink: contrast(ink, colours[code])), "size": 13},
            captureevents=False,
        )
    finish(fig, title=title, height=height, dark=dark)
    fig.update_layout(
        dragmode="select",
        margin={"t": 64},
        legend={"x": 0, "xanchor": "left", "y": -0.1, "yanchor": "top", "itemsizing": "constant"},
    )
    fig.update_xaxes(title_text=axes[0], zeroline=False, showticklabels=False)
    fig.update_yaxes(title_text=axes[1], zeroline=False, showticklabels=False)
    return fig


PER_PAGE = 18
SIMILAR = 12
_SIDE = 112
_LIKE = "like"  # the address bar's word for the picture whose like is shown
_ODD = 0.5  # of the ten nearest: a picture with fewer of its own class lies among the others


@view(":material/scatter_plot: Map", order=30)
def render(context: DatasetContext) -> None:
    """The map, the pictures chosen on it, and those most similar to one of them."""
    if context.loaded is None:
        missing_images(context, placeholders_shown=False)
        st.info(
            "The map shows where a model puts the pictures themselves, so it needs them: get them as said above, or "
            "choose a size that is here.",
            icon=":material/map:",
        )
        return
    runs = suitable_runs(context.name, context.size, context.scheme, context.spec.codes)
    if not runs:
        _no_model(context)
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width=460):
            run = run_picker(
                "As seen by", runs, key="map_run", help="The map is drawn from what this model's last layers say."
            )[0]
        method = choice("drawn", "Drawn by", projection_methods(), "pca", "way to draw", help=_METHODS_HELP)
    embedded = _embedded(context, run)
    if len(embedded.sample) < MIN_POINTS:
        st.info(f"val and test hold {context.count(len(embedded.sample))}: too few for a map.", icon=":material/map:")
        return
    with st.spinner("Drawing the map"):
        projection = map_points(run, context.content, embedded, method)
    chosen = _chosen(embedded)
    halves = st.grid(2, min_column_width=430, gap="medium")
    with halves.container():
        selected = _map(context, run, embedded, projection, method)
        st.caption(_limits(context, run, embedded, projection, method))
    with halves.container():
        _gallery(context, embedded, selected, f"{run.name}-{context.content}")
    if chosen is not None:
        _similar(context, embedded, chosen)


_METHODS_HELP = (
    "**PCA** looks at all points from the side from which they spread most: far apart here is far apart for the "
    "model.\n\n**t-SNE** and **UMAP** keep neighbours together: groups show better, but their sizes and the distances "
    "between them mean nothing."
)


def _no_model(context: DatasetContext) -> None:
    st.info(
        f"A map is drawn from what a network sees, and there is none yet that learnt {context.spec.title} at "
        f"{context.size} px, split in this way. Choose another size, or train one in a terminal:",
        icon=":material/map:",
    )
    st.code(f"python -m core train --dataset {context.name} --size {context.size} --model cnn_se", language="bash")


def _embedded(context: DatasetContext, run: Run) -> EmbeddedSample:
    def line(step: Progress) -> str:
        return f"{run.title} looks at {step.done:,} of {step.total:,} pictures"

    with ProgressBar(f"{run.title} looks at the pictures", line, after=0.2) as bar:
        return embed_sample(run, context.loaded, bar)


# ---------------------------------------------------------------- the map and what is chosen on it
def _map(context: DatasetContext, run: Run, embedded: EmbeddedSample, projection: Projection, method: str) -> list[int]:
    """Draw it; returns the positions of the selected pictures."""
    table = map_table(embedded, projection, context.spec.codes)
    names = context.spec.names
    axes = ("first axis", "second axis") if method == "pca" else ("", "")
    fig = map_scatter(
        table,
        context.spec.codes,
        names,
        title=_title(context, embedded),
        axes=axes,
        unit=context.spec.unit,
        dark=context.dark,
    )
    chart = f"map-{run.name}-{method}-{context.content}"
    event = show_figure(
        fig,
        table,
        f"{context.name}-map",
        chart,
        on_select=lambda: _point_chosen(chart, embedded),
        selection_mode=("points", "box", "lasso"),
    )
    return _positions(event.selection.points if event else (), len(embedded.sample))


def _positions(points: Sequence[dict], total: int) -> list[int]:
    positions = [int(point["customdata"][0]) for point in points if point.get("customdata")]
    return sorted(
        position for position in set(positions) if position < total
    )  # classes mixed, as they are in the sample


def _point_chosen(chart: str, embedded: EmbeddedSample) -> None:
    """One point clicked is one picture chosen."""
    positions = _positions(st.session_state[chart].selection.points, len(embedded.sample))
    if len(positions) == 1:
        _choose(embedded.sample.name(positions[0]))


def _choose(name: str) -> None:
    st.session_state["_like"] = name


def _chosen(embedded: EmbeddedSample) -> int | None:
    """Position of the picture whose like is wanted: the one chosen last, else the link's; a missing one is told."""
    link_says = url_state.parameter(_LIKE)
    if link_says is not None and link_says != url_state.remembered(_LIKE):
        st.session_state["_like"] = link_says
    asked_for = st.session_state.get("_like")
    position = embedded.sample.find(asked_for) if asked_for else None
    if asked_for and position is None and link_says:
        st.info(f"This map has no picture '{asked_for[:60]}': choose one on it.", icon=":material/link:")
    url_state.put(_LIKE, asked_for if position is not None else None)
    return position


def _title(context: DatasetContext, embedded: EmbeddedSample) -> str:
    share = percent(float(embedded.agree.mean()))
    return f"{share} of a {context.spec.unit}'s ten nearest are of its own class"


def _limits(context: DatasetContext, run: Run, embedded: EmbeddedSample, projection: Projection, method: str) -> str:
    """What such a map can tell, and what it can't."""
    unit, numbers = context.spec.unit, embedded.vectors.shape[1]
    flat = (
        f"PCA keeps {100 * projection.explained_variance:.0f} % of their variance: {unit}s that lie apart here differ, "
        "those that overlap here may still differ in what is not shown."
        if projection.explained_variance is not None
        else "It keeps neighbours together; the size of a group and the distance between groups mean nothing."
    )
    text = (
        f"A drawn box, a lasso or a click chooses {unit}s. {context.count(len(embedded.sample))} of val and test, "
        f"which no model learns from; near each other is what the model sees alike. {numbers} numbers a {unit} are "
        f"flattened to two. {flat} A map shows what this model was taught to tell apart, not what nature keeps apart: "
        "a gap is no proof, and a point among strangers is a reason to look, not a diagnosis."
    )
    if run.config["dataset"]["provenance"].get("content_hash") != context.content:
        text += f" The model learnt from another build of this data set: it may have seen some of these {unit}s."
    return text


# ---------------------------------------------------------------- pictures
def _gallery(context: DatasetContext, embedded: EmbeddedSample, selected: list[int], where: str) -> None:
    """The selected pictures; before anything is selected those that lie among other classes."""
    unit = context.spec.unit
    if selected:
        shown = np.array(selected)
        labels = embedded.sample.labels[shown]
        by_class = {context.spec.codes[c]: int((labels == c).sum()) for c in np.unique(labels)}
        mix = ", ".join(f"{code} {n:,}" for code, n in sorted(by_class.items(), key=lambda item: -item[1]))
        st.markdown(f"**{context.count(len(shown))} chosen:** {mix}")
    else:
        shown = np.flatnonzero(embedded.agree < _ODD)
        shown = shown[np.argsort(embedded.agree[shown], kind="stable")]
        if not len(shown):
            st.info(f"Draw a box on the map, and its {unit}s appear here.", icon=":material/select:")
            return
        st.markdown(
            f"**Among strangers:** {context.count(len(shown))} whose ten nearest are mostly of another class. "
            "Draw a box on the map to see others.",
            help="Hard ones, mixed ones, and now and then a wrong label: worth a look by somebody who knows them.",
        )
    place, rows = pickers.page_of(f"map-{where}-{hash(tuple(selected))}", len(shown), PER_PAGE)
    with place:
        part = shown[rows]
        _tiles(context, embedded, part, [context.spec.codes[c] for c in embedded.sample.labels[part]], "wall", 6)
    st.caption(f"Choose a {unit} to see which are most like it.")


def _tiles(
    context: DatasetContext,
    embedded: EmbeddedSample,
    positions: np.ndarray,
    labels: Sequence[str],
    key: str,
    columns: int,
    width: int = 84,
) -> None:
    """Pictures, each with a button of its label that asks for its like."""
    assert context.loaded is not None  # a map is of its images
    images = embedded.sample.images(context.loaded, positions)
    with st.grid(columns, min_column_width=width, gap="small"):
        for position, image, label in zip(positions, images, labels, strict=True):
            identity, name = embedded.sample.ids[position], context.spec.class_names[embedded.sample.labels[position]]
            with st.container(gap="xxsmall"):
                st.image(enlarge(image, _SIDE), width="stretch", alt=f"{context.spec.unit} {identity}, {name}")
                st.button(
                    label,
                    key=f"{key}-{position}",
                    help=f"{name}, {embedded.sample.splits[position]} {identity}",
                    on_click=_choose,
                    args=(embedded.sample.name(position),),
                    width="stretch",
                )


def _similar(context: DatasetContext, embedded: EmbeddedSample, chosen: int) -> None:
    """The chosen picture beside those that the model sees most like it."""
    unit, codes = context.spec.unit, context.spec.codes
    assert context.loaded is not None  # a map is of its images
    rows, cosines = nearest_neighbours(embedded.vectors, chosen, SIMILAR)
    label, identity = int(embedded.sample.labels[chosen]), embedded.sample.ids[chosen]
    st.header(f"Most like {unit} {identity}", anchor=False)
    left, right = st.columns([1, 3], gap="medium")
    with left:
        image = embedded.sample.images(context.loaded, np.array([chosen]))[0]
        st.image(enlarge(image, 256), width=220, alt=f"{unit} {identity}, {context.spec.class_names[label]}")
        st.markdown(f"**{codes[label]}** {context.spec.class_names[label]}")
        st.caption(f"{embedded.sample.splits[chosen]}, {context.size} px. {context.spec.classes[label].description}")
        if context.spec.real and embedded.sample.splits[chosen] == "test":  # those of val are not offered there
            query = {"dataset": context.name, "cell": f"{codes[label]} {identity}"}
            link("explain", "Explain", icon=":material/visibility:", query=query)
    with right:
        others = embedded.sample.labels[rows]
        same = int((others == label).sum())
        rest = [f"{codes[c]} {int((others == c).sum())}" for c in np.unique(others) if c != label]
        tail = f"; the others: {', '.join(rest)}" if rest else ""
        st.markdown(
            f"**{same} of the {counted(len(rows), unit)}** most like it {'is' if same == 1 else 'are'} {codes[label]} "
            f"too{tail}.",
            help=f"By the cosine of the model's numbers, over the {len(embedded.sample):,} {unit}s of the map; 1 is "
            "the same direction.",
        )
        labels = [f"{codes[c]} · {cosine:.2f}" for c, cosine in zip(others, cosines, strict=True)]
        _tiles(context, embedded, rows, labels, "like", 6, 110)
