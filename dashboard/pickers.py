"""Choices that the address bar keeps: data set, runs, a laboratory's profile, a page of many, or any one option."""

from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.adaptation import profile as profiles
from core.adaptation.profile import LabProfile, ProfileError, predictor_for
from core.datasets import DatasetSpec, DatasetUnavailable, UnknownDataset, get_dataset
from core.formatting import counted, listed, markdown_text
from core.images.decode import PIXEL_SIZES
from core.images.red_cells import SIDE_MICROMETRES
from core.inference.predictor import Predictor
from core.inference.scope import on_trusted_split, scope_text
from core.inference.specimen import ADULT_BLOOD, SPECIMENS, Specimen
from core.runs import Run, preferred_run
from dashboard import cache, url_state
from dashboard.cache import base_run
from dashboard.url_state import choice, linked


def external_validation_line(dataset: str) -> str:
    """How cells of other laboratories are read before and after teaching; '' where nobody measured it."""
    run = base_run(dataset)
    laboratories = run.external_validation() if run else []
    if not laboratories:
        return ""
    before, after = ([entry[stage] for entry in laboratories] for stage in ("before", "after"))
    return (
        f"In {len(laboratories)} laboratories that no training saw, {min(before):.0%} to {max(before):.0%} of the "
        "white cells of a usual differential were named rightly among the classes that occur there; after "
        f"{laboratories[0]['answers']} answers on the page Your lab, {min(after):.0%} to {max(after):.0%} of the "
        "others."
    )


def how_to_get_images(spec: DatasetSpec, size: int) -> str:
    """What to do where the images are not on this computer, as the data set itself says it."""
    try:
        spec.load(size)
    except DatasetUnavailable as error:
        return str(error)
    return "Reload this page: the images have just appeared."


def page_count(count: int, each: int) -> int:
    """Pages of a wall of ``count`` things, ``each`` on a page; at least one."""
    return max(1, -(-count // each))


_PAGER = "_pager"  # (what the wall shows, page in the address bar as we left it, page it opened at, pagers so far)


def page_of(shown: str, count: int, each: int) -> tuple[DeltaGenerator, slice]:
    """The place for one page of ``count`` things, its pager below, and which of them stand there, ``each`` at most.

    The wall opens at the page of a link, else at the first; the address bar tells the page. ``shown`` names what the
    wall shows: another view, or another link, gets another pager, because a pager can't be moved once it is there.
    """
    pages, link = page_count(count, each), url_state.parameter("page")
    of, left_at, start, pagers = st.session_state.get(_PAGER) or (None, None, 1, -1)
    if of != shown or link != left_at:
        moved = of is None or link != left_at  # otherwise it still names a page of the view before
        start = int(link) if moved and link and link.isdecimal() and len(link) < 9 else 1
        start, pagers = min(max(start, 1), pages), pagers + 1
    place = st.container()
    page = st.pagination(pages, default=start, key=f"pager-{shown}-{pagers}") if pages > 1 else 1
    written = str(page) if page > 1 else None
    st.session_state[_PAGER] = (shown, written, start, pagers)
    url_state.put("page", written)
    return place, slice((page - 1) * each, page * each)


DATASET_KEY = "dataset"
# Choices of several runs: none of them is left in another data set, and 'none' would be taken for the visitor's wish.
_OF_ONE_SET = ("model", "models", "runs", "profile")


def page_title(title: str) -> DatasetSpec:
    """The page's title with the switch beside it; returns the chosen data set's spec, with all its classes.

    The choice is kept in the address bar and from page to page. Offered are the data sets that have models or
    images here; a link to any other is told in a sentence.
    """
    offered = cache.datasets()
    notice = _gone_notice(offered)
    titles = {name: f"{get_dataset(name).title} · {_models(number)}" for name, number in offered.items()}
    row = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    row.title(title, anchor=False, width="content")
    with row, linked(DATASET_KEY, list(offered), url_state.DEFAULT_DATASET, "data set"):
        st.selectbox(
            "Data set",
            list(offered),
            format_func=titles.__getitem__,
            key=DATASET_KEY,
            on_change=_changed,
            label_visibility="collapsed",
            width=330,
        )
    if notice:
        st.info(notice, icon=":material/link:")
    return get_dataset(st.session_state[DATASET_KEY])


def switch_to(name: str) -> None:
    """Choose the data set ``name`` (for a button's callback)."""
    st.session_state[DATASET_KEY] = name
    _changed()


def cautions(spec: DatasetSpec) -> None:
    """The sentences that must stand beside every figure of the data set; nothing where there are none."""
    if spec.cautions:
        st.caption(f":material/info: {' '.join(spec.cautions)}")


def _models(number: int) -> str:
    return counted(number, "model") if number else "no model"


def _gone_notice(offered: dict[str, int]) -> str | None:
    """The sentence for a link to, or a memory of, a data set that is not here; it is forgotten with that."""
    asked = url_state.parameter(DATASET_KEY) or url_state.remembered(DATASET_KEY)
    if asked is None or asked in offered:
        return None
    url_state.forget(DATASET_KEY)
    instead = f"Showing {get_dataset(url_state.DEFAULT_DATASET).title} instead."
    try:
        spec = get_dataset(asked)
    except UnknownDataset:
        return f"The data set '{markdown_text(asked)}' is not here (any more). {instead}"
    way = how_to_get_images(spec, spec.sizes[0])
    return f"Of {spec.title} there are neither images nor models on this computer. {instead} {way}"


def _changed() -> None:
    url_state.forget(*_OF_ONE_SET)


FAST = " · fast"
FEWEST_MEASURED = 4


def short_names(runs: Sequence[Run]) -> dict[str, str]:
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
    for title, same_title in alike.items():
        named = {twin.name: title + tail for twin, tail in zip(same_title, _tails(same_title), strict=True)}
        given = list(named.values())
        for name, label in named.items():
            out[name] = label if given.count(label) == 1 else f"{title} ({name.rsplit('-', 1)[-1]})"
    return {run.name: out[run.name] for run in runs}


def _tails(same_title: Sequence[Run]) -> list[str]:
    """What to put behind the common title of ``same_title``, each for one of them; '' where there is one only."""
    if len(same_title) == 1:
        return [""]
    starts = {run.name: run.config["train"].get("warm_start") for run in same_title}
    chains = []
    for run in same_title:  # from each run back to the one whose training began anew
        chain = [run.name]
        while (before := starts[chain[-1]]) in starts and before not in chain:
            chain.append(before)
        chains.append(chain)
    lengths = {chain[-1]: max(len(c) for c in chains if c[-1] == chain[-1]) for chain in chains}
    seeds = {run.name: run.config["train"].get("seed") for run in same_title}
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


def fast_runs(runs: Sequence[Run]) -> set[str]:
    """Names of the quickest quarter of ``runs``, of those that were measured; none where fewer than four were."""
    measured = {run.name: ms for run in runs if (ms := (run.metrics.get("latency") or {}).get("batch1_ms"))}
    if len(measured) < FEWEST_MEASURED:
        return set()
    return set(sorted(measured, key=measured.__getitem__)[: round(len(measured) / 4)])


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


def scope_line(runs: Sequence[Run]) -> None:
    """The models' names and, under them, what they know: one line, as all of ``runs`` are of one data set."""
    short = short_names(runs)
    names, single = listed([f"**{short[run.name]}**" for run in runs]), len(runs) == 1
    knows = scope_text(runs[0])
    text = f"{names} {'answers and ' if single else 'answer; each '}{knows}."
    st.caption(text, help=external_validation_line(runs[0].dataset) or None)


def run_picker(
    label: str,
    runs: Sequence[Run],
    *,
    key: str,
    multiple: bool = False,
    default: Sequence[str] = (),
    max_selections: int | None = None,
    help: str | None = None,
) -> list[Run]:
    """A select box (or several choices) over ``runs``; returns the chosen ones, one or more.

    ``default`` names the runs chosen at first, else the one that answers by default. The address bar keeps the choice
    under ``key``; a link to a run that is not there is told in a sentence.
    """
    if not runs:
        return []
    by_name = {run.name: run for run in by_family(runs)}
    names = list(by_name)
    short, quick = short_names(runs), fast_runs(runs)
    for name in quick:
        short[name] += FAST
    if quick:
        help = " ".join(filter(None, [help, "Listed by family, type to search; 'fast' marks the quickest quarter."]))
    best = preferred_run(on_trusted_split(runs))
    assert best is not None  # there are some
    chosen = [name for name in default if name in by_name] or [best.name]
    with linked(key, names, chosen if multiple else chosen[0], "run", many=multiple, most=max_selections):
        if multiple:
            picked = st.multiselect(
                label, names, format_func=short.__getitem__, key=key, max_selections=max_selections, help=help
            )
        else:
            lines = {name: describe(run, short[name]) for name, run in by_name.items()}
            picked = [st.selectbox(label, names, format_func=lines.__getitem__, key=key, help=help)]
    return [by_name[name] for name in picked]


def accuracy_line(profile: LabProfile) -> str:
    """'25 named by you; of the other 140 about 94 % right (88 to 97 %)'; says so where cells or answers were few."""
    if profile.after is None:
        line = f"{profile.named} named by you, too few to estimate how well it reads"
    else:
        share, low, high = (100 * v for v in profile.after)
        line = (
            f"{profile.named} named by you; of {profile.others} about {min(share, 99):.0f} % right "
            f"({low:.0f} to {high:.0f} %)"
        )
    return ". ".join((line, *(caution.removesuffix(".") for caution in profile.cautions)))


PROFILE_KEY = "profile"
_NONE = ""


def lab_picker(dataset: str, specimen: Specimen | None = None) -> Predictor | None:
    """A select box over the laboratories that were taught with models of ``dataset``; None for none.

    ``specimen``: what its cells are said to be of. Nothing is drawn where there is none yet; a link to one that is gone
    is told in a sentence.
    """
    try:
        names = [p.name for p in profiles.list_profiles() if p.dataset == dataset]
    except ProfileError as error:  # the models answer all the same
        st.warning(markdown_text(str(error), None), icon=":material/warning:")
        names = []
    if not names:
        url_state.forget(PROFILE_KEY)
        return None
    with linked(PROFILE_KEY, [_NONE, *names], _NONE, "laboratory"):
        st.selectbox(
            "Laboratory",
            [_NONE, *names],
            format_func=lambda name: name or "none: the models as they are",
            key=PROFILE_KEY,
            help="Answers as one laboratory taught them on the page Your lab, at its scale.",
        )
    name = st.session_state[PROFILE_KEY]
    if not name:
        return None
    try:
        return predictor_for(profiles.find_profile(name), specimen)
    except ProfileError as error:
        st.error(str(error), icon=":material/error:")
        return None


SPECIMEN_KEY = "specimen"


def specimen_picker(spec: DatasetSpec) -> Specimen | None:
    """A select box over `SPECIMENS`: what the cells are of; None where nobody said it.

    Nothing is drawn where the models name other classes than a differential has.
    """
    if not set(spec.codes) <= set(ADULT_BLOOD.shares):
        url_state.forget(SPECIMEN_KEY)
        return None
    asked = url_state.parameter(SPECIMEN_KEY)
    if asked is not None and asked not in SPECIMENS:  # the nearest word would be another specimen
        url_state.forget(SPECIMEN_KEY)
        st.info(
            f"This link asks for a specimen that isn't here: '{markdown_text(asked)}'; none is said.",
            icon=":material/link:",
        )
    titles = {key: f"Specimen: {specimen.title}" for key, specimen in SPECIMENS.items()}
    key = choice(
        SPECIMEN_KEY,
        "Specimen",
        {_NONE: "Specimen: not said", **titles},
        _NONE,
        "specimen",
        box=True,
        width=260,
        help="Answers are weighed by what such a specimen usually holds, and immature cells in blood are told. Where "
        "nothing is said: nothing at the model's own laboratory, the blood of an adult elsewhere.",
    )
    return SPECIMENS[key] if key else None


def specimen_line(specimen: Specimen, is_said: bool) -> str:
    """'Weighed as blood of an adult, as nobody said otherwise.'; '' where nothing is weighed."""
    if not specimen.shares:
        return ""
    return f"Weighed as {specimen.title}{'' if is_said else ', as nobody said otherwise'}."


_LEAST_SIDE, _MOST_SIDE = 0.15, 1.5  # of the pictures' shorter side


def side_picker(key: str, shapes: Sequence[tuple[int, int]], side: float, use: Callable[[int], None]) -> int:
    """The square's side in px of pictures of ``shapes`` (height, width), now ``side``, and beside it what a
    pixel then spans in µm: a change of either is handed to ``use`` as the side. Returns the side shown.
    """
    shorter = float(np.median([min(shape) for shape in shapes]))
    side_key, size_key = f"{key}_side", f"{key}_um"
    shown = max(1, round(side))
    low, high = min(shown, max(8, round(_LEAST_SIDE * shorter))), max(shown, 16, round(_MOST_SIDE * shorter))
    finest, coarsest = PIXEL_SIZES
    st.session_state[side_key] = shown
    st.session_state[size_key] = float(np.clip(SIDE_MICROMETRES / shown, finest, coarsest))
    st.number_input(
        "Side of the square in px",
        low,
        high,
        key=side_key,
        width=190,
        on_change=lambda: use(st.session_state[side_key]),
        help="In pixels of your pictures. Right is where a red cell spans three eighths of the square, and a "
        "neutrophil a little more than half.",
    )
    st.number_input(
        "µm per pixel",
        finest,
        coarsest,
        step=0.005,
        format="%.3f",
        key=size_key,
        width=150,
        on_change=lambda: use(round(SIDE_MICROMETRES / st.session_state[size_key])),
        help="What a pixel of your pictures spans, where you know it of your camera: a red cell is 7.5 µm across, the "
        "square 20 µm.",
    )
    return shown


def answered_by_line(predictor: Predictor | None, runs: Sequence[Run]) -> None:
    """Who taught the answers, how good they are expected to be, and the way back to none; else the ``runs``."""
    if predictor is None:
        scope_line(runs)
        return
    profile = profiles.find_profile(predictor.name)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(
            f":material/science: Answers as taught by your laboratory **{profile.name}**: {accuracy_line(profile)}.",
            width="content",
            help=f"On top of {predictor.run.title}; expected for pictures like the {profile.cells} that it was taught "
            "with. Other stains and microscopes can mislead it.",
        )
        st.button("Back to none", key="lab_none", type="tertiary", icon=":material/close:", on_click=_none)


def problem_lines(predictors: Sequence[Predictor]) -> None:
    """What is wrong with files beside the models of ``predictors``, and what to do; nothing where all is well."""
    for problem in dict.fromkeys(problem for predictor in predictors for problem in predictor.problems):
        st.warning(problem, icon=":material/warning:")


def _none() -> None:
    st.session_state[PROFILE_KEY] = _NONE
