"""The differential as pages show it: what stands apart from the white cells, intervals, and which rules are broken."""

import streamlit as st

from core.cases.differential import ClassCount, Differential, cells_to_see
from core.cases.limits import LimitsError, current_limits, raised_flags
from core.cases.report import interval_text
from core.formatting import counted
from core.inference.specimen import Specimen

INTERVAL = "95 % interval"


def widest_text(of_class: ClassCount) -> str:
    """The interval that holds the model's errors, where these were measured, else that of the count."""
    return interval_text(of_class.with_errors or of_class.exact)


def count_help() -> str:
    """How many cells to count."""
    return f"To see a class of 1 % with 95 % certainty, count {cells_to_see(0.01)} white cells."


def apart_line(told: Differential) -> None:
    """What is apart from the white cells, and how many of these are nobody's yet."""
    apart = [counted(told.white, "white cell")]
    if (erythroblasts := told.erythroblasts) and (erythroblasts.count or told.white):
        rate = f", {erythroblasts.percent:.1f} per 100 of them ({widest_text(erythroblasts)})" if told.white else ""
        apart.append(f"{counted(erythroblasts.count, 'erythroblast')}{rate}")
    if told.platelets:
        apart.append(counted(told.platelets, "platelet"))
    if told.alarms:
        apart.append(f"{told.alarms} that may be abnormal, outside of the count until somebody has looked")
    if told.not_cells:
        apart.append(f"{counted(told.not_cells, 'picture')} without a cell")
    line = "; ".join(apart)
    if told.unidentified:
        line += f". Not final: {told.unidentified} {'is' if told.unidentified == 1 else 'are'} unsure"
    st.caption(f"{line}.")


def flag_lines(told: Differential, specimen: Specimen) -> None:
    """Which rules the count breaks, a line each with its source."""
    try:
        flags = raised_flags(told, specimen, current_limits())
    except LimitsError as error:
        st.warning(str(error), icon=":material/rule:")
        return
    for flag in flags:
        if flag.limit.kind == "review" or flag.beyond_chance:  # a range that few cells leave says nothing
            st.caption(f":material/flag: {flag.text}", help=f"{specimen.title}: {flag.limit.source}")
