"""The views of a room: found like models are, each in its one file."""

import sys
from importlib import import_module
from pkgutil import iter_modules

import pytest
import streamlit as st

from dashboard.page import find_views
from tests.pages.driving import opened, texts

# By room: the modules that are no view, and why.
NO_VIEWS = {
    "dashboard.compare": {
        "matrices": "stands in two views: the overview and the pair",
        "split_gap": "a part of the overview, drawn where runs under several splits are here",
    },
    "dashboard.dataset": {},
}
NEW = '''"""A view of its own file."""

import streamlit as st

from dashboard.page import view


@view(":material/star: New {unit}s", order=5, key="new")
def render(context):
    st.markdown(f"new: {context.spec.title}")
'''


@pytest.mark.parametrize("room", NO_VIEWS)
def test_every_module_of_a_room_is_a_view_or_says_why_not(room):
    views = find_views(room)
    modules = {module.name for module in iter_modules(import_module(room).__path__)}
    held = {found.render.__module__.rpartition(".")[2] for found in views}
    assert held | set(NO_VIEWS[room]) == modules
    assert not held & set(NO_VIEWS[room])
    assert len({found.key for found in views}) == len({found.order for found in views}) == len(views)
    for found in views:
        assert found.render.__name__ == "render"
        assert found.render.__doc__
        assert found.title.startswith(":material/")


@pytest.mark.parametrize("room", NO_VIEWS)
def test_no_name_of_a_room_hides_a_module_of_it(room):
    package = import_module(room)
    for module in iter_modules(package.__path__):
        assert import_module(f"{room}.{module.name}") is getattr(package, module.name)


def test_a_view_is_added_by_one_file(tmp_path, three, monkeypatch):
    (tmp_path / "added").mkdir()
    (tmp_path / "added" / "brand_new.py").write_text(NEW)
    package = import_module("dashboard.compare")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / "added")])
    try:
        assert find_views("dashboard.compare")[0].key == "new", "it stands where its order says"
        page = opened("compare", view="new")
        assert "new: BloodMNIST" in texts(page)
        assert page.query_params["view"] == "new"
        assert "new: BloodMNIST" not in texts(opened("compare", view="pair"))
    finally:
        sys.modules.pop("dashboard.compare.brand_new", None)
    st.cache_resource.clear()
