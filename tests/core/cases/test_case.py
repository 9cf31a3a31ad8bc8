"""What decisions come to when they are replayed."""

import pytest

from core.cases.case import Case, CellReading, Reader, UnknownCell, standing
from tests.drawn_cases import ANNA, LUKASZ, DrawnCase, said


def drawn(*answers) -> DrawnCase:
    return DrawnCase(
        answers or [said("NE"), said("MO", kind="unsure"), said("LY", alarm=True, kind="unsure")], field=False
    )


def test_sure_answers_are_believed_and_others_wait_for_somebody():
    case = drawn().case
    assert [reading.status for reading in case.counted] == ["model", "unidentified", "unidentified"]
    assert [reading.open_reason for reading in case.counted] == ["", "unsure", "may be abnormal"]
    assert case.open_cells == {2, 3}
    assert drawn(said("IG", must_be_seen=True)).case.unreviewed[0].open_reason == "must be seen"
    assert not drawn(said("", check="blank")).case.open_cells


def test_a_named_cell_is_reviewed_and_one_named_otherwise_corrected():
    after = drawn().decide(ANNA, "assign", 2, "MO").decide(LUKASZ, "assign", 1, "LY", reason="nucleus", text="round")
    kept, changed = after.case.readings[2], after.case.readings[1]
    assert (kept.status, kept.corrected, kept.by) == ("reviewed", False, ANNA.name)
    assert (changed.code, changed.corrected, changed.by, changed.reason, changed.text) == (
        *("LY", True, LUKASZ.name, "nucleus", "round"),
    )
    assert after.case.open_cells == {3}


def test_no_cell_is_an_answer_like_any_other():
    reading = drawn().decide(ANNA, "assign", 3, "").case.readings[3]
    assert (reading.code, reading.reviewed, reading.open_reason) == ("", True, "")
    assert not reading.counted.alarm


def test_a_cell_put_back_waits_again_even_a_sure_one():
    drawn_one = drawn().decide(ANNA, "assign", 1, "EO").decide(ANNA, "unidentified", 1)
    reading = drawn_one.case.readings[1]
    assert (reading.code, reading.status, reading.open_reason) == ("NE", "unidentified", "put back")


def test_a_skipped_cell_stays_what_it_was():
    skipped = drawn().decide(ANNA, "skip", 2).case
    assert skipped.readings[2].skipped
    assert skipped.open_cells == {2, 3}
    assert not DrawnCase.decide(drawn().decide(ANNA, "skip", 2), ANNA, "assign", 2, "MO").case.readings[2].skipped


def test_undo_takes_back_one_decision_and_undo_of_an_undo_brings_it_again():
    one = drawn().decide(ANNA, "assign", 2, "LY").decide(ANNA, "assign", 2, "EO")
    assert one.decide(ANNA, "undo", 2, undoes=2).case.readings[2].code == "LY"
    assert one.decide(ANNA, "undo", 2, undoes=3).case.readings[2].code == "EO"
    assert one.decide(ANNA, "undo", 2, undoes=4).case.readings[2].code == "LY"
    assert [d.seq for d in standing(one.case.readings[2].history)] == [1]
    assert one.decide(ANNA, "undo", 2, undoes=1).case.readings[2].status == "unidentified"


def test_an_earlier_decision_can_be_taken_back_beneath_a_later_one():
    one = drawn().decide(ANNA, "assign", 2, "LY").decide(ANNA, "assign", 2, "EO").decide(ANNA, "undo", 2, undoes=1)
    assert one.case.readings[2].code == "EO"


def test_replay_at_once_is_replay_one_by_one():
    one = drawn()
    begun = one.case
    for action, cell, new in (("assign", 2, "LY"), ("skip", 3, ""), ("assign", 3, "BLA"), ("unidentified", 1, "")):
        one.decide(ANNA, action, cell, new)
    one.decide(ANNA, "undo", 3, undoes=3).decide(ANNA, "note").decide(ANNA, "assign", 3, "").decide(
        ANNA, "assign", 1, "NE"
    )
    one.decide(ANNA, "review").decide(ANNA, "sign").decide(ANNA, "amend")
    assert begun.after(one.case.decisions) == one.case
    assert (one.case.state, one.case.version) == ("open", 2)


def test_a_reviewed_case_is_open_again_when_a_cell_is():
    one = drawn().decide(ANNA, "assign", 2, "MO").decide(ANNA, "assign", 3, "LY").decide(ANNA, "review")
    assert one.case.state == "reviewed"
    assert one.decide(LUKASZ, "assign", 1, "NE").case.state == "reviewed"
    assert one.decide(LUKASZ, "undo", 2, undoes=1).case.state == "open"


def test_each_reader_has_readings_of_their_own():
    case = drawn().decide(ANNA, "assign", 1, "EO").decide(LUKASZ, "assign", 1, "BA").case
    assert case.readings[1].code == "BA"
    assert case.readings_by(ANNA.name)[1].code == "EO"
    assert case.readings_by(LUKASZ.name)[2].status == "unidentified"


def test_the_differential_counts_what_readers_said():
    case = drawn().decide(ANNA, "assign", 3, "BLA").case
    found = case.differential()
    assert {one.code: one.count for one in found.classes if one.count} == {"NE": 1, "MO": 1, "BLA": 1}
    assert (found.unidentified, found.alarms) == (1, 0)


def test_who_is_not_signed_in_is_told_so():
    assert Reader("Ann").text == "Ann (identity not verified)"
    assert Reader("Ann", verified=True).text == "Ann"


def test_a_picture_that_is_not_there_is_refused():
    case = drawn().case
    with pytest.raises(UnknownCell):
        case.picture(4)
    assert isinstance(case, Case)
    assert isinstance(case.readings[1], CellReading)
    assert case.picture(1).slide == "A-1"
    assert case.slides == ("A-1",)


def test_classes_that_only_a_person_names_can_be_given():
    assert "BLA" in drawn().case.assignable
    others = DrawnCase([said("NE")], field=False, codes=("early", "late")).case
    assert others.assignable == ("early", "late")
