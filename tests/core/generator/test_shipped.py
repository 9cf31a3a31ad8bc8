"""What holds for the generator that ships: it makes what is asked for, and nothing that it has learnt by heart."""

import numpy as np
import pytest

from core import paths
from core.generator import CARD, LABEL, find_generator, generate, generator_path, load_sheet
from core.generator.training import check_memorisation
from core.inference import engine
from core.runs import find_run


@pytest.fixture(scope="module")
def shipped():
    found = find_generator("bloodmnist")
    assert found is not None
    assert found.path == generator_path(paths.shipped_runs_root(), "bloodmnist")
    return found


def test_it_is_small(shipped):
    assert shipped.bytes < 4.5e6


def test_models_agree_with_what_was_asked_for_and_nothing_is_a_copy(shipped):
    figures = shipped.facts["figures"]
    judge, other = figures["agreement"]
    assert judge["accuracy"] >= 0.9
    assert other["accuracy"] >= 0.8  # whose features the training never looked at
    assert figures["cells"] >= 800
    check_memorisation(shipped.facts)


def test_fresh_cells_are_named_as_they_were_asked_for(shipped):
    labels = np.repeat(np.arange(len(shipped.codes)), 3)
    run = find_run(shipped.facts["config"]["judge"])
    named = engine.logits(run, generate(shipped, labels, seed=12345)).argmax(1)
    assert (named == labels).mean() > 0.75


def test_the_sheet_shows_its_classes(shipped):
    cells, labels = load_sheet(shipped)
    run = find_run(shipped.facts["config"]["judge"])
    assert (engine.logits(run, cells).argmax(1) == labels).mean() > 0.97


def test_the_card_says_what_its_cells_are(shipped):
    card = (shipped.path / CARD).read_text(encoding="utf-8")
    assert "None of them is a patient's cell" in card
    assert LABEL.split(",")[0] in card
    assert "not a medical device" in card
    assert f"{shipped.facts['figures']['agreement'][0]['accuracy']:.1%}" in card
    assert "CC BY 4.0" in card
