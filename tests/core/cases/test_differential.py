"""The differential: shares that add up, intervals that hold what they promise, and what is outside of the count."""

import numpy as np
import pytest

from core.cases.differential import (
    CountedCell,
    cells_to_see,
    differential,
    is_differential,
    rounded_shares,
)
from core.inference.confusion import ModelErrors
from core.probabilities import exact_interval

CODES = ("BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT")


def cells(**counts):
    return [CountedCell(code) for code, count in counts.items() for _ in range(count)]


def errors(right=1.0, each=1000, taken_for=None):
    """Of each class ``each`` cells; ``taken_for``: by code what its other cells are called."""
    table = np.zeros((8, 2, 8))
    for k, code in enumerate(CODES):
        wrong = CODES.index((taken_for or {}).get(code, code))
        table[k, 0, k] += each * right
        table[k, 0, wrong] += each * (1 - right)
    return ModelErrors(CODES, table)


@pytest.mark.parametrize("counts", [[1, 1, 1], [65, 0, 1, 7, 20, 107], [1] * 7, [0, 0], [3], [999, 1, 1]])
def test_shares_add_up_to_a_whole_and_are_near_the_counts(counts):
    shares = rounded_shares(counts)
    assert round(sum(shares), 6) == (100.0 if sum(counts) else 0.0)
    for share, count in zip(shares, counts, strict=True):
        assert round(share, 1) == share
        assert abs(share - 100 * count / max(1, sum(counts))) < 0.1


def test_only_white_cells_are_in_the_percents():
    told = differential([*cells(NE=60, LY=30, MO=10, ERB=2, PLT=5), CountedCell(""), CountedCell("")], CODES)
    assert [counted.code for counted in told.classes] == ["BA", "EO", "IG", "LY", "MO", "NE"]
    assert (told.white, told.platelets, told.not_cells) == (100, 5, 2)
    assert sum(counted.percent for counted in told.classes) == pytest.approx(100)
    assert told.of("NE").percent == 60
    assert told.erythroblasts.percent == 2  # per 100 white cells, not of 102
    assert told.of("NE").with_errors is None


def test_alarms_and_unidentified_cells_wait_for_a_person():
    waiting = [CountedCell("LY", alarm=True, look=True), CountedCell("MO", look=True)]
    told = differential([*cells(NE=8), *waiting], CODES)
    assert (told.white, told.alarms, told.unidentified) == (9, 1, 1)
    seen = [CountedCell("BLA", reviewed=True, alarm=True, look=True), CountedCell("NE", reviewed=True, look=True)]
    told = differential([*cells(NE=8), *seen], CODES)
    assert (told.white, told.alarms, told.unidentified) == (10, 0, 0)
    assert told.of("BLA").percent == 10
    assert told.of("NE").reviewed == 1


def test_the_exact_interval_is_clopper_and_pearsons():
    assert exact_interval(0, 100) == pytest.approx((0, 0.036217), abs=1e-6)
    assert exact_interval(5, 100) == pytest.approx((0.016432, 0.112835), abs=1e-6)
    assert exact_interval(100, 100) == pytest.approx((0.963783, 1), abs=1e-6)
    assert exact_interval(0, 0) == (0, 1)


def test_how_many_cells_show_a_scarce_class():
    assert cells_to_see(0.01) == 299
    assert cells_to_see(0.5) == 5
    assert cells_to_see(1) == 1


def test_without_errors_the_second_interval_is_about_the_first():
    told = differential(cells(NE=120, LY=60, MO=14, EO=6), CODES, errors(each=100_000))
    for counted in told.classes:
        assert counted.with_errors == pytest.approx(counted.exact, abs=1.2)
    assert told.of("BA").with_errors[0] == 0


def test_measured_errors_move_and_widen_the_interval():
    sure = differential(cells(NE=150, EO=50), CODES, errors(each=100_000))
    half = errors(0.5, taken_for={"EO": "NE"})
    told = differential(cells(NE=150, EO=50), CODES, half)
    assert told.of("EO").with_errors[0] > 35  # 50 were seen of about 100
    assert told.of("EO").with_errors[1] > told.of("EO").exact[1]
    few = differential(cells(NE=150, EO=50), CODES, errors(0.9, each=10, taken_for={"NE": "EO"}))
    widths = [np.ptp(of.of("EO").with_errors) for of in (sure, few)]
    assert widths[1] > 1.3 * widths[0]
    assert few.of("EO").with_errors[0] < few.of("EO").exact[0]


def test_what_a_person_named_is_certain():
    reviewed = [CountedCell(code, reviewed=True) for code in ["EO"] * 50 + ["NE"] * 100]
    half = errors(0.5, taken_for={"EO": "NE"})
    all_seen = differential(reviewed, CODES, half)
    assert all_seen.of("EO").with_errors is None  # the exact interval is the whole truth
    nearly = differential([*reviewed, CountedCell("NE")], CODES, half)
    assert nearly.of("EO").with_errors == pytest.approx(nearly.of("EO").exact, abs=2)


def test_the_same_cells_give_the_same_figures():
    counted = cells(NE=60, LY=30, MO=9, ERB=1)
    assert differential(counted, CODES, errors(0.9, taken_for={"MO": "LY"})) == differential(
        counted, CODES, errors(0.9, taken_for={"MO": "LY"})
    )


def test_intervals_hold_drawn_truths():
    """95 % of them, as they promise, where the exact ones miss: a fifth of the monocytes is taken for lymphocytes."""
    table, share = errors(0.8, taken_for={"MO": "LY"}), {"NE": 0.6, "LY": 0.25, "MO": 0.15}
    rows = table.cells.sum(1) / table.cells.sum((1, 2))[:, None]
    holds = {"exact": 0, "with_errors": 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        drawn = rng.choice([CODES.index(code) for code in share], 300, p=list(share.values()))
        called = [CountedCell(CODES[rng.choice(8, p=rows[k])]) for k in drawn]
        monocytes = differential(called, CODES, table).of("MO")
        for name in holds:
            low, high = getattr(monocytes, name)
            holds[name] += low <= 15 <= high
    assert holds["with_errors"] >= 53
    assert holds["exact"] <= 53


def test_nothing_counted_is_told_as_nothing():
    told = differential([CountedCell("")], CODES, errors())
    assert (told.white, told.not_cells) == (0, 1)
    assert {counted.percent for counted in told.classes} == {0.0}


def test_which_classes_are_a_differentials():
    assert is_differential(CODES)
    assert not is_differential(("BEN", "EARLY", "PRE", "PRO"))
    assert not is_differential(("NE", "SMU"))
    assert not is_differential(("ERB", "PLT"))
