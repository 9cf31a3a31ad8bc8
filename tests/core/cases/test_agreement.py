"""Agreement: what two readers name alike, kappa as textbooks have it, and an interval that holds for few cells too."""

import numpy as np
import pytest

from core.cases.agreement import FEW, against_model, agreement, between_readers, readers_against_model
from tests.drawn_cases import ANNA, LUKASZ, DrawnCase, drawn_case, said

CODES = ("BA", "EO", "LY", "MO", "NE")


def pairs_of(table, codes=CODES):
    return [(codes[i], codes[j]) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]


def test_kappa_is_cohens():
    told = agreement(pairs_of([[20, 5], [10, 15]]), CODES, "Anna", "Ben")
    assert (told.cells, told.agreed, told.share) == (50, 35, 0.7)
    assert told.kappa == pytest.approx(0.4)
    assert told.interval == pytest.approx((0.5539, 0.8214), abs=1e-4)
    assert [(c.code, c.first, c.second, c.both) for c in told.classes] == [("BA", 25, 30, 20), ("EO", 25, 20, 15)]
    assert told.classes[0].share == pytest.approx(20 / 35)
    assert told.differing == (("EO", "BA", 10), ("BA", "EO", 5))


def test_where_cells_are_many_the_interval_is_the_usual_one():
    table = np.array([[300, 20, 5], [30, 400, 15], [10, 20, 200]])
    low, high = agreement(pairs_of(table), CODES).kappa_interval
    p = table / table.sum()
    rows, columns = p.sum(1), p.sum(0)
    seen, chance = np.trace(p), (rows * columns).sum()
    weights = (columns[:, None] + rows[None, :]) ** 2  # Fleiss, Cohen and Everitt 1969
    own = (np.diag(p) * ((1 - chance) - (rows + columns) * (1 - seen)) ** 2).sum()
    others = (1 - seen) ** 2 * (p * weights)[~np.eye(3, dtype=bool)].sum()
    error = np.sqrt((own + others - (seen * chance - 2 * chance + seen) ** 2) / table.sum()) / (1 - chance) ** 2
    kappa = (seen - chance) / (1 - chance)
    assert (low, high) == pytest.approx((kappa - 1.96 * error, kappa + 1.96 * error), abs=0.01)


def test_a_few_cells_all_named_alike_are_no_certainty():
    told = agreement(pairs_of([[5, 0], [0, 5]]), CODES)
    assert told.kappa == 1
    assert told.kappa_interval[0] < 0.8
    assert "Few cells" in told.caution
    many = agreement(pairs_of([[FEW, 0], [0, FEW]]), CODES)
    assert many.caution == ""
    assert many.kappa_interval[0] > 0.9


def test_one_class_alone_says_nothing_beyond_chance():
    told = agreement([("NE", "NE")] * 80, CODES)
    assert (told.kappa, told.kappa_interval) == (None, None)
    assert "one class only" in told.caution
    assert agreement([], CODES) is None


@pytest.mark.parametrize("cells", [20, 50])
def test_the_interval_holds_the_truth_of_drawn_readers(cells):
    rng, shares = np.random.default_rng(3), np.array([0.6, 0.25, 0.08, 0.05, 0.02])
    truth = 0.9 * np.diag(shares) + 0.1 * np.outer(shares, shares)
    held = 0
    for _ in range(150):
        drawn = rng.multinomial(cells, truth.ravel()).reshape(5, 5)
        interval = agreement(pairs_of(drawn), CODES).kappa_interval
        held += interval is None or interval[0] <= 0.9 <= interval[1]
    assert held >= 134  # 95 % of 150 and three standard errors


def test_no_cell_is_a_class_of_its_own_and_told_last():
    told = agreement([("NE", ""), ("", ""), ("XX", "NE")], CODES)
    assert [c.code for c in told.classes] == ["NE", "XX", ""]


def test_readers_are_compared_by_what_each_decided_alone():
    drawn = DrawnCase([said("NE")] * 4, field=False)
    assert readers_against_model(drawn.case) == ()
    for cell, code in ((1, "NE"), (2, "LY"), (3, "MO")):
        drawn.decide(ANNA, "assign", cell, code)
    for cell, code in ((2, "LY"), (3, "NE"), (4, "NE")):
        drawn.decide(LUKASZ, "assign", cell, code)
    (told,) = between_readers(drawn.case)
    assert (told.first, told.second, told.cells, told.agreed) == (ANNA.name, LUKASZ.name, 2, 1)
    model = against_model(drawn.case)
    assert (model.cells, model.agreed) == (4, 3)  # the last word on the third cell is Łukasz's
    together, anna, lukasz = readers_against_model(drawn.case)
    assert together == model
    assert (anna.second, anna.cells, anna.agreed) == (ANNA.name, 3, 1)
    assert (lukasz.second, lukasz.cells, lukasz.agreed) == (LUKASZ.name, 3, 2)


def test_what_was_taken_back_is_no_agreement():
    drawn = DrawnCase([said("NE")] * 2, field=False)
    drawn.decide(ANNA, "assign", 1, "LY").decide(LUKASZ, "assign", 1, "LY")
    assert len(between_readers(drawn.case)) == 1
    drawn.decide(ANNA, "undo", 1, undoes=1)
    assert between_readers(drawn.case) == ()


def test_nobody_has_decided():
    assert between_readers(drawn_case().case) == ()
