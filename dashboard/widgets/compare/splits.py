"""Compare, where a data set was split in several ways: what the way to split alone does to an accuracy."""

import pandas as pd
import streamlit as st

from dashboard import catalogue
from dashboard.drawn import drawn
from dashboard.figures.schemes import scheme_gaps
from dashboard.schemes import scheme_titles
from dashboard.schemes import what_the_split_decides as gaps_of
from dashboard.widgets.compare.bench import Bench
from dashboard.widgets.export import exported


def what_the_split_decides(bench: Bench) -> None:
    """The same recipes under the split to trust and under the others; nothing where there are no such runs."""
    if not bench.ways:
        return
    schemes = bench.spec.schemes
    gaps, titles = gaps_of(bench.every, schemes, bench.names), scheme_titles(schemes)
    st.subheader("What the split decides", anchor=False)
    if gaps.empty:
        st.caption(
            f"Here the same recipe will stand under '{schemes[0].title}' and under another split, with the gap between "
            "them: no recipe has been trained under both yet."
        )
        return
    with st.container(horizontal=True, gap="medium"):  # one below the other on a narrow page
        with st.container(width=620):
            key = ("schemes", *map(catalogue.mark, bench.every), *gaps["model"], bench.dark)
            exported(drawn(key, lambda: scheme_gaps(gaps, titles, dark=bench.dark)), gaps, "splits", "scheme_gaps")
        with st.container(width="stretch"):
            _table(gaps, titles)
            ways = "  \n".join(
                f"**{titles[s.name]}:** {s.description}" for s in schemes if s.name in {*gaps["other"], schemes[0].name}
            )
            st.caption(
                f"{ways}  \nThe gap's interval (95 %, Newcombe) takes both test parts for separate draws of single "
                f"{bench.unit}s; {bench.unit}s of one person or slide are alike, so the real uncertainty is larger."
            )


def _table(gaps: pd.DataFrame, titles: dict[str, str]) -> None:
    number = st.column_config.NumberColumn
    shown = gaps.assign(
        other=[titles.get(way, way) for way in gaps["other"]],
        interval=[f"{low:+.1f} to {high:+.1f}" for low, high in zip(gaps["low"], gaps["high"], strict=True)],
    )
    trusted = titles.get(gaps["trusted"].iloc[0], gaps["trusted"].iloc[0])
    others = list(dict.fromkeys(shown["other"]))
    one = others[0] if len(others) == 1 else None  # then the column's title says which
    order = ["model", "trusted_accuracy", *([] if one else ["other"]), "other_accuracy", "gap", "interval"]
    st.dataframe(
        shown,
        hide_index=True,
        height="content",
        column_order=[*order, "differs"] if gaps["differs"].any() else order,
        column_config={
            "model": st.column_config.TextColumn("Model", pinned=True),
            "trusted_accuracy": number(trusted, format="%.2f %%", help="Accuracy on test under the split to trust."),
            "other": st.column_config.TextColumn("Other split"),
            "other_accuracy": number(one or "Accuracy there", format="%.2f %%"),
            "gap": number("Gap (points)", format="%+.2f", help="How much the other split shows more than the trusted."),
            "interval": st.column_config.TextColumn("95 % interval", alignment="right"),
            "differs": st.column_config.TextColumn("Also differs", help="Settings of the two trainings that differ."),
        },
    )
