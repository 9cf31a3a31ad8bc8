"""Parts of the Explain page: drawing options, how a map is drawn and kept, the sections on gates and features."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import streamlit as st

from core.datasets import DatasetSpec
from core.errors import HemaLensError
from core.explain.overlay import COLOUR_MAPS, overlay
from core.serving.wording import listed, sentence_case
from dashboard import looks
from dashboard.figures.explain import colour_strip, gates_figure, labelled, nearest_classes
from dashboard.figures.importance import importance_figure
from dashboard.looks import Look
from dashboard.widgets.looked_at import SIDE, Cell
from dashboard.widgets.page import is_dark, plot
from dashboard.widgets.pictures import as_png, enlarge

MAPS = ("Grad-CAM", "Covering")
DETAIL = ("Last map", "One stage earlier", "Two stages earlier")
NEARLY_EVEN = 0.05  # a spatial map whose gates differ by less hardly weighs one place more than another
RESEARCH = "HemaLens, for research and teaching, not a medical device"


@dataclass(frozen=True)
class Drawing:
    """Which maps are drawn and how: ``opacity`` 0 to 1, ``colours`` a scale's name, ``how`` they are enlarged.

    ``covering`` takes the place of Grad-CAM also where there is a map to read; ``fade`` lets the cell show
    through where a map is low; ``earlier`` counts stages before the last map; ``stretch`` lets each spatial
    map fill the colour scale.
    """

    covering: bool
    opacity: float
    colours: str
    how: str
    fade: bool
    earlier: int
    stretch: bool


def drawing_options() -> Drawing:
    """A popover with what most people never touch; the choices stay when one leaves the page."""
    with st.popover("Drawing", icon=":material/palette:", key="explain_drawing"):
        kind = st.segmented_control(
            "Map", MAPS, default=MAPS[0], required=True, key="map", persist_state="session",
            help="Grad-CAM reads where a network's own last map speaks for the class; models without such a map are "
            "covered. Covering hides one place after another and sees how far the answer falls, in every model.",
        )  # fmt: skip
        opacity = st.slider(
            "Opacity of the maps", 0, 100, 70, 5, format="%d %%", key="opacity", persist_state="session"
        )
        colours = st.selectbox("Colours", COLOUR_MAPS, index=0, key="colours", persist_state="session")
        how = st.segmented_control(
            "Enlarge", ["Smooth", "True resolution"], default="Smooth", required=True, key="enlarge",
            persist_state="session",
            help="True resolution shows each field of the map as one block.",
        )  # fmt: skip
        fade = st.toggle(
            "Clear where the map is low", value=True, key="fade", persist_state="session",
            help="On: the picture keeps its own colours where the map says little. Off: the colours cover all of it.",
        )  # fmt: skip
        detail = st.segmented_control(
            "Grad-CAM reads", DETAIL, default=DETAIL[0], required=True, key="detail", persist_state="session",
            help="The last map is what the answer is made of. Earlier maps are finer, but further from the answer.",
        )  # fmt: skip
        stretch = st.toggle(
            "Stretch spatial maps", value=True, key="stretch", persist_state="session",
            help="On: each spatial map of CBAM fills the colour scale from its least to its greatest gate. "
            "Off: the scale runs from 0 (shut) to 1 (open) for all.",
        )  # fmt: skip
    enlarging = "smooth" if how == "Smooth" else "blocks"
    return Drawing(kind == MAPS[1], opacity / 100, colours, enlarging, fade, DETAIL.index(detail), stretch)


def legend(drawing: Drawing, shown: Sequence[Look]) -> None:
    """The colour scale, and what the maps of ``shown`` can't tell."""
    covering = [drawing.covering or not looks.sees_places(look) for look in shown]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("matters nothing" if all(covering) else "does not speak for the class", width="content")
        strip = colour_strip(drawing.colours, drawing.opacity, drawing.fade, dark=is_dark())
        st.image(strip, width=240, alt="Colour scale from nothing to most")
        st.caption("matters most" if all(covering) else "speaks for it most", width="content")
    parts = []
    if not all(covering):
        parts.append("Grad-CAM shows where this model found what raised the score of the class asked about.")
    if any(covering):
        parts.append(
            "Covering shows without which place the class becomes less likely, one place at a time: what two places "
            "tell alike may show in neither."
        )
    parts.append(
        "Each map is scaled to its own maximum: compare places within a map, not brightness between maps. "
        "It can't tell whether the answer is right, what the model saw there, or why; light on the background or the "
        "rim is a reason to doubt the answer."
    )
    st.caption(" ".join(parts))


def gates_section(shown: Sequence[Look], spec: DatasetSpec) -> None:
    """Channel gates per stage of every model with attention, against what is usual for the class asked about."""
    shown = [look for look in shown if look.run.kind == "network"]
    if not shown:
        return
    st.subheader(f"Channel gates: what opens for this {spec.unit}", anchor=False)
    gated = [(look, found) for look in shown if (found := _gates(look))]
    without = [look.title for look in shown if look not in [g[0] for g in gated]]
    if without:
        st.caption(f"{listed(without)} {'have' if len(without) > 1 else 'has'} no attention blocks: no gates to show.")
    if not gated:
        st.info("Choose CNN + SE or CNN + CBAM above to see gates.", icon=":material/tune:")
        return
    st.caption(
        "An attention block multiplies each channel of a stage by a gate between 0 (shut) and 1 (open). Bars lead from "
        f"the gate that is usual for the class (mean over its validation {spec.unit}s) to this {spec.unit}'s; the "
        "numbers name the channels that differ most."
    )
    usual = {look.run.name: look.run.gate_means() for look, _ in gated}
    limits = _limits([v for look, found in gated for g in found for v in (g.channel, *usual[look.run.name].values())])
    side_by_side = st.grid(columns=len(gated), min_column_width=380, gap="medium")
    for look, found in gated:
        with side_by_side, st.container():
            channels = {gate.stage: gate.channel for gate in found}
            means = {k: v for k, v in usual[look.run.name].items() if k in channels}
            code = spec.codes[look.target]
            st.markdown(f"**{look.title}**, against {code}")
            figure = gates_figure(channels, means, look.target, code, limits=limits, dark=is_dark())
            plot(figure, key=f"gates-{look.run.name}")
            if len(means) == len(channels):
                distance = nearest_classes(channels, means)
                near = ", then ".join(f"{spec.codes[i]} ({distance[i]:.3f})" for i in np.argsort(distance)[:3])
                st.caption(
                    f"Over all stages the gates lie nearest to what is usual for {near}.",
                    help="Mean distance between these gates and each class's mean gates, every stage alike.",
                )
            else:
                st.caption("This model was stored without its class means: the gates stand alone, sorted by size.")


def spatial_section(shown: Sequence[Look], cell: Cell, drawing: Drawing) -> None:
    """Spatial maps of every model with CBAM, a row of stages each."""
    found = [(look, maps) for look in shown if (maps := [g for g in _gates(look) if g.spatial is not None])]
    if not found:
        return
    st.subheader("Spatial maps: where CBAM opens", anchor=False)
    scale = (
        "each map from its least (dark) to its greatest gate" if drawing.stretch else "all from 0 (shut) to 1 (open)"
    )
    st.caption(f"The second gate of each CBAM block, over the places of its map, whatever the class. Scale: {scale}.")
    for look, maps in found:
        st.markdown(f"**{look.title}**")
        with st.grid(columns=5, min_column_width=150, gap="small"):
            for gate in maps:
                low, high = float(gate.spatial.min()), float(gate.spatial.max())
                values = (gate.spatial - low) / max(high - low, 1e-9) if drawing.stretch else gate.spatial
                picture = drawn_over(look.framed.pixels, values, drawing)
                size = whole(f"{gate.spatial.shape[0]} x {gate.spatial.shape[1]}")
                with st.container(gap="xsmall"):
                    st.image(picture, width="stretch", alt=f"Spatial map of {look.title}, {gate.stage}, {size}")
                    even = ", nearly even" if high - low < NEARLY_EVEN else ""
                    st.caption(f"{gate.stage} · {size} map, enlarged · gates {low:.2f} to {high:.2f}{even}")
                    lines = [
                        f"{look.title}, {gate.stage}",
                        f"CBAM spatial map, {size}, enlarged; gates {low:.2f} to {high:.2f}; {scale}",
                        f"{sentence_case(cell.unit)} {cell.name}, {cell.source}, {look.run.size} px",
                        RESEARCH,
                    ]
                    keep_button("Download (PNG)", picture, lines, "spatial", look, cell, gate.stage)


def features_section(shown: Sequence[Look], unit: str) -> None:
    """What the answers of models that are no networks rest on, whatever the picture; ``unit`` is what one shows."""
    for look in shown:
        found = look.run.importances()
        if found is None:
            continue
        st.subheader(f"Features: what {look.title} rests on", anchor=False)
        st.caption(
            f"Measured over {found['images']:,} {unit}s of {found['split']}, not for this {unit}: the accuracy lost "
            f"when a feature is shuffled between the {unit}s. Features that tell the same stand in for each other, so "
            "a family can matter where none of its features does alone."
        )
        plot(importance_figure(found, dark=is_dark()), key=f"features-{look.run.name}")


def drawn_over(image: np.ndarray, values: np.ndarray, drawing: Drawing) -> np.ndarray:
    """The map ``values`` (h, w), 0 to 1, over the framed cell, enlarged: uint8 of at least `SIDE` pixels a side."""
    large = enlarge(image, SIDE)
    return overlay(large, values, name=drawing.colours, opacity=drawing.opacity, how=drawing.how, fade=drawing.fade)


def keep_button(
    label: str, picture: np.ndarray, lines: list[str], kind: str, look: Look, cell: Cell, part: str
) -> None:
    """A quiet button that makes the labelled PNG when it is clicked, not before."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", f"{kind} {look.run.name} {part} {cell.name}").strip("-")
    st.download_button(
        label,
        partial(_png, picture, lines),
        f"{name}.png",
        "image/png",
        key=f"keep-{kind}-{look.run.name}-{part}",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
    )


def whole(text: str) -> str:
    """``text`` with spaces at which no line breaks, so that '8 x 8' and '97 %' stay together."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _png(picture: np.ndarray, lines: list[str]) -> bytes:
    return as_png(labelled(picture, lines))


def _gates(look: Look) -> list:
    """The gates of ``look``; none where its weights can't be read, which its tile tells already."""
    try:
        return looks.gates(look)
    except HemaLensError:
        return []


def _limits(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    """Limits of all gate axes on one scale: from the least to the greatest, a little wider, within 0 to 1."""
    values = np.concatenate([np.ravel(a) for a in arrays])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    room = 0.12 * (high - low)
    return low - room, high + room
