import pytest

from core.formatting import capitalized, counted, milliseconds, of_class, percent, plural


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        (1.0, "> 99 %"),
        (0.9901, "> 99 %"),
        (0.99, "99 %"),
        (0.985, "98 %"),
        (0.504, "50 %"),
        (0.012, "1 %"),
        (0.01, "1 %"),
        (0.0099, "< 1 %"),
        (0.0, "< 1 %"),
    ],
)
def test_percent(probability, said):
    assert percent(probability) == said


def test_percent_is_never_certain():
    said = {percent(p / 10_000) for p in range(10_001)}
    assert "100 %" not in said
    assert "0 %" not in said
    assert len(said) == 101


def test_other_figures():
    assert [milliseconds(v) for v in (0.8431, 3.21, 120.4)] == ["0.84 ms", "3.2 ms", "120 ms"]
    assert [counted(n, "cell") for n in (0, 1, 2, 1234)] == ["0 cells", "1 cell", "2 cells", "1,234 cells"]


@pytest.mark.parametrize(
    ("name", "several"),
    [("lymphocyte", "lymphocytes"), ("immature granulocytes",) * 2, ("not identifiable", "cells not identifiable")],
)
def test_plural(name, several):
    assert plural(name) == of_class(name) == several


def test_fields_are_not_called_cells():
    assert of_class("pre-B ALL", "field") == "pre-B ALL fields"
    assert of_class("benign (haematogones)", "field") == "benign fields"


def test_sentence_case_keeps_the_other_capitals():
    assert capitalized("early pre-B") == "Early pre-B"
    assert capitalized("") == ""
