"""Compare: all runs in one honest table, any two of them side by side, class by class, cell by cell, and why."""

import streamlit as st

from dashboard import catalogue
from dashboard.widgets.choice import choice
from dashboard.widgets.compare.bench import Bench
from dashboard.widgets.compare.classes import classes
from dashboard.widgets.compare.filters import filters
from dashboard.widgets.compare.hardest import hardest
from dashboard.widgets.compare.overview import overview
from dashboard.widgets.compare.pair import pair
from dashboard.widgets.compare.studies import studies
from dashboard.widgets.leaderboard import ticked
from dashboard.widgets.page import guarded, header, is_dark
from dashboard.widgets.runs import labels as short_names

PAGE = {"title": "Compare", "icon": ":material/leaderboard:", "path": "compare", "order": 30}

# Only the chosen one is computed.
VIEWS = {
    "overview": (":material/leaderboard: All runs", overview),
    "pair": (":material/compare_arrows: Two runs", pair),
    "classes": (":material/category: Classes", classes),
    "hardest": (":material/troubleshoot: Hardest cells", hardest),
    "studies": (":material/science: Studies", studies),
}


def main() -> None:
    header("Compare", "Every trained model, scored on cells that it had never seen. Tick two to see where they differ.")
    every = catalogue.runs()
    if not every:
        st.info(
            "Here every trained model will stand in one table, with its accuracy, speed and size. There is none yet: "
            "train the first one in a terminal, then reload this page.",
            icon=":material/leaderboard:",
        )
        st.code("python -m core train --dataset bloodmnist --size 64 --model cnn_se", language="bash")
        return
    names = short_names(every)
    best = sorted(every, key=lambda run: -run.metrics["val"]["accuracy"])[:2]
    chosen, notice = ticked([run.name for run in every], names, [run.name for run in best])
    if notice:
        st.info(notice, icon=":material/link:")
    titles = {key: title for key, (title, _) in VIEWS.items()}
    view = choice("view", "View", titles, "overview", "view", hidden=True)
    runs = filters(every, names)
    if not runs:
        st.info("No run fits these filters. Set them to 'All' and clear the search.", icon=":material/filter_alt_off:")
        return
    with guarded():
        VIEWS[view][1](Bench(tuple(runs), tuple(every), names, tuple(chosen), is_dark()))


main()
