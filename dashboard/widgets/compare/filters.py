"""The filters above every view of the Compare page: way to split, family, size, origin, and words to look for."""

from collections.abc import Mapping, Sequence

import streamlit as st

from core.datasets import Scheme
from core.runs import Run
from dashboard.leaderboard import family
from dashboard.schemes import scheme_of, scheme_titles
from dashboard.state import parameter, remembered, share
from dashboard.widgets.choice import choice


def filters(runs: Sequence[Run], names: Mapping[str, str], schemes: Sequence[Scheme] = ()) -> list[Run]:
    """The runs that the visitor wants to see, most accurate first; a filter with one option only is not shown.

    Of a data set that was split in several ways (``schemes``) those under the first, which is to be trusted, are
    shown unless others are asked for.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        ways = {scheme_of(run, schemes) for run in runs}
        if len(ways) > 1:
            titles = scheme_titles(schemes)
            titles = {way: titles[way] for way in titles if way in ways} | {
                way: way for way in sorted(ways - {*titles})
            }
            about = "\n\n".join(f"**{titles[s.name]}:** {s.description}" for s in schemes if s.name in ways)
            options = titles | {"all": "All splits"}
            wanted = choice("scheme", "Split", options, next(iter(titles)), "way to split", hidden=False, help=about)
            runs = [run for run in runs if wanted in ("all", scheme_of(run, schemes))]
        families = sorted({family(run) for run in runs})
        if len(families) > 1:
            titles = {"all": "All families"} | {name: name for name in families}
            wanted = choice("family", "Family", titles, "all", "family", box=True, width=220)
            runs = [run for run in runs if wanted in ("all", family(run))]
        sizes = sorted({run.size for run in runs})
        if len(sizes) > 1:
            titles = {"all": "All sizes"} | {str(size): f"{size} px" for size in sizes}
            wanted = choice("px", "Image size", titles, "all", "image size", hidden=True)
            runs = [run for run in runs if wanted in ("all", str(run.size))]
        if len({run.shipped for run in runs}) > 1:
            titles = {"all": "Shipped and own", "shipped": "Shipped", "own": "Your own"}
            wanted = choice("from", "From", titles, "all", "origin", hidden=True)
            runs = [run for run in runs if wanted == "all" or run.shipped == (wanted == "shipped")]
        words = _words() if len(runs) > 1 or st.session_state.get("find") else ""
        runs = [run for run in runs if matches(run, names[run.name], words)]
    return sorted(runs, key=lambda run: -run.metrics["test"]["accuracy"])


def matches(run: Run, name: str, words: str) -> bool:
    """True where each of ``words`` stands in the run's names, family or summary, in small letters or capitals."""
    model = run.config["model"]
    text = " ".join((name, run.name, family(run), model.get("summary") or "", model.get("paper") or "")).lower()
    return all(word in text for word in words.lower().split())


def _words() -> str:
    """What stands in the search field: the link's words, else those left there."""
    link, kept = parameter("find"), remembered("find")
    if link is not None and link != kept:
        st.session_state["find"] = link[:100]
    else:
        st.session_state.setdefault("find", kept or "")
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
