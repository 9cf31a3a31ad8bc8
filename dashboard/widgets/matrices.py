"""Two runs side by side: their confusion matrices, the test of their difference, the cells behind a square."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from core.datasets import DatasetSpec
from core.evaluation.compare import PairedComparison
from core.runs import Predictions, Run
from core.serving.domain import known
from core.serving.wording import count, sentence_case
from dashboard import catalogue
from dashboard.drawn import drawn
from dashboard.figures.compare import confusion_chart, difference_chart, difference_title, framed_cell
from dashboard.leaderboard import cell_answers, confusion_table, share
from dashboard.pairs import compare
from dashboard.state import prepare
from dashboard.state import share as share_key
from dashboard.widgets.export import exported
from dashboard.widgets.pictures import data_url, enlarge

MOST_PICTURES = 60
WIDTH = 400  # of one matrix, in pixels; three stand in a row on a wide page, one below the other on a narrow one


def verdict(
    paired: PairedComparison,
    first: str,
    second: str,
    sizes: tuple[int, int],
    *,
    unshared: tuple[int, int] = (0, 0),
    unit: str = "cell",
) -> str:
    """The comparison in words; ``unshared`` test pictures only the first, only the second run was scored on."""
    points = 100 * paired.difference
    low, high = sorted((1 if points >= 0 else -1) * 100 * bound for bound in paired.interval)  # the better one's lead
    p = "p < 0.001" if paired.p_value < 0.001 else f"p = {paired.p_value:.3f}"
    facts = f"95 % interval {low:+.2f} to {high:+.2f} points, McNemar's exact test {p}"
    if paired.only_first == paired.only_second:
        opening = f"On the same {paired.n:,} test {unit}s **{first}** and **{second}** are equally accurate ({facts})"
    else:
        better, worse = (first, second) if points > 0 else (second, first)
        opening = (
            f"On the same {paired.n:,} test {unit}s **{better}** is {abs(points):.2f} points more accurate than "
            f"**{worse}** ({facts})"
        )
    chance = "more than chance explains" if paired.p_value < 0.05 else "chance alone could explain the difference"
    tail = f": {chance}." if paired.only_first != paired.only_second else "."
    if sizes[0] != sizes[1]:
        tail += f" One sees them at {sizes[0]} px, the other at {sizes[1]} px; they are matched by their ids."
    if any(unshared):
        tail += (
            f" They were scored on different test {unit}s: these are the ones that both have; "
            f"{unshared[0]:,} of {first} and {unshared[1]:,} of {second} are left out."
        )
    return opening + tail


def matrices(pair: Sequence[Run], labels: dict[str, str], *, percent: bool, dark: bool) -> None:
    """The confusion matrix of one run, or of two and their difference; a click chooses a square."""
    truth, called = st.session_state.get("truth"), st.session_state.get("called")
    marked = (truth, called) if truth and called else None
    specs = [known(run) for run in pair]
    codes, unit = [spec.codes for spec in specs], specs[0].unit
    tables = [np.array(run.metrics["test"]["confusion"]) for run in pair]
    names = [spec.class_names for spec in specs]
    with st.container(horizontal=True, gap="medium"):
        for place, run in enumerate(pair):
            line = f"{labels[run.name]} · {run.metrics['test']['accuracy']:.2%}".replace("%", " %")
            chart = drawn(
                ("confusion", catalogue.mark(run), line, percent, dark),
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
            found = compare(*pair)
            # A difference of counts means something on the very same pictures only.
            paired = None if isinstance(found, str) or any(found.unshared) else found.comparison
            title = difference_title(paired, "the first", "the second", unit)
            line = f"{labels[pair[0].name]} minus {labels[pair[1].name]}"
            options = {"percent": percent or paired is None, "unit": unit, "dark": dark}
            chart = difference_chart(*tables, codes[0], names[0], title=title, subtitle=line, **options)
            data = confusion_table(tables[0] - tables[1], codes[0])
            chart = framed_cell(chart, marked, dark)
            _clickable(chart, data, f"difference-{pair[0].name}-{pair[1].name}", "matrix_difference", "either")


def prepare_cell(pair: Sequence[Run]) -> None:
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


def cell_inspector(pair: Sequence[Run], labels: dict[str, str]) -> None:
    """The test cells of one square: ids, every run's answer and probabilities, pictures where the data is here."""
    pair = _of_same_classes(pair)
    run = pair[0]
    spec = known(run)
    codes, name = list(spec.codes), dict(zip(spec.codes, spec.class_names, strict=True))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for key, label in (("truth", f"{sentence_case(spec.unit)}s that are"), ("called", "named")):
            st.selectbox(label, codes, format_func=lambda c: f"{c} · {name.get(c, c)}", key=key, width=260)
            share_key(key)
        if len(pair) == 2:
            who = {run.name: labels[run.name] for run in pair} | {"either": "either of the two"}
            st.selectbox("by", list(who), format_func=who.get, key="by", width=300)
            share_key("by")
    by = st.session_state.get("by") if len(pair) == 2 else run.name
    truth, called = codes.index(st.session_state["truth"]), codes.index(st.session_state["called"])

    answers, note = _answers(pair, labels, by)
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
        exported(chart, data, name, key, index=True, on_select=remember)


def _answers(
    pair: Sequence[Run], labels: dict[str, str], by: str
) -> tuple[dict[str, tuple[Predictions, np.ndarray]], str | None]:
    """Every run's predictions in the order of the same images; the asked run alone where they can't be paired."""
    stored = {labels[run.name]: catalogue.predictions(run) for run in pair}
    found = compare(*pair) if len(pair) == 2 else None
    if isinstance(found, str):
        run = next((r for r in pair if r.name == by), pair[0])
        alone = stored[labels[run.name]]
        return {labels[run.name]: (alone, np.arange(len(alone.ids)))}, (
            f"Only {labels[run.name]}'s own {known(run).unit}s: {found}"
        )
    orders = found.places if found else (np.arange(len(stored[labels[pair[0].name]].ids)),)
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
        config["cell"] = st.column_config.ImageColumn(sentence_case(unit), pinned=True, width=110)
    view["id"] = shown["id"]
    for label in answers:
        view[f"{label}: answer"] = [codes[a] for a in shown[f"{label} answer"]]
        view[f"{label}: {called}"] = [share(p) for p in shown[f"{label} p called"]]
        if truth != called:
            view[f"{label}: {truth}"] = [share(p) for p in shown[f"{label} p true"]]
    config |= {c: st.column_config.TextColumn(c, alignment="right") for c in view if ": " in c and "answer" not in c}
    more = f", the first {len(shown)} shown, most confidently {called} first" if len(table) > len(shown) else ""
    st.markdown(f"**{count(len(table), f'test {unit}')}**{more}")
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
        data = catalogue.scored_on(run)
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
