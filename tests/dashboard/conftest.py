"""Fixtures of the dashboard's tests."""

import pytest

from dashboard.compare.classes import class_measures
from tests.fake_runs import fake_run


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A better run and a worse one."""
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path))
    return [fake_run(tmp_path, f"{name}-64-1", title=name, accuracy=a, seed=7) for name, a in (("A", 0.95), ("B", 0.8))]


@pytest.fixture
def measures(runs):
    """Their measures by class, one row each."""
    return class_measures(runs, {run.name: run.title for run in runs})
