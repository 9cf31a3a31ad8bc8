"""Choosing runs: every picker in the dashboard names them in the same way."""

from collections.abc import Sequence

import streamlit as st

from core.runs import Run, answering_run
from core.serving.domain import says_what_it_knows, trusted
from core.serving.wording import listed
from dashboard.elsewhere import elsewhere_line
from dashboard.state import prepare, share

FAST = " · fast"
FEWEST_MEASURED = 4


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """A short name for each run (by its name): its title, and where titles repeat what tells them apart.

    That is the way to split ('VGG-19, 64 px, random split'), the cycle for runs of which one began with another's
    weights ('CNN + SE, 64 px, 2nd cycle'), the seed for trainings of their own, and the end of the run's name where
    nothing else helps.
    """
    ways: dict[str, set[str]] = {}
    for run in runs:
        ways.setdefault(run.title, set()).add(run.scheme)
    alike: dict[str, list[Run]] = {}
    for run in runs:
        split = f", {run.scheme} split" if run.scheme and len(ways[run.title]) > 1 else ""
        alike.setdefault(run.title + split, []).append(run)
    out = {}
    for title, twins in alike.items():
        named = {twin.name: title + tail for twin, tail in zip(twins, _tails(twins), strict=True)}
        given = list(named.values())
        for name, label in named.items():
            out[name] = label if given.count(label) == 1 else f"{title} ({name.rsplit('-', 1)[-1]})"
    return {run.name: out[run.name] for run in runs}


def _tails(twins: Sequence[Run]) -> list[str]:
    """What to put behind the common title of ``twins``, each for one of them; '' where there is one only."""
    if len(twins) == 1:
        return [""]
    starts = {run.name: run.config["train"].get("start") for run in twins}
    chains = []
    for run in twins:  # from each run back to the one whose training began anew
        chain = [run.name]
        while (before := starts[chain[-1]]) in starts and before not in chain:
            chain.append(before)
        chains.append(chain)
    lengths = {chain[-1]: max(len(c) for c in chains if c[-1] == chain[-1]) for chain in chains}
    seeds = {run.name: run.config["train"].get("seed") for run in twins}
    tails = []
    for chain in chains:
        first = chain[-1]
        alone = f" ({first.rsplit('-', 1)[-1]})" if starts[first] else f", seed {seeds[first]}"
        tail = alone if len(lengths) > 1 else ""
        if lengths[first] > 1:
            tail += f", {ordinal(len(chain))} cycle"
        tails.append(tail)
    return tails


def ordinal(number: int) -> str:
    """'1st', '2nd', '3rd', '11th' ..."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def by_family(runs: Sequence[Run]) -> list[Run]:
    """``runs`` with families together, the family of the best on val first, and so within each."""
    ranked = sorted(runs, key=lambda run: -run.metrics["val"]["accuracy"])
    families = list(dict.fromkeys(_family(run) for run in ranked))
    return sorted(ranked, key=lambda run: families.index(_family(run)))


def fast_ones(runs: Sequence[Run]) -> set[str]:
    """Names of the quickest quarter of ``runs``, of those that were measured; none where fewer than four were."""
    measured = {run.name: ms for run in runs if (ms := (run.metrics.get("latency") or {}).get("batch1_ms"))}
    if len(measured) < FEWEST_MEASURED:
        return set()
    return set(sorted(measured, key=measured.get)[: round(len(measured) / 4)])


def _family(run: Run) -> str:
    return run.config["model"].get("family") or run.config["model"]["title"]


def describe(run: Run, label: str | None = None) -> str:
    """One line: title, accuracy on test, the data behind it, and whether it is the user's own."""
    own = "" if run.shipped else ", your own"
    return f"{label or run.title} · {run.metrics['test']['accuracy']:.1%} on {run.provenance}{own}".replace("%", " %")


def of_same_classes(runs: Sequence[Run]) -> list[Run]:
    """Those of ``runs`` that know the first one's classes, as only their answers can stand together; names the rest."""
    same = [run for run in runs if run.codes == runs[0].codes]
    if others := [run.title for run in runs if run.codes != runs[0].codes]:
        st.caption(f"Left out, because they know other classes than {runs[0].title}: {', '.join(others)}.")
    return same


def domain_line(runs: Sequence[Run]) -> None:
    """The models' names and, under them, what they know: one line, as all of ``runs`` are of one data set."""
    short = labels(runs)
    names, one = listed([f"**{short[run.name]}**" for run in runs]), len(runs) == 1
    knows = says_what_it_knows(runs[0])
    told = f"{names} {'answers and ' if one else 'answer; each '}{knows}."
    st.caption(told, help=elsewhere_line(runs[0].dataset) or None)


def run_picker(
    label: str,
    runs: Sequence[Run],
    *,
    key: str,
    multiple: bool = False,
    default: Sequence[str] = (),
    max_selections: int | None = None,
    linked: bool = True,
    help: str | None = None,
) -> list[Run]:
    """A select box (or several choices) over ``runs``; returns the chosen ones, one or more.

    ``default`` names the runs chosen at first, else the one that answers by default. ``linked`` keeps the choice in
    the address bar under ``key``; a link to a run that is not there is told in a sentence.
    """
    if not runs:
        return []
    by_name = {run.name: run for run in by_family(runs)}
    names = list(by_name)
    short, quick = labels(runs), fast_ones(runs)
    for name in quick:
        short[name] += FAST
    if quick:
        help = " ".join(filter(None, [help, "Listed by family, type to search; 'fast' marks the quickest quarter."]))
    chosen = [name for name in default if name in by_name] or [answering_run(trusted(runs)).name]
    if linked:
        notice = prepare(key, names, chosen if multiple else chosen[0], what="run", many=multiple)
        if notice:
            st.info(notice, icon=":material/link:")
    elif key not in st.session_state:
        st.session_state[key] = chosen if multiple else chosen[0]

    def line(name: str) -> str:
        return describe(by_name[name], short[name])

    if multiple:
        picked = st.multiselect(
            label, names, format_func=lambda n: short[n], key=key, max_selections=max_selections, help=help
        )
    else:
        picked = [st.selectbox(label, names, format_func=line, key=key, help=help)]
    if linked:
        share(key)
    return [by_name[name] for name in picked]
