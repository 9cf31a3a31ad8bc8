"""The pieces of the answer: summary line, wall, tables, downloads, failed files."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.datasets import DatasetSpec
from core.serving.predict import SURE_PRECISION
from core.serving.reader import Reader
from core.serving.wording import count, percent, sentence_case
from dashboard.cells import Answered, Drop, Failure, Group, Tray, in_order, tile
from dashboard.downloads import as_csv, as_json
from dashboard.figures import classify as figures
from dashboard.figures.style import class_colours, ground
from dashboard.widgets.page import is_dark
from dashboard.widgets.runs import labels
from dashboard.widgets.samples import Sample

CHOSEN = "classify_cell"
TRAYS = "classify_trays"
_BY_HAND = "classify_by_hand"
WALL = "classify_wall"
PANE = 616  # a wall of six cells; two panes stand side by side at 1440 px, one below the other on less


def tray_of(dataset: str) -> Tray:
    """The visitor's tray for ``dataset``: each has its own, so that answers of two domains never stand together."""
    return st.session_state.setdefault(TRAYS, {}).setdefault(dataset, Tray())


def summary_line(answered: Sequence[Answered], readers: Sequence[Reader], unit: str) -> None:
    """'37 cells: 33 sure, 3 unsure, 1 foreign', and what that means; ``unit`` is what one picture shows."""
    lead = readers[0]
    line = f"{count(len(answered), unit)}: {_heard(answered, 'sure')} sure, {_heard(answered, 'unsure')} unsure"
    if lead.tells_strangers:
        line += f", {_heard(answered, 'foreign')} foreign"
    if len(readers) > 1:
        line += f", models disagree on {sum(not a.agree for a in answered)}"
    if missing := sum(a.missing for a in answered):
        line += f", no white cell found in {missing}"
    st.subheader(line, anchor=False, width="stretch", help=_what_voices_mean(lead, unit))


def _heard(answered: Sequence[Answered], kind: str) -> int:
    return sum(a.lead.voice.kind == kind for a in answered)


def _what_voices_mean(reader: Reader, unit: str) -> str:
    run = reader.run
    if reader.laboratory:
        text = (
            f"Sure: as taught by {reader.laboratory}, the first class gets at least {percent(reader.threshold)}. All "
            f"this holds for {unit}s of that laboratory; other stains and microscopes can mislead it."
        )
        strange = f"Foreign: the picture lies farther from that laboratory's {unit}s than 99 of 100 of them do."
        return f"{text} {strange}" if reader.tells_strangers else text
    calibrated = f"calibrated on validation {unit}s" if "temperature" in run.metrics else "not calibrated"
    text = (
        f"Sure: {run.title} gives its first class at least {percent(reader.threshold)}. At or above that, its answers "
        f"on validation {unit}s were right in {SURE_PRECISION:.1%} of cases. The percentages are {calibrated}"
    )
    if (ece := run.metrics["test"].get("ece")) is not None:
        text += f"; on test {unit}s they were off by {100 * ece:.1f} points on average"
    text += f". All this holds for {unit}s like those; other stains and microscopes can mislead the model."
    if reader.tells_strangers:
        return f"{text} Foreign: the picture lies farther from what the model learnt from than 99 of 100 such {unit}s."
    return f"{text} This model can't tell pictures that are foreign to it."


def wall(groups: Sequence[tuple[Group, Sequence[Answered]]], spec: DatasetSpec) -> None:
    """The cells in the ``groups`` of `in_order`; a click shows that cell's card."""
    dark = is_dark()
    colours = class_colours(spec.codes, dark)
    drawn = []
    for number, (group, cells) in enumerate(groups):
        to_check = isinstance(group, str)
        if to_check:
            first = " first" if number == 0 else ""
            heading, colour = f"To check{first}, {_why(cells)}: {len(cells)}", ground(dark)["quiet"]
        else:
            code = spec.codes[group]
            heading, colour = f"{code}  {spec.class_names[group]}: {len(cells)}", colours[code]
        drawn.append(figures.Group(heading, colour, [_tile(a, spec, caption=to_check) for a in cells]))
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


def _why(cells: Sequence[Answered]) -> str:
    """What the ``cells`` of one group to check have: 'foreign', 'unsure', 'unsure or no white cell found'."""
    if cells[0].lead.voice.kind == "foreign":
        return "foreign"
    reasons = {
        "unsure": any(a.lead.voice.kind == "unsure" for a in cells),
        "models disagree": any(not a.agree for a in cells),
        "no white cell found": any(a.missing for a in cells),
    }
    return " or ".join(reason for reason, there in reasons.items() if there)


def choose(identity: str) -> None:
    """Show this cell's card, whatever comes in later."""
    st.session_state[CHOSEN] = identity
    st.session_state[_BY_HAND] = True


def forget_choice() -> None:
    """Let the first cell of the wall be shown again."""
    st.session_state.pop(_BY_HAND, None)


def take(tray: Tray, cells: Sequence[Sample]) -> None:
    """Put sample cells on the tray; one alone is shown at once."""
    taken = [tray.add_cell(cell.name, cell.pixels, cell.truth, cell.source) for cell in cells]
    if len(taken) == 1:
        choose(taken[0])
    else:
        forget_choice()


def choose_first(order: Sequence[str]) -> None:
    """Keep a cell that was chosen by hand while it is there, else show the first."""
    if not st.session_state.get(_BY_HAND) or st.session_state.get(CHOSEN) not in order:
        st.session_state[CHOSEN] = order[0]


def _tile(answered: Answered, spec: DatasetSpec, caption: bool) -> figures.Tile:
    lead = answered.lead
    foreign = lead.voice.kind == "foreign"
    said = f"like {spec.codes[lead.nearest]}" if foreign else f"{spec.codes[lead.winner]} {percent(lead.top)}"
    name = answered.cell.name if len(answered.cell.name) <= 40 else answered.cell.name[:37] + "..."
    name = name.replace("<", "&lt;")
    if foreign:
        hover = f"{name}<br>not like the {spec.unit}s this model knows<br>nearest: {spec.class_names[lead.nearest]}"
    else:
        hover = f"{name}<br>{spec.class_names[lead.winner]}, {percent(lead.top)}" + ("" if lead.sure else ", unsure")
    if not answered.agree:
        hover += "<br>the models disagree"
    if answered.missing:
        hover += "<br>no white cell found: look yourself"
    return figures.Tile(answered.cell.id, tile(answered), hover, said if caption else "")


def _clicked() -> None:
    points = st.session_state[WALL].selection.points
    if points:
        found = points[0].get("customdata")
        choose(found[0] if isinstance(found, list) else found)


def tables(answered: Sequence[Answered], readers: Sequence[Reader], spec: DatasetSpec) -> None:
    """Counts by class beside the list of all answers."""
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.subheader(f"{sentence_case(spec.unit)}s by class", anchor=False)
        rows = []
        for number, code in enumerate(spec.codes):
            mine = [a for a in answered if a.lead.winner == number]
            share = 100 * len(mine) / len(answered)
            voices = [_heard(mine, kind) for kind in ("sure", "unsure", "foreign")]
            rows.append((code, spec.class_names[number], len(mine), *voices, share))
        columns = ["Code", "Class", f"{sentence_case(spec.unit)}s", "Sure", "Unsure", "Foreign", "Share"]
        table = pd.DataFrame(rows, columns=columns)
        if not readers[0].tells_strangers:
            table = table.drop(columns="Foreign")
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
            _answers_table(answered, readers, spec),
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


def _answers_table(answered: Sequence[Answered], readers: Sequence[Reader], spec: DatasetSpec) -> pd.DataFrame:
    short, rows = labels([r.run for r in readers]), []
    any_unsure, any_missing = _heard(answered, "unsure") > 0, any(a.missing for a in answered)
    for a in (a for _, cells in in_order(answered) for a in cells):
        row = {
            "File": a.cell.name,
            "Class": f"{spec.codes[a.lead.winner]}  {spec.class_names[a.lead.winner]}",
            "Probability": min(100 * a.lead.top, 99.4),  # shown as 99 %: never 100 %
            "Verdict": a.lead.voice.kind,
        }
        if any_unsure:
            unsure = a.lead.voice.kind == "unsure"
            row["One of"] = ", ".join(spec.codes[k] for k in a.lead.voice.classes) if unsure else ""
        if any_missing:
            row["Look yourself"] = "no white cell found" if a.missing else ""
        for reader, reading in list(zip(readers, a.readings, strict=True))[1:]:
            row[short[reader.run.name]] = f"{spec.codes[reading.winner]}  {percent(reading.top)}"
        rows.append(row | {"ms": a.lead.milliseconds})
    return pd.DataFrame(rows)


def downloads(
    answered: Sequence[Answered], failures: Sequence[Failure], readers: Sequence[Reader], spec: DatasetSpec
) -> None:
    """Results to keep, made when the button is pressed."""
    with st.container(horizontal=True, width="content", gap="small"):
        for kind, make, mime in (("CSV", as_csv, "text/csv"), ("JSON", as_json, "application/json")):
            st.download_button(
                f"Download results ({kind})",
                data=lambda make=make: make(answered, failures, readers, spec),
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
