"""Compare, two runs on the same cells: how sure the difference is, where they agree, what only one gets right; and how
alike all shown runs are.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.evaluation.compare import Agreement, BootstrapResult, error_overlap, pairwise_agreement, similarity_order
from core.evaluation.hard_examples import Votes
from core.formatting import capitalized, of_class, percent
from core.inference.scope import spec_for
from core.runs import Run
from dashboard import cache
from dashboard.charts import cached_figure, clicked, csv_button, show_figure
from dashboard.compare import (
    FIRST_SECOND,
    PICTURE_SIDE,
    CompareContext,
    PairedAnswers,
    hard_images,
    select_names,
    tell_difference,
    tile_page,
)
from dashboard.compare.matrices import confusion_figure, confusion_table, squares
from dashboard.page import view
from dashboard.pictures import enlarge
from dashboard.style import finish, ground, sequential, series_colours
from dashboard.url_state import choice


def only_one_right(both: PairedAnswers, who: str, codes: Sequence[str]) -> pd.DataFrame:
    """The cells that only the 'first' or only the 'second' run names right, the surest error first.

    Columns: id, label, and for each run '<first|second> answer' (code), '<...> p' (probability of its answer)
    and '<...> p label' (of the true class), in 0 to 1.
    """
    right = [answers == both.labels for answers in both.answers]
    keep = right[FIRST_SECOND.index(who)] & ~right[1 - FIRST_SECOND.index(who)]
    rows, names = np.arange(int(keep.sum())), np.asarray(codes)
    labels = both.labels[keep]
    table = {"id": both.ids[keep], "label": names[labels]}
    for name, shares, answers in zip(FIRST_SECOND, both.probabilities, both.answers, strict=True):
        table[f"{name} answer"] = names[answers[keep]]
        table[f"{name} p"] = shares[keep].max(axis=1) if len(rows) else np.zeros(0)
        table[f"{name} p label"] = shares[keep][rows, labels]
    wrong = FIRST_SECOND[1 - FIRST_SECOND.index(who)]
    return pd.DataFrame(table).sort_values(f"{wrong} p", ascending=False, kind="stable").reset_index(drop=True)


def agreement_table(votes: Votes, names: Sequence[str], labels: Mapping[str, str], *, errors: bool) -> pd.DataFrame:
    """How alike each two of R runs are, in percent, a row for each two, runs that are alike side by side.

    ``names`` are the runs behind ``votes.answers``. With ``errors``, of the cells that either of two gets
    wrong the share that both do; else the share of cells to which both give the same answer. Columns: one,
    other (names), one_model, other_model (labels), value.
    """
    alike = error_overlap(votes.answers, votes.labels) if errors else pairwise_agreement(votes.answers)
    order = similarity_order(alike)
    sorted_names = np.asarray(names)[order]
    one, other = (part.ravel() for part in np.meshgrid(sorted_names, sorted_names, indexing="ij"))
    table = pd.DataFrame({"one": one, "other": other})
    for side in ("one", "other"):
        table[f"{side}_model"] = [labels[name] for name in table[side]]
    return table.assign(value=100 * alike[np.ix_(order, order)].ravel())


def agreement_figure(
    agreement: Agreement, codes: Sequence[str], names: Sequence[str], *, unit: str = "cell", dark: bool = False
) -> go.Figure:
    """What the first says (rows) against what the second says of the same cell."""
    subtitle = f"The same answer to {100 * agreement.fraction_equal:.2f} % of the {unit}s"
    if agreement.kappa is not None:
        subtitle += f", Cohen's kappa {agreement.kappa:.3f}"
    title, axes = agreement_title(agreement.matrix, names, unit), ("the first says", "the second says")
    matrix = agreement.matrix
    return confusion_figure(matrix, codes, names, title=title, subtitle=subtitle, axes=axes, unit=unit, dark=dark)


def agreement_title(matrix: np.ndarray, names: Sequence[str], unit: str = "cell") -> str:
    """The finding of an agreement matrix in one sentence."""
    apart = matrix - np.diag(np.diag(matrix))
    if matrix.sum() == 0:
        return f"No {unit}s were scored"
    if not apart.any():
        return f"Both say the same of every {unit}"
    either = apart + apart.T
    one, other = sorted(divmod(int(either.argmax()), len(either)))
    between = f"{of_class(names[one], unit)} or {of_class(names[other], unit)}"
    return f"{int(either[one, other])} of {int(apart.sum())} disputes: {between}"


def difference_figure(resampled: BootstrapResult, first: str, second: str, *, dark: bool = False) -> go.Figure:
    """How the difference of two accuracies spreads over resamples of the cells, in points; zero marked."""
    points = 100 * resampled.differences
    values, counts = np.unique(np.round(points, 6), return_counts=True)
    low, high = (100 * bound for bound in resampled.interval)
    inside = (values >= low - 1e-9) & (values <= high + 1e-9)
    strong, quiet = series_colours(1, dark)[0], ground(dark)["line"]
    marker = {"color": np.where(inside, strong, quiet).tolist(), "line": {"width": 0}}
    hover = "%{x:+.2f} points: %{y:.1f} % of the resamples<extra></extra>"
    bars = {"x": values, "y": 100 * counts / max(len(points), 1), "marker": marker, "hovertemplate": hover}
    fig = go.Figure(go.Bar(bars, name="resamples"))
    fig.add_vline(x=0, line={"color": ground(dark)["text"], "width": 1.5, "dash": "dot"})
    reach = np.array([min(values.min(), 0), max(values.max(), 0)]) if len(values) else np.zeros(2)
    room = max(0.08 * np.ptp(reach), 0.02)
    fig.update_xaxes(title=f"Points: {first} minus {second}", range=(reach[0] - room, reach[1] + room))
    fig.update_yaxes(title="Resamples (%)")
    fig.update_layout(bargap=0.05, showlegend=False)
    return finish(fig, title=difference_words(resampled), height=360, dark=dark)


def difference_words(resampled: BootstrapResult) -> str:
    """The finding of a bootstrap in one line."""
    low, high = (100 * bound for bound in resampled.interval)
    ahead = max(resampled.fraction_ahead, 1 - resampled.fraction_ahead)
    who = "first" if resampled.fraction_ahead >= 0.5 else "second"
    share = "> 99.9" if ahead > 0.999 else f"{100 * ahead:.1f}"
    if low <= 0 <= high:
        return f"The interval holds zero; the {who} leads in {share} % of the resamples"
    return f"The {who} leads in {share} % of the resamples"


def alike_figure(alike: pd.DataFrame, *, title: str, dark: bool = False) -> go.Figure:
    """Runs against runs: how alike each two are, in percent; a click on a square gives the names of its two.

    ``alike`` has a row for each two runs, by rows of the figure: one, other (names), one_model, other_model (labels),
    value (percent).
    """
    labels = [label if len(label) <= 40 else f"{label[:39]}…" for label in dict.fromkeys(alike["one_model"])]
    squared = alike[["one_model", "other_model", "value"]].to_numpy()
    low = float(np.floor(alike["value"].min())) if len(alike) else 0.0
    fig = squares(
        alike["value"].to_numpy().reshape(len(labels), -1),
        [f"{value:.0f}" for value in alike["value"]],
        [f"{escape(one)}<br>{escape(other)}<br>{value:.1f} %" for one, other, value in squared],
        labels,
        scale=sequential(dark),
        limits=(min(low, 99.0), 100),
        title=title,
        click=alike[["one", "other"]].to_numpy(),
        height=max(160, 24 * len(labels)),
        above=44 + round(4.7 * max(map(len, labels), default=0)),
        font_size=9 if len(labels) > 16 else 12,
        dark=dark,
    )
    names = {"tickangle": -60, "tickfont": {"size": 11}, "ticklabeloverflow": "allow"}  # they lean over the right edge
    return fig.update_layout(xaxis=names, yaxis={"tickfont": {"size": 11}}, margin={"r": 72})


def alike_title(alike: pd.DataFrame, what: str) -> str:
    """The finding of `alike_figure` in one line; ``what`` says what the two have in common."""
    others = alike[alike["one"] != alike["other"]]
    if others.empty:
        return "Nothing to set against each other"
    best, least = (others.iloc[int(place)] for place in (others["value"].argmax(), others["value"].argmin()))
    return (
        f"Most {what}: {best['one_model']} and {best['other_model']} ({best['value']:.1f} %); "
        f"least: {least['one_model']} and {least['other_model']} ({least['value']:.1f} %)"
    )


@view(":material/compare_arrows: Two runs", order=20)
def render(context: CompareContext) -> None:
    """The last two ticked runs (others may be chosen here), then how all shown runs agree."""
    if len(context.every) < 2:
        st.info(
            "Two runs will be set against each other here. There is only one yet.", icon=":material/compare_arrows:"
        )
        return
    runs = _choose(context)
    if both := tell_difference(runs, context):
        _difference(both, runs, context)
        _only_one(both, runs, context)
    if len(context.runs) > 2:
        _alike_section(context)


def _choose(context: CompareContext) -> list[Run]:
    """Two select boxes with the last two ticked runs; what is chosen here is ticked everywhere."""
    by_val = sorted(context.every, key=lambda run: -run.metrics["val"]["accuracy"])
    now = [run.name for run in context.selected_runs[-2:]]
    now += [run.name for run in by_val if run.name not in now][: 2 - len(now)]
    names = [run.name for run in context.runs]
    options = names + [name for name in now if name not in names]
    before = [name for name in context.selected if name not in now]

    def remember(place: int) -> None:
        picked = st.session_state[f"pair_{FIRST_SECOND[place]}"]
        both = list(now)
        both[place], both[1 - place] = picked, now[place] if picked == now[1 - place] else now[1 - place]
        select_names(context.spec.name, [*before, *both])

    select_names(context.spec.name, [*before, *now])
    with st.container(horizontal=True):
        for place, who in enumerate(FIRST_SECOND):
            st.session_state[f"pair_{who}"] = now[place]
            st.selectbox(
                who.capitalize(),
                options,
                format_func=lambda name: context.names[name],
                key=f"pair_{who}",
                on_change=remember,
                args=(place,),
                width=380,
            )
    return context.find(now)


def _difference(both: PairedAnswers, runs: Sequence[Run], context: CompareContext) -> None:
    """The four counts, the bootstrap and the agreement matrix."""
    (first, second), paired = (context.names[run.name] for run in runs), both.comparison
    counts = {
        "Both right": paired.both_right,
        "Only the first": paired.only_first,
        "Only the second": paired.only_second,
        "Both wrong": paired.both_wrong,
    }
    with st.container(horizontal=True, gap="large"):
        for label, value in counts.items():
            st.metric(label, f"{value:,}", width="content")
    spec = spec_for(runs[0])
    codes, titles = spec.codes, spec.class_names
    stem = f"{runs[0].name}-{runs[1].name}"
    grid = st.grid(2, min_column_width=420, gap="medium")  # one below the other on a narrow page
    with grid.container(), st.container(width=430):
        chart = partial(agreement_figure, both.agreement, codes, titles, unit=context.unit, dark=context.dark)
        table = confusion_table(both.agreement.matrix, codes).rename_axis("the first says")
        show_figure(chart, table, f"agreement-{stem}", "agreement", made_of=(*runs, context.dark), index=True)
    with grid.container():
        spread = partial(difference_figure, both.resampled, first, second, dark=context.dark)
        points, key = pd.DataFrame({"points": 100 * both.resampled.differences}), (*runs, first, second, context.dark)
        show_figure(spread, points, f"difference-{stem}", "bootstrap", made_of=key)
        low, high = (100 * bound for bound in both.resampled.interval)
        st.caption(
            f"Paired bootstrap over the {paired.n:,} test {context.unit}s, {len(both.resampled.differences):,} "
            f"resamples: 95 % interval of first minus second {low:+.2f} to {high:+.2f} points. Pictures of one person "
            "are not independent, so the real uncertainty is larger."
        )


def _only_one(both: PairedAnswers, runs: Sequence[Run], context: CompareContext) -> None:
    """The cells that only one of the two names right, with both answers."""
    codes, unit = runs[0].codes, context.unit
    st.header(f"{capitalized(unit)}s that only one gets right", anchor=False)
    counts = (both.comparison.only_first, both.comparison.only_second)
    titles = {who: f"Only the {who} ({count:,})" for who, count in zip(FIRST_SECOND, counts, strict=True)}
    who = choice("only", "Only", titles, "first", "run", hidden=True)
    table = only_one_right(both, who, codes)
    names = [context.names[run.name] for run in runs]
    right, wrong = names[FIRST_SECOND.index(who)], names[1 - FIRST_SECOND.index(who)]
    if table.empty:
        st.info(f"{wrong} misses no {unit} that {right} gets right.", icon=":material/check_circle:")
        return
    st.caption(f"{right} is right here, {wrong} is wrong; the surest error first.")
    pictures = cache.largest_pictures(runs)

    def tile(cell: pd.Series) -> None:
        picture = None if isinstance(pictures, str) else pictures.get(cell["id"])
        if picture is not None:
            st.image(enlarge(picture, PICTURE_SIDE), width="stretch", alt=f"test {unit} {cell['id']}")
        st.markdown(f"**{cell['label']}**, {unit} {cell['id']}")
        lines = [f"{who.capitalize()}: {cell[f'{who} answer']} {percent(cell[f'{who} p'])}" for who in FIRST_SECOND]
        st.caption("  \n".join(lines), help=f"First: {names[0]}. Second: {names[1]}.")

    tile_page(f"only-{runs[0].name}-{runs[1].name}", table, tile)
    if isinstance(pictures, str):
        st.caption(pictures)
    csv_button(
        f"Download these {unit}s (CSV)",
        lambda: table.rename(columns=lambda c: c.replace("first", names[0]).replace("second", names[1])),
        f"only-{runs[FIRST_SECOND.index(who)].name}",
    )


def _alike_section(context: CompareContext) -> None:
    """All shown runs against all: who says the same, or who makes the same errors."""
    st.header("Who agrees with whom", anchor=False)
    titles = {"answers": "Same answers", "errors": "Same errors"}
    what = choice("alike", "Alike in", titles, "answers", "measure", hidden=True)
    difficulty = hard_images(context.runs)
    if len(difficulty.runs) < 2:
        st.info(f"The shown runs were scored on different {context.unit}s.", icon=":material/info:")
        return
    key = (what, context.dark, *((run, context.names[run.name]) for run in difficulty.runs))

    def compute() -> tuple[pd.DataFrame, go.Figure]:
        runs = [run.name for run in difficulty.runs]
        table = agreement_table(difficulty.votes, runs, context.names, errors=what == "errors")
        title = alike_title(table, "errors in common" if what == "errors" else "alike")
        return table, alike_figure(table, title=title, dark=context.dark)

    alike, chart = cached_figure(("together", key), compute)

    def remember() -> None:
        if len(both := list(dict.fromkeys(clicked("together") or ()))) == 2:
            select_names(context.spec.name, [*(name for name in context.selected if name not in both), *both])

    show_figure(chart, alike, f"agreement-{what}", "together", on_select=remember)
    meaning = (
        f"Of the {context.unit}s that one of two runs or both get wrong, the share that both get wrong, in %."
        if what == "errors"
        else f"Share of test {context.unit}s to which two runs give the same answer, in %."
    )
    left = f" {len(difficulty.left_out)} left out, scored on other {context.unit}s." if difficulty.left_out else ""
    st.caption(f"{meaning} Runs that are alike stand side by side. Click a square to see these two above.{left}")
