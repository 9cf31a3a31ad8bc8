"""Reference ranges and review rules: each has a source, a flag says which, an own table is whole or refused."""

import json
from dataclasses import asdict, replace

import pytest

from core.cases.differential import CountedCell, differential
from core.cases.limits import (
    LimitsError,
    current_limits,
    limits_path,
    raised_flags,
    read_limits,
    shipped_limits,
)
from core.inference.specimen import ADULT_BLOOD, ANY_SPECIMEN, SPECIMENS

CODES = ("BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))


def counted(**counts):
    return differential([CountedCell(code) for code, n in counts.items() for _ in range(n)], CODES)


def told(of, specimen=ADULT_BLOOD):
    return [flag.text for flag in raised_flags(of, specimen, shipped_limits())]


def test_the_usual_blood_raises_nothing():
    assert told(counted(NE=115, LY=60, MO=14, EO=6, BA=1)) == []


def test_a_flag_says_which_rule_the_count_and_the_limit():
    flags = told(counted(NE=110, LY=50, MO=14, EO=6, BA=9, IG=11, ERB=3))
    assert flags == [
        "IG 5.5 % (11 cells): above 2 %, review rule",
        "ERB 1.5 per 100 white cells (3 cells): above 1 per 100 white cells, review rule",
        "BA 4.5 % (9 cells): above 3 %, review rule",
        "BA 4.5 % (9 cells): above 2 %, reference range",
    ]
    assert told(counted(NE=20, LY=75, MO=5))[:2] == [
        "NE 20.0 % (20 cells): below 40 %, reference range",
        "LY 75.0 % (75 cells): above 40 %, reference range",
    ]


def test_a_limit_itself_is_within():
    assert not told(counted(NE=58, LY=30, MO=8, EO=2, IG=2))


def test_any_blast_and_any_alarm_is_a_flag():
    cells = [CountedCell("NE")] * 58 + [CountedCell("LY")] * 30 + [CountedCell("MO")] * 8 + [CountedCell("EO")] * 3
    seen, unseen = CountedCell("BLA", reviewed=True, alarm=True), CountedCell("LY", alarm=True)
    assert told(differential([*cells, seen], CODES)) == ["BLA 1.0 % (1 cell): above 0 %, review rule"]
    assert told(differential([*cells, unseen], CODES)) == ["1 cell that may be abnormal: review rule"]


def test_what_chance_may_have_made_is_told_apart():
    few, many = counted(NE=4, LY=6), counted(NE=40, LY=160)
    by_count = [
        [flag.beyond_chance for flag in raised_flags(of, ADULT_BLOOD, shipped_limits()) if flag.limit.code == "LY"]
        for of in (few, many)
    ]
    assert by_count == [[False], [True]]


def test_each_specimen_has_its_own_and_others_none():
    newborn = counted(NE=60, LY=30, MO=7, EO=3, ERB=5)
    assert told(newborn, SPECIMENS["newborn"]) == []
    assert told(newborn) == ["ERB 5.0 per 100 white cells (5 cells): above 1 per 100 white cells, review rule"]
    assert told(counted(NE=1, LY=99), ANY_SPECIMEN) == []
    assert all(limit.source for limit in shipped_limits())


def written(rows):
    limits_path().parent.mkdir(parents=True, exist_ok=True)
    limits_path().write_text(json.dumps({"version": 1, "limits": rows}))


def test_a_laboratorys_own_table_stands_in_place_of_what_ships():
    assert current_limits() == shipped_limits()
    own = [replace(limit, high=5.0) for limit in shipped_limits() if limit.code == "IG"]
    written([asdict(limit) for limit in own])
    assert current_limits() == tuple(own)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"specimen": "soup"}, "limit 2: specimen is none of"),
        ({"code": "PLT"}, "limit 2: code is none of"),
        ({"kind": "guess"}, "limit 2: kind is none of"),
        ({"low": None, "high": None}, "limit 2: it needs low or high"),
        ({"low": 9, "high": 5}, "limit 2: low is above high"),
        ({"high": float("nan")}, "limit 2: it needs low or high"),
        ({"high": True}, "limit 2: it needs low or high"),
        ({"source": ""}, "limit 2: its source"),
        ({"more": 1}, "limit 2: it needs just"),
        ({"code": "NE", "kind": "range"}, "more than one range of NE in blood"),
    ],
)
def test_a_table_with_one_wrong_row_is_refused_whole(change, reason):
    rows = [asdict(limit) for limit in shipped_limits()]
    rows[1] |= change
    written(rows)
    with pytest.raises(LimitsError, match=reason):
        current_limits()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 2, "limits": []}', '{"version": 1, "limits": 3}', "\xff"]
)
def test_what_is_no_table_is_refused(text, tmp_path):
    path = tmp_path / "limits.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(LimitsError):
        read_limits(path)
