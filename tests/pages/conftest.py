"""Fixtures of the pages' tests: folders of the test's own, and a bench of three runs."""

import pytest
import streamlit as st

from tests.fake_runs import fake_run
from tests.stub_runs import make_run

__all__ = ["make_run"]


@pytest.fixture(autouse=True)
def without_a_browser(monkeypatch):
    """A driven page has no browser, so it has no cookies of one."""
    monkeypatch.setattr("streamlit.runtime.context._get_client_context", lambda: None)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The folder of shipped runs, empty; data and cache are empty too, and nothing is remembered."""
    st.cache_resource.clear()
    st.cache_data.clear()
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path / "shipped"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HEMALENS_CASES", str(tmp_path / "cases"))
    return tmp_path / "shipped"


@pytest.fixture
def three(root):
    """Three shipped runs, the best first; the last one is of another size."""
    return [
        fake_run(root, "good-64-1", title="Good", accuracy=0.97, seed=1),
        fake_run(root, "fair-64-1", title="Fair", accuracy=0.90, seed=2),
        fake_run(root, "small-28-1", title="Small", size=28, accuracy=0.85, seed=3),
    ]


@pytest.fixture
def run(make_run, tmp_path, monkeypatch):
    """The one shipped run: a graph that goes by colour."""
    made = make_run()
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(made.path.parent.parent))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HEMALENS_CASES", str(tmp_path / "cases"))
    return made
