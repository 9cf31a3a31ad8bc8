"""The tables of results: a data set each, with the way to split where there are several."""

from types import SimpleNamespace

import pytest

from core.evaluation.left_out import write_left_out
from core.evaluation.uncertainty import run_uncertainty
from core.report import left_out_table, published, results_table, shipped_left_out, told_table
from tests.fake_datasets import CAUTION, added, fake_spec
from tests.fake_runs import fake_run
from tests.fake_studies import fake_left_out_study


@pytest.fixture
def runs(tmp_path, monkeypatch):
    added(monkeypatch, fake_spec())
    made = [
        fake_run(tmp_path, "cell-64-1", accuracy=0.9),
        fake_run(tmp_path, "random-64-1", dataset="smears", scheme="random", accuracy=0.97),
        fake_run(tmp_path, "grouped-64-1", dataset="smears", accuracy=0.8),
    ]
    model = SimpleNamespace(published={64: 0.5}, published_as="mean of folds")
    monkeypatch.setattr("core.report.get_model", lambda name: model)
    return made


def test_every_data_set_has_a_table_of_its_own(runs):
    first, second = results_table(runs).split("## Smears")
    assert first.startswith("## ")
    assert "`cell-64-1`" in first
    assert "| 50.00% (mean of folds) |" in first
    assert "| split |" not in first
    assert "`random-64-1`" in second
    assert "`cell-64-1`" not in second


def test_ways_to_split_have_a_column_and_the_one_to_trust_stands_first(runs):
    table = results_table(runs[1:])
    assert "###" not in table  # one data set needs no heading
    assert "| model | split | px |" in table
    assert table.index("Groups kept together") < table.index("At random")
    assert CAUTION in table


def test_figures_published_for_one_data_set_do_not_stand_beside_another(runs):
    assert published(runs[0]) == 0.5
    assert published(runs[1]) is None


def test_a_data_set_that_is_gone_still_has_its_table(runs, monkeypatch):
    added(monkeypatch)
    assert "| random |" in results_table(runs[1:])


def test_what_each_run_tells_stands_with_what_it_promises(runs):
    table = told_table(runs)
    figures = run_uncertainty(runs[0])
    row = next(line for line in table.splitlines() if "`cell-64-1`" in line)
    assert f"| {figures['sure']:.1%} |" in row
    assert f"| {figures['told']['overall']:.2%} | {run_uncertainty(runs[0], 'val')['told']['overall']:.2%} |" in row
    assert f"| {figures['told']['mean_size']:.2f} |" in row
    assert table.index("`cell-64-1`") < table.index("`random-64-1`")
    assert "nothing is guaranteed" in table
    assert "of 3 runs each class" in table


def test_left_out_classes_stand_with_their_intervals_and_what_was_trained():
    table = left_out_table(fake_left_out_study())
    assert "| left out | cells | OOD detector | energy | flagged / false alarms |" in table
    assert "| ERB | 40 | 0.990 (0.980 to 0.995) | 0.800 (0.700 to 0.850) | 50% / 1.2% |" in table
    assert "| mean | | 0.845 | 0.800 |" in table
    assert "rebuilt BloodMNIST (own split)" in table
    assert "5 epochs, seed 0" in table
    assert "1.5 ms for one cell and 0.75 ms a cell for 64 at once" in table


def test_without_figures_of_left_out_classes_the_block_is_empty(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path))
    assert shipped_left_out() == ""
    study = fake_left_out_study()
    write_left_out(tmp_path, study)
    assert shipped_left_out() == left_out_table(study)
