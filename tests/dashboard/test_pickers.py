"""The short names of runs: told apart by what differs, never by what doesn't."""

import pytest

from dashboard.pickers import by_family, fast_runs, ordinal, short_names
from tests.fake_runs import fake_run


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A function (end of name, seed, start) that writes a run of one and the same title."""
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path))

    def one(end: str, seed: int = 1, start: str | None = None):
        run = fake_run(tmp_path, f"net-64-{end}", title="Net", seed=seed)
        run.config["train"]["warm_start"] = f"net-64-{start}" if start else None
        return run

    return one


def names(*runs) -> list[str]:
    return list(short_names(runs).values())


def test_one_run_needs_no_more_than_its_title(make):
    assert names(make("a")) == ["Net, 64 px"]


def test_trainings_of_their_own_are_told_apart_by_the_seed(make):
    assert names(make("a", 1), make("b", 2)) == ["Net, 64 px, seed 1", "Net, 64 px, seed 2"]


def test_cycles_of_one_training_are_no_seeds(make):
    assert names(make("c", 3, "b"), make("a", 1), make("b", 2, "a")) == [
        "Net, 64 px, 3rd cycle",
        "Net, 64 px, 1st cycle",
        "Net, 64 px, 2nd cycle",
    ]


def test_a_second_training_beside_cycles_keeps_its_seed(make):
    assert names(make("a", 1), make("b", 2, "a"), make("c", 9)) == [
        "Net, 64 px, seed 1, 1st cycle",
        "Net, 64 px, seed 1, 2nd cycle",
        "Net, 64 px, seed 9",
    ]


def test_two_that_began_at_the_same_run_are_told_apart_by_their_names(make):
    assert names(make("a", 1), make("b", 2, "a"), make("c", 3, "a")) == [
        "Net, 64 px, 1st cycle",
        "Net, 64 px (b)",
        "Net, 64 px (c)",
    ]


def test_equal_seeds_and_a_start_that_is_not_here(make):
    assert names(make("a", 1), make("b", 1)) == ["Net, 64 px (a)", "Net, 64 px (b)"]
    assert names(make("c", 1), make("d", 2, "gone")) == ["Net, 64 px, seed 1", "Net, 64 px (d)"]


def test_runs_that_name_each_other_as_their_start_end(make):
    assert len(set(names(make("a", 1, "b"), make("b", 2, "a")))) == 2


def test_ordinals():
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 21)] == ["1st", "2nd", "3rd", "4th", "11th", "12th", "21st"]


def test_pickers_keep_families_together_the_best_family_first(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path))
    made = []
    for name, family, accuracy in [("a", "VGG", 0.9), ("b", "Forest", 0.7), ("c", "VGG", 0.6), ("d", "Forest", 0.95)]:
        made.append(fake_run(tmp_path, f"net-64-{name}", title=name, accuracy=accuracy))
        made[-1].config["model"]["family"] = family
    assert [run.name[-1] for run in by_family(made)] == ["d", "b", "a", "c"]


def test_the_quickest_quarter_is_marked_where_enough_were_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path))
    times = [3.0, 0.5, None, 2.0, 1.0, 0.7, 4.0, 5.0, 6.0]
    made = [fake_run(tmp_path, f"net-64-{n}", title=f"Net {n}", latency=ms) for n, ms in enumerate(times)]
    assert fast_runs(made) == {"net-64-1", "net-64-5"}
    assert fast_runs(made[:4]) == set()
