"""A profile keeps its alarm at any number of cells: the run's own detector, moved to the laboratory."""

from dataclasses import replace

import numpy as np
import pytest

from core.adaptation.active import NOT_A_CELL, ActiveLearner
from core.adaptation.oddness import IN_LAB_SHARE, fit_lab_detector
from core.adaptation.profile import make_profile
from core.inference.ood import fit_detector
from tests.core.adaptation.drawn_lab import CODES, FEATURES, made_up

SHIFT = 3.0


def coloured(cells, labels, colour, seed=0):
    """``cells`` with crops of about one colour, class by class a little darker."""
    rng = np.random.default_rng(seed)
    crops = np.array(colour) - 4 * labels[:, None] + rng.normal(0, 3, (len(labels), 3))
    crops = crops[:, None, None] + rng.normal(0, 6, (len(labels), 8, 8, 3))
    return replace(cells, crops=crops.clip(0, 255).astype(np.uint8))


def laboratory(count, seed=0):
    """Cells of four classes, all moved alike and in another stain."""
    per_class = {"EO": count // 4, "LY": count // 4, "MO": count // 4, "NE": count - 3 * (count // 4)}
    cells, labels = made_up(per_class, shift=0, seed=seed)
    moved = (cells.embeddings + SHIFT * np.random.default_rng(1).normal(size=FEATURES)).astype(np.float32)
    return coloured(replace(cells, embeddings=moved), labels, (200, 120, 160), seed), labels


@pytest.fixture
def run(make_run):
    made = make_run(size=8)
    home, labels = made_up(dict.fromkeys(CODES, 60), shift=0, seed=11)
    home = coloured(home, labels, (150, 150, 190))
    measure, rest = np.arange(0, 480, 2), np.arange(1, 480, 2)
    fit_detector(
        home.embeddings[measure],
        labels[measure],
        home.embeddings[rest],
        home.crops[measure],
        home.crops[rest],
    ).save(made.ood_path)
    return made


def taught(cells, labels, answers=20):
    learner = ActiveLearner(cells, np.isin(np.arange(len(CODES)), labels))
    for cell in range(min(answers, len(labels))):
        learner = learner.with_answer(cell, int(labels[cell]))
    return learner


@pytest.mark.parametrize("count", [1, 4, 12, 45, 165])
def test_at_any_number_of_cells_odd_things_are_told(run, count):
    profile = make_profile("few", run, taught(*laboratory(count)))
    detector = profile.ood_detector
    assert profile.in_distribution_share == IN_LAB_SHARE
    further, _ = laboratory(200, seed=5)
    home, labels = made_up({"LY": 40}, shift=0, seed=6)
    white = replace(home, crops=np.full((40, 8, 8, 3), 255, np.uint8))
    noise = replace(home, crops=np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8))
    assert (detector.ood_score(white.embeddings, white.crops) >= 1).all()
    assert (detector.ood_score(noise.embeddings, noise.crops) >= 1).all()
    if count >= 12:
        assert (detector.ood_score(further.embeddings, further.crops) >= 1).mean() <= 1 - IN_LAB_SHARE


def test_what_was_said_to_be_no_cell_sets_no_limit(run):
    cells, labels = laboratory(40)
    crops = cells.crops.copy()
    crops[:4] = 255
    learner = taught(replace(cells, crops=crops), labels)
    posterior = learner.posterior
    for cell in range(4):
        learner = learner.with_answer(cell, NOT_A_CELL)
    white = cells.embeddings[:4], crops[:4]
    assert (fit_lab_detector(run, learner, posterior).ood_score(*white) >= 1).all()


def test_a_run_without_a_detector_needs_more_cells(make_run):
    run = make_run(size=8)
    assert not run.ood_path.exists()
    few = make_profile("few", run, taught(*laboratory(40)))
    assert few.ood_detector is None
    assert "can't tell odd cells" in few.cautions[0]
    many = make_profile("many", run, taught(*laboratory(100)))
    assert many.ood_detector is not None
    assert many.cautions == ()
