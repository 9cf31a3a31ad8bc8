"""Fixtures of the core's tests."""

import pytest

from tests.stub_runs import colour, make_run

__all__ = ["colour", "make_run"]


@pytest.fixture
def run(make_run, monkeypatch):
    """The only run that ships, with a cache of its own."""
    made = make_run()
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(made.path.parent.parent))
    monkeypatch.setenv("HEMALENS_CACHE", str(made.path.parent.parent / "cache"))
    return made
