"""Compare, two runs on the same cells: how sure the difference is, where they agree, what only one gets right."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from core.datasets import Split
from core.runs import Run
from core.serving.domain import known
from core.serving.wording import percent, sentence_case
from dashboard import catalogue, explore
from dashboard.drawn import drawn
from dashboard.figures.pairs import agreement_chart, difference_figure, together_chart, together_title
from dashboard.figures.squares import Spec
from dashboard.leaderboard import confusion_table
from dashboard.pairs import WHO, Pair, compare, only_one_right, together
from dashboard.scored import Hard, hard
from dashboard.widgets.choice import choice
from dashboard.widgets.compare.bench import Bench
from dashboard.widgets.export import csv_text, exported
from dashboard.widgets.leaderboard import tick
from dashboard.widgets.matrices import verdict
from dashboard.widgets.pictures import enlarge

PER_PAGE = 12
_SIDE = 128


def pair(bench: Bench) -> None:
    """The last two ticked runs (others may be chosen here), then how all shown runs agree."""
    if len(bench.every) < 2:
        st.info(
            "Two runs will be set against each other here. There is only one yet.", icon=":material/compare_arrows:"
        )
        return
    runs = _choose(bench)
    found = compare(*runs)
    if isinstance(found, str):
        st.info(f"No test of the difference. {found}", icon=":material/info:")
    else:
        _difference(found, runs, bench)
        _only_one(found, runs, bench)
    if len(bench.runs) > 2:
        _everyone(bench)


def _choose(bench: Bench) -> list[Run]:
    """Two select boxes with the last two ticked runs; what is chosen here is ticked everywhere."""
    by_val = sorted(bench.every, key=lambda run: -run.metrics["val"]["accuracy"])
    now = [run.name for run in bench.picked[-2:]]
    now += [run.name for run in by_val if run.name not in now][: 2 - len(now)]
    names = [run.name for run in bench.runs]
    options = names + [name for name in now if name not in names]
    before = [name for name in bench.chosen if name not in now]

    def remember(place: int) -> None:
        wanted = st.session_state[f"pair_{WHO[place]}"]
        both = list(now)
        both[place], both[1 - place] = wanted, now[place] if wanted == now[1 - place] else now[1 - place]
        tick(bench.spec.name, [*before, *both])

    tick(bench.spec.name, [*before, *now])
    with st.container(horizontal=True):
        for place, who in enumerate(WHO):
            st.session_state[f"pair_{who}"] = now[place]
            st.selectbox(
                who.capitalize(),
                options,
                format_func=lambda name: bench.names[name],
                key=f"pair_{who}",
                on_change=remember,
                args=(place,),
                width=380,
            )
    return bench.find(now)


def _difference(found: Pair, runs: Sequence[Run], bench: Bench) -> None:
    """The verdict, the four counts, the bootstrap and the agreement matrix."""
    names, paired = [bench.names[run.name] for run in runs], found.comparison
    sizes = tuple(run.size for run in runs)
    st.markdown(verdict(paired, *names, sizes, unshared=found.unshared, unit=bench.unit))
    counts = {
        "Both right": paired.both_right,
        "Only the first": paired.only_first,
        "Only the second": paired.only_second,
        "Both wrong": paired.both_wrong,
    }
    with st.container(horizontal=True, gap="large"):
        for label, value in counts.items():
            st.metric(label, f"{value:,}", width="content")
    spec = known(runs[0])
    codes, titles = spec.codes, spec.class_names
    stem = f"{runs[0].name}-{runs[1].name}"
    grid = st.grid(2, min_column_width=420, gap="medium")  # one below the other on a narrow page
    with grid.container(), st.container(width=430):
        chart = agreement_chart(found.agreement, codes, titles, unit=bench.unit, dark=bench.dark)
        table = confusion_table(found.agreement.matrix, codes).rename_axis("the first says")
        exported(chart, table, f"agreement-{stem}", "agreement", index=True)
    with grid.container():
        key = ("bootstrap", *map(catalogue.mark, runs), *names, bench.dark)
        figure = drawn(key, lambda: difference_figure(found.resampled, *names, dark=bench.dark))
        points = pd.DataFrame({"points": 100 * found.resampled.differences})
        exported(figure, points, f"difference-{stem}", "bootstrap")
        low, high = (100 * bound for bound in found.resampled.interval)
        st.caption(
            f"Paired bootstrap over the {paired.n:,} test {bench.unit}s, {len(found.resampled.differences):,} "
            f"resamples: 95 % interval of first minus second {low:+.2f} to {high:+.2f} points. Pictures of one person "
            "are not independent, so the real uncertainty is larger."
        )


def _only_one(found: Pair, runs: Sequence[Run], bench: Bench) -> None:
    """The cells that only one of the two names right, with both answers."""
    codes, unit = runs[0].codes, bench.unit
    st.subheader(f"{sentence_case(unit)}s that only one gets right", anchor=False)
    counts = (found.comparison.only_first, found.comparison.only_second)
    titles = {who: f"Only the {who} ({count:,})" for who, count in zip(WHO, counts, strict=True)}
    who = choice("only", "Only", titles, "first", "run", hidden=True)
    table = only_one_right(found, who, codes)
    names = [bench.names[run.name] for run in runs]
    right, wrong = names[WHO.index(who)], names[1 - WHO.index(who)]
    if table.empty:
        st.info(f"{wrong} misses no {unit} that {right} gets right.", icon=":material/check_circle:")
        return
    st.caption(f"{right} is right here, {wrong} is wrong; the surest error first.")
    _wall(table, runs, names, unit)
    st.download_button(
        f"Download these {unit}s (CSV)",
        lambda: csv_text(table.rename(columns=lambda c: c.replace("first", names[0]).replace("second", names[1]))),
        f"hemalens-only-{runs[WHO.index(who)].name}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _wall(table: pd.DataFrame, runs: Sequence[Run], names: Sequence[str], unit: str) -> None:
    """A page of cells: the picture where it is here, what the cell is, what each run says and how sure it is."""
    pictures, why_not = _pictures(runs)
    start, pager = explore.first_page(f"only-{runs[0].name}-{runs[1].name}", pages := -(-len(table) // PER_PAGE))
    place = st.container()
    page = st.pagination(pages, default=start, key=pager) if pages > 1 else 1
    explore.share_page(page)
    with place, st.grid(6, min_column_width=150, gap="small"):
        for _, cell in table.iloc[(page - 1) * PER_PAGE : page * PER_PAGE].iterrows():
            with st.container(border=True, gap="xsmall"):
                if cell["id"] in pictures:
                    st.image(enlarge(pictures[cell["id"]], _SIDE), width="stretch", alt=f"test {unit} {cell['id']}")
                st.markdown(f"**{cell['label']}**, {unit} {cell['id']}")
                lines = [f"{who.capitalize()}: {cell[f'{who} answer']} {percent(cell[f'{who} p'])}" for who in WHO]
                st.caption("  \n".join(lines), help=f"First: {names[0]}. Second: {names[1]}.")
    if why_not:
        st.caption(why_not)


class _ById(Mapping):
    """The pictures of a split by their ids, each read when it is asked for."""

    def __init__(self, split: Split) -> None:
        self._images = split.images
        self._places = {identity: place for place, identity in enumerate(split.ids.tolist())}

    def __getitem__(self, identity: str) -> np.ndarray:
        return self._images[self._places[identity]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _pictures(runs: Sequence[Run]) -> tuple[Mapping, str | None]:
    """The test images by id, from the larger of the two runs' images that are here; else a sentence why none."""
    for run in sorted(runs, key=lambda run: -run.size):
        data = catalogue.scored_on(run)
        if data is not None:
            return _ById(data["test"]), None
    run = max(runs, key=lambda run: run.size)
    return {}, f"Pictures appear here once {run.provenance} at {run.size} px is on this computer (see Dataset)."


def _everyone(bench: Bench) -> None:
    """All shown runs against all: who says the same, or who makes the same errors."""
    st.subheader("Who agrees with whom", anchor=False)
    titles = {"answers": "Same answers", "errors": "Same errors"}
    what = choice("alike", "Alike in", titles, "answers", "measure", hidden=True)
    found = hard(bench.runs)
    if len(found.runs) < 2:
        st.info(f"The shown runs were scored on different {bench.unit}s.", icon=":material/info:")
        return
    key = (what, bench.dark, *((*catalogue.mark(run), bench.names[run.name]) for run in found.runs))
    alike, chart = drawn(("together", key), lambda: _together(found, bench, what))

    def remember() -> None:
        points = st.session_state["together"].selection.get("pair") or []
        if points and points[0]["one"] != points[0]["other"]:
            both = [points[0]["one"], points[0]["other"]]
            tick(bench.spec.name, [*(name for name in bench.chosen if name not in both), *both])

    exported(chart, alike, f"agreement-{what}", "together", on_select=remember)
    meaning = (
        f"Of the {bench.unit}s that one of two runs or both get wrong, the share that both get wrong, in %."
        if what == "errors"
        else f"Share of test {bench.unit}s to which two runs give the same answer, in %."
    )
    left = f" {len(found.left_out)} left out, scored on other {bench.unit}s." if found.left_out else ""
    st.caption(f"{meaning} Runs that are alike stand side by side. Click a square to see these two above.{left}")


def _together(found: Hard, bench: Bench, what: str) -> tuple[pd.DataFrame, Spec]:
    """How alike the runs are, as a table and as a figure."""
    alike = together(found.votes, [run.name for run in found.runs], bench.names, errors=what == "errors")
    title = together_title(alike, "errors in common" if what == "errors" else "alike")
    order = list(dict.fromkeys(alike["one_model"]))
    return alike, together_chart(alike, order, title=title, dark=bench.dark)
