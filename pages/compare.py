"""Compare: all runs of a data set in one honest table, any two side by side, class by class, cell by cell."""

import streamlit as st

from core.runs import Run
from core.serving.domain import trusted
from dashboard import catalogue
from dashboard.widgets.choice import choice
from dashboard.widgets.compare.bench import Bench
from dashboard.widgets.compare.classes import classes
from dashboard.widgets.compare.doubt import doubt
from dashboard.widgets.compare.filters import filters
from dashboard.widgets.compare.hardest import hardest
from dashboard.widgets.compare.overview import overview
from dashboard.widgets.compare.pair import pair
from dashboard.widgets.compare.robustness import robustness
from dashboard.widgets.compare.studies import studies
from dashboard.widgets.dataset_switch import cautions, titled
from dashboard.widgets.leaderboard import ticked
from dashboard.widgets.page import guarded, is_dark
from dashboard.widgets.runs import labels as short_names

PAGE = {"title": "Compare", "icon": ":material/leaderboard:", "path": "compare", "order": 30}

# Only the chosen one is computed.
VIEWS = {
    "overview": (":material/leaderboard: All runs", overview),
    "pair": (":material/compare_arrows: Two runs", pair),
    "classes": (":material/category: Classes", classes),
    "hardest": (":material/troubleshoot: Hardest {unit}s", hardest),
    "doubt": (":material/help_center: Doubt", doubt),
    "quality": (":material/blur_on: Picture quality", robustness),
    "studies": (":material/science: Studies", studies),
}


def main() -> None:
    spec = titled("Compare")
    st.markdown(
        f"Every trained model, scored on {spec.unit}s that it had never seen. Tick two to see where they differ."
    )
    cautions(spec)
    every = catalogue.runs(spec.name)
    if not every:
        st.info(
            f"Here every model of {spec.title} will stand in one table, with its accuracy, speed and size. There is "
            "none yet: train the first one in a terminal, then reload this page.",
            icon=":material/leaderboard:",
        )
        st.code(f"python -m core train --dataset {spec.name} --size {spec.sizes[0]} --model cnn_se", language="bash")
        left_out()
        return
    names = short_names(every)
    best = sorted(trusted(every), key=lambda run: -run.metrics["val"]["accuracy"])[:2]
    chosen, notice = ticked(spec.name, [run.name for run in every], names, [run.name for run in best])
    if notice:
        st.info(notice, icon=":material/link:")
    titles = {key: title.format(unit=spec.unit) for key, (title, _) in VIEWS.items()}
    view = choice("view", "View", titles, "overview", "view", hidden=True)
    runs = filters(every, names, spec.schemes)
    names |= short_names(of_one_split(runs, every))
    if not runs:
        st.info("No run fits these filters. Set them to 'All' and clear the search.", icon=":material/filter_alt_off:")
        return
    with guarded():
        VIEWS[view][1](Bench(spec, tuple(runs), tuple(every), names, tuple(chosen), is_dark()))
    left_out()


def of_one_split(runs: list[Run], every: list[Run]) -> list[Run]:
    """All runs under the shown way to split, which need not say it in their names; [] where several ways are shown."""
    ways = {run.scheme for run in runs}
    return [run for run in every if run.scheme in ways] if len(ways) == 1 else []


def left_out() -> None:
    """Say which runs can't be shown because their data set is not here any more."""
    if gone := catalogue.orphans():
        names = ", ".join(f"'{name}' ({number})" for name, number in gone.items())
        st.caption(f"Models of data sets that are not here any more are not shown: {names}.")


main()
