"""The router: finds the pages, builds the navigation and runs the one asked for. Holds nothing else."""

import ast
import sys
from pathlib import Path
from typing import Any

import streamlit as st

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # `streamlit run` puts only this file's own folder there
    sys.path.insert(0, str(ROOT))

from dashboard.widgets.page import guarded, research_line  # noqa: E402


def page_facts(script: Path) -> dict[str, Any]:
    """The literal ``PAGE`` of a page's script: title, icon, path, order. Read, not run: starting stays fast."""
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "PAGE" for t in node.targets):
            return ast.literal_eval(node.value)
    raise ValueError(f"{script.name} has no literal PAGE")


def find_pages(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """All pages of ``folder`` with their facts, in the navigation's order."""
    found = [(script, page_facts(script)) for script in folder.glob("*.py") if not script.name.startswith("_")]
    return sorted(found, key=lambda page: page[1]["order"])


def main() -> None:
    st.set_page_config(page_title="HemaLens", page_icon=":material/bloodtype:", layout="wide")
    pages = [
        st.Page(script, title=facts["title"], icon=facts["icon"], url_path=facts["path"], default=number == 0)
        for number, (script, facts) in enumerate(find_pages(ROOT / "pages"))
    ]
    chosen = st.navigation(pages, position="top")
    body, foot = st.container(), st.container()
    with foot:  # placed first, so that a page that stops early still carries the line
        research_line()
    with body, guarded():
        chosen.run()


if __name__ == "__main__":
    main()
