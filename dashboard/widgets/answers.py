"""The pieces of the answer: summary line, wall, one cell's card, tables, downloads, failed files."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.datasets import DatasetSpec
from core.runs import Run
from core.serving.predict import SURE_PRECISION
from core.serving.wording import count, milliseconds, percent, sentence_case
from dashboard import state
from dashboard.cells import Answered, Drop, Failure, Tray, in_order, tile
from dashboard.downloads import as_csv, as_json
from dashboard.figures import classify as figures
from dashboard.figures.style import PRIMARY, class_colours, ground
from dashboard.widgets.page import go, is_dark, plot
from dashboard.widgets.pictures import enlarge
from dashboard.widgets.runs import labels

CHOSEN = "classify_cell"
TRAYS = "classify_trays"
_BY_HAND = "classify_by_hand"
WALL = "classify_wall"
PANE = 616  # a wall of six cells; two panes stand side by side at 1440 px, one below the other on less
_PICTURE, _BETWEEN = 224, 16
_MODES = {"auto": "As it fits", "parent": "Centre crop", "whole": "Whole"}


def tray_of(dataset: str) -> Tray:
    """The visitor's tray for ``dataset``: each has its own, so that answers of two domains never stand together."""
    return st.session_state.setdefault(TRAYS, {}).setdefault(dataset, Tray())


def summary_line(answered: Sequence[Answered], runs: Sequence[Run], unit: str) -> None:
    """'37 cells: 33 sure, 4 unsure', and what sure means; ``unit`` is what one picture shows."""
    sure = sum(a.lead.sure for a in answered)
    line = f"{count(len(answered), unit)}: {sure} sure, {len(answered) - sure} unsure"
    if len(runs) > 1:
        line += f", models disagree on {sum(not a.agree for a in answered)}"
    st.subheader(line, anchor=False, width="stretch", help=_what_sure_means(runs[0], answered[0].lead.threshold, unit))


def _what_sure_means(run: Run, threshold: float, unit: str) -> str:
    calibrated = f"calibrated on validation {unit}s" if "temperature" in run.metrics else "not calibrated"
    text = (
        f"Sure: {run.title} gives its first class at least {percent(threshold)}. At or above that, its answers on "
        f"validation {unit}s were right in {SURE_PRECISION:.1%} of cases. The percentages are {calibrated}"
    )
    if (ece := run.metrics["test"].get("ece")) is not None:
        text += f"; on test {unit}s they were off by {100 * ece:.1f} points on average"
    return f"{text}. All this holds for {unit}s like those; other stains and microscopes can mislead the model."


def wall(groups: Sequence[tuple[int | None, Sequence[Answered]]], spec: DatasetSpec) -> None:
    """The cells in the ``groups`` of `in_order`; a click shows that cell's card."""
    dark = is_dark()
    colours = class_colours(spec.codes, dark)
    drawn = []
    for number, cells in groups:
        if number is None:
            heading, colour = f"To check first: {len(cells)}", ground(dark)["quiet"]
        else:
            code = spec.codes[number]
            heading, colour = f"{code}  {spec.class_names[number]}: {len(cells)}", colours[code]
        drawn.append(figures.Group(heading, colour, [_tile(a, spec, caption=number is None) for a in cells]))
    figure = figures.wall(drawn, st.session_state[CHOSEN], dark)
    with st.container(height=min(620, int(figure.layout.height) + 34), border=False):
        st.plotly_chart(
            figure,
            theme=None,
            key=WALL,
            width="content",
            on_select=_clicked,
            selection_mode="points",
            config={"displayModeBar": False, "scrollZoom": False},
            alt=f"Wall of the {spec.unit}s, grouped by class",
        )


def choose(identity: str) -> None:
    """Show this cell's card, whatever comes in later."""
    st.session_state[CHOSEN] = identity
    st.session_state[_BY_HAND] = True


def forget_choice() -> None:
    """Let the first cell of the wall be shown again."""
    st.session_state.pop(_BY_HAND, None)


def choose_first(order: Sequence[str]) -> None:
    """Keep a cell that was chosen by hand while it is there, else show the first."""
    if not st.session_state.get(_BY_HAND) or st.session_state.get(CHOSEN) not in order:
        st.session_state[CHOSEN] = order[0]


def _tile(answered: Answered, spec: DatasetSpec, caption: bool) -> figures.Tile:
    lead = answered.lead
    said = f"{spec.codes[lead.winner]} {percent(lead.top)}"
    name = answered.cell.name if len(answered.cell.name) <= 40 else answered.cell.name[:37] + "..."
    name = name.replace("<", "&lt;")
    hover = f"{name}<br>{spec.class_names[lead.winner]}, {percent(lead.top)}" + ("" if lead.sure else ", unsure")
    if not answered.agree:
        hover += "<br>the models disagree"
    return figures.Tile(answered.cell.id, tile(answered), hover, said if caption else "")


def _clicked() -> None:
    points = st.session_state[WALL].selection.points
    if points:
        found = points[0].get("customdata")
        choose(found[0] if isinstance(found, list) else found)


def _step(order: list[str], by: int) -> None:
    now = order.index(st.session_state[CHOSEN]) if st.session_state.get(CHOSEN) in order else 0
    choose(order[(now + by) % len(order)])


def _remove(tray: Tray, order: list[str], identity: str) -> None:
    if len(order) > 1:
        _step(order, 1)
    tray.remove(identity)


def card(tray: Tray, answered: Answered, order: list[str], runs: Sequence[Run], spec: DatasetSpec) -> None:
    """One cell: the upload with the frame, what the model saw, the likeliest classes, how it was framed."""
    cell, dark = answered.cell, is_dark()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if len(order) > 1:
            place = order.index(cell.id) + 1
            st.button("Previous", key="classify_previous", shortcut="Left", on_click=_step, args=(order, -1))
            st.button("Next", key="classify_next", shortcut="Right", on_click=_step, args=(order, 1))
            st.caption(f"{place} of {len(order)}", width="content")
        if st.button(f"Explain this {spec.unit}", key="classify_explain", icon=":material/visibility:"):
            state.hand_over_image(cell.name, cell.pixels, cell.truth)
            go("explain")
        st.button(
            "Remove",
            key="classify_remove",
            icon=":material/close:",
            type="tertiary",
            on_click=_remove,
            args=(tray, order, cell.id),
        )
    with st.container(horizontal=True, gap="medium"):  # beside each other where there is room
        with st.container(width=PANE):
            _verdict(answered, spec)
            with st.container(horizontal=True, gap="small"):
                _pictures(answered, runs)
        with st.container(width=PANE):
            _bars(answered, runs, spec, dark)
            _facts(tray, answered, spec)


def _verdict(answered: Answered, spec: DatasetSpec) -> None:
    lead = answered.lead
    badges = ":green-badge[sure]" if lead.sure else ":orange-badge[unsure]"
    if not answered.agree:
        badges += " :orange-badge[models disagree]"
    st.subheader(
        f"{spec.codes[lead.winner]}  {spec.class_names[lead.winner]}, {_escaped(percent(lead.top))} {badges}",
        anchor=False,
    )


def _pictures(answered: Answered, runs: Sequence[Run]) -> None:
    cell, framed = answered.cell, answered.lead.framed
    height, width = cell.pixels.shape[:2]
    seen = {run.size: reading.framed.pixels for run, reading in zip(runs, answered.readings, strict=True)}
    side = min(_PICTURE, PANE // (len(seen) + 1) - _BETWEEN)
    with st.container(width=side, gap="xxsmall"):
        shown = figures.framed_upload(cell.pixels, framed.box, 2 * side, PRIMARY[False])
        st.image(shown, width=max(1, shown.shape[1] // 2), alt=f"{cell.name} with the frame that the model saw")
        st.caption(f"Your picture, {width} x {height} px" if cell.truth is None else f"{width} x {height} px")
    for size, pixels in seen.items():
        with st.container(width=side, gap="xxsmall"):
            st.image(enlarge(pixels, 2 * side), width=side, alt=f"The {size} px picture that the model saw")
            st.caption(f"What the model saw, {size} px")


def _bars(answered: Answered, runs: Sequence[Run], spec: DatasetSpec, dark: bool) -> None:
    colours, short = class_colours(spec.codes, dark), labels(runs)
    for number, (run, reading) in enumerate(zip(runs, answered.readings, strict=True)):
        title = "Likeliest classes"
        if len(runs) > 1:
            verdict = "sure" if reading.sure else "unsure"
            title = f"{short[run.name]}: {spec.class_names[reading.winner]}, {verdict}"
        figure = figures.probability_bars(
            reading.probabilities,
            spec.codes,
            spec.class_names,
            colours,
            title=title,
            dark=dark,
            shown=figures.SHOWN if len(runs) == 1 else 3,
        )
        plot(figure, key=f"classify_bars_{number}", alt=f"Probabilities by {run.title}")
    times = ", ".join(
        f"{short[r.name]} in {milliseconds(a.milliseconds)}" for r, a in zip(runs, answered.readings, strict=True)
    )
    st.caption(f"Answered by {times}.")


def _facts(tray: Tray, answered: Answered, spec: DatasetSpec) -> None:
    cell, framed = answered.cell, answered.lead.framed
    lines = [f"**{_escaped(cell.name)}**"]
    if cell.truth:
        name = dict(zip(spec.codes, spec.class_names, strict=True)).get(cell.truth, cell.truth)
        lines.append(f"Labelled {name} ({cell.source}).")
    lines.append(framed.note)
    lines += [f"{note[0].upper()}{note[1:]}." for note in cell.notes]
    st.markdown(" ".join(lines))
    key = f"classify_mode_{cell.id}"

    def choose() -> None:
        tray.modes[cell.id] = st.session_state[key] or "auto"

    st.session_state[key] = tray.mode(cell.id)
    if spec.squeezed:  # the whole picture is always used
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.segmented_control(
            "What to cut out",
            list(_MODES),
            format_func=_MODES.get,
            key=key,
            required=True,
            on_change=choose,
            help="As it fits: decided by the picture's shape. Centre crop: the middle, in the proportion of the crops "
            "that the models learnt from. Whole: the largest square in the middle.",
        )
        st.button(
            f"Use for all {spec.unit}s",
            key="classify_mode_all",
            type="tertiary",
            on_click=tray.use_mode_for_all,
            args=(tray.mode(cell.id),),
            disabled=len(tray.cells) < 2,
        )


def _escaped(name: str) -> str:
    """A file's name as plain text inside Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()#+-.!|<>~$:" else c for c in name)


def tables(answered: Sequence[Answered], runs: Sequence[Run], spec: DatasetSpec) -> None:
    """Counts by class beside the list of all answers."""
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.subheader(f"{sentence_case(spec.unit)}s by class", anchor=False)
        rows = []
        for number, code in enumerate(spec.codes):
            mine = [a for a in answered if a.lead.winner == number]
            sure = sum(a.lead.sure for a in mine)
            share = 100 * len(mine) / len(answered)
            rows.append((code, spec.class_names[number], len(mine), sure, len(mine) - sure, share))
        table = pd.DataFrame(rows, columns=["Code", "Class", f"{sentence_case(spec.unit)}s", "Sure", "Unsure", "Share"])
        st.dataframe(
            table,
            hide_index=True,
            height=36 * (len(rows) + 1),
            column_config={
                "Code": st.column_config.TextColumn(pinned=True, width="small"),
                "Share": st.column_config.NumberColumn(
                    format="%.0f %%", help=f"Share of the {spec.unit}s on this page"
                ),
            },
            alt=f"Number of {spec.unit}s by class",
        )
    with right:
        st.subheader("All answers", anchor=False)
        st.dataframe(
            _answers_table(answered, runs, spec),
            hide_index=True,
            height=36 * (len(spec.codes) + 1),
            column_config={
                "File": st.column_config.TextColumn(pinned=True),
                "Probability": st.column_config.NumberColumn(
                    format="%.0f %%", help="Of the first class; 99 % stands for 99 % or more"
                ),
                "ms": st.column_config.NumberColumn(format="%.1f", help=f"Milliseconds for this {spec.unit}"),
            },
            alt="All answers",
        )


def _answers_table(answered: Sequence[Answered], runs: Sequence[Run], spec: DatasetSpec) -> pd.DataFrame:
    short, rows = labels(runs), []
    for a in (a for _, cells in in_order(answered) for a in cells):
        row = {
            "File": a.cell.name,
            "Class": f"{spec.codes[a.lead.winner]}  {spec.class_names[a.lead.winner]}",
            "Probability": min(100 * a.lead.top, 99.4),  # shown as 99 %: never 100 %
            "Verdict": "sure" if a.lead.sure else "unsure",
        }
        for run, reading in list(zip(runs, a.readings, strict=True))[1:]:
            row[short[run.name]] = f"{spec.codes[reading.winner]}  {percent(reading.top)}"
        rows.append(row | {"ms": a.lead.milliseconds})
    return pd.DataFrame(rows)


def downloads(
    answered: Sequence[Answered], failures: Sequence[Failure], runs: Sequence[Run], spec: DatasetSpec
) -> None:
    """Results to keep, made when the button is pressed."""
    with st.container(horizontal=True, width="content", gap="small"):
        for kind, make, mime in (("CSV", as_csv, "text/csv"), ("JSON", as_json, "application/json")):
            st.download_button(
                f"Download results ({kind})",
                data=lambda make=make: make(answered, failures, runs, spec),
                file_name=f"hemalens-answers.{kind.lower()}",
                mime=mime,
                key=f"classify_{kind.lower()}",
                icon=":material/download:",
                on_click="ignore",
            )


def failed_files(failures: Sequence[Failure]) -> None:
    """A button that opens the list of files that could not be used; nothing where there are none."""
    if failures:
        with st.popover(f"{count(len(failures), 'file')} not used", icon=":material/warning:"):
            failed_table(failures)


def failed_table(failures: Sequence[Failure]) -> None:
    """The files that could not be used, each with its reason and what to do."""
    table = pd.DataFrame([(f.name, f.reason, f.advice) for f in failures], columns=["File", "Reason", "What to do"])
    st.dataframe(table, hide_index=True, alt="Files that could not be used")


def news(drop: Drop) -> str:
    """What became of the last files dropped, where that isn't plain from the wall; '' where it is."""
    parts = []
    if drop.known:
        was = "was" if drop.known == 1 else "were"
        parts.append(f"{count(drop.known, 'picture')} {was} here already and counted once")
    if drop.unread:
        parts.append(f"stopped: {count(drop.unread, 'file')} not read")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""
