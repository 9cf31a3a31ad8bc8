"""Dataset under audit: copies and leakage, labels that are likely wrong, shortcuts, colours by class."""

import time
from collections.abc import Sequence

import numpy as np
import streamlit as st

from core.datasets.audit import Audit, Copies, cached
from core.datasets.audit import audit as compute
from core.datasets.twins import Member
from core.progress import Progress
from core.serving.wording import count, percent
from dashboard.figures.audit import (
    TALL,
    colour_dots,
    colour_table,
    colour_title,
    shortcut_bars,
    shortcut_table,
    shortcut_title,
)
from dashboard.widgets.dataset.missing import missing_images
from dashboard.widgets.dataset.view import View
from dashboard.widgets.export import exported
from dashboard.widgets.pictures import enlarge

COPIES, SUSPECTS = 6, 12  # shown a page
SIDE, MOST_SIDE = 112, 160  # px: small pictures are enlarged by whole factors to the first at least
MOST_MEMBERS = 4  # shown of one group
_EVERY = 0.2  # seconds between two drawings of the bar


def audit(view: View) -> None:
    """The kept audit of these images in this split, or the button that runs it."""
    missing_images(view)
    if view.loaded is None:
        st.info(
            f"An audit looks at the pictures themselves, and at {view.size} px they are not on this computer. "
            "Choose a size that is here, or get them as said above.",
            icon=":material/fact_check:",
        )
        return
    found = cached(view.loaded)
    again = found is not None
    if not again:
        st.markdown(
            f"An audit looks for {view.spec.unit}s that are there twice, labels that are likely wrong, and shortcuts: "
            "ways to name the class without looking at a cell. It takes a minute or two."
        )
    place = st.container()
    clicked = place.button(
        "Run the audit again" if again else "Run the audit",
        icon=":material/fact_check:",
        type="tertiary" if again else "primary",
        key=f"audit-{view.name}-{view.size}-{view.content}",
        help="Everything stays on this computer; results are kept.",
    )
    if clicked:
        found = _run(view, place)
        st.rerun()
    if found is None:
        return
    _figures(view, found)
    _copies(view, found)
    _suspects(view, found)
    halves = st.grid(2, min_column_width=430, gap="large")
    with halves.container():
        _shortcuts(view, found)
    with halves.container():
        _colours(view, found)
    st.caption(
        f"Audited: {view.count(found.total)} of {found.provenance} at {found.size} px (content {found.content_hash}), "
        f"in {found.cpu_seconds:.0f} seconds of the processor."
    )


def _run(view: View, place) -> Audit:
    """Compute it with a bar that tells the time left; 'Stop' gives it up."""
    bar = place.progress(0.0, text="Beginning")
    place.button("Stop", icon=":material/stop:", key="audit_stop")
    began, drawn = time.monotonic(), 0.0

    def report(step: Progress) -> None:
        nonlocal drawn
        now = time.monotonic()
        if now - drawn >= _EVERY:
            bar.progress(step.done / step.total, text=line(step, now - began))
            drawn = now

    found = compute(view.loaded, report, fresh=True)
    bar.empty()
    return found


def line(step: Progress, seconds: float) -> str:
    """'Comparing pictures, 40 s left': what stands on the bar."""
    if step.done < 5 or seconds < 2:
        return step.message
    left = seconds * (step.total - step.done) / step.done
    return (
        f"{step.message}, about {left:.0f} s left" if left < 90 else f"{step.message}, about {left / 60:.0f} min left"
    )


# ---------------------------------------------------------------- in figures
def _figures(view: View, found: Audit) -> None:
    identical, near = found.groups(identical=True), found.groups(identical=False)
    leak = found.leaks["test"]
    with st.container(horizontal=True, gap="large"):
        st.metric("Identical", f"{len(identical):,}", help="Groups of pictures that are the same to the pixel.")
        st.metric("Nearly identical", f"{len(near):,}", help=_NEAR)
        st.metric(
            "Across splits",
            f"{sum(c.across for c in found.copies):,}",
            help="Of these groups, how many have members in more than one split.",
        )
        st.metric(
            "Different labels", f"{sum(c.conflict for c in found.copies):,}", help="Groups with more than one label."
        )
        st.metric(
            "Test with a copy in train",
            f"{100 * leak.any / max(leak.n, 1):.2f} %",
            help=f"{leak.any} of {leak.n:,} test pictures have an identical or nearly identical one in train; "
            f"{leak.identical} an identical one. A model may know their answers by heart.",
        )
        st.metric(
            "Doubted labels",
            f"{found.doubts:,}",
            help=f"{100 * found.doubts / max(found.total, 1):.1f} % of all. Most are the checker's own mistakes.",
        )


_NEAR = (
    "Pairs whose small versions, each point measured against the rest of the data set, agree beyond what different "
    "pictures of it do, also when one is moved a bit: stored anew, cut anew, or taken twice. A few may only look alike."
)


# ---------------------------------------------------------------- copies
def _copies(view: View, found: Audit) -> None:
    st.subheader("The same picture twice", anchor=False)
    if not found.copies:
        st.success("No picture is there twice, and none nearly so.", icon=":material/check_circle:")
        return
    leak = found.leaks["test"]
    if leak.any:
        st.markdown(
            f"**{leak.any} of {leak.n:,}** test pictures ({100 * leak.any / leak.n:.2f} %) have a copy in train, "
            f"{leak.identical} of them to the pixel. Their answers can be remembered instead of recognised."
        )
    else:
        st.markdown("No test picture has a copy in train.")
    grid = st.grid(3, min_column_width=330, gap="small")
    for copies in _page(found.copies, COPIES, f"copies-{view.content}"):
        with grid.container(border=True):
            _side_by_side(view, found, copies)


def _side_by_side(view: View, found: Audit, copies: Copies) -> None:
    said = ["**Identical**" if copies.identical else f"**Nearly identical** (likeness {copies.similarity:.2f})"]
    if copies.conflict:
        said.append(":material/warning: **different labels**")
    if copies.across:
        said.append("across splits")
    st.markdown(" · ".join(said))
    with st.container(horizontal=True, gap="medium"):
        for member in copies.members[:MOST_MEMBERS]:
            with st.container(width=_width(view.size), gap="xsmall"):
                _picture(view, found, member)
    if len(copies.members) > MOST_MEMBERS:
        st.caption(f"and {len(copies.members) - MOST_MEMBERS} more")


def _picture(view: View, found: Audit, member: Member) -> None:
    code = found.codes[member.label]
    image = _image(view, member)
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


def _image(view: View, member: Member) -> np.ndarray | None:
    rows = np.flatnonzero(view.loaded[member.split].ids == member.id)
    return view.loaded[member.split].images[int(rows[0])] if len(rows) else None


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
def _suspects(view: View, found: Audit) -> None:
    st.subheader("Labels to look at again", anchor=False)
    if not found.suspects:
        st.success("No label is doubted.", icon=":material/check_circle:")
        return
    st.markdown(
        f"A simple model, fitted five times and asked only about {view.spec.unit}s that it had not seen, is right on "
        f"{100 * found.checker:.1f} % and doubts {count(found.doubts, 'label')}; the surest stand first. Many are its "
        "own mistakes: it takes somebody who knows them to decide.",
        help="Confident learning (Northcutt et al. 2021): a label is doubted where another class gets more than its "
        "own, and as much as that class usually gets. Copies never stand on both sides.",
    )
    grid = st.grid(4, min_column_width=190, gap="small")
    for suspect in _page(found.suspects, SUSPECTS, f"suspects-{view.content}"):
        with grid.container(border=True):
            member, code = suspect.member, found.codes[suspect.member.label]
            image = _image(view, member)
            if image is not None:
                _show(image, f"{member.id}, labelled {code}")
            other = found.codes[suspect.suggested]
            st.markdown(
                f"labelled **{code}** ({percent(suspect.given)}),  \nlooks like **{other}** ({percent(suspect.other)})",
                help=f"labelled {view.of(code).name}, looks like {view.of(other).name}",
            )
            st.caption(f"{member.split} · {_short(member.id)}", help=_whole(member.id))


# ---------------------------------------------------------------- shortcuts and colours
def _shortcuts(view: View, found: Audit) -> None:
    st.subheader("Can the class be told without looking at a cell?", anchor=False)
    fig = shortcut_bars(found, title=shortcut_title(found), dark=view.dark)
    exported(fig, shortcut_table(found), f"{view.name}-shortcuts", f"shortcuts-{view.content}")
    st.markdown(meaning(found, view.spec.unit))
    scored = "on val" if found.scored_on == "val" else "over folds of train and val"
    st.caption(
        f"Random forests, fitted on train and scored {scored}, {found.shortcuts[0].n:,} pictures; lines are "
        "95 % intervals. " + " ".join(f"{s.part.title}: {s.part.meaning}" for s in found.shortcuts)
    )


def meaning(found: Audit, unit: str) -> str:
    """What the bars mean, in a sentence or two."""
    tall = [
        s for s in found.shortcuts
        if not s.part.whole and (s.accuracy - found.majority) / max(1 - found.majority, 1e-9) >= TALL
    ]  # fmt: skip
    if not tall:
        return "Colour, border and corner say little of the class: a good figure here is not made of them."
    named = ", ".join(f"{s.part.title.lower()} ({100 * s.accuracy:.0f} %)" for s in tall)
    best = max(s.accuracy for s in tall)
    return (
        f"A small model that sees no {'cell' if unit == 'cell' else 'single cell'} in detail names many {unit}s right "
        f"from {named}. Colour belongs to the cells and to the slide's stain alike; border and corner hold little but "
        f"the slide. So measure a model here against {100 * best:.0f} %, not {100 * found.majority:.0f} %; what "
        "it owes to the slide only another laboratory's pictures tell."
    )


def _colours(view: View, found: Audit) -> None:
    st.subheader("Colours by class", anchor=False)
    names = {c.code: c.name for c in view.spec.classes}
    fig = colour_dots(found, names, title=colour_title(found), dark=view.dark)
    exported(fig, colour_table(found), f"{view.name}-colours", f"audit_colours-{view.content}")
    st.caption(
        "Marks: mean over all pictures of the class, in all splits. Lines: one standard deviation between its pictures."
    )
