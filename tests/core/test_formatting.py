"""Numbers and names as text, each in one way."""

import math

from core.formatting import exact_percent, markdown_text, percent, percent_or_nan, range_text


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
