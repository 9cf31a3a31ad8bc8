"""What every view of Compare is given: the runs that the filters left, their names, the ticked ones, and what runs
answered on the same cells (computed once and shared between visitors: nobody may write into it).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from core.datasets import DatasetSpec, Scheme
from core.evaluation.compare import (
    Agreement,
    BootstrapResult,
    NotComparable,
    PairedComparison,
    agreement,
    bootstrap,
    compare_predictions,
    match_predictions,
    why_not_comparable,
)
from core.evaluation.hard_examples import EnsembleAccuracy, Hardness, Votes, ensemble_accuracy, gather_votes, hardness
from core.formatting import capitalized
from core.inference.scope import on_trusted_split
from core.probabilities import softmax
from core.runs import Run
from dashboard import cache
from dashboard.page import is_dark
from dashboard.pickers import page_of, short_names
from dashboard.url_state import choice, nearest, not_there, parameter, put, remembered, share


def scheme_of(run: Run, schemes: Sequence[Scheme]) -> str:
    """The name of the way in which a run's data was split; '' means the first, where there are several."""
    return run.scheme or (schemes[0].name if schemes else "")


def scheme_titles(schemes: Sequence[Scheme]) -> dict[str, str]:
    """Title by name, each with a capital."""
    return {scheme.name: capitalized(scheme.title) for scheme in schemes}


def family_of(run: Run) -> str:
    """The family of a run's model ('Plain CNN'), 'Other' where it tells none."""
    return run.config["model"].get("family") or "Other"


@dataclass(frozen=True)
class CompareContext:
    """The runs that are compared.

    ``spec`` is the data set, with all its classes. ``runs`` are those of it that passed the filters, most accurate
    on test first; ``every`` is all there are of it. ``names`` gives each run's short name by its full one. ``selected``
    are the names of the ticked runs (filtered away or not), the last ticked last. ``dark`` tells the theme.
    """

    spec: DatasetSpec
    runs: tuple[Run, ...]
    every: tuple[Run, ...]
    names: Mapping[str, str]
    selected: tuple[str, ...]
    dark: bool = False

    @property
    def unit(self) -> str:
        """What one picture shows: 'cell' or 'field'."""
        return self.spec.unit

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """The ways to split the data set, where runs under more than one are here; else ()."""
        return self.spec.schemes if len({scheme_of(run, self.spec.schemes) for run in self.every}) > 1 else ()

    @property
    def selected_runs(self) -> list[Run]:
        """The ticked runs."""
        return self.find(self.selected)

    def find(self, names: tuple[str, ...] | list[str]) -> list[Run]:
        """The runs of these names, in their order; names that aren't here are left out."""
        by_name = {run.name: run for run in self.every}
        return [by_name[name] for name in names if name in by_name]


RUNS_KEY = "runs"  # in the address bar: the ticked runs, in the order in which they were ticked
_SELECTED = "_ticked"  # by data set


def selected_names(
    dataset: str, names: Sequence[str], labels: dict[str, str], default: Sequence[str]
) -> tuple[list[str], str | None]:
    """The ticked runs of ``dataset`` by the link, else as left, else ``default``; a sentence where one isn't there."""
    previous = st.session_state.setdefault(_SELECTED, {}).get(dataset)
    link = parameter(RUNS_KEY)
    if link is None or link == remembered(RUNS_KEY):
        left = [name for name in previous or () if name in names] if previous is not None else list(default)
        return left, None
    selected, missing = [], []
    for asked in link.split(","):
        match = asked if asked in names else nearest(asked, [n for n in names if n not in selected])
        if asked not in names:
            missing.append(asked)
        if match and match not in selected:
            selected.append(match)
    instead = [labels[name] for name in selected]
    return selected, not_there("run", missing, instead) if missing else None


def select_names(dataset: str, names: Sequence[str]) -> None:
    """Remember ``names`` as the ticked runs of ``dataset`` (the last ticked last), and have the address bar say so."""
    st.session_state.setdefault(_SELECTED, {})[dataset] = list(names)
    put(RUNS_KEY, ",".join(names))


_SELECTION_KEY = "ticked_here"


def run_selection(context: CompareContext) -> list[Run]:
    """Draw a choice of the runs that the filters left, with the ticked ones chosen; returns these, last ticked last."""
    shown = {run.name: run for run in context.runs}
    now = [name for name in context.selected if name in shown]
    hidden = [name for name in context.selected if name not in shown]  # filtered away, not unticked

    def remember() -> None:
        select_names(context.spec.name, [*hidden, *st.session_state[_SELECTION_KEY]])

    st.session_state[_SELECTION_KEY] = now
    names = context.names
    st.multiselect(
        "Runs",
        list(shown),
        format_func=lambda name: names[name],
        key=_SELECTION_KEY,
        on_change=remember,
        help="The runs ticked in the table of all runs.",
    )
    return [shown[name] for name in now]


def filters(runs: Sequence[Run], names: Mapping[str, str], schemes: Sequence[Scheme] = ()) -> list[Run]:
    """The runs that the visitor wants to see, most accurate first; a filter with one option only is not shown.

    Of a data set that was split in several ways (``schemes``) those under the first, which is to be trusted, are
    shown unless others are asked for.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        ways = {scheme_of(run, schemes) for run in runs}
        if len(ways) > 1:
            titles = scheme_titles(schemes)
            known = [way for way in titles if way in ways]
            titles = {way: titles.get(way, way) for way in (*known, *sorted(ways - {*known}))}
            about = "\n\n".join(f"**{titles[s.name]}:** {s.description}" for s in schemes if s.name in ways)
            options = titles | {"all": "All splits"}
            picked = choice("scheme", "Split", options, next(iter(titles)), "way to split", hidden=False, help=about)
            runs = [run for run in runs if picked in ("all", scheme_of(run, schemes))]
        families = sorted({family_of(run) for run in runs})
        if len(families) > 1:
            titles = {"all": "All families"} | {name: name for name in families}
            picked = choice("family", "Family", titles, "all", "family", box=True, width=220)
            runs = [run for run in runs if picked in ("all", family_of(run))]
        sizes = sorted({run.size for run in runs})
        if len(sizes) > 1:
            titles = {"all": "All sizes"} | {str(size): f"{size} px" for size in sizes}
            picked = choice("px", "Image size", titles, "all", "image size", hidden=True)
            runs = [run for run in runs if picked in ("all", str(run.size))]
        if len({run.shipped for run in runs}) > 1:
            titles = {"all": "Shipped and own", "shipped": "Shipped", "own": "Your own"}
            picked = choice("from", "From", titles, "all", "origin", hidden=True)
            runs = [run for run in runs if picked == "all" or run.shipped == (picked == "shipped")]
        words = _words() if len(runs) > 1 or st.session_state.get("find") else ""
        runs = [run for run in runs if matches(run, names[run.name], words)]
    return sorted(runs, key=lambda run: -run.metrics["test"]["accuracy"])


def matches(run: Run, name: str, words: str) -> bool:
    """True where each of ``words`` stands in the run's names, family or summary, in small letters or capitals."""
    model = run.config["model"]
    text = " ".join((name, run.name, family_of(run), model.get("summary") or "", model.get("paper") or "")).lower()
    return all(word in text for word in words.lower().split())


def _words() -> str:
    """What stands in the search field: the link's words, else those left there."""
    link, previous = parameter("find"), remembered("find")
    if link is not None and link != previous:
        st.session_state["find"] = link[:100]
    else:
        st.session_state.setdefault("find", previous or "")
    st.text_input(
        "Find",
        key="find",
        placeholder="Find a model",
        icon=":material/search:",
        label_visibility="collapsed",
        width=200,
        help="Words in the model's name, family, description or paper.",
    )
    share("find")
    return st.session_state["find"]


FIRST_SECOND = ("first", "second")


@dataclass(frozen=True)
class PairedAnswers:
    """Two runs' answers to the same N test cells; equal positions are the same cell.

    ``ids`` str (N,), ``labels`` int (N,), ``probabilities`` two float arrays (N, C), the runs' probabilities in 0 to 1;
    ``rows`` two int arrays (N,), where the cells stand in the runs' stored predictions; ``unshared`` is how many
    test cells only the first, only the second was scored on.
    """

    ids: np.ndarray
    labels: np.ndarray
    probabilities: tuple[np.ndarray, np.ndarray]
    rows: tuple[np.ndarray, np.ndarray]
    unshared: tuple[int, int]
    comparison: PairedComparison
    resampled: BootstrapResult
    agreement: Agreement

    @property
    def answers(self) -> tuple[np.ndarray, np.ndarray]:
        """What each run says, class indices (N,)."""
        return self.probabilities[0].argmax(axis=1), self.probabilities[1].argmax(axis=1)


@st.cache_resource(max_entries=64, show_spinner=False, hash_funcs=cache.BY_VERSION)
def compare_pair(first: Run, second: Run) -> PairedAnswers | str:
    """The two runs on the test split, or the sentence that says why they can't be compared."""
    one, two = cache.predictions(first), cache.predictions(second)
    try:
        reason = why_not_comparable(first, second)
        if reason:
            raise NotComparable(reason)
        rows, others = match_predictions(one, two)
    except NotComparable as refusal:
        return str(refusal)
    labels, probabilities = one.labels[rows], (softmax(one.logits[rows]), softmax(two.logits[others]))
    first_says, second_says = (shares.argmax(axis=1) for shares in probabilities)
    comparison = compare_predictions(labels, first_says, second_says)
    agreed = agreement(first_says, second_says, probabilities[0].shape[1])
    unshared = len(one.ids) - len(rows), len(two.ids) - len(rows)
    return PairedAnswers(
        one.ids[rows], labels, probabilities, (rows, others), unshared, comparison, bootstrap(comparison), agreed
    )


@dataclass(frozen=True)
class HardImages:
    """The test images of ``runs`` as all of them answered; ``left_out`` are runs that could not take part."""

    runs: tuple[Run, ...]
    left_out: tuple[Run, ...]
    votes: Votes
    hardness: Hardness
    combined: EnsembleAccuracy


@st.cache_resource(
    max_entries=16, show_spinner="Asking every model about every test picture", hash_funcs=cache.BY_VERSION
)
def hard_images(runs: Sequence[Run]) -> HardImages:
    """How hard each test image is to ``runs`` (one or more, of one data set)."""
    votes, out = gather_votes([cache.predictions(run) for run in runs])
    for array in (votes.ids, votes.labels, votes.answers, votes.mean):
        array.setflags(write=False)
    inside = tuple(run for place, run in enumerate(runs) if place not in out)
    return HardImages(inside, tuple(runs[place] for place in out), votes, hardness(votes), ensemble_accuracy(votes))


def comparison_text(
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


def tell_difference(pair: Sequence[Run], context: CompareContext) -> PairedAnswers | None:
    """Say how sure the difference of two runs is and return their answers; None where they can't be compared."""
    one, other = pair
    both = compare_pair(one, other)
    if isinstance(both, str):
        st.info(f"No test of the difference. {both}", icon=":material/info:")
        return None
    names, sizes = context.names, (one.size, other.size)
    text = comparison_text(
        both.comparison, names[one.name], names[other.name], sizes, unshared=both.unshared, unit=context.unit
    )
    st.markdown(text)
    return both


PER_PAGE = 12
PICTURE_SIDE = 128  # pixels


def tile_page(key: str, table: pd.DataFrame, draw: Callable[[pd.Series], None]) -> None:
    """A page of ``table``: a framed tile for each row, which ``draw`` fills."""
    place, rows = page_of(key, len(table), PER_PAGE)
    with place, st.grid(6, min_column_width=150, gap="small"):
        for _, row in table.iloc[rows].iterrows():
            with st.container(border=True, gap="xsmall"):
                draw(row)


def of_one_split(runs: list[Run], every: list[Run]) -> list[Run]:
    """All runs under the shown way to split, which need not say it in their names; [] where several ways are shown."""
    ways = {run.scheme for run in runs}
    return [run for run in every if run.scheme in ways] if len(ways) == 1 else []


def compare_context(spec: DatasetSpec) -> CompareContext | None:
    """Draw the filters; what the views of Compare are given of ``spec``'s runs, None where no run fits them."""
    every = cache.runs(spec.name)
    names = short_names(every)
    best = sorted(on_trusted_split(every), key=lambda run: -run.metrics["val"]["accuracy"])[:2]
    chosen, notice = selected_names(spec.name, [run.name for run in every], names, [run.name for run in best])
    if notice:
        st.info(notice, icon=":material/link:")
    runs = filters(every, names, spec.schemes)
    names |= short_names(of_one_split(runs, every))
    if not runs:
        st.info("No run fits these filters. Set them to 'All' and clear the search.", icon=":material/filter_alt_off:")
        return None
    return CompareContext(spec, tuple(runs), tuple(every), names, tuple(chosen), is_dark())


def nothing_yet(spec: DatasetSpec) -> bool:
    """True where no run of the data set is here; says then what will stand here and how to get the first."""
    if cache.runs(spec.name):
        return False
    st.info(
        f"Here every model of {spec.title} will stand in one table, with its accuracy, speed and size. There is none "
        "yet: train the first one in a terminal, then reload this page.",
        icon=":material/leaderboard:",
    )
    st.code(f"python -m core train --dataset {spec.name} --size {spec.sizes[0]} --model cnn_se", language="bash")
    return True


def missing_datasets_line() -> None:
    """Say which runs can't be shown because their data set is not here any more."""
    if gone := cache.runs_without_dataset():
        names = ", ".join(f"'{name}' ({number})" for name, number in gone.items())
        st.caption(f"Models of data sets that are not here any more are not shown: {names}.")
