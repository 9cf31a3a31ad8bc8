"""A writer that is killed at any moment loses nothing that was acknowledged; `benchmarks.case_kills` does it longer."""

from benchmarks.case_kills import kill_writers


def test_no_acknowledged_decision_is_lost(url, tmp_path):
    found = kill_writers(url, tmp_path / "cases", kills=8, seed=3)
    assert (found["lost"], found["altered"]) == (0, 0)
    assert found["acknowledged"] > 8
