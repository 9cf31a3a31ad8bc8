"""Compare: all runs of a data set in one honest table, any two side by side, class by class, cell by cell."""

import streamlit as st

from core.inference.scope import on_trusted_split
from dashboard import cache
from dashboard.compare import CompareContext, filters, missing_datasets_line, of_one_split, selected_names
from dashboard.compare.classes import classes
from dashboard.compare.hardest import hardest
from dashboard.compare.overview import overview
from dashboard.compare.pair import pair
from dashboard.compare.robustness import robustness
from dashboard.compare.studies import studies
from dashboard.compare.uncertainty import uncertainty_view
from dashboard.page import errors_told, is_dark
from dashboard.pickers import cautions, choice, page_title, short_names

PAGE = {"title": "Compare", "icon": ":material/leaderboard:", "path": "compare", "order": 30}

# Only the chosen one is computed.
VIEWS = {
    "overview": (":material/leaderboard: All runs", overview),
    "pair": (":material/compare_arrows: Two runs", pair),
    "classes": (":material/category: Classes", classes),
    "hardest": (":material/troubleshoot: Hardest {unit}s", hardest),
    "doubt": (":material/help_center: Doubt", uncertainty_view),
    "quality": (":material/blur_on: Picture quality", robustness),
    "studies": (":material/science: Studies", studies),
}


def main() -> None:
    spec = page_title("Compare")
    st.markdown(
        f"Every trained model, scored on {spec.unit}s that it had never seen. Tick two to see where they differ."
    )
    cautions(spec)
    every = cache.runs(spec.name)
    if not every:
        st.info(
            f"Here every model of {spec.title} will stand in one table, with its accuracy, speed and size. There is "
            "none yet: train the first one in a terminal, then reload this page.",
            icon=":material/leaderboard:",
        )
        st.code(f"python -m core train --dataset {spec.name} --size {spec.sizes[0]} --model cnn_se", language="bash")
        missing_datasets_line()
        return
    names = short_names(every)
    best = sorted(on_trusted_split(every), key=lambda run: -run.metrics["val"]["accuracy"])[:2]
    chosen, notice = selected_names(spec.name, [run.name for run in every], names, [run.name for run in best])
    if notice:
        st.info(notice, icon=":material/link:")
    titles = {key: title.format(unit=spec.unit) for key, (title, _) in VIEWS.items()}
    view = choice("view", "View", titles, "overview", "view", hidden=True)
    runs = filters(every, names, spec.schemes)
    names |= short_names(of_one_split(runs, every))
    if not runs:
        st.info("No run fits these filters. Set them to 'All' and clear the search.", icon=":material/filter_alt_off:")
        return
    with errors_told():
        VIEWS[view][1](CompareContext(spec, tuple(runs), tuple(every), names, tuple(chosen), is_dark()))
    missing_datasets_line()


main()
