"""The review screen: a wall of cells, the chosen one large, its class given by one key (a Streamlit component v2).

The script fetches cells and pictures from, and sends decisions to, the address that it is given
(`dashboard.cases.served`), so that a rerun of the page costs nothing and no key waits for one.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent


@cache
def _component() -> Any:
    return st.components.v2.component(
        "hemalens_review",
        html='<div class="place"></div>',
        css=(_HERE / "review.css").read_text(encoding="utf-8"),
        js=(_HERE / "review.js").read_text(encoding="utf-8"),
    )


def review(data: Mapping[str, Any], key: str) -> None:
    """Mount the screen; ``data`` as `dashboard.cases.review.screen_data` makes it. What stands in one fragment with it
    runs again after each pause in the decisions of any reader.
    """
    _component()(data=dict(data), key=key, on_changed_change=lambda: None)
