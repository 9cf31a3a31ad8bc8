"""How often a model takes each class for each other one: counted at home, guessed beside few answers elsewhere."""

import numpy as np
import pytest

from core.inference.confusion import errors_of, home_errors, laboratory_errors
from core.inference.laboratory import Laboratory
from core.inference.predictor import Predictor
from core.inference.specimen import ADULT_BLOOD, ANY_SPECIMEN


def test_at_home_each_validation_cell_is_counted_once(make_run):
    run = make_run(cells=400)
    stored, errors = run.predictions("val"), home_errors(make_run("another-64-000000", cells=400), ANY_SPECIMEN)
    assert errors.codes == run.codes
    np.testing.assert_array_equal(errors.cells.sum((1, 2)), np.bincount(stored.labels, minlength=8))
    right = (stored.logits.argmax(1) == stored.labels).sum()
    assert np.trace(errors.cells.sum(1)) == right


def test_sure_answers_are_counted_apart(make_run):
    cells = home_errors(make_run(), ANY_SPECIMEN).cells  # all right and sure
    np.testing.assert_array_equal(cells[:, 0], 24 * np.eye(8))
    assert not cells[:, 1].any()
    assert home_errors(make_run("guess-64-000000", cells=400), ANY_SPECIMEN).cells[:, 1].sum() > 300


def test_a_specimen_weighs_the_answers(make_run):
    run = make_run(cells=800)
    called = [home_errors(run, specimen).cells.sum((0, 1)) for specimen in (ANY_SPECIMEN, ADULT_BLOOD)]
    neutrophils = run.codes.index("NE")
    assert called[1][neutrophils] > 2 * called[0][neutrophils]


def test_elsewhere_named_cells_stand_beside_a_few_that_nobody_named(make_run):
    run = make_run()
    left_out = [(6, 6, False)] * 10 + [(6, 4, True)] * 2 + [(1, 6, True)]
    cells = laboratory_errors(run, ADULT_BLOOD, left_out).cells
    unnamed = cells.sum() - len(left_out)
    assert 8 < unnamed < 80  # a few of each class
    assert cells[6, 0, 6] > 10
    assert 2 < cells[6, 1, 4] < 4
    assert cells[0].sum() == pytest.approx(cells[7].sum())  # classes that nobody named
    assert cells[0, :, 6].sum() > cells[0, :, 2].sum()  # they are taken for common ones


def test_a_predictor_knows_its_errors_where_they_were_measured(make_run):
    run = make_run()
    head = type("Head", (), {})()
    foreign = Laboratory(known=False, score=2.0)
    assert foreign.is_foreign
    assert errors_of(Predictor(run), Laboratory()).cells.sum() == 8 * 24
    assert errors_of(Predictor(run), foreign) is None
    assert errors_of(Predictor(run, head=head), foreign) is None  # of an older file, or too few answers
    taught = Predictor(run, head=head, left_out=((0, 0, False),) * 25)
    assert errors_of(taught, foreign).cells[0, 0, 0] > 25
