"""What holds for every run that ships."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from core.cli import main
from core.datasets import DatasetUnavailable, get_dataset
from core.evaluation.metrics import score
from core.inference import engine
from core.models import load_network
from core.report import BLOCKS, begin_marker, end_marker, published
from core.runs import list_runs
from core.training.data import network_logits
from core.training.export_run import model_card

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = list_runs(shipped_only=True)
COMPARED = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc", "ece")

each_run = pytest.mark.parametrize("run", SHIPPED, ids=lambda run: run.name)


def test_runs_ship_and_stay_small() -> None:
    assert SHIPPED
    sizes = [p.stat().st_size for p in (ROOT / "pretrained").rglob("*") if p.is_file()]
    assert sum(sizes) < 60e6
    assert max(sizes) < 20e6


@each_run
@pytest.mark.parametrize("split", ["val", "test"])
def test_the_figures_follow_from_the_stored_answers(run, split: str) -> None:
    stored = run.predictions(split)
    again = score(stored.labels, stored.logits)
    for measure in COMPARED:
        assert again[measure] == pytest.approx(run.metrics[split][measure], abs=1e-12), measure
    assert again["confusion"] == run.metrics[split]["confusion"]
    assert len(stored.labels) == run.config["dataset"]["counts"][split]


@pytest.mark.parametrize("run", [run for run in SHIPPED if run.kind == "network"], ids=lambda run: run.name)
def test_the_served_graph_answers_as_the_network_does(run) -> None:
    labels = np.arange(16) % 8
    pictures = get_dataset("synthetic").load(run.size)["test"].images[labels]
    served = engine.logits(run, pictures)
    eager = network_logits(load_network(run), pictures, torch.device("cpu")).numpy()
    np.testing.assert_allclose(served, eager, atol=1e-3, rtol=1e-3)


@each_run
def test_a_run_beats_its_published_row(run) -> None:
    reported = published(run)
    if reported is None:
        pytest.skip("no public notebook reports a figure for this model at this size")
    assert run.metrics["test"]["accuracy"] > reported


@each_run
def test_the_card_states_domain_and_limits(run) -> None:
    assert "not a medical device" in run.card
    assert run.provenance in run.card
    assert f"{run.metrics['test']['accuracy']:.2%}" in run.card


@each_run
def test_the_card_is_what_the_code_writes(run) -> None:
    assert run.card == model_card(run, get_dataset(run.dataset).with_classes(run.codes))


@each_run
@pytest.mark.realdata
def test_scoring_anew_reproduces_the_figures(run, capsys) -> None:
    try:
        data = get_dataset(run.dataset).load(run.size, content_hash=run.config["dataset"]["provenance"]["content_hash"])
    except DatasetUnavailable as reason:
        pytest.skip(str(reason))
    if data.provenance.content_hash != run.config["dataset"]["provenance"]["content_hash"]:
        pytest.skip("the build of the data that this run was scored on is not on this computer")
    assert main(["evaluate", run.name, "--split", "test"]) == 0


@pytest.mark.parametrize("block", BLOCKS)
def test_the_readme_shows_the_figures_of_runs_and_studies(block: str) -> None:
    text = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    shown = text.split(begin_marker(block))[1].split(end_marker(block))[0].strip()
    assert shown == BLOCKS[block](), "run `python -m core report --write RESULTS.md`"


def test_nothing_names_a_path_of_the_machine_that_trained() -> None:
    for run in SHIPPED:
        for file in run.path.glob("*.json"):
            assert not re.search(r'"/(?:home|root|tmp|work|Users)/', file.read_text(encoding="utf-8")), file


def test_runs_for_any_laboratory_say_so():
    robust = [run for run in SHIPPED if run.any_laboratory]
    assert any(run.kind == "network" for run in robust)
    assert all("any laboratory" in run.title.lower() for run in robust)
