"""Compare, runs side by side: their confusion matrices and the difference of two, clickable, and the cells behind a
square.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.datasets import DatasetSpec
from core.evaluation.compare import PairedComparison
from core.formatting import capitalized, counted, exact_percent, of_class, percent
from core.inference.scope import spec_for
from core.probabilities import softmax
from core.runs import Predictions, Run
from dashboard import cache
from dashboard.charts import clicked, csv_button, show_figure
from dashboard.compare import CompareContext, PairedAnswers, compare_pair, tell_difference
from dashboard.pictures import data_url, enlarge
from dashboard.style import diverging, finish, ground, inks, sequential
from dashboard.url_state import choice, prepare
from dashboard.url_state import share as share_key

WIDTH = 400  # of one matrix, in pixels; three stand in a row on a wide page, one below the other on a narrow one
HEIGHT = 280  # of its squares
_ABOVE = 96  # of the height: title, subtitle, the axis's title and its labels
_SEE_THROUGH = {"marker": {"opacity": 0}}


def squares(
    colour: np.ndarray,
    texts: Sequence[str],
    hover: Sequence[str],
    labels: Sequence[str],
    *,
    scale: Sequence[str],
    limits: tuple[float, float],
    title: str,
    subtitle: str = "",
    axes: tuple[str, str] = ("", ""),
    click: Sequence[Any] | np.ndarray | None = None,
    framed: tuple[int, int] | None = None,
    height: int = HEIGHT,
    above: int = _ABOVE,
    font_size: int = 12,
    dark: bool = False,
) -> go.Figure:
    """A square for each value of ``colour`` (N, N), in colours of ``scale`` (hex) between ``limits``.

    ``texts`` and ``hover`` (N * N, by rows) are written on it and told of it, ``click`` is what a click on it gives
    (``customdata``; None for what can't be clicked). ``labels`` (N) name rows and columns, ``axes`` the two.
    ``framed`` is the (row, column) to draw a frame around. ``height`` is that of the squares, ``above`` of what
    stands over them, in pixels.

    Plotly selects no squares of a heatmap, so markers that nobody sees lie over it. The numbers are a layer of their
    own: each has the ink that reads on its square, also where another one is selected.
    """
    colours, n = ground(dark), len(labels)
    values = np.asarray(colour, float)
    places = {"x": np.tile(np.arange(n), n), "y": np.repeat(np.arange(n), n)}
    steps = np.linspace(*limits, len(scale))
    ink = {"color": inks(values.ravel(), steps.tolist(), scale), "size": font_size}
    side = max(4, min(height, WIDTH - 60) / max(n, 1))
    traces = [
        {"type": "heatmap", "z": values, "zmin": limits[0], "zmax": limits[1], "showscale": False, "hoverinfo": "skip"}
        | {"colorscale": [[k / (len(scale) - 1), one] for k, one in enumerate(scale)], "xgap": 1, "ygap": 1},
        {"type": "scatter", "mode": "text", "text": list(texts), "textfont": ink, "hoverinfo": "skip"}
        | {"selected": {"textfont": {"color": colours["text"]}}}  # said, or what isn't selected turns pale
        | places,
        {"type": "scatter", "mode": "markers", "marker": {"symbol": "square", "size": side, "opacity": 0}}
        | {"text": list(hover), "hovertemplate": "%{text}<extra></extra>", "customdata": click}
        | {"selected": _SEE_THROUGH, "unselected": _SEE_THROUGH}
        | places,
    ]
    axis = {"tickvals": list(range(n)), "ticktext": list(labels), "showgrid": False, "zeroline": False}
    axis |= {"showline": False, "ticks": "", "fixedrange": True}
    layout: dict[str, Any] = {
        "xaxis": axis | {"range": [-0.5, n - 0.5], "side": "top", "title": {"text": axes[1], "standoff": 4}},
        "yaxis": axis | {"range": [n - 0.5, -0.5], "title": {"text": axes[0], "standoff": 4}},
    }
    if framed is not None:
        row, column = framed
        corners = {"x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5}
        layout["shapes"] = [{"type": "rect", "line": {"color": colours["text"], "width": 2.5}} | corners]
    fig = finish(go.Figure({"data": traces, "layout": layout}), title=title, height=height + above, dark=dark)
    label = {"tickfont": {"color": colours["text"], "size": 13 if n <= 24 else 11}}
    return fig.update_layout(
        title={"font": {"size": 14, "weight": 600}, "y": 1, "pad": {"l": 4, "t": 0}}
        | {"subtitle": {"text": subtitle, "font": {"size": 13, "color": colours["quiet"]}}},
        margin={"l": 4, "r": 4, "t": above - 4, "b": 4},
        plot_bgcolor=colours["line"],  # shows between the squares, as lines
        dragmode=False,
        hovermode="closest",
        showlegend=False,
        xaxis=label,
        yaxis=label,
    )


AXES = ("true class", "named")  # of a confusion matrix: rows and columns


def confusion_title(confusion: np.ndarray, names: Sequence[str], unit: str = "cell") -> str:
    """The finding of a confusion matrix (rows are the truth) in one sentence; ``names`` are class names.

    ``unit`` is what one picture shows.
    """
    matrix = np.asarray(confusion)
    errors = matrix - np.diag(np.diag(matrix))
    total = int(errors.sum())
    if matrix.sum() == 0:
        return f"No {unit}s were scored"
    if total == 0:
        return f"Every test {unit} is named right"
    rows = matrix.sum(axis=1, keepdims=True)
    # The commonest mix-up; of equals, the one that hits the larger share of its class.
    truth, called = divmod(int((errors + errors / np.maximum(rows, 1) / 2).argmax()), len(errors))
    count, of = int(errors[truth, called]), int(rows[truth, 0])
    if count > of / 2:
        return f"{capitalized(of_class(names[truth], unit))} are mostly taken for {of_class(names[called], unit)}"
    if count == 1:
        return f"{total} of {int(matrix.sum())} {unit}s wrong, no mix-up twice"
    return f"{count} of {of} {of_class(names[truth], unit)} taken for {of_class(names[called], unit)}"


def confusion_figure(
    confusion: np.ndarray,
    codes: Sequence[str],
    names: Sequence[str],
    *,
    percent: bool = False,
    title: str | None = None,
    subtitle: str = "",
    axes: tuple[str, str] = AXES,
    framed: tuple[str, str] | None = None,
    unit: str = "cell",
    dark: bool = False,
) -> go.Figure:
    """A confusion matrix (rows are the truth); a click on a square gives its true class and the class named.

    ``axes`` says what rows and columns are, where it is not a confusion matrix (then nothing is clickable).
    ``percent`` prints the share of the row instead of counts. The colour is the square root of the row's share,
    so that rare mix-ups stay visible. ``framed`` (true class, class named) has a frame around it. ``unit`` is what one
    picture shows.
    """
    matrix = np.asarray(confusion, float)
    shares = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    of = "% of the true class" if axes == AXES else "% of the row"
    facts = [f"{n:,.0f} {unit}s<br>{share:.1f} {of}" for n, share in zip(matrix.flat, shares.flat, strict=True)]
    return squares(
        np.sqrt(shares / 100),
        [_share_text(v) for v in shares.flat] if percent else [f"{v:,.0f}" if v else "" for v in matrix.flat],
        _hover(names, axes, facts),
        codes,
        scale=sequential(dark),
        limits=(0, 1),
        title=title or confusion_title(matrix, names, unit),
        subtitle=subtitle,
        axes=axes,
        click=_pairs(codes) if axes == AXES else None,
        framed=_place(codes, framed),
        dark=dark,
    )


def difference_figure(
    first: np.ndarray,
    second: np.ndarray,
    codes: Sequence[str],
    names: Sequence[str],
    *,
    percent: bool = False,
    title: str,
    subtitle: str = "",
    framed: tuple[str, str] | None = None,
    unit: str = "cell",
    dark: bool = False,
) -> go.Figure:
    """First minus second confusion matrix on a diverging scale, the ground's colour at zero; clicks as on a matrix."""
    one, two = np.asarray(first, float), np.asarray(second, float)
    if percent:
        one, two = (100 * m / np.maximum(m.sum(axis=1, keepdims=True), 1) for m in (one, two))
    shown, what = one - two, "points of the row" if percent else f"{unit}s"
    digits, least = (1, 0.05) if percent else (0, 0.5)
    limit = max(float(np.abs(shown).max()), 1e-9)
    return squares(
        shown,
        [f"{v:+,.{digits}f}" if abs(v) >= least else "" for v in shown.flat],
        _hover(names, AXES, [f"{v:+,.{digits}f} {what}" for v in shown.flat]),
        codes,
        scale=diverging(dark),
        limits=(-limit, limit),
        title=title,
        subtitle=subtitle,
        axes=AXES,
        click=_pairs(codes),
        framed=_place(codes, framed),
        dark=dark,
    )


def _pairs(labels: Sequence[str]) -> list[list[str]]:
    """(row, column) of each square, by rows."""
    return [[one, other] for one in labels for other in labels]


def _place(codes: Sequence[str], square: tuple[str, str] | None) -> tuple[int, int] | None:
    """Row and column of the square (true class, class named); None where it isn't there."""
    if square is None or not set(square) <= set(codes):
        return None
    return list(codes).index(square[0]), list(codes).index(square[1])


def _hover(names: Sequence[str], axes: tuple[str, str], facts: Sequence[str]) -> list[str]:
    return [
        f"{axes[0]}: <b>{escape(one)}</b><br>{axes[1]}: <b>{escape(other)}</b><br>{fact}"
        for (one, other), fact in zip(_pairs(names), facts, strict=True)
    ]


def difference_title(paired: PairedComparison | None, first: str, second: str, unit: str = "cell") -> str:
    """What two runs' difference says, in one line."""
    if paired is None:
        return f"{first} minus {second}, each on its own {unit}s"
    if paired.only_first == paired.only_second == 0:
        return f"Both runs are right and wrong on the same {unit}s"
    return f"{paired.only_first} {unit}s only {first} names right, {paired.only_second} only {second}"


def _share_text(percents: float) -> str:
    return "" if percents == 0 else "< 0.1" if percents < 0.05 else f"{percents:.1f}"


def confusion_table(confusion: Sequence[Sequence[int]] | np.ndarray, codes: Sequence[str]) -> pd.DataFrame:
    """A confusion matrix ready for export: rows are the true class, columns the answer."""
    table = pd.DataFrame(confusion, columns=list(codes), index=list(codes))
    table.index.name = "true class"
    return table


def cell_answers(answers: Mapping[str, tuple[Predictions, np.ndarray]], truth: int, called: int) -> pd.DataFrame:
    """The images of class ``truth``, one row each, with every run's answer.

    ``answers`` maps a run's label to its predictions and their order, such that equal positions are the
    same image. Columns: id, then for each label '<label> answer' (class index), '<label> p' (share of its
    answer), '<label> p true' and '<label> p called' (shares, 0 to 1, of the classes asked about).
    """
    first, order = next(iter(answers.values()))
    keep = first.labels[order] == truth
    table = {"id": first.ids[order][keep]}
    for label, (predictions, places) in answers.items():
        shares = softmax(predictions.logits[places][keep])
        table[f"{label} answer"] = shares.argmax(1) if len(shares) else np.zeros(0, int)
        table[f"{label} p"] = shares.max(1) if len(shares) else np.zeros(0)
        table[f"{label} p true"] = shares[:, truth]
        table[f"{label} p called"] = shares[:, called]
    return pd.DataFrame(table)


MOST_PICTURES = 60


def show_matrices(pair: Sequence[Run], labels: Mapping[str, str], *, percent: bool, dark: bool) -> None:
    """The confusion matrix of one run, or of two and their difference; a click chooses a square."""
    truth, called = st.session_state.get("truth"), st.session_state.get("called")
    marked = (truth, called) if truth and called else None
    specs = [spec_for(run) for run in pair]
    codes, unit = [spec.codes for spec in specs], specs[0].unit
    tables = [np.array(run.metrics["test"]["confusion"]) for run in pair]
    names = [spec.class_names for spec in specs]
    key = (marked, percent, dark)
    options: dict[str, Any] = {"framed": marked, "unit": unit, "dark": dark}
    with st.container(horizontal=True, gap="medium"):
        for place, (run, table) in enumerate(zip(pair, tables, strict=True)):
            line = f"{labels[run.name]} · {exact_percent(run.metrics['test']['accuracy'], 2)}"
            figure = partial(
                confusion_figure, table, codes[place], names[place], subtitle=line, percent=percent, **options
            )
            data, name = confusion_table(table, codes[place]), f"confusion-{run.name}"
            _clickable(figure, (run, line, *key), data, name, f"matrix_{'ab'[place]}", run.name)
        if len(pair) == 2 and codes[0] == codes[1]:
            both = compare_pair(pair[0], pair[1])
            # A difference of counts means something on the very same pictures only.
            paired = None if isinstance(both, str) or any(both.unshared) else both.comparison
            options |= {"title": difference_title(paired, "the first", "the second", unit)}
            options |= {"subtitle": (line := f"{labels[pair[0].name]} minus {labels[pair[1].name]}")}
            options |= {"percent": percent or paired is None}
            figure = partial(difference_figure, tables[0], tables[1], codes[0], names[0], **options)
            data, name = confusion_table(tables[0] - tables[1], codes[0]), f"difference-{pair[0].name}-{pair[1].name}"
            _clickable(figure, (*pair, line, *key), data, name, "matrix_difference", "either")


def prepare_square(pair: Sequence[Run]) -> None:
    """Settle which square is looked at, before anything that shows it is drawn: by the link, else the worst mix-up."""
    pair = _of_same_classes(pair)
    codes, confusion = list(pair[0].codes), np.array(pair[0].metrics["test"]["confusion"])
    truth, called = divmod(int((confusion - np.diag(np.diag(confusion))).argmax()), len(codes))
    who = [run.name for run in pair]
    for key, options, default, what in (
        ("truth", codes, codes[truth], "class"),
        ("called", codes, codes[called], "class"),
        ("by", [*who, "either"], who[0], "run"),
    ):
        notice = prepare(key, options, default, what=what)
        if notice:
            st.info(notice, icon=":material/link:")


def square_inspector(pair: Sequence[Run], labels: Mapping[str, str]) -> None:
    """The test cells of one square: ids, every run's answer and probabilities, pictures where the data is here."""
    pair = _of_same_classes(pair)
    run = pair[0]
    spec = spec_for(run)
    codes, name = list(spec.codes), spec.names
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for key, label in (("truth", f"{capitalized(spec.unit)}s that are"), ("called", "named")):
            st.selectbox(label, codes, format_func=lambda c: f"{c} · {name.get(c, c)}", key=key, width=260)
            share_key(key)
        if len(pair) == 2:
            who = {run.name: labels[run.name] for run in pair} | {"either": "either of the two"}
            st.selectbox("by", list(who), format_func=lambda name: who[name], key="by", width=300)
            share_key("by")
    by = st.session_state.get("by") if len(pair) == 2 else run.name
    truth, called = codes.index(st.session_state["truth"]), codes.index(st.session_state["called"])

    answers, note = _stored_answers(pair, labels, by)
    table = cell_answers(answers, truth, called)
    asked = [label for run in pair if (label := labels[run.name]) in answers and by in ("either", run.name)]
    table = table[np.any([table[f"{label} answer"] == called for label in asked], axis=0)]
    table = table.sort_values([f"{asked[0]} p called"], ascending=False)
    if note:
        st.caption(note)
    if table.empty:
        kind = name[codes[truth]] if spec.unit == "cell" else f"{spec.unit} of {name[codes[truth]]}"
        st.info(
            f"No {kind} ({codes[truth]}) in the test split is named {codes[called]} here.",
            icon=":material/check_circle:",
        )
        return
    _show_cells(table, answers, spec, pair, codes[truth], codes[called])


def _of_same_classes(pair: Sequence[Run]) -> list[Run]:
    """The runs that know the first one's classes: a square of one matrix means nothing in another's."""
    return [run for run in pair if run.codes == pair[0].codes]


def _clickable(
    figure: Callable[[], go.Figure], made_of: tuple[Any, ...], data: pd.DataFrame, name: str, key: str, by: str
) -> None:
    def remember() -> None:
        if square := clicked(key):
            st.session_state["truth"], st.session_state["called"] = square
            st.session_state["by"] = by

    with st.container(width=WIDTH):
        show_figure(figure, data, name, key, made_of=made_of, index=True, on_select=remember)


def _stored_answers(
    pair: Sequence[Run], labels: Mapping[str, str], by: str | None
) -> tuple[dict[str, tuple[Predictions, np.ndarray]], str | None]:
    """Every run's predictions in the order of the same images; the asked run alone where they can't be paired."""
    both, note = compare_pair(pair[0], pair[1]) if len(pair) == 2 else None, None
    if isinstance(both, str):
        pair = [next((run for run in pair if run.name == by), pair[0])]
        note = f"Only {labels[pair[0].name]}'s own {spec_for(pair[0]).unit}s: {both}"
    stored = [cache.predictions(run) for run in pair]
    orders = both.rows if isinstance(both, PairedAnswers) else (np.arange(len(stored[0].ids)),)
    names = [labels[run.name] for run in pair]
    return dict(zip(names, zip(stored, orders, strict=True), strict=True)), note


def _show_cells(
    table: pd.DataFrame, answers: dict, spec: DatasetSpec, pair: Sequence[Run], truth: str, called: str
) -> None:
    codes, unit = spec.codes, spec.unit
    shown = table.head(MOST_PICTURES)
    view: dict[str, Any] = {}
    config: dict[str, Any] = {}
    pictures = cache.largest_pictures(pair)
    if with_pictures := isinstance(pictures, cache.TestPictures):
        images = [pictures.get(identity) for identity in shown["id"]]
        view["cell"] = [None if image is None else data_url(enlarge(image, 96)) for image in images]
        config["cell"] = st.column_config.ImageColumn(capitalized(unit), pinned=True, width=110)
    view["id"] = shown["id"]
    for label in answers:
        view[f"{label}: answer"] = [codes[a] for a in shown[f"{label} answer"]]
        view[f"{label}: {called}"] = [percent(p) for p in shown[f"{label} p called"]]
        if truth != called:
            view[f"{label}: {truth}"] = [percent(p) for p in shown[f"{label} p true"]]
    config |= {c: st.column_config.TextColumn(c, alignment="right") for c in view if ": " in c and "answer" not in c}
    more = f", the first {len(shown)} shown, most confidently {called} first" if len(table) > len(shown) else ""
    st.markdown(f"**{counted(len(table), f'test {unit}')}**{more}")
    row, height = (104, 104) if with_pictures else (None, 35)
    height = min(560, 44 + height * len(shown))
    st.dataframe(pd.DataFrame(view), hide_index=True, column_config=config, row_height=row, height=height)
    full = table.copy()
    for label in answers:
        full[f"{label} answer"] = [codes[a] for a in full[f"{label} answer"]]
    full = full.rename(columns=lambda c: c.replace("p true", f"p {truth}").replace("p called", f"p {called}"))
    full.insert(1, "true class", truth)
    with st.container(horizontal=True, vertical_alignment="center"):
        csv_button(f"Download these {unit}s (CSV)", lambda: full, f"{unit}s-{truth}-named-{called}")
        if not with_pictures:
            st.caption(pictures)


def side_by_side(pair: Sequence[Run], context: CompareContext) -> None:
    """Matrices, the test of the difference, and the cells behind a square."""
    names = context.names
    prepare_square(pair)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.header(" and ".join(names[run.name] for run in pair), anchor=False, width="content")
        options = {"counts": f"{capitalized(context.unit)}s", "percent": "% of the true class"}
        shown = choice("show", "Squares show", options, "counts", "unit")
    if len(pair) == 2:
        tell_difference(pair, context)
    else:
        st.caption("Tick a second run in the table to see the two side by side, with the test of their difference.")
    show_matrices(pair, names, percent=shown == "percent", dark=context.dark)
    with st.container(horizontal=True):
        for run in pair:
            with st.popover(f"About {names[run.name]}", icon=":material/description:"):
                st.markdown(run.card or "This run has no card.")
    st.header(f"The {context.unit}s behind a square", anchor=False)
    st.caption("Click a square above, or choose here.")
    square_inspector(pair, names)
