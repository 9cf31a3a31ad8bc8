"""Pictures of one class on the Dataset page: the wall, the comparison with the nearest classes, the facts."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.datasets import CellClass, DatasetSpec, LoadedDataset
from core.datasets.summary import Summary
from core.serving.wording import of_class
from dashboard.explore import Wall
from dashboard.figures.style import ground
from dashboard.widgets.page import is_dark
from dashboard.widgets.pictures import enlarge, sheet

COLUMNS = 5
_SIDE = {28: 112, 64: 128}  # whole multiples, so that every pixel stays a square; others at their own size


def show_wall(wall: Wall, what: str, size: int, about: str | None = None) -> None:
    """One page of pictures as one, with ``what`` they are ('lymphocytes'); ``about`` helps where they stand in."""
    side = _SIDE.get(size, size)
    picture = sheet(wall.images, COLUMNS, side, gap=side // 18, background=ground(is_dark())["background"])
    last = wall.first + len(wall.images) - 1
    st.image(picture, width="stretch", alt=f"{len(wall.images)} pictures of {what}, {wall.source}")
    made = wall.images.shape[1] if len(wall.images) else size  # what stands in may be smaller than asked for
    zoom = f", each pixel enlarged {side // made} times" if side > made else ""
    number = f"{wall.first:,} to {last:,} of {wall.total:,} · " if wall.real else ""
    st.caption(f"{number}{made} px{zoom} · {wall.source}", help=about)


def show_neighbours(summary: Summary, spec: DatasetSpec, code: str) -> list[str]:
    """The class beside the two it is most like: mean picture, sentence, how often. Returns the three codes."""
    by_code = {c.code: c for c in spec.classes}
    near = summary.neighbours(code)
    name = of_class(by_code[code].name, spec.unit)
    grid = st.grid(3, min_column_width=200, gap="medium")
    for other, share in [(code, None), *near]:
        cell = by_code[other]
        with grid.container():
            with st.container(horizontal=True, vertical_alignment="center"):
                mean = enlarge(summary.mean_cells[summary.codes.index(other)], 96)
                st.image(mean, width=96, alt=f"mean of all training images: {cell.name}")
                with st.container(width="stretch"):
                    st.markdown(f"**{other}** {cell.name}")
                    if share is None:
                        st.caption("the chosen class")
                    else:
                        percent = f"{share:.0%}".replace("%", " %") if share >= 0.005 else "< 1 %"
                        st.caption(
                            f"{percent} of the {name} resemble one most",
                            help=f"For each of the {int(summary.counts['val'][summary.codes.index(code)])} {name} of "
                            "val, the most similar training image was looked up, by mean and spread of the colours "
                            "in twelve rings around the middle; this share of them is of this class.",
                        )
            st.markdown(cell.description)
    return [code, *(other for other, _ in near)]


def counts_table(summary: Summary, classes: Sequence[CellClass]) -> pd.DataFrame:
    """Counts by class and split, their sum and the share of each class."""
    names = {c.code: c.name for c in classes}
    table = pd.DataFrame({"class": summary.codes, "name": [names[c] for c in summary.codes]})
    for split, counts in summary.counts.items():
        table[split] = counts
    table["all"] = summary.by_class
    table["share"] = summary.shares
    return table


def show_counts(table: pd.DataFrame) -> None:
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        column_config={
            "class": st.column_config.TextColumn(pinned=True, width="small"),
            "share": st.column_config.NumberColumn(format="percent", help="of the images of all splits"),
        },
    )


def facts(spec: DatasetSpec, summary: Summary, loaded: LoadedDataset | None, size: int) -> pd.DataFrame:
    """What else to know, as a table of two columns: fact and value (all text)."""
    rows = [
        (f"{spec.unit.capitalize()}s", f"{summary.total:,} of {len(summary.codes)} classes; {spec.domain}"),
        ("Split", ", ".join(f"{split} {int(counts.sum()):,}" for split, counts in summary.counts.items())),
        ("Imbalance", f"the commonest class has {summary.imbalance:.1f} times the images of the rarest"),
        ("Sizes", f"{', '.join(map(str, spec.sizes))} px a side; shown: {size} px, colour (RGB), 8 bits"),
    ]
    if spec.parent_side:
        rows.append(
            (
                "Made from",
                f"crops of about {spec.parent_side} px around one cell, of which the middle "
                f"{spec.parent_crop} px were kept and resized",
            )
        )
    here = f"{loaded.provenance.label} (content {loaded.provenance.content_hash})" if loaded else f"none at {size} px"
    rows += [
        ("Statistics from", f"{summary.provenance.label} (content {summary.provenance.content_hash})"),
        ("Images on this computer", here),
        ("Identical images", _duplicates(summary)),
    ]
    if spec.real and not spec.cautions:  # which say it in their own words
        rows.append(
            (
                "People",
                "no patient ids exist anywhere: cells of one person are in train and in test, so accuracies say "
                "nothing certain of a new person's cells",
            )
        )
    rows += [("Licence", spec.licence), ("Citation", spec.citation)]
    if spec.url:
        rows.append(("Address", spec.url))
    return pd.DataFrame(rows, columns=["fact", "value"])


def _duplicates(summary: Summary) -> str:
    found = summary.duplicates
    if not found["groups"]:
        return "none"
    text = f"{found['groups']} groups are the same to the pixel; {found['across_splits']} of them span splits"
    if found["labels_differ"]:
        text += f"; {found['labels_differ']} carry two different labels"
    return text
