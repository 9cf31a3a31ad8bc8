"""Figures of the audit say what it found."""

import numpy as np
import pytest

from core.datasets.quality.audit import Audit, ClassColours, Shortcut
from dashboard.dataset.audit import colour_dots, colour_title, shortcut_bars, shortcut_table, shortcut_title


def found(colour: int) -> Audit:
    flat = ((200.0, 150.0, 170.0), (120.0, 90.0, 100.0))
    return Audit(
        dataset="synthetic", size=28, scheme="", codes=("BA", "EO"), content_hash="0", provenance="drawn",
        counts={"train": 800, "val": 200, "test": 100}, duplicates=(), threshold=0.9, leakage={}, label_issues=(),
        label_issue_count=0, checker_accuracy=0.9,
        shortcuts=(Shortcut("colour", colour, 200), Shortcut("whole", 199, 200)),
        scored_on="val", majority_share=0.5, colours=ClassColours(flat, flat, flat), seconds=1.0, cpu_seconds=1.0,
    )  # fmt: skip


def test_a_tall_bar_is_named_in_the_title_and_a_low_one_is_not():
    assert shortcut_title(found(180)) == "90 % are named right from this alone: six colour numbers"
    assert "tell little" in shortcut_title(found(110))


def test_bars_carry_wilson_intervals_and_the_line_of_guessing():
    table = shortcut_table(found(180))
    assert table["accuracy"][0] == pytest.approx(0.9)
    assert table["low"][0] < 0.9 < table["high"][0] < 1
    fig = shortcut_bars(found(180), title="t")
    assert list(fig.data[0].x) == pytest.approx([90, 99.5])
    assert fig.layout.shapes[0].x0 == 50
    assert np.allclose(fig.data[0].error_x.array, 100 * table["high"] - 100 * table["accuracy"])


@pytest.mark.parametrize("dark", [False, True])
def test_colours_of_each_class(dark):
    fig = colour_dots(found(1), {"BA": "basophil", "EO": "eosinophil"}, title="t", dark=dark)
    assert [trace.name for trace in fig.data] == ["red", "green", "blue"]
    assert list(fig.data[0].x) == [200, 120]
    assert colour_title(found(1)) == "EO pictures are the darkest, BA the lightest"
