"""``python -m core evaluate RUN --corrupted``: its figures, what it keeps beside the run, what it says."""

import json
import shutil

import numpy as np
import pytest

from core.cli import main
from core.datasets import get_dataset
from core.evaluation import robustness
from core.evaluation.robustness import CORRUPTIONS
from core.runs import Run


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of the tiny run, to write beside; it names drawn cells, of which some stay right."""
    return Run(shutil.copytree(tiny_run.path, tmp_path / tiny_run.name))


def test_figures_are_printed_and_kept(run, capsys):
    assert run.robustness() is None
    assert main(["evaluate", str(run.path), "--corrupted", "--cells", "24", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.pop("run") == run.name
    assert told == run.robustness()
    assert set(told["corruptions"]) == set(CORRUPTIONS)
    assert all(len(way["accuracy"]) == len(way["confidence"]) == 5 for way in told["corruptions"].values())
    assert (told["n"], told["size"], told["split"]) == (24, 28, "test")
    assert "be" not in told, "the paper's figures are of BloodMNIST"
    assert (run.path / "robustness.json").stat().st_size < 10_000


def test_the_same_again_and_as_counted_by_hand(run, monkeypatch):
    monkeypatch.setattr(robustness, "CORRUPTIONS", {"saturate": CORRUPTIONS["saturate"]})
    data = get_dataset("synthetic").load(28)
    steps = []
    found = robustness.evaluate_robustness(run, data, 16, report=steps.append)
    assert found == robustness.evaluate_robustness(run, data, 16)
    assert steps[-1].done == steps[-1].total == 16 * 6
    assert found["test_images"] == len(data["test"])
    everything = robustness.evaluate_robustness(run, data, 0)
    stored = run.predictions("test")
    assert everything["n"] == len(stored.labels)
    assert everything["clean"]["accuracy"] == pytest.approx(np.mean(stored.logits.argmax(1) == stored.labels), abs=0.02)


def test_a_person_reads_the_worst_first(run, capsys):
    assert main(["evaluate", run.path.as_posix(), "--corrupted", "--cells", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "8 of" in lines[0]
    assert "drawn by class with seed 0" in lines[0]
    means = [found["mean_accuracy"] for found in run.robustness()["corruptions"].values()]
    assert f"{100 * min(means):.1f}" in lines[3]
    assert "mean over all" in lines[-1]


def test_a_folder_that_cannot_be_written_costs_no_figures(run, capsys, monkeypatch):
    def refuse(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr("core.commands.evaluate.write_robustness", refuse)
    assert main(["evaluate", str(run.path), "--corrupted", "--cells", "8", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["n"] == 8
    assert "can't be written" in told.err


@pytest.mark.parametrize("options", [["--cells", "-1"], ["--on", "elsewhere"]])
def test_what_makes_no_sense_is_refused(run, options, capsys):
    try:
        status = main(["evaluate", str(run.path), "--corrupted", *options])
    except SystemExit as stop:
        status = stop.code
    assert status
    assert run.robustness() is None
    assert "give a number" in (told := capsys.readouterr().err) or "not allowed with" in told
