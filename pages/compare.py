"""Compare: all runs in one honest table, and any two of them side by side."""

import streamlit as st

from dashboard import catalogue
from dashboard.figures.compare import curves, scatter
from dashboard.leaderboard import COSTS, leaderboard, measured_cost, per_class
from dashboard.state import prepare, share
from dashboard.widgets.leaderboard import run_table, ticked
from dashboard.widgets.matrices import cell_inspector, compare_pair, matrices, matrix_csv, prepare_cell, verdict
from dashboard.widgets.page import guarded, header, is_dark, plot
from dashboard.widgets.runs import labels as short_names

PAGE = {"title": "Compare", "icon": ":material/leaderboard:", "path": "compare", "order": 30}


def choice(key: str, label: str, options: dict[str, str], default: str, what: str, *, box: bool = False) -> str:
    """One linked choice: a segmented control, or a select box where the options are long."""
    notice = prepare(key, list(options), default, what=what)
    if notice:
        st.info(notice, icon=":material/link:")
    if box:
        st.selectbox(label, list(options), format_func=options.get, key=key, label_visibility="collapsed", width=340)
    else:
        st.segmented_control(label, list(options), format_func=options.get, key=key, required=True)
    share(key)
    return st.session_state[key]


def filters(runs: list) -> list:
    """The runs that the visitor wants to see; a filter with one option only is not shown."""
    sizes = sorted({run.size for run in runs})
    owners = {run.shipped for run in runs}
    datasets = sorted({run.dataset for run in runs})
    if len(datasets) > 1:
        titles = {"all": "All data sets"} | {name: catalogue.spec(name).title for name in datasets}
        wanted = choice("dataset", "Data set", titles, "all", "data set", box=True)
        runs = [run for run in runs if wanted in ("all", run.dataset)]
    if len(sizes) > 1:
        wanted = choice("px", "Image size", {"all": "All"} | {str(s): f"{s} px" for s in sizes}, "all", "image size")
        runs = [run for run in runs if wanted in ("all", str(run.size))]
    if len(owners) > 1:
        wanted = choice("from", "From", {"all": "All", "shipped": "Shipped", "own": "Your own"}, "all", "origin")
        runs = [run for run in runs if wanted == "all" or run.shipped == (wanted == "shipped")]
    return sorted(runs, key=lambda run: -run.metrics["test"]["accuracy"])


def side_by_side(pair: list, names: dict[str, str], dark: bool) -> None:
    """Matrices, the test of the difference, and the cells behind a square."""
    prepare_cell(pair)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.subheader(" and ".join(names[run.name] for run in pair), anchor=False, width="content")
        shown = choice("show", "Squares show", {"counts": "Cells", "percent": "% of the true class"}, "counts", "view")
    if len(pair) == 2:
        paired = compare_pair(*pair)
        if isinstance(paired, str):
            st.info(f"No test of the difference. {paired}", icon=":material/info:")
        else:
            st.markdown(verdict(paired, *(names[run.name] for run in pair), tuple(run.size for run in pair)))
    else:
        st.caption("Tick a second run in the table to see the two side by side, with the test of their difference.")
    matrices(pair, names, percent=shown == "percent", dark=dark)
    with st.container(horizontal=True):
        for run in pair:
            st.download_button(
                f"Matrix of {names[run.name]} (CSV)",
                matrix_csv(run),
                f"confusion-{run.name}.csv",
                "text/csv",
                key=f"csv_{run.name}",
                icon=":material/download:",
                on_click="ignore",
            )
            with st.popover(f"About {names[run.name]}", icon=":material/description:"):
                st.markdown(run.card or "This run has no card.")
    st.subheader("The cells behind a square", anchor=False)
    st.caption("Click a square above, or choose here.")
    cell_inspector(pair, names)


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
    names, dark = short_names(every), is_dark()
    best = sorted(every, key=lambda run: -run.metrics["val"]["accuracy"])[:2]
    chosen, notice = ticked([run.name for run in every], names, [run.name for run in best])
    if notice:
        st.info(notice, icon=":material/link:")

    with st.container(horizontal=True, vertical_alignment="bottom"):
        runs = filters(every)
        table = leaderboard(runs, names)
        classes = per_class(runs, names) if runs else None
        with st.popover("By class", icon=":material/table:", disabled=not runs):
            st.markdown("Sensitivity: share of a class that is found. Specificity: share of the others left alone.")
            number = st.column_config.NumberColumn(format="%.1f %%")
            if classes is not None:
                shown = dict.fromkeys(classes.columns[1:], number)
                pinned = {"model": st.column_config.TextColumn("Model", pinned=True)}
                st.dataframe(classes, hide_index=True, width=1000, column_config=shown | pinned, placeholder="–")
        both = table.merge(classes, on="model") if classes is not None else table
        st.download_button(
            "Download table (CSV)",
            both.to_csv(index=False),
            "hemalens-runs.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
    if not runs:
        st.info("No run fits these filters. Set them to 'All'.", icon=":material/filter_alt_off:")
        return
    with st.container(horizontal=True, gap="medium"):  # one below the other on a narrow page
        with st.container(width=760):
            chosen = run_table(table, chosen, height=min(530, 38 + 35 * len(table)))
        with st.container(width="stretch"):
            axes = {key: f"Accuracy against {value[0][0].lower()}{value[0][1:]}" for key, value in COSTS.items()}
            cost = choice("against", "Axis", axes, measured_cost(table), "axis", box=True)
            plot(scatter(table, cost, chosen=chosen, dark=dark).update_layout(height=470), key="scatter")

    by_name = {run.name: run for run in every}
    picked = [by_name[name] for name in chosen if name in by_name]
    if not picked:
        st.info("Tick one run to see where it errs, two to see them side by side.", icon=":material/check_box:")
        return
    with guarded():
        side_by_side(picked[-2:], names, dark)
    plot(curves({names[run.name]: run.history for run in picked[-4:]}, dark=dark), key="curves")


main()
