"""Compare, runs side by side: their confusion matrices and the difference of two, clickable, and the cells behind a
square.

A matrix is written as a Vega-Lite specification: Plotly gives no clicks on heatmaps, and an Altair chart of the same
takes 80 ms of the processor to build and to check, this 1 ms. https://vega.github.io/vega-lite/docs/
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.datasets import DatasetSpec
from core.evaluation import softmax
from core.evaluation.compare import PairedComparison
from core.formatting import capitalized, counted, of_class
from core.inference.scope import spec_for
from core.runs import Predictions, Run
from dashboard import cache
from dashboard.charts import cached_figure, show_figure
from dashboard.compare import CompareContext, compare_pair, comparison_text
from dashboard.pickers import choice
from dashboard.pictures import data_url, enlarge
from dashboard.style import FONT, diverging, ground, inks, sequential
from dashboard.url_state import prepare
from dashboard.url_state import share as share_key

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
VegaSpec = dict[str, Any]


def squares(
    data: pd.DataFrame,
    rows: str,
    columns: str,
    *,
    order: Sequence[str],
    steps: Sequence[float],
    scale: Sequence[str],
    tooltip: Sequence[Mapping[str, str]],
    titles: tuple[str | None, str | None],
    title: str,
    subtitle: str = "",
    click: tuple[str, Sequence[str]] | None = None,
    side: int = 360,
    font_size: int = 12,
    label_size: int = 13,
    label_angle: int = 0,
    dark: bool = False,
) -> VegaSpec:
    """One square for each row of ``data``: text 'text', colour by 'colour' on ``scale`` (hex, at the values ``steps``).

    ``rows`` and ``columns`` name the fields of the axes, both in ``order``, called ``titles``; ``tooltip`` holds
    Vega-Lite field definitions. ``click`` is the name of a selection and the fields that it gives. ``side`` is
    the height in pixels.
    """
    colours = ground(dark)
    axis = {"ticks": False, "domain": False, "labelFontSize": label_size, "labelLimit": 230}
    place = {
        "x": _axis(columns, order, titles[1], axis | {"orient": "top", "labelAngle": label_angle}),
        "y": _axis(rows, order, titles[0], axis),
    }
    hover = [{"type": "nominal"} | dict(field) for field in tooltip]
    colour = {"domain": [float(v) for v in steps], "range": list(scale), "interpolate": "rgb"}
    mark = {"type": "rect", "stroke": colours["line"], "strokeWidth": 0.5, "cursor": "pointer" if click else "default"}
    fill = {"field": "colour", "type": "quantitative", "scale": colour, "legend": None}
    squares_layer = {"mark": mark, "encoding": place | {"color": fill, "tooltip": hover}}
    if click:
        select = {"type": "point", "fields": list(click[1]), "on": "click", "clear": "dblclick"}
        squares_layer["params"] = [{"name": click[0], "select": select}]
    # The inks are colours already; a scale shared with the squares would be read where there is none.
    ink = {"field": "ink", "type": "nominal", "scale": None}
    text = {"field": "text", "type": "nominal"}
    numbers = {
        "mark": {"type": "text", "fontSize": font_size, "cursor": mark["cursor"]},
        "encoding": place | {"text": text, "color": ink, "tooltip": hover},
    }
    return {
        "$schema": SCHEMA,
        "data": {"values": data.assign(ink=inks(data["colour"], steps, scale)).to_dict("records")},
        "layer": [squares_layer, numbers],
        "resolve": {"scale": {"color": "independent"}},
        "height": side,
        "title": {"text": title, "subtitle": subtitle, "anchor": "start", "fontSize": 14, "offset": 10}
        | {"color": colours["text"], "subtitleColor": colours["quiet"], "subtitleFontSize": 13},
        "config": _config(colours),
    }


def framed_square(spec: VegaSpec, square: Mapping[str, str] | None, dark: bool = False) -> VegaSpec:
    """``spec`` of `squares` with a frame around the square that has these values on its axes; ``spec`` itself stays."""
    if square is None:
        return spec
    place = {axis: spec["layer"][0]["encoding"][axis] for axis in ("x", "y")}
    frame = {"type": "rect", "fillOpacity": 0, "stroke": ground(dark)["text"], "strokeWidth": 2.5}
    layer = {"data": {"values": [dict(square)]}, "mark": frame, "encoding": place}
    return spec | {"layer": [*spec["layer"], layer]}


def _axis(field: str, order: Sequence[str], title: str | None, axis: Mapping[str, Any]) -> dict[str, Any]:
    return {"field": field, "type": "nominal", "sort": list(order), "title": title, "axis": dict(axis)}


def _config(colours: Mapping[str, str]) -> dict[str, Any]:
    quiet = {"titleColor": colours["quiet"], "titleFontWeight": "normal", "titleFontSize": 13}
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"strokeWidth": 0},
        "title": {"font": FONT, "fontWeight": 600},
        "axis": quiet | {"labelColor": colours["text"], "gridColor": colours["line"]},
    }


def even_steps(low: float, high: float, scale: Sequence[str]) -> list[float]:
    """Where the colours of ``scale`` lie between ``low`` and ``high``."""
    return np.linspace(low, high, len(scale)).tolist()


AXES = ("true class", "named")  # of a confusion matrix: rows and columns
CLICK = ("cell", ("truth", "called"))  # what a click on a square gives: the selection's name and its fields


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
    rank = errors + errors / np.maximum(rows, 1) / 2
    truth, called = np.unravel_index(int(rank.argmax()), rank.shape)
    count, of = int(errors[truth, called]), int(rows[truth, 0])
    if count > of / 2:
        return f"{capitalized(of_class(names[truth], unit))} are mostly taken for {of_class(names[called], unit)}"
    if count == 1:
        return f"{total} of {int(matrix.sum())} {unit}s wrong, no mix-up twice"
    return f"{count} of {of} {of_class(names[truth], unit)} taken for {of_class(names[called], unit)}"


def confusion_chart(
    confusion: np.ndarray,
    codes: Sequence[str],
    names: Sequence[str],
    *,
    percent: bool = False,
    title: str | None = None,
    subtitle: str = "",
    axes: tuple[str, str] = AXES,
    unit: str = "cell",
    dark: bool = False,
) -> VegaSpec:
    """A clickable confusion matrix (rows are the truth); its selection ``cell`` gives truth and called.

    ``axes`` says what rows and columns are, where it is not a confusion matrix (then nothing is clickable).
    ``percent`` prints the share of the row instead of counts. The colour is the square root of the row's share,
    so that rare mix-ups stay visible. `framed_cell` draws a frame around a square. ``unit`` is what one picture shows.
    """
    matrix = np.asarray(confusion, float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shown = 100 * shares if percent else matrix
    digits = _percent_text if percent else lambda v: f"{v:,.0f}" if v else ""
    data = _cells(codes, names, shown, digits)
    data["colour"], data["count"], data["row"] = np.sqrt(shares).ravel(), matrix.ravel(), (100 * shares).ravel()
    tooltip = [
        {"field": "truth_name", "title": axes[0]},
        {"field": "called_name", "title": axes[1]},
        {"field": "count", "type": "quantitative", "title": f"{unit}s", "format": ",.0f"},
        {"field": "row", "type": "quantitative", "format": ".1f"}
        | {"title": "% of the true class" if axes == AXES else "% of the row"},
    ]
    scale = sequential(dark)
    texts = {"title": title or confusion_title(matrix, names, unit), "subtitle": subtitle}
    click = CLICK if axes == AXES else None
    return _matrix(data, codes, even_steps(0, 1, scale), scale, tooltip, axes, click, texts, dark)


def difference_chart(
    first: np.ndarray,
    second: np.ndarray,
    codes: Sequence[str],
    names: Sequence[str],
    *,
    percent: bool = False,
    title: str,
    subtitle: str = "",
    unit: str = "cell",
    dark: bool = False,
) -> VegaSpec:
    """First minus second confusion matrix on a diverging scale, the ground's colour at zero; clickable."""
    one, two = np.asarray(first, float), np.asarray(second, float)
    share = 100 * (
        one / np.maximum(one.sum(axis=1, keepdims=True), 1) - two / np.maximum(two.sum(axis=1, keepdims=True), 1)
    )
    shown = share if percent else one - two
    digits = (lambda v: f"{v:+.1f}" if abs(v) >= 0.05 else "") if percent else (lambda v: f"{v:+,.0f}" if v else "")
    data = _cells(codes, names, shown, digits)
    data["colour"] = shown.ravel()
    limit = max(float(np.abs(shown).max()), 1e-9)
    what = {"title": "points of the row", "format": "+.1f"} if percent else {"title": f"{unit}s", "format": "+d"}
    tooltip = [
        {"field": "truth_name", "title": "true class"},
        {"field": "called_name", "title": "named"},
        {"field": "colour", "type": "quantitative"} | what,
    ]
    scale = diverging(dark)
    texts = {"title": title, "subtitle": subtitle}
    return _matrix(data, codes, even_steps(-limit, limit, scale), scale, tooltip, AXES, CLICK, texts, dark)


def framed_cell(spec: VegaSpec, cell: tuple[str, str] | None, dark: bool = False) -> VegaSpec:
    """A confusion matrix, or a difference of two, with a frame around the square (true class, class named)."""
    return framed_square(spec, {"truth": cell[0], "called": cell[1]} if cell else None, dark)


def difference_title(paired: PairedComparison | None, first: str, second: str, unit: str = "cell") -> str:
    """What two runs' difference says, in one line."""
    if paired is None:
        return f"{first} minus {second}, each on its own {unit}s"
    if paired.only_first == paired.only_second == 0:
        return f"Both runs are right and wrong on the same {unit}s"
    return f"{paired.only_first} {unit}s only {first} names right, {paired.only_second} only {second}"


def _cells(codes: Sequence[str], names: Sequence[str], shown: np.ndarray, text) -> pd.DataFrame:
    rows = []
    for i, truth in enumerate(codes):
        for j, called in enumerate(codes):
            rows.append((truth, called, names[i], names[j], text(shown[i, j])))
    return pd.DataFrame(rows, columns=["truth", "called", "truth_name", "called_name", "text"])


def _matrix(data, codes, steps, scale, tooltip, axes, click, texts, dark) -> VegaSpec:
    order, look = list(codes), {"steps": steps, "scale": scale, "dark": dark}
    return squares(data, "truth", "called", order=order, tooltip=tooltip, titles=axes, click=click, **texts, **look)


def _percent_text(value: float) -> str:
    if value == 0:
        return ""
    return "< 0.1" if value < 0.05 else f"{value:.1f}"


def confusion_table(confusion: Sequence[Sequence[int]], codes: Sequence[str]) -> pd.DataFrame:
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


def probability_text(value: float) -> str:
    """A probability as a whole percent, '> 99 %' and '< 1 %' at the ends."""
    if value > 0.99:
        return "> 99 %"
    return "< 1 %" if value < 0.01 else f"{100 * value:.0f} %"


MOST_PICTURES = 60
WIDTH = 400  # of one matrix, in pixels; three stand in a row on a wide page, one below the other on a narrow one


def show_matrices(pair: Sequence[Run], labels: dict[str, str], *, percent: bool, dark: bool) -> None:
    """The confusion matrix of one run, or of two and their difference; a click chooses a square."""
    truth, called = st.session_state.get("truth"), st.session_state.get("called")
    marked = (truth, called) if truth and called else None
    specs = [spec_for(run) for run in pair]
    codes, unit = [spec.codes for spec in specs], specs[0].unit
    tables = [np.array(run.metrics["test"]["confusion"]) for run in pair]
    names = [spec.class_names for spec in specs]
    with st.container(horizontal=True, gap="medium"):
        for place, run in enumerate(pair):
            line = f"{labels[run.name]} · {run.metrics['test']['accuracy']:.2%}".replace("%", " %")
            chart = cached_figure(
                ("confusion", cache.version(run), line, percent, dark),
                partial(
                    confusion_chart,
                    tables[place],
                    codes[place],
                    names[place],
                    subtitle=line,
                    percent=percent,
                    unit=unit,
                    dark=dark,
                ),
            )
            data = confusion_table(tables[place], codes[place])
            chart = framed_cell(chart, marked, dark)
            _clickable(chart, data, f"confusion-{run.name}", f"matrix_{'ab'[place]}", run.name)
        if len(pair) == 2 and codes[0] == codes[1]:
            both = compare_pair(*pair)
            # A difference of counts means something on the very same pictures only.
            paired = None if isinstance(both, str) or any(both.unshared) else both.comparison
            title = difference_title(paired, "the first", "the second", unit)
            line = f"{labels[pair[0].name]} minus {labels[pair[1].name]}"
            options = {"percent": percent or paired is None, "unit": unit, "dark": dark}
            chart = difference_chart(*tables, codes[0], names[0], title=title, subtitle=line, **options)
            data = confusion_table(tables[0] - tables[1], codes[0])
            chart = framed_cell(chart, marked, dark)
            _clickable(chart, data, f"difference-{pair[0].name}-{pair[1].name}", "matrix_difference", "either")


def prepare_square(pair: Sequence[Run]) -> None:
    """Settle which square is looked at, before anything that shows it is drawn: by the link, else the worst mix-up."""
    pair = _of_same_classes(pair)
    run = pair[0]
    codes = list(run.codes)
    worst = _commonest_error(np.array(run.metrics["test"]["confusion"]))
    who = [r.name for r in pair] + ["either"]
    for key, options, default, what in (
        ("truth", codes, codes[worst[0]], "class"),
        ("called", codes, codes[worst[1]], "class"),
        ("by", who, run.name, "run"),
    ):
        notice = prepare(key, options, default, what=what)
        if notice:
            st.info(notice, icon=":material/link:")


def square_inspector(pair: Sequence[Run], labels: dict[str, str]) -> None:
    """The test cells of one square: ids, every run's answer and probabilities, pictures where the data is here."""
    pair = _of_same_classes(pair)
    run = pair[0]
    spec = spec_for(run)
    codes, name = list(spec.codes), dict(zip(spec.codes, spec.class_names, strict=True))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for key, label in (("truth", f"{capitalized(spec.unit)}s that are"), ("called", "named")):
            st.selectbox(label, codes, format_func=lambda c: f"{c} · {name.get(c, c)}", key=key, width=260)
            share_key(key)
        if len(pair) == 2:
            who = {run.name: labels[run.name] for run in pair} | {"either": "either of the two"}
            st.selectbox("by", list(who), format_func=who.get, key="by", width=300)
            share_key("by")
    by = st.session_state.get("by") if len(pair) == 2 else run.name
    truth, called = codes.index(st.session_state["truth"]), codes.index(st.session_state["called"])

    answers, note = _stored_answers(pair, labels, by)
    table = cell_answers(answers, truth, called)
    asked = [label for label in answers if by == "either" or by == _name_of(label, pair, labels)]
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


def _clickable(chart, data: pd.DataFrame, name: str, key: str, by: str) -> None:
    def remember() -> None:
        points = st.session_state[key].selection.get("cell") or []
        if points:
            st.session_state["truth"], st.session_state["called"] = points[0]["truth"], points[0]["called"]
            st.session_state["by"] = by

    with st.container(width=WIDTH):
        show_figure(chart, data, name, key, index=True, on_select=remember)


def _stored_answers(
    pair: Sequence[Run], labels: dict[str, str], by: str
) -> tuple[dict[str, tuple[Predictions, np.ndarray]], str | None]:
    """Every run's predictions in the order of the same images; the asked run alone where they can't be paired."""
    stored = {labels[run.name]: cache.predictions(run) for run in pair}
    both = compare_pair(*pair) if len(pair) == 2 else None
    if isinstance(both, str):
        run = next((r for r in pair if r.name == by), pair[0])
        alone = stored[labels[run.name]]
        return {labels[run.name]: (alone, np.arange(len(alone.ids)))}, (
            f"Only {labels[run.name]}'s own {spec_for(run).unit}s: {both}"
        )
    orders = both.rows if both else (np.arange(len(stored[labels[pair[0].name]].ids)),)
    return {
        label: (predictions, order) for (label, predictions), order in zip(stored.items(), orders, strict=True)
    }, None


def _name_of(label: str, pair: Sequence[Run], labels: dict[str, str]) -> str:
    return next(run.name for run in pair if labels[run.name] == label)


def _show_cells(
    table: pd.DataFrame, answers: dict, spec: DatasetSpec, pair: Sequence[Run], truth: str, called: str
) -> None:
    codes, unit = spec.codes, spec.unit
    shown = table.head(MOST_PICTURES)
    pictures, why_not = _pictures(pair, shown["id"])
    view, config = {}, {}
    if pictures:
        view["cell"] = pictures
        config["cell"] = st.column_config.ImageColumn(capitalized(unit), pinned=True, width=110)
    view["id"] = shown["id"]
    for label in answers:
        view[f"{label}: answer"] = [codes[a] for a in shown[f"{label} answer"]]
        view[f"{label}: {called}"] = [probability_text(p) for p in shown[f"{label} p called"]]
        if truth != called:
            view[f"{label}: {truth}"] = [probability_text(p) for p in shown[f"{label} p true"]]
    config |= {c: st.column_config.TextColumn(c, alignment="right") for c in view if ": " in c and "answer" not in c}
    more = f", the first {len(shown)} shown, most confidently {called} first" if len(table) > len(shown) else ""
    st.markdown(f"**{counted(len(table), f'test {unit}')}**{more}")
    frame = pd.DataFrame(view)
    st.dataframe(
        frame,
        hide_index=True,
        column_config=config,
        row_height=104 if pictures else None,
        height=min(560, 40 + (104 if pictures else 35) * len(frame) + 4),
    )
    full = table.copy()
    for label in answers:
        full[f"{label} answer"] = [codes[a] for a in full[f"{label} answer"]]
    full = full.rename(columns=lambda c: c.replace("p true", f"p {truth}").replace("p called", f"p {called}"))
    full.insert(1, "true class", truth)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            f"Download these {unit}s (CSV)",
            full.to_csv(index=False),
            f"{unit}s-{truth}-named-{called}.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        if why_not:
            st.caption(why_not)


def _pictures(pair: Sequence[Run], ids: Sequence[str]) -> tuple[list[str], str | None]:
    """Data URLs of the test cells, from the largest of the runs' images that are here; else a sentence why none."""
    by_size = sorted(pair, key=lambda r: -r.size)
    for run in by_size:
        data = cache.scored_images(run)
        if data is None:
            continue
        split = data["test"]
        place = {identity: i for i, identity in enumerate(split.ids)}
        if all(identity in place for identity in ids):
            return [data_url(enlarge(split.images[place[identity]], 96)) for identity in ids], None
    run = by_size[0]
    return [], f"Pictures appear here once {run.provenance} at {run.size} px is on this computer (see Dataset)."


def _commonest_error(confusion: np.ndarray) -> tuple[int, int]:
    errors = confusion - np.diag(np.diag(confusion))
    if not errors.any():
        return 0, 0
    truth, called = np.unravel_index(int(errors.argmax()), errors.shape)
    return int(truth), int(called)


def side_by_side(pair: Sequence[Run], context: CompareContext) -> None:
    """Matrices, the test of the difference, and the cells behind a square."""
    names = context.names
    prepare_square(pair)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.subheader(" and ".join(names[run.name] for run in pair), anchor=False, width="content")
        options = {"counts": f"{capitalized(context.unit)}s", "percent": "% of the true class"}
        shown = choice("show", "Squares show", options, "counts", "unit")
    if len(pair) == 2:
        both = compare_pair(*pair)
        if isinstance(both, str):
            st.info(f"No test of the difference. {both}", icon=":material/info:")
        else:
            who, sizes = (names[run.name] for run in pair), tuple(run.size for run in pair)
            st.markdown(comparison_text(both.comparison, *who, sizes, unshared=both.unshared, unit=context.unit))
    else:
        st.caption("Tick a second run in the table to see the two side by side, with the test of their difference.")
    show_matrices(pair, names, percent=shown == "percent", dark=context.dark)
    with st.container(horizontal=True):
        for run in pair:
            with st.popover(f"About {names[run.name]}", icon=":material/description:"):
                st.markdown(run.card or "This run has no card.")
    st.subheader(f"The {context.unit}s behind a square", anchor=False)
    st.caption("Click a square above, or choose here.")
    square_inspector(pair, names)
