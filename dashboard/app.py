"""The router: finds the pages, builds the navigation and runs the one asked for. Holds nothing else."""

import ast
import sys
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.damaged import show_damaged
from dashboard.page import PAGES, browser_habits, errors_told, research_line
from dashboard.protection import let_in

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "dashboard" / "assets"
if str(ROOT) not in sys.path:  # `streamlit run` puts only this file's own folder there
    sys.path.insert(0, str(ROOT))


def page_facts(script: Path) -> dict[str, Any]:
    """The literal ``PAGE`` of a page's script: title, icon, path, order. Read, not run: starting stays fast."""
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "PAGE" for t in node.targets):
            return ast.literal_eval(node.value)
    raise ValueError(f"{script.name} has no literal PAGE")


def find_pages(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """All pages of ``folder`` with their facts, in the navigation's order."""
    pages = [(script, page_facts(script)) for script in folder.glob("*.py") if not script.name.startswith("_")]
    return sorted(pages, key=lambda page: page[1]["order"])


def main() -> None:
    # The icon is a file: a Material symbol would be fetched from the network.
    st.set_page_config(page_title="HemaLens", page_icon=ASSETS / "icon.svg", layout="wide")
    st.logo(ASSETS / "logo.svg", size="large")
    scripts = find_pages(ROOT / "pages")
    pages = {facts["path"]: make_page(script, facts) for script, facts in scripts}
    # "/" shows the first page, and Streamlit drops that page's own address: a hidden twin keeps it alive.
    script, facts = scripts[0]
    pages[facts["path"]] = make_page(script, {**facts, "path": "start"}, default=True)
    twin = make_page(script, facts, visibility="hidden")
    chosen = st.navigation([*pages.values(), twin], position="top")
    st.session_state[PAGES] = pages
    body, foot = st.container(), st.container()
    with foot:  # placed first, so that a page that stops early still carries the line
        research_line()
    is_in = False
    with body, errors_told():
        if is_in := let_in():
            chosen.run()
    with foot:
        browser_habits()
        if is_in:
            with errors_told():
                show_damaged()


def make_page(script: Path, facts: dict[str, Any], **options: Any) -> Any:
    """Streamlit's page for a script and its facts."""
    return st.Page(script, title=facts["title"], icon=facts["icon"], url_path=facts["path"], **options)


if __name__ == "__main__":
    main()
