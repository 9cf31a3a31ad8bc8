"""Numbers and names as text, each in one way."""

import math

import pytest

from core.formatting import (
    capitalized,
    counted,
    exact_percent,
    markdown_text,
    milliseconds,
    of_class,
    percent,
    percent_or_nan,
    plural,
    printable,
    range_text,
)


def test_a_probability_is_never_certain():
    assert [percent(p) for p in (0.0, 0.005, 0.5, 0.97, 0.995, 1.0)] == [
        "< 1 %", "< 1 %", "50 %", "97 %", "> 99 %", "> 99 %",
    ]  # fmt: skip


def test_a_share_is_written_as_exactly_as_it_was_counted():
    assert exact_percent(0.98743) == "98.7 %"
    assert exact_percent(0.98743, 2) == "98.74 %"
    assert exact_percent(1.0, 0) == "100 %"
    assert percent_or_nan(0.25) == 25
    assert math.isnan(percent_or_nan(None))


def test_a_range_that_is_none_is_one_figure():
    assert range_text("1.2", "3.4") == "1.2 to 3.4"
    assert range_text("1.2", "1.2") == "1.2"


def test_names_read_as_they_are():
    assert markdown_text("*a* [b](c) $x$.png") == r"\*a\* \[b\]\(c\) \$x\$\.png"
    assert markdown_text("1. <b>") == r"1\. \<b\>"
    assert len(markdown_text("a" * 500)) == 60
    assert len(markdown_text("a" * 500, None)) == 500


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


def test_names_cannot_steer_the_terminal():
    assert printable("cell\x1b[2J\n.png") == "cell?[2J?.png"
    assert printable("Zelle ä 細胞.png") == "Zelle ä 細胞.png"
    assert printable("a\u202efdp.exe") == "a?fdp.exe"
    assert (
        printable("\u0646\u0627\u0645\u0647\u200c\u0627\u06cc") == "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc"
    )  # a joiner within a word
