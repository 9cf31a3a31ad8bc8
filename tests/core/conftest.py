"""Fixtures of the core's tests."""

from tests.stub_runs import colour, make_run

__all__ = ["colour", "make_run"]
