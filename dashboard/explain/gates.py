"""Explain, the gates: channel gates against what is usual for a class, and the spatial maps of CBAM."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from core.datasets import DatasetSpec
from core.errors import HemaLensError
from core.formatting import listed
from dashboard import explain
from dashboard.charts import plot
from dashboard.explain import ExplainContext, Explanation
from dashboard.explain.maps import keep_button, overlaid, unbroken
from dashboard.page import is_dark, view
from dashboard.style import diverging, finish, ground

ROW_HEIGHT = 104
NAMED = 3


def unusual(channel: np.ndarray, mean: np.ndarray, count: int) -> np.ndarray:
    """Indices of the ``count`` channels whose gate differs most from ``mean``, both (C,), most different first."""
    return np.argsort(-np.abs(channel - mean), kind="stable")[:count]


def nearest_classes(channels: Mapping[str, np.ndarray], means: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mean absolute difference between a cell's gates and each class's means over all stages, (classes,).

    ``channels`` holds (C,) and ``means`` (classes, C) by stage; stages count alike. NaN for a class without means.
    """
    return np.mean([np.abs(means[stage] - gates).mean(1) for stage, gates in channels.items()], axis=0)


def gates_figure(
    channels: Mapping[str, np.ndarray],
    means: Mapping[str, np.ndarray],
    target: int,
    name: str,
    *,
    limits: tuple[float, float] = (0, 1),
    dark: bool = False,
) -> go.Figure:
    """Channel gates of one cell, a row a stage, beside the mean gates over cells of class ``target``.

    ``channels`` (C,) and ``means`` (classes, C) by stage; ``means`` may be empty: then the gates stand alone,
    sorted by size. Channels run from the most to the least open for the class; a stem leads from the class's
    mean to this cell's gate, and the `NAMED` channels that differ most are named. ``limits`` of the y axes.
    """
    colours, scale = ground(dark), diverging(dark)
    below, above = scale[0 if not dark else 1], scale[-1 if not dark else -2]
    fig = make_subplots(rows=max(1, len(channels)), cols=1, vertical_spacing=0.045)
    largest = ("", 0.0)
    for row, (stage, gates) in enumerate(channels.items(), 1):
        usual = means[stage][target] if stage in means and np.isfinite(means[stage][target]).all() else None
        order = np.argsort(-(gates if usual is None else usual), kind="stable")
        x, y = np.arange(len(gates)), gates[order]
        if usual is None:
            fig.add_bar(
                x=x, y=y, marker_color=above, name="this picture", showlegend=row == 1, row=row, col=1,
                customdata=order + 1, hovertemplate="channel %{customdata}: %{y:.2f}<extra></extra>",
            )  # fmt: skip
        else:
            base = usual[order]
            shift = float(np.abs(gates - usual).mean())
            largest = max(largest, (stage, shift), key=lambda pair: pair[1])
            _stems(fig, row, x, base, y, y >= base, above, "opens wider than usual", order)
            _stems(fig, row, x, base, y, y < base, below, "opens less than usual", order)
            fig.add_scatter(
                x=x, y=base, mode="lines", line={"color": colours["text"], "width": 1.5, "shape": "hvh"},
                name=f"usual for {name}", showlegend=row == 1, hoverinfo="skip", row=row, col=1,
            )  # fmt: skip
            for channel, place in _apart(unusual(gates, usual, NAMED), order):
                up = gates[channel] >= usual[channel]
                fig.add_annotation(
                    x=place, y=gates[channel], text=str(channel + 1), showarrow=False, yshift=8 if up else -8,
                    font={"size": 11, "color": colours["text"]}, row=row, col=1,
                )  # fmt: skip
        fig.update_xaxes(
            showticklabels=False, showgrid=False, zeroline=False, ticks="", range=[-1, len(gates)], row=row, col=1
        )
        fig.update_yaxes(range=limits, nticks=4, title_text=f"{stage}<br>{len(gates)} channels", row=row, col=1)
    title = f"{largest[0].capitalize()} departs most from what is usual for {name}" if largest[0] else "Channel gates"
    finish(fig, title=title, height=116 + ROW_HEIGHT * max(1, len(channels)), dark=dark)
    fig.update_xaxes(title_text="channels, the widest open first", row=max(1, len(channels)), col=1)
    fig.update_yaxes(title_font_size=12, tickfont_size=11)
    fig.update_layout(
        margin_t=104,  # room for a legend of two lines: three models stand in a row
        legend={"xanchor": "left", "x": 0, "y": 1.01, "font": {"size": 12}},
        bargap=0.25,
        title_font_size=15,
    )
    return fig


def _apart(channels: np.ndarray, order: np.ndarray) -> list[tuple[int, int]]:
    """``channels`` with their places in ``order``, without those whose name would lie on an earlier one's."""
    apart: list[tuple[int, int]] = []
    for channel in channels:
        place = int(np.flatnonzero(order == channel)[0])
        if all(abs(place - other) > len(order) / 24 for _, other in apart):
            apart.append((int(channel), place))
    return apart


def _stems(
    fig: go.Figure,
    row: int,
    x: np.ndarray,
    base: np.ndarray,
    tip: np.ndarray,
    which: np.ndarray,
    shade: str,
    name: str,
    order: np.ndarray,
) -> None:
    """Bars from ``base`` to ``tip`` for the channels ``which``, each as wide as its place, so that none vanishes."""
    fig.add_bar(
        x=x[which],
        y=(tip - base)[which],
        base=base[which],
        marker={"color": shade, "line": {"width": 0}},
        name=name,
        legendgroup=name,
        showlegend=row == 1,
        customdata=np.stack([order[which] + 1, tip[which], base[which]], 1),
        hovertemplate="channel %{customdata[0]:.0f}: %{customdata[1]:.2f}, usual %{customdata[2]:.2f}<extra></extra>",
        row=row,
        col=1,
    )


NEARLY_EVEN = 0.05  # a spatial map whose gates differ by less hardly weighs one place more than another


@view("Gates", order=20)
def render(context: ExplainContext) -> None:
    """Channel gates and spatial maps of the models that have them."""
    shown = [explanation for explanation in context.explanations if explanation.run.kind == "network"]
    if shown:
        found = [(explanation, _gates_or_none(explanation)) for explanation in shown]
        _channel_section(found, context.spec)
        _spatial_section(found, context)


def _channel_section(found: Sequence[tuple[Explanation, list]], spec: DatasetSpec) -> None:
    """Channel gates per stage of every model with attention, against what is usual for the class asked about."""
    st.header(f"Channel gates: what opens for this {spec.unit}", anchor=False)
    gated = [(explanation, gates) for explanation, gates in found if gates]
    without = [explanation.title for explanation, gates in found if not gates]
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
    usual = {explanation.run.name: explanation.run.gate_means() for explanation, _ in gated}
    limits = _limits([v for e, gates in gated for g in gates for v in (g.channel, *usual[e.run.name].values())])
    side_by_side = st.grid(columns=len(gated), min_column_width=380, gap="medium")
    for explanation, gates in gated:
        with side_by_side, st.container():
            channels = {gate.stage: gate.channel for gate in gates}
            means = {k: v for k, v in usual[explanation.run.name].items() if k in channels}
            code = spec.codes[explanation.target]
            st.markdown(f"**{explanation.title}**, against {code}")
            figure = gates_figure(channels, means, explanation.target, code, limits=limits, dark=is_dark())
            plot(figure, key=f"gates-{explanation.run.name}")
            if len(means) == len(channels):
                distance = nearest_classes(channels, means)
                near = ", then ".join(f"{spec.codes[i]} ({distance[i]:.3f})" for i in np.argsort(distance)[:3])
                st.caption(
                    f"Over all stages the gates lie nearest to what is usual for {near}.",
                    help="Mean distance between these gates and each class's mean gates, every stage alike.",
                )
            else:
                st.caption("This model was stored without its class means: the gates stand alone, sorted by size.")


def _spatial_section(found: Sequence[tuple[Explanation, list]], context: ExplainContext) -> None:
    """Spatial maps of every model with CBAM, a row of stages each."""
    cell, drawing = context.cell, context.drawing
    with_maps = [(explanation, [g for g in gates if g.spatial is not None]) for explanation, gates in found]
    with_maps = [(explanation, maps) for explanation, maps in with_maps if maps]
    if not with_maps:
        return
    st.header("Spatial maps: where CBAM opens", anchor=False)
    scale = (
        "each map from its least (dark) to its greatest gate" if drawing.stretch else "all from 0 (shut) to 1 (open)"
    )
    st.caption(f"The second gate of each CBAM block, over the places of its map, whatever the class. Scale: {scale}.")
    for explanation, maps in with_maps:
        st.markdown(f"**{explanation.title}**")
        with st.grid(columns=5, min_column_width=150, gap="small"):
            for gate in maps:
                low, high = float(gate.spatial.min()), float(gate.spatial.max())
                values = (gate.spatial - low) / max(high - low, 1e-9) if drawing.stretch else gate.spatial
                picture = overlaid(explanation.crop.pixels, values, drawing)
                size = unbroken(f"{gate.spatial.shape[0]} x {gate.spatial.shape[1]}")
                with st.container(gap="xsmall"):
                    st.image(picture, width="stretch", alt=f"Spatial map of {explanation.title}, {gate.stage}, {size}")
                    even = ", nearly even" if high - low < NEARLY_EVEN else ""
                    st.caption(f"{gate.stage} · {size} map, enlarged · gates {low:.2f} to {high:.2f}{even}")
                    lines = [
                        f"{explanation.title}, {gate.stage}",
                        f"CBAM spatial map, {size}, enlarged; gates {low:.2f} to {high:.2f}; {scale}",
                    ]
                    keep_button("Download (PNG)", picture, lines, "spatial", explanation, cell, gate.stage)


def _gates_or_none(explanation: Explanation) -> list:
    """The gates of ``explanation``; none where its weights can't be read, which its tile tells already."""
    try:
        return explain.stage_gates(explanation)
    except HemaLensError:
        return []


def _limits(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    """Limits of all gate axes on one scale: from the least to the greatest, a little wider, within 0 to 1."""
    values = np.concatenate([np.ravel(a) for a in arrays])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    room = 0.12 * (high - low)
    return low - room, high + room
