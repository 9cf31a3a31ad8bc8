"""What a specimen usually holds, and how it weighs answers."""

import numpy as np
import pytest

from core.errors import HemaLensError
from core.inference.specimen import ADULT_BLOOD, IMMATURE, SPECIMENS, find_specimen, weighed


@pytest.mark.parametrize("specimen", SPECIMENS.values(), ids=str)
def test_shares_are_of_a_whole_and_have_a_source(specimen):
    assert specimen.source
    assert find_specimen(specimen.key) is specimen
    if specimen.shares:
        assert sum(specimen.shares.values()) == pytest.approx(1)
        assert set(specimen.shares) >= IMMATURE
        assert min(specimen.shares.values()) > 0


def test_odds_weigh_a_home_cell_by_how_much_commoner_it_is(make_run):
    run = make_run(codes=("BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT"), cells=800)
    labels = run.predictions("val").labels
    odds = ADULT_BLOOD.odds(run, elsewhere=False)
    home = np.bincount(labels, minlength=8) / len(labels)
    np.testing.assert_allclose(odds * home, [ADULT_BLOOD.shares[code] for code in run.codes])
    assert (ADULT_BLOOD.odds(run, elsewhere=True) == odds).all()
    assert (SPECIMENS["any"].odds(run, elsewhere=False) == 1).all()
    # Another laboratory's cells of which nothing is known: the home set's counts say nothing of them.
    np.testing.assert_allclose(SPECIMENS["any"].odds(run, elsewhere=True) * home, 1 / len(run.codes))
    # Where a picture says as much for a class as the home's counts do, the specimen's counts are left.
    np.testing.assert_allclose(weighed(home[None], odds)[0], [ADULT_BLOOD.shares[code] for code in run.codes])


def test_other_classes_and_unknown_specimens_are_told(make_run):
    with pytest.raises(HemaLensError, match="'any'"):
        ADULT_BLOOD.odds(make_run(codes=("BEN", "PRE")), elsewhere=True)
    with pytest.raises(HemaLensError, match="blood, child, newborn, marrow, any"):
        find_specimen("bone")
