"""The figures of Dataset and Home: what they draw for known numbers."""

import numpy as np
import pytest

from core.datasets import SPLITS, Provenance, get_dataset
from core.datasets.statistics import Summary
from core.progress import Progress
from dashboard.dataset import download_line
from dashboard.dataset.gallery import PER_PAGE, class_bars, colour_histograms
from dashboard.home import door_answer, door_bars, door_matrix
from dashboard.pickers import page_count
from dashboard.style import class_colours

SPEC = get_dataset("bloodmnist")


@pytest.fixture
def summary() -> Summary:
    counts = {split: np.arange(1, 9) * (10 if split == "train" else 1) for split in SPLITS}
    histograms = np.zeros((8, 3, 32), np.float32)
    histograms[np.arange(8), :, np.arange(8)] = 1
    likeness = np.full((8, 8), 0.02, np.float32)
    likeness[5, 3], likeness[5, 6] = 0.3, 0.2
    means = np.repeat(np.arange(8, dtype=np.float32)[:, None] * 10, 3, 1)
    return Summary(
        "bloodmnist",
        64,
        SPEC.codes,
        Provenance("other", "made", "abc"),
        counts,
        np.zeros((8, 64, 64, 3), np.uint8),
        histograms,
        means,
        likeness,
        {"groups": 0, "across_splits": 0, "labels_differ": 0},
    )


@pytest.mark.parametrize("dark", [False, True])
def test_bars_hold_the_counts_and_what_a_click_needs(summary, dark):
    fig = class_bars(summary, SPEC.classes, "IG", dark=dark)
    bars = [trace for trace in fig.data if trace.type == "bar"]
    assert [bar.name for bar in bars] == list(SPLITS)
    assert list(bars[0].x) == list(range(10, 90, 10))
    assert list(bars[1].customdata[2][:3]) == ["ERB", "val", 3]
    assert list(bars[0].marker.color) == list(class_colours(SPEC.codes, dark).values())
    assert list(bars[0].marker.line.width) == [1, 1, 1, 2, 1, 1, 1, 1]
    assert fig.layout.title.text == "Platelets are 8.0 times as common as basophils"
    totals = next(trace for trace in fig.data if trace.type == "scatter" and trace.mode == "text")
    assert totals.text[0].strip() == "12 · 2.8 %"


def test_bars_of_equal_classes_say_so(summary):
    for counts in summary.counts.values():
        counts[:] = 5
    assert class_bars(summary, SPEC.classes).layout.title.text == "Every class is equally common"


def test_neighbours_are_the_classes_most_alike(summary):
    assert [code for code, _ in summary.neighbours("MO")] == ["IG", "NE"]
    assert summary.neighbours("MO")[0][1] == pytest.approx(0.3)


def test_histograms_have_a_line_for_each_class_and_colour(summary):
    fig = colour_histograms(summary, SPEC.classes, ["MO", "IG", "NE"])
    assert len(fig.data) == 9
    assert sum(trace.showlegend for trace in fig.data) == 3
    assert np.argmax(fig.data[0].y) == 5
    assert (
        fig.layout.title.text == "Colours of the cells: immature granulocytes are the darkest, neutrophils the lightest"
    )
    assert len({trace.line.dash for trace in fig.data}) == 3  # colour does not speak alone


def test_doors(summary):
    bars = door_bars(summary)
    assert list(bars.data[0].y) == list(summary.by_class)
    matrix = door_matrix(np.diag([4] * 8), SPEC.codes)
    assert (matrix.data[0].customdata == np.eye(8)).all()
    probabilities = np.array([0, 0.01, 0, 0.04, 0, 0.95, 0, 0])
    answer = door_answer(probabilities, SPEC.codes, SPEC.class_names)
    assert list(answer.data[0].x) == [0.95, 0.04, 0.01]
    assert answer.layout.annotations[0].text == "<b>MO</b>  monocyte, 95 %"


def test_door_matrix_of_a_class_without_images():
    assert np.isfinite(door_matrix(np.zeros((8, 8)), SPEC.codes).data[0].z).all()


@pytest.mark.parametrize(("count", "expected"), [(0, 1), (1, 1), (PER_PAGE, 1), (PER_PAGE + 1, 2)])
def test_pages(count, expected):
    assert page_count(count, PER_PAGE) == expected


def test_line_of_the_bar():
    assert download_line(Progress(10_000_000, 40_000_000, unit="B")) == "10 of 40 MB"
    assert download_line(Progress(0, 40_000_000, unit="B")) == "0 of 40 MB"
    assert download_line(Progress(5, 40_000_000, "checking", "B")).endswith("checking")
