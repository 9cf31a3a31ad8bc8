"""Compare, picture quality: how much blur, bad light or dirt until a run fails, with a cell to show what that means."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from core.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from core.runs import Run
from core.serving.domain import known
from core.serving.wording import percent, sentence_case
from dashboard import catalogue
from dashboard.drawn import drawn
from dashboard.figures.robustness import MOST_RUNS, severity_panels
from dashboard.robustness import damage_table, damage_title, severity_points, without_size
from dashboard.widgets.choice import choice
from dashboard.widgets.compare.bench import Bench
from dashboard.widgets.compare.ticks import tick_runs
from dashboard.widgets.export import csv_text, exported
from dashboard.widgets.pictures import enlarge
from dashboard.widgets.samples import Sample, samples

_SIDE = 192
_CHOSEN = "damage"  # in the address bar and the session: the corruption looked at

Figures = Mapping[str, Mapping[str, Any]]


def robustness(bench: Bench) -> None:
    """Accuracy against severity for the ticked runs, the chosen corruption on a cell, and all measured runs' table."""
    ticked = tick_runs(bench, "Runs", help="The runs ticked in the table of all runs.")
    measured = {run.name: figures for run in bench.runs if (figures := run.corruptions())}
    if not measured:
        st.info(
            "How much blur, bad light or dirt until a model fails will stand here, once a run was asked about spoilt "
            f"pictures of test {bench.unit}s. That takes a few minutes in a terminal:",
            icon=":material/blur_on:",
        )
        _command((ticked or bench.runs)[-1:])
        return
    runs = _shown(ticked, measured, bench)
    found = {run.name: measured[run.name] for run in runs}
    titles = {name: way.title for name, way in CORRUPTIONS.items()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        damage = choice(
            _CHOSEN, "What is wrong with the picture", titles, "defocus_blur", "damage", box=True, width=240
        )
        spec = known(runs[-1])
        cells = _cells(runs[-1])
        classes = {code: f"{code} · {name}" for code, name in zip(spec.codes, spec.class_names, strict=True)}
        shown = None
        if cells:
            start = "NE" if "NE" in cells else next(iter(cells))
            shown = choice("on", "On", {c: classes[c] for c in cells}, start, "class", box=True, width=240)
        sure = st.toggle(
            "How sure it is",
            key="damage_sure",
            help="Dotted: the mean probability of the answers given. Where it stays high while fewer are right, the "
            "model is sure and wrong.",
        )
    names = without_size({run.name: bench.names[run.name] for run in runs}, runs[-1].size)
    _strip(cells.get(shown), damage, found, names, runs[-1].size)
    _panels(runs, found, names, damage, sure, bench)
    _table(measured, bench)
    _unmeasured([run for run in ticked if run.name not in measured], bench)


def _shown(ticked: Sequence[Run], measured: Figures, bench: Bench) -> list[Run]:
    """The ticked runs that were measured, `MOST_RUNS` at most; else the two best of those that were.

    One made for pictures from anywhere comes along where there is room: it shows what can be had.
    """
    here = [run for run in ticked if run.name in measured]
    made_for_it = [run for run in bench.runs if run.robust and run.name in measured]
    if made_for_it and 0 < len(here) < MOST_RUNS and not any(run.robust for run in here):
        st.caption(f"Beside the ticked runs: {bench.names[made_for_it[0].name]}, made for pictures from anywhere.")
        here = [made_for_it[0], *here]
    if len(here) > MOST_RUNS:
        st.caption(f"Drawn: the last {MOST_RUNS} of {len(here)} ticked runs; the table has all.")
    if here:
        return here[-MOST_RUNS:]
    best = [run for run in bench.runs if run.name in measured][:2]
    reason = "None of the ticked runs was asked about spoilt pictures" if ticked else "No run is ticked"
    st.caption(f"{reason}; shown instead: {' and '.join(bench.names[run.name] for run in best)}.")
    return best


def _cells(run: Run) -> dict[str, Sample]:
    """A sample picture of each class that ``run`` knows, by its code; {} where there are none."""
    return {cell.truth: cell for cell in samples(run.dataset, run.size) if cell.truth in run.codes}


def _strip(cell: Sample | None, damage: str, found: Figures, names: Mapping[str, str], size: int) -> None:
    """The cell as it came and at five severities, with what each run makes of such pictures under each."""
    way = CORRUPTIONS[damage]
    if cell is None:
        st.caption(":material/image: Example pictures appear here once the data set is on this computer (see Dataset).")
    picture = None if cell is None else _at(cell.pixels, size)
    with st.grid(6, min_column_width=100, gap="small"):
        for severity in (0, *SEVERITIES):
            with st.container(gap="xxsmall"):
                title = f"Severity {severity}" if severity else "As it came"
                if picture is not None:
                    seen = corrupt(picture[None], damage, severity)[0] if severity else picture
                    st.image(enlarge(seen, _SIDE), width="stretch", alt=f"{cell.truth}, {way.title}, {title}")
                st.markdown(f"**{title}**")
                st.caption("  \n".join(_said(figures, damage, severity, names[run]) for run, figures in found.items()))
    if cell is not None:
        st.caption(f"{way.title}: {way.cause}. The cell: {cell.truth}, {cell.source}, {size} px.")


def _at(pixels: np.ndarray, size: int) -> np.ndarray:
    """``pixels`` uint8 (H, W, 3) at ``size`` px, in which the run sees it."""
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def _said(figures: Mapping[str, Any], damage: str, severity: int, name: str) -> str:
    """'CNN + SE: 86 % right, 97 % sure'."""
    way, place = (figures["corruptions"][damage], severity - 1) if severity else (figures["clean"], None)
    right, sure = (way[key] if place is None else way[key][place] for key in ("accuracy", "confidence"))
    return f"{name}: **{percent(right)}** right, {percent(sure)} sure"


def _panels(
    runs: Sequence[Run], found: Figures, names: Mapping[str, str], damage: str, sure: bool, bench: Bench
) -> None:
    points = severity_points(found, names)
    key = ("damage", tuple(map(catalogue.mark, runs)), tuple(names.values()), damage, sure, bench.dark)
    title = damage_title(points, damage)
    fig = drawn(key, lambda: severity_panels(points, damage, title=title, sure=sure, unit=bench.unit, dark=bench.dark))

    def choose() -> None:
        dots = st.session_state["damage_panels"].selection.points
        if dots:
            st.session_state[_CHOSEN] = dots[0]["customdata"][0]

    exported(fig, points, "picture-quality", "damage_panels", on_select=choose, selection_mode="points")
    one, kinds = found[runs[-1].name], {_cells_of(figures, bench.unit) for figures in found.values()}
    apart = " These runs see pictures of different sizes." if len({run.size for run in runs}) > 1 else ""
    st.caption(
        f"On {' and '.join(sorted(kinds))}, spoilt by code; 95 % intervals on hover (about "
        f"{_half_width(one):.0f} points either way at half right). Kinds and severities follow MedMNIST-C (Di Salvo et "
        "al. 2024, arXiv:2406.17536), meant for 224 px: blur and dirt are scaled to the size that a run sees, while "
        f"too few pixels and JPEG act on that small picture itself and harm it more.{apart} Click a dot to see that "
        f"damage on the {bench.unit} above."
    )


def _cells_of(figures: Mapping[str, Any], unit: str) -> str:
    drawn_from = f" of {figures['of']:,}" if figures["of"] > figures["n"] else ""
    return f"{figures['n']:,}{drawn_from} test {unit}s of {figures['provenance']}"


def _half_width(figures: Mapping[str, Any]) -> float:
    return 100 * 1.96 * 0.5 / figures["n"] ** 0.5


def _table(measured: Figures, bench: Bench) -> None:
    """All measured runs with their mean accuracy by corruption."""
    table = damage_table(measured, bench.names)
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.subheader("Right by kind of damage", anchor=False, width="content")
        st.download_button(
            "Download table (CSV)",
            lambda: csv_text(table),
            f"hemalens-picture-quality-{bench.spec.name}.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            type="tertiary",
        )
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    config = {
        "model": text("Model", pinned=True),
        "clean": number("As they came", format="%.1f %%", help=f"On the same {bench.unit}s, not spoilt."),
        "mean": number("Spoilt, mean", format="%.1f %%", help="Mean over all kinds of damage and the five severities."),
        "interval": text("95 % interval", alignment="right", help="Of this mean (Wilson), in %."),
        "worst": text("Worst"),
    }
    for name, way in CORRUPTIONS.items():
        config[name] = number(
            way.title, format="%.1f %%", help=f"{sentence_case(way.cause)}. Mean over the five severities."
        )
    order = [column for column in config if not table[column].isna().all()]
    st.dataframe(table, hide_index=True, column_config=config, column_order=order, placeholder="–")


def _unmeasured(runs: Sequence[Run], bench: Bench) -> None:
    """The ticked runs without figures, and what makes them."""
    if runs:
        names = " and ".join(bench.names[run.name] for run in runs)
        st.caption(f"Not asked about spoilt pictures yet: {names}. In a terminal, a few minutes each:")
        _command(runs)


def _command(runs: Sequence[Run]) -> None:
    st.code("\n".join(f"python -m core evaluate {run.name} --corrupted" for run in runs), language="bash")
