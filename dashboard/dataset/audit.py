"""Dataset under audit: copies and leakage, labels that are likely wrong, shortcuts, colours by class."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.datasets.quality.audit import Audit, DuplicateGroup, cached
from core.datasets.quality.audit import audit as compute
from core.datasets.quality.near_duplicates import ImageRef
from core.formatting import counted, exact_percent, percent
from core.probabilities import wilson_interval
from dashboard.charts import show_figure
from dashboard.dataset import DatasetContext, missing_images
from dashboard.page import ProgressBar, view
from dashboard.pictures import enlarge
from dashboard.style import LEGEND_ABOVE, PRIMARY, class_colours, end_labels, error_bar, finish, ground, rows_axis

CHANNELS = ("red", "green", "blue")
_CHANNEL_COLOURS = {False: ("#c4313b", "#2d8a3e", "#2f62b5"), True: ("#f08080", "#7fd08f", "#8db7f5")}
_SYMBOLS = ("circle", "diamond", "square")
TALL = 0.25  # of the way from guessing to all right, from which a part without a whole cell counts as a shortcut


def shortcut_table(result: Audit) -> pd.DataFrame:
    """A row a part: title, meaning, right, n, accuracy, low, high (95 %, Wilson; 0 to 1)."""
    rows = []
    for s in result.shortcuts:
        low, high = wilson_interval(s.right, s.n)
        rows.append((s.part.title, s.part.meaning, s.right, s.n, s.accuracy, low, high))
    return pd.DataFrame(rows, columns=["title", "meaning", "right", "n", "accuracy", "low", "high"])


def shortcut_bars(result: Audit, *, title: str, dark: bool = False) -> go.Figure:
    """What a small model reaches on each part of a picture, with 95 % intervals and a line where guessing stands."""
    base, table = ground(dark), shortcut_table(result)
    whole = [s.part.whole for s in result.shortcuts]
    percent = 100 * table["accuracy"]
    fig = go.Figure()
    fig.add_bar(
        x=percent,
        y=table["title"],
        orientation="h",
        marker={"color": [base["quiet"] if w else PRIMARY[dark] for w in whole]},
        error_x=error_bar(percent, 100 * table["low"], 100 * table["high"], base["text"], thickness=1.5, width=5),
        customdata=table[["meaning", "right", "n"]],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]:,} of %{customdata[2]:,} right<extra></extra>",
        showlegend=False,
    )
    end_labels(fig, 100 * table["high"], table["title"], [f"   {value:.1f} %" for value in percent], dark)
    fig.add_vline(x=100 * result.majority_share, line={"color": base["quiet"], "width": 1.5, "dash": "dash"})
    fig.add_annotation(
        x=100 * result.majority_share, y=1, yref="paper", yanchor="bottom", showarrow=False, xanchor="left",
        text=f"always the commonest class: {exact_percent(result.majority_share)}",
        font={"color": base["quiet"], "size": 13},
    )  # fmt: skip
    finish(fig, title=title, height=300, dark=dark)
    fig.update_layout(bargap=0.4, margin={"t": 76})
    fig.update_xaxes(title_text="pictures named right, %", range=[0, 112], tickvals=[0, 20, 40, 60, 80, 100])
    fig.update_xaxes(fixedrange=True)
    rows_axis(fig, dark)
    return fig


def colour_table(result: Audit) -> pd.DataFrame:
    """A row a class: code, then mean, deviation between pictures and within a picture of red, green and blue."""
    table = pd.DataFrame({"class": result.codes})
    for name, values in (
        ("mean", result.colours.mean),
        ("between", result.colours.between),
        ("within", result.colours.within),
    ):
        for number, channel in enumerate(CHANNELS):
            table[f"{channel}_{name}"] = np.array(values)[:, number]
    return table


def colour_dots(result: Audit, names: dict[str, str], *, title: str, dark: bool = False) -> go.Figure:
    """The mean red, green and blue of each class as marks, with lines of one deviation between pictures."""
    table = colour_table(result)
    rows = [f"{code}  {names[code]}" for code in result.codes]
    fig = go.Figure()
    for channel, colour, symbol in zip(CHANNELS, _CHANNEL_COLOURS[dark], _SYMBOLS, strict=True):
        fig.add_scatter(
            x=table[f"{channel}_mean"],
            y=rows,
            mode="markers",
            name=channel,
            marker={"color": colour, "symbol": symbol, "size": 11},
            error_x={"array": table[f"{channel}_between"], "color": colour, "thickness": 1.5, "width": 0},
            customdata=table[[f"{channel}_between", f"{channel}_within"]],
            hovertemplate=f"%{{y}}<br>{channel} %{{x:.0f}}; pictures differ by %{{customdata[0]:.1f}}, pixels of one "
            "picture by %{customdata[1]:.1f}<extra></extra>",
        )
    finish(fig, title=title, height=170 + 30 * len(rows), dark=dark)
    fig.update_layout(LEGEND_ABOVE)
    fig.update_xaxes(title_text="level of the whole picture (0 dark, 255 light)", fixedrange=True)
    colours = class_colours(result.codes, dark)
    ticks = [f'<span style="color:{colours[c]}">■</span> {row}' for c, row in zip(result.codes, rows, strict=True)]
    rows_axis(fig, dark, showgrid=True, tickvals=rows, ticktext=ticks)
    return fig


def shortcut_title(result: Audit) -> str:
    """What the bars say."""
    best = max((s for s in result.shortcuts if not s.part.whole), key=lambda s: s.accuracy)
    if (best.accuracy - result.majority_share) / max(1 - result.majority_share, 1e-9) < TALL:
        return "Parts without a cell tell little of the class"
    return f"{100 * best.accuracy:.0f} % are named right from this alone: {best.part.title.lower()}"


def colour_title(result: Audit) -> str:
    """Which classes lie furthest apart in lightness."""
    light = np.array(result.colours.mean).mean(1)
    darkest, lightest = result.codes[int(light.argmin())], result.codes[int(light.argmax())]
    return f"{darkest} pictures are the darkest, {lightest} the lightest"


COPIES, SUSPECTS = 6, 12  # shown a page
SIDE, MOST_SIDE = 112, 160  # px: small pictures are enlarged by whole factors to the first at least
MOST_MEMBERS = 4  # shown of one group


@view(":material/fact_check: Audit", order=50)
def render(context: DatasetContext) -> None:
    """The kept audit of these images in this split, or the button that runs it."""
    missing_images(context)
    if context.loaded is None:
        st.info(
            f"An audit looks at the pictures themselves, and at {context.size} px they are not on this computer. "
            "Choose a size that is here, or get them as said above.",
            icon=":material/fact_check:",
        )
        return
    result = cached(context.loaded)
    again = result is not None
    if not again:
        st.markdown(
            f"An audit looks for {context.spec.unit}s that are there twice, labels that are likely wrong, and "
            "shortcuts: ways to name the class without looking at a cell. It takes a minute or two."
        )
    place = st.container()
    clicked = place.button(
        "Run the audit again" if again else "Run the audit",
        icon=":material/fact_check:",
        type="tertiary" if again else "primary",
        key=f"audit-{context.name}-{context.size}-{context.content}",
        help="Everything stays on this computer; results are kept.",
    )
    if clicked:
        _run(context, place)
        st.rerun()
    if result is None:
        return
    _figures(context, result)
    _copies(context, result)
    _suspects(context, result)
    halves = st.grid(2, min_column_width=430, gap="large")
    with halves.container():
        _shortcuts(context, result)
    with halves.container():
        _colours(context, result)
    st.caption(
        f"Audited: {context.count(result.total)} of {result.provenance} at {result.size} px (content "
        f"{result.content_hash}), in {result.cpu_seconds:.0f} seconds of the processor."
    )


def _run(context: DatasetContext, place: DeltaGenerator) -> None:
    """Compute it with a bar that tells the time left; 'Stop' gives it up."""
    with place:
        bar = ProgressBar("Beginning", lambda step: step.message)
        st.button("Stop", icon=":material/stop:", key="audit_stop")
    assert context.loaded is not None  # only images that are here are audited
    with bar:
        compute(context.loaded, bar, fresh=True)


# ---------------------------------------------------------------- in figures
def _figures(context: DatasetContext, result: Audit) -> None:
    identical, near = result.groups(identical=True), result.groups(identical=False)
    leak = result.leakage["test"]
    with st.container(horizontal=True, gap="large"):
        st.metric("Identical", f"{len(identical):,}", help="Groups of pictures that are the same to the pixel.")
        st.metric("Nearly identical", f"{len(near):,}", help=_NEAR)
        st.metric(
            "Across splits",
            f"{sum(c.across_splits for c in result.duplicates):,}",
            help="Of these groups, how many have members in more than one split.",
        )
        st.metric(
            "Different labels",
            f"{sum(c.has_label_conflict for c in result.duplicates):,}",
            help="Groups with more than one label.",
        )
        st.metric(
            "Test with a copy in train",
            f"{100 * leak.any / max(leak.n, 1):.2f} %",
            help=f"{leak.any} of {leak.n:,} test pictures have an identical or nearly identical one in train; "
            f"{leak.identical} an identical one. A model may know their answers by heart.",
        )
        st.metric(
            "Doubted labels",
            f"{result.label_issue_count:,}",
            help=f"{exact_percent(result.label_issue_count / max(result.total, 1))} of all. Most are the checker's own "
            "mistakes.",
        )


_NEAR = (
    "Pairs whose small versions, each point measured against the rest of the data set, agree beyond what different "
    "pictures of it do, also when one is moved a bit: stored anew, cut anew, or taken twice. A few may only look alike."
)


# ---------------------------------------------------------------- copies
def _copies(context: DatasetContext, result: Audit) -> None:
    st.header("The same picture twice", anchor=False)
    if not result.duplicates:
        st.success("No picture is there twice, and none nearly so.", icon=":material/check_circle:")
        return
    leak = result.leakage["test"]
    if leak.any:
        st.markdown(
            f"**{leak.any} of {leak.n:,}** test pictures ({100 * leak.any / leak.n:.2f} %) have a copy in train, "
            f"{leak.identical} of them to the pixel. Their answers can be remembered instead of recognised."
        )
    else:
        st.markdown("No test picture has a copy in train.")
    grid = st.grid(3, min_column_width=330, gap="small")
    for copies in _page(result.duplicates, COPIES, f"copies-{context.content}"):
        with grid.container(border=True):
            _side_by_side(context, result, copies)


def _side_by_side(context: DatasetContext, result: Audit, copies: DuplicateGroup) -> None:
    said = ["**Identical**" if copies.identical else f"**Nearly identical** (likeness {copies.similarity:.2f})"]
    if copies.has_label_conflict:
        said.append(":material/warning: **different labels**")
    if copies.across_splits:
        said.append("across splits")
    st.markdown(" · ".join(said))
    with st.container(horizontal=True, gap="medium"):
        for member in copies.members[:MOST_MEMBERS]:
            with st.container(width=_width(context.size), gap="xsmall"):
                _picture(context, result, member)
    if len(copies.members) > MOST_MEMBERS:
        st.caption(f"and {len(copies.members) - MOST_MEMBERS} more")


def _picture(context: DatasetContext, result: Audit, member: ImageRef) -> None:
    code = result.codes[member.label]
    image = _image(context, member)
    if image is not None:
        _show(image, f"{member.id}, labelled {code}")
    st.markdown(f"**{code}**, {member.split}")
    st.caption(_short(member.id), help=_whole(member.id))


def _width(size: int) -> int:
    """Of a picture's column: the picture as `_show` draws it, and some air."""
    return min(-(-SIDE // size) * size if size < SIDE else size, MOST_SIDE) + 8


def _show(image: np.ndarray, alt: str) -> None:
    large = enlarge(image, SIDE)
    st.image(large, width=min(large.shape[1], MOST_SIDE), alt=alt)


def _image(context: DatasetContext, member: ImageRef) -> np.ndarray | None:
    assert context.loaded is not None  # only images that are here are audited
    split = context.loaded[member.split]
    rows = np.flatnonzero(split.ids == member.id)
    return split.images[int(rows[0])] if len(rows) else None


def _short(identity: str) -> str:
    """The end of a path, which tells files apart."""
    return identity.rpartition("/")[2][-28:]


def _whole(identity: str) -> str | None:
    """All of it for the help line, where the short form leaves something out."""
    return identity if identity != _short(identity) else None


def _page(items: Sequence, each: int, key: str) -> Sequence:
    """The items of the page that is chosen in a pager, which is drawn where there is more than one page."""
    pages = -(-len(items) // each)
    page = st.pagination(pages, key=key) if pages > 1 else 1
    return items[(page - 1) * each : page * each]


# ---------------------------------------------------------------- labels
def _suspects(context: DatasetContext, result: Audit) -> None:
    st.header("Labels to look at again", anchor=False)
    if not result.label_issues:
        st.success("No label is doubted.", icon=":material/check_circle:")
        return
    st.markdown(
        f"A simple model, fitted five times and asked only about {context.spec.unit}s that it had not seen, is right "
        f"on {exact_percent(result.checker_accuracy)} and doubts {counted(result.label_issue_count, 'label')}; the "
        "surest stand first. Many are its own mistakes: it takes somebody who knows them to decide.",
        help="Confident learning (Northcutt et al. 2021): a label is doubted where another class gets more than its "
        "own, and as much as that class usually gets. Copies never stand on both sides.",
    )
    grid = st.grid(4, min_column_width=190, gap="small")
    for suspect in _page(result.label_issues, SUSPECTS, f"suspects-{context.content}"):
        with grid.container(border=True):
            member, code = suspect.member, result.codes[suspect.member.label]
            image = _image(context, member)
            if image is not None:
                _show(image, f"{member.id}, labelled {code}")
            other = result.codes[suspect.suggested]
            given, suggested = percent(suspect.given_probability), percent(suspect.suggested_probability)
            st.markdown(
                f"labelled **{code}** ({given}),  \nlooks like **{other}** ({suggested})",
                help=f"labelled {context.of(code).name}, looks like {context.of(other).name}",
            )
            st.caption(f"{member.split} · {_short(member.id)}", help=_whole(member.id))


# ---------------------------------------------------------------- shortcuts and colours
def _shortcuts(context: DatasetContext, result: Audit) -> None:
    st.header("Can the class be told without looking at a cell?", anchor=False)
    fig = shortcut_bars(result, title=shortcut_title(result), dark=context.dark)
    show_figure(fig, shortcut_table(result), f"{context.name}-shortcuts", f"shortcuts-{context.content}")
    st.markdown(shortcuts_meaning(result, context.spec.unit))
    scored_where = "on val" if result.scored_on == "val" else "over folds of train and val"
    st.caption(
        f"Random forests, fitted on train and scored {scored_where}, {result.shortcuts[0].n:,} pictures; lines are "
        "95 % intervals. " + " ".join(f"{s.part.title}: {s.part.meaning}" for s in result.shortcuts)
    )


def shortcuts_meaning(result: Audit, unit: str) -> str:
    """What the bars mean, in a sentence or two."""
    tall = [
        s for s in result.shortcuts
        if not s.part.whole and (s.accuracy - result.majority_share) / max(1 - result.majority_share, 1e-9) >= TALL
    ]  # fmt: skip
    if not tall:
        return "Colour, border and corner say little of the class: a good figure here is not made of them."
    named = ", ".join(f"{s.part.title.lower()} ({100 * s.accuracy:.0f} %)" for s in tall)
    best = max(s.accuracy for s in tall)
    return (
        f"A small model that sees no {'cell' if unit == 'cell' else 'single cell'} in detail names many {unit}s right "
        f"from {named}. Colour belongs to the cells and to the slide's stain alike; border and corner hold little but "
        f"the slide. So measure a model here against {100 * best:.0f} %, not {100 * result.majority_share:.0f} %; what "
        "it owes to the slide only another laboratory's pictures tell."
    )


def _colours(context: DatasetContext, result: Audit) -> None:
    st.header("Colours by class", anchor=False)
    names = context.spec.names
    fig = colour_dots(result, names, title=colour_title(result), dark=context.dark)
    show_figure(fig, colour_table(result), f"{context.name}-colours", f"audit_colours-{context.content}")
    st.caption(
        "Marks: mean over all pictures of the class, in all splits. Lines: one standard deviation between its pictures."
    )
