"""Dataset, to learn from: what uneven classes mean for accuracy, and which number of a picture tells classes apart."""

import pandas as pd
import streamlit as st

from core.datasets.imbalance import Imbalance, imbalance
from core.datasets.texture_statistics import FEATURES, TextureStatistics
from core.serving.wording import sentence_case
from dashboard import learn as numbers
from dashboard import state
from dashboard.drawn import drawn
from dashboard.figures.learn import class_shares, distribution, separation_dots
from dashboard.widgets.choice import choice
from dashboard.widgets.dataset.missing import missing_images
from dashboard.widgets.dataset.view import View
from dashboard.widgets.export import exported

MOST_CLASSES = 4
_BY_KEY = {feature.key: feature for feature in FEATURES}


def learn(view: View) -> None:
    """How common the classes are, then the features of their pictures."""
    if view.summary is not None:
        _common(view)
    st.subheader("What brightness, texture and size tell", anchor=False)
    found, note = numbers.statistics(view.name, view.size, view.loaded)
    if found is None:
        missing_images(view, standing_in=False)
        st.info(
            f"Brightness and texture are measured on the pictures, which are not on this computer at {view.size} px.",
            icon=":material/hide_image:",
        )
        return
    _features(view, found, note)


# ---------------------------------------------------------------- how common the classes are
def _common(view: View) -> None:
    st.subheader("How common the classes are", anchor=False)
    counts = view.summary.counts
    found = imbalance(view.summary.codes, counts[view.split])
    if found is None:
        st.info(f"{view.split} holds fewer than two classes: choose another split.", icon=":material/info:")
        return
    names = {c.code: c.name for c in view.spec.classes}
    columns = st.grid(2, min_column_width=430, gap="medium")
    with columns.container():
        fig = class_shares(
            counts, view.summary.codes, names, view.split,
            title=_share_title(view, found), unit=view.spec.unit, dark=view.dark,
        )  # fmt: skip
        table = pd.DataFrame({"class": view.summary.codes} | dict(counts))
        exported(fig, table, f"{view.name}-classes", "class_shares")
    with columns.container():
        _explain(view, found)


def _share_title(view: View, found: Imbalance) -> str:
    most, least = view.some(found.majority), view.some(found.rarest)
    if found.even:
        return "Every class is equally common"
    return f"{sentence_case(most)} are {found.ratio:.1f} times as common as {least}"


def _explain(view: View, found: Imbalance) -> None:
    """What the shares mean for accuracy, in words and in numbers that anyone can check."""
    unit, classes = view.spec.unit, len(found.codes)
    most, least = view.some(found.majority), view.some(found.rarest)
    st.markdown("**What this means for accuracy**")
    st.markdown(
        f"- Whoever calls every {unit} _{view.of(found.majority).name}_ without looking is right for "
        f"**{_percent(found.guess)}** of {view.split}, and finds none of the other {classes - 1} classes. "
        "An accuracy says something only beside this figure.\n"
        f"- Whoever names everything right but never finds {least} still reaches "
        f"**{_percent(found.without_rarest)}** accuracy: they are only {_percent(1 - found.without_rarest)} of all.\n"
        f"- **Balanced accuracy** is the mean of the shares found of each class: all {classes} classes count alike. "
        f"The same two get **{_percent(found.guess_balanced)}** and **{_percent(found.without_rarest_balanced)}**."
    )
    if found.even:
        st.markdown("Here all classes are about equally common: accuracy and balanced accuracy say nearly the same.")
    else:
        st.markdown(
            f"One {unit} of the rarest class moves the balanced accuracy {found.ratio:.1f} times as far as one of the "
            f"commonest; in plain accuracy, {most} count {found.ratio:.1f} times as much as {least} together. A rare "
            f"class has fewer {unit}s to learn from, too: look at its own sensitivity, and at its interval."
        )
    st.caption(_across_splits(view))


def _across_splits(view: View) -> str:
    shares = {s: n / max(n.sum(), 1) for s, n in view.summary.counts.items() if n.sum()}
    apart = 100 * max(float(abs(one - other).max()) for one in shares.values() for other in shares.values())
    sizes = ", ".join(f"{s} {int(n.sum()):,}" for s, n in view.summary.counts.items())
    tail = "the mix of classes is the same in all of them" if apart < 0.5 else (
        f"a class's share differs by up to {apart:.1f} points between them"
    )  # fmt: skip
    return f"{sizes} {view.spec.unit}s; {tail}. Counted in: {view.summary.provenance.label}."


# ---------------------------------------------------------------- features by class
def _features(view: View, found: TextureStatistics, note: str | None) -> None:
    row = st.container(horizontal=True, vertical_alignment="bottom")
    with row:
        codes = _classes(view, found)
    table = numbers.ranking(found, codes, view.split)
    if table.empty:
        st.info("Choose two to four classes, and what tells them apart appears here.", icon=":material/compare:")
        return
    with row:
        titles = {key: _BY_KEY[key].title for key in table["feature"]}
        key = choice("feature", "Feature", titles, table["feature"][0], "feature", box=True, hidden=False, width=240)
    st.markdown(_finding(view, table))
    feature, names = _BY_KEY[key], {c.code: c.name for c in view.spec.classes}
    by_class = numbers.values(found, codes, key, view.split)
    mark = (found.provenance.content_hash, found.size, view.split, tuple(codes), view.spec.unit, view.dark)
    columns = st.grid(2, min_column_width=430, gap="medium")
    with columns.container():
        title = "How well each number alone tells them apart"
        fig = drawn(("separation", key, *mark), lambda: separation_dots(table, key, title=title, dark=view.dark))
        chart = f"separation-{key}-{'-'.join(codes)}-{view.split}"
        exported(
            fig, table.drop(columns="feature"), f"{view.name}-features", chart,
            on_select=lambda: _feature_chosen(chart), selection_mode="points",
        )  # fmt: skip
    with columns.container():
        fig = drawn(
            ("distribution", key, *mark),
            lambda: distribution(
                by_class, feature, found.codes, names, title=f"{feature.title} by class", unit=view.spec.unit,
                dark=view.dark,
            ),
        )  # fmt: skip
        long = [(c, v) for c, some in by_class.items() for v in some]
        exported(fig, pd.DataFrame(long, columns=["class", key]), f"{view.name}-{key}", f"distribution-{key}")
    counted = ", ".join(f"{c} {len(some):,}" for c, some in by_class.items())
    st.caption(
        f"**{feature.title}**: {feature.meaning} {_how(key, found)} Measured on {counted} {view.spec.unit}s of "
        f"{view.split}, {found.provenance.label}. Curves are kernel densities. {note or ''}"
    )


def _classes(view: View, found: TextureStatistics) -> list[str]:
    """The classes to compare: chosen, or the one looked at with its two nearest."""
    options = [code for code in view.spec.codes if code in found.codes]
    near = [c for c, _ in view.summary.neighbours(view.code)] if view.summary else options
    first = list(dict.fromkeys(c for c in (view.code, *near, *options) if c in options))[:3]
    if not set(st.session_state.get("among") or options) & set(options):  # those of the data set before
        del st.session_state["among"]
    notice = state.prepare("among", options, first, what="class", many=True)
    if notice:
        st.info(notice, icon=":material/link:")
    names = {c.code: c.name for c in view.spec.classes}
    st.multiselect(
        "Compare the classes",
        options,
        key="among",
        max_selections=MOST_CLASSES,
        format_func=lambda c: f"{c} {names[c]}",
        width=560,
    )
    state.share("among")
    return [code for code in options if code in st.session_state["among"]]


def _feature_chosen(chart: str) -> None:
    """A click on a dot chooses its feature."""
    points = st.session_state[chart].selection.points
    if points and "customdata" in points[0]:
        st.session_state["feature"] = points[0]["customdata"][0]


def _finding(view: View, table: pd.DataFrame) -> str:
    """Which feature tells the classes apart best, and how far that gets."""
    best, unit = table.iloc[0], view.spec.unit
    one, other = (view.some(code) for code in best["best_pair"])
    text = (
        f"Of these seven numbers **{best['title'].lower()}** tells them apart best: of two {unit}s, one of each class, "
        f"it puts **{_percent(best['mean'])}** in the right order"
    )
    if best["best_pair"] != best["worst_pair"]:
        text += (
            f" on average, {_percent(best['best'])} for {one} and {other}, but {_percent(best['worst'])} for "
            f"{' and '.join(view.some(code) for code in best['worst_pair'])}"
        )
    verdict = "one number nearly suffices" if best["worst"] > 0.95 else "no single number suffices"
    return f"{text} (50 % is chance): {verdict}."


def _how(key: str, found: TextureStatistics) -> str:
    if key == "brightness":
        return "Mean of the grey values, 0 to 255."
    if key == "size":
        return "Share of the pixels at or below the grey value that parts each picture best into dark and light (Otsu)."
    return (
        "From the pairs of neighbouring pixels in 16 grey levels (co-occurrence matrix), mean of four directions, at "
        f"{found.size} px."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
