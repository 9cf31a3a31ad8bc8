"""Combinations on the pages: told, compared and asked like any other run, but never the default."""

import numpy as np
import pytest

from core.inference.predictor import Predictor
from core.report import results_table
from core.runs import list_runs
from tests.fake_runs import combined, fake_run
from tests.pages.driving import opened, png, texts
from tests.pages.test_classify import BLUE, RED
from tests.stub_runs import make_run

__all__ = ["make_run"]


pytestmark = pytest.mark.usefixtures("root", "any_picture_is_a_cell")


@pytest.fixture
def bench(root):
    """Two runs and their ensemble, which is the best of all on val."""
    pair = [
        fake_run(root, f"{n}-64-1", title=n, accuracy=a, seed=i) for i, (n, a) in enumerate([("A", 0.9), ("B", 0.95)])
    ]
    best = fake_run(root, "ensemble-64-1", title="Ensemble of 2", accuracy=0.99, seed=9)
    return [*pair, combined(best, pair)]


def test_home_counts_it_but_puts_the_best_single_model_forward(bench):
    text = texts(opened("home"))
    assert "3 models" in text
    assert "best single one for BloodMNIST on val, **B, 64 px**" in text


@pytest.mark.parametrize("view", ["overview", "pair", "classes", "hardest", "studies"])
def test_compare_shows_it_in_every_view(bench, view):
    page = opened("compare", view=view)
    if view == "overview":
        table = page.dataframe[0].value
        row = table[table["run"] == "ensemble-64-1"].iloc[0]
        assert row["accuracy"] > 97
        assert row["megabytes"] == pytest.approx(sum(r.model_bytes for r in bench[:2]) / 1e6)


def test_compare_lets_it_go_when_a_member_is_lost(bench):
    (bench[0].path / "model.onnx").unlink()
    assert [run.name for run in list_runs()] == ["B-64-1"]
    assert "ensemble" not in texts(opened("compare")).lower()


def test_the_report_has_a_line_for_it(bench, monkeypatch):
    monkeypatch.setattr("core.report.get_model", lambda name: type("Spec", (), {"published": {}}))
    for run in bench[:2]:
        run.metrics["epochs"] = 4
    table = results_table(bench)
    line = next(line for line in table.splitlines() if "ensemble-64-1" in line)
    assert "2 members" in line
    assert "Ensemble of 2" in line


def test_classify_asks_it_when_it_is_chosen(root, make_run, monkeypatch):
    weights = np.zeros((3, 8))
    weights[0, 0], weights[1, 1], weights[2, 2] = 20, 20, 20
    pair = [make_run("stub-64-0", weights=weights), make_run("stub-64-1", weights=weights / 2)]
    both = combined(make_run("ensemble-64-0"), pair)
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(both.path.parent.parent))
    page = opened("classify", model=both.name)
    for name, colour in (("red.png", RED), ("blue.png", BLUE)):
        page.file_uploader[0].upload(name, png(colour))
    page.run()
    assert not page.exception
    answers = {
        a.cell.name: a.lead for a in page.session_state["classify_trays"]["bloodmnist"].results([Predictor(both)])
    }
    assert {name: both.config["dataset"]["codes"][a.predicted] for name, a in answers.items()} == {
        "red.png": "BA",
        "blue.png": "ERB",
    }
    single = [np.exp(s) / (np.exp(s) + 7) for s in (20, 10)]  # softmax of one score against seven zeros
    assert answers["red.png"].probabilities[0] == pytest.approx(np.mean(single), abs=1e-3)
