"""Dataset, the pictures: how many of each class there are, what they look like, what tells them from others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from core.datasets import SPLITS, CellClass, DatasetSpec, LoadedDataset
from core.datasets.statistics import BINS, Summary
from core.formatting import capitalized, exact_percent, of_class
from core.progress import Report, silent
from dashboard import pickers, samples
from dashboard.charts import plot
from dashboard.dataset import DatasetContext, missing_images
from dashboard.page import ProgressBar, is_dark, view
from dashboard.pictures import enlarge, sheet
from dashboard.style import class_colours, end_labels, finish, ground, rows_axis

PER_PAGE = 20
PLACEHOLDER_PAGES = 10


@dataclass(frozen=True)
class GalleryPage:
    """One page of cells: ``images`` uint8 (n, S, S, 3), their ``ids``, the first's number, and how many there are.

    ``real`` is False for cells that stand in for real ones.
    """

    images: np.ndarray
    ids: tuple[str, ...]
    first: int
    total: int
    source: str
    real: bool = True


def count_pictures(loaded: LoadedDataset | None, code: str, split: str) -> int:
    """Pictures of a class in a split; without images some pages of those that stand in."""
    if loaded is None:
        return PER_PAGE * PLACEHOLDER_PAGES
    return int((loaded[split].labels == loaded.spec.codes.index(code)).sum())


def gallery_page(
    spec: DatasetSpec,
    loaded: LoadedDataset | None,
    size: int,
    code: str,
    split: str,
    page: int,
    report: Report = silent,
) -> GalleryPage:
    """The pictures of one class and split on a page (from 1); where the images are not here, those that stand in.

    These may take seconds, of which ``report`` is told.
    """
    start = (page - 1) * PER_PAGE
    if loaded is None:
        images = samples.placeholder_page(spec, size, code, PLACEHOLDER_PAGES * SPLITS.index(split) + page - 1, report)
        ids = tuple(f"{start + i + 1}" for i in range(len(images)))
        return GalleryPage(
            images, ids, start + 1, PER_PAGE * PLACEHOLDER_PAGES, samples.placeholder_label(spec), real=False
        )
    members = np.flatnonzero(loaded[split].labels == loaded.spec.codes.index(code))
    shown = members[start : start + PER_PAGE]
    ids = tuple(str(i) for i in loaded[split].ids[shown])
    return GalleryPage(loaded[split].images[shown], ids, start + 1, len(members), loaded.provenance.label)


# How much of its class's colour a split's part of the bar has; the rest is the ground's.
_STRENGTH = {"train": 1.0, "val": 0.45, "test": 0.7}
_CHANNELS = ("Red", "Green", "Blue")


def _blend(colour: str, base: str, strength: float) -> str:
    pairs = zip(_levels(colour), _levels(base), strict=True)
    return "#" + "".join(f"{round(strength * c + (1 - strength) * b):02x}" for c, b in pairs)


def _levels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def class_bars(
    summary: Summary,
    classes: Sequence[CellClass],
    chosen: str | None = None,
    *,
    unit: str = "cell",
    dark: bool = False,
    height: int = 470,
) -> go.Figure:
    """A bar a class, stacked by split, with its count and share; the ``chosen`` class (a code) is outlined.

    Each mark's custom data is (code, split, count, share of the split), for clicks and hovering.
    """
    colours, base = class_colours(summary.codes, dark), ground(dark)
    rows = [
        f"<b>{c.code}  {c.name}</b>" if c.code == chosen else f"{c.code}  {c.name}"
        for c in sorted(classes, key=lambda c: summary.codes.index(c.code))
    ]
    fig = go.Figure()
    for split, counts in summary.counts.items():
        strength = _STRENGTH.get(split, 1.0)
        share = counts / max(counts.sum(), 1)
        fig.add_bar(
            x=counts,
            y=rows,
            orientation="h",
            name=split,
            showlegend=False,
            marker={
                "color": [_blend(colours[code], base["background"], strength) for code in summary.codes],
                "line": {
                    "color": [base["text"] if code == chosen else colours[code] for code in summary.codes],
                    "width": [2 if code == chosen else 1 for code in summary.codes],
                },
            },
            # A click dims nothing: the page itself outlines what was chosen.
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
            customdata=[[code, split, int(n), s] for code, n, s in zip(summary.codes, counts, share, strict=True)],
            hovertemplate="%{y}<br>%{customdata[1]}: %{x:,} images, %{customdata[3]:.1%} of the split<extra></extra>",
        )
        # The legend's sample: a bar has eight colours, so a grey stands for how strong they are.
        fig.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=split,
            marker={"symbol": "square", "size": 11, "color": _blend(base["text"], base["background"], strength)},
        )
    totals = summary.by_class
    end_labels(
        fig, totals, rows, [f"  {n:,} · {exact_percent(s)}" for n, s in zip(totals, summary.shares, strict=True)], dark
    )
    finish(fig, title=_balance(summary, classes, unit), height=height, dark=dark)
    fig.update_layout(
        barmode="stack", bargap=0.28, legend={"y": -0.16, "yanchor": "top", "x": 1, "traceorder": "normal"}
    )
    fig.update_xaxes(title_text="images", range=[0, totals.max() * 1.36], fixedrange=True, tickformat=",")
    rows_axis(fig, dark)
    return fig


def _balance(summary: Summary, classes: Sequence[CellClass], unit: str) -> str:
    names = {c.code: of_class(c.name, unit) for c in classes}
    most = capitalized(names[summary.codes[int(summary.by_class.argmax())]])
    least = names[summary.codes[int(summary.by_class.argmin())]]
    if summary.imbalance < 1.05:
        return "Every class is equally common"
    return f"{most} are {summary.imbalance:.1f} times as common as {least}"


def colour_histograms(
    summary: Summary,
    classes: Sequence[CellClass],
    codes: Sequence[str],
    *,
    unit: str = "cell",
    dark: bool = False,
    height: int = 320,
) -> go.Figure:
    """How much of the picture's middle, where a cell is, has which level of each colour; a line for each code."""
    colours = class_colours(summary.codes, dark)
    names = {c.code: c.name for c in classes}
    levels = (np.arange(BINS) + 0.5) * 256 / BINS
    dashes = ("solid", "dash", "dot", "dashdot")
    fig = make_subplots(1, 3, shared_yaxes=True, subplot_titles=_CHANNELS, horizontal_spacing=0.03)
    for number, code in enumerate(codes):
        lines = summary.histograms[summary.codes.index(code)]
        for channel in range(3):
            fig.add_scatter(
                x=levels,
                y=lines[channel],
                name=f"{code}  {names[code]}",
                legendgroup=code,
                showlegend=channel == 0,
                mode="lines",
                line={"color": colours[code], "width": 3 if number == 0 else 2, "dash": dashes[number % 4]},
                hovertemplate=f"{code}, {_CHANNELS[channel].lower()} about %{{x:.0f}}: %{{y:.1%}} of the middle"
                "<extra></extra>",
                row=1,
                col=channel + 1,
            )
    finish(fig, title=_darkest(summary, classes, codes, unit), height=height, dark=dark)
    fig.update_layout(margin={"t": 84}, legend={"y": 1.16, "yanchor": "bottom", "x": 1})
    fig.update_annotations(font={"size": 14, "color": ground(dark)["quiet"]})
    fig.update_xaxes(range=[0, 256], tickvals=[0, 64, 128, 192, 255], title_text="level (0 dark, 255 light)")
    fig.update_yaxes(tickformat=".0%", rangemode="tozero")
    fig.update_yaxes(title_text="share of the middle", col=1)
    return fig


def _darkest(summary: Summary, classes: Sequence[CellClass], codes: Sequence[str], unit: str) -> str:
    names = {c.code: of_class(c.name, unit) for c in classes}
    light = {code: float(summary.colour_mean[summary.codes.index(code)].mean()) for code in codes}
    darkest, lightest = min(light, key=lambda c: light[c]), max(light, key=lambda c: light[c])
    if light[lightest] - light[darkest] < 2:
        return f"Colours of the {unit}s: they are about equally dark"
    return f"Colours of the {unit}s: {names[darkest]} are the darkest, {names[lightest]} the lightest"


COLUMNS = 5
_SIDE = {28: 112, 64: 128}  # whole multiples, so that every pixel stays a square; others at their own size


def show_gallery(gallery: GalleryPage, what: str, size: int, about: str | None = None) -> None:
    """One page of pictures as one, with ``what`` they are ('lymphocytes'); ``about`` helps where they stand in."""
    side = _SIDE.get(size, size)
    picture = sheet(gallery.images, COLUMNS, side, gap=side // 18, background=ground(is_dark())["background"])
    last = gallery.first + len(gallery.images) - 1
    st.image(picture, width="stretch", alt=f"{len(gallery.images)} pictures of {what}, {gallery.source}")
    made = gallery.images.shape[1] if len(gallery.images) else size  # what stands in may be smaller than asked for
    zoom = f", each pixel enlarged {side // made} times" if side > made else ""
    number = f"{gallery.first:,} to {last:,} of {gallery.total:,} · " if gallery.real else ""
    st.caption(f"{number}{made} px{zoom} · {gallery.source}", help=about)


def show_neighbours(summary: Summary, spec: DatasetSpec, code: str) -> list[str]:
    """The class beside the two it is most like: mean picture, sentence, how often. Returns the three codes."""
    by_code = {c.code: c for c in spec.classes}
    near = summary.neighbours(code)
    name = of_class(by_code[code].name, spec.unit)
    grid = st.grid(3, min_column_width=200, gap="medium")
    for other, share in [(code, None), *near]:
        cell = by_code[other]
        with grid.container():
            with st.container(horizontal=True, vertical_alignment="center"):
                mean = enlarge(summary.mean_cells[summary.codes.index(other)], 96)
                st.image(mean, width=96, alt=f"mean of all training images: {cell.name}")
                with st.container(width="stretch"):
                    st.markdown(f"**{other}** {cell.name}")
                    if share is None:
                        st.caption("the chosen class")
                    else:
                        percent = exact_percent(share, 0) if share >= 0.005 else "< 1 %"
                        st.caption(
                            f"{percent} of the {name} resemble one most",
                            help=f"For each of the {int(summary.counts['val'][summary.codes.index(code)])} {name} of "
                            "val, the most similar training image was looked up, by mean and spread of the colours "
                            "in twelve rings around the middle; this share of them is of this class.",
                        )
            st.markdown(cell.description)
    return [code, *(other for other, _ in near)]


def counts_table(summary: Summary, classes: Sequence[CellClass]) -> pd.DataFrame:
    """Counts by class and split, their sum and the share of each class."""
    names = {c.code: c.name for c in classes}
    table = pd.DataFrame({"class": summary.codes, "name": [names[c] for c in summary.codes]})
    for split, counts in summary.counts.items():
        table[split] = counts
    table["all"] = summary.by_class
    table["share"] = summary.shares
    return table


def show_counts(table: pd.DataFrame) -> None:
    """Draw the table of images a class, split by split."""
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        column_config={
            "class": st.column_config.TextColumn(pinned=True, width="small"),
            "share": st.column_config.NumberColumn(format="percent", help="of the images of all splits"),
        },
    )


def facts_table(spec: DatasetSpec, summary: Summary, loaded: LoadedDataset | None, size: int) -> pd.DataFrame:
    """What else to know, as a table of two columns: fact and value (all text)."""
    rows = [
        (f"{spec.unit.capitalize()}s", f"{summary.total:,} of {len(summary.codes)} classes; {spec.domain}"),
        ("Split", ", ".join(f"{split} {int(counts.sum()):,}" for split, counts in summary.counts.items())),
        ("Imbalance", f"the commonest class has {summary.imbalance:.1f} times the images of the rarest"),
        ("Sizes", f"{', '.join(map(str, spec.sizes))} px a side; shown: {size} px, colour (RGB), 8 bits"),
    ]
    if spec.parent_side:
        rows.append(
            (
                "Made from",
                f"crops of about {spec.parent_side} px around one cell, of which the middle "
                f"{spec.parent_crop} px were kept and resized",
            )
        )
    build = f"{loaded.provenance.label} (content {loaded.provenance.content_hash})" if loaded else f"none at {size} px"
    rows += [
        ("Statistics from", f"{summary.provenance.label} (content {summary.provenance.content_hash})"),
        ("Images on this computer", build),
        ("Identical images", _duplicates(summary)),
    ]
    if spec.real and not spec.cautions:  # which say it in their own words
        rows.append(
            (
                "People",
                "no patient ids exist anywhere: cells of one person are in train and in test, so accuracies say "
                "nothing certain of a new person's cells",
            )
        )
    rows += [("Licence", spec.licence), ("Citation", spec.citation)]
    if spec.url:
        rows.append(("Address", spec.url))
    return pd.DataFrame(rows, columns=["fact", "value"])


def _duplicates(summary: Summary) -> str:
    duplicates = summary.duplicates
    if not duplicates["groups"]:
        return "none"
    text = f"{duplicates['groups']} groups are the same to the pixel; {duplicates['across_splits']} of them span splits"
    if duplicates["labels_differ"]:
        text += f"; {duplicates['labels_differ']} carry two different labels"
    return text


@view(":material/grid_view: Pictures", order=10, key="cells", needs=("class", "split"))
def render(context: DatasetContext) -> None:
    """Bars at the left, a wall of the chosen class at the right; below its neighbours and the facts."""
    halves = st.grid(2, min_column_width=430, gap="medium")
    with halves.container():
        _bars(context)
    with halves.container():
        _gallery(context)
    if context.summary is None:
        return
    st.header(f"What tells {context.plural_of(context.code)} from their neighbours", anchor=False)
    near = show_neighbours(context.summary, context.spec, context.code)
    fig = colour_histograms(context.summary, context.spec.classes, near, unit=context.spec.unit, dark=context.dark)
    plot(fig, key="colours")

    st.header("Facts", anchor=False)
    columns = st.grid(2, min_column_width=430, gap="medium")
    with columns.container():
        facts = facts_table(context.spec, context.summary, context.loaded, context.size)
        st.table(facts, hide_index=True, hide_header=True, border="horizontal")
    with columns.container():
        show_counts(counts_table(context.summary, context.spec.classes))


def _bars(context: DatasetContext) -> None:
    if context.summary is None:
        return
    chart = f"bars-{context.name}-{context.size}-{context.code}"
    plot(
        class_bars(context.summary, context.spec.classes, context.code, unit=context.spec.unit, dark=context.dark),
        key=chart,
        on_select=lambda: _bar_chosen(chart),
        selection_mode="points",
    )
    note = f"{context.note} " if context.note else ""
    st.caption(f"Click a bar to see its {context.spec.unit}s. {note}Counted in: {context.summary.provenance.label}.")


def _bar_chosen(key: str) -> None:
    """A click on a bar chooses its class, and its split."""
    points = st.session_state[key].selection.points
    if points and "customdata" in points[0]:
        code, split = points[0]["customdata"][:2]
        st.session_state["class"], st.session_state["split"] = code, split


def _gallery(context: DatasetContext) -> None:
    missing_images(context)
    if context.loaded is None and not context.has_placeholders:
        return
    count = count_pictures(context.loaded, context.code, context.split)
    wall = f"{context.name}-{context.size}-{context.scheme}-{context.code}-{context.split}"
    place, members = pickers.page_of(wall, count, PER_PAGE)
    page = 1 + members.start // PER_PAGE
    with place, ProgressBar("Generating cells", after=1) as bar:
        shown = gallery_page(context.spec, context.loaded, context.size, context.code, context.split, page, bar)
    with place:
        if len(shown.images):
            about = None if shown.real else samples.placeholder_help(context.spec)
            show_gallery(shown, context.plural_of(context.code), context.size, about)
        else:
            splits_with_some = [s for s in SPLITS if count_pictures(context.loaded, context.code, s)]
            st.info(
                f"{context.split} has no {context.plural_of(context.code)}; look in {' or '.join(splits_with_some)}."
            )
