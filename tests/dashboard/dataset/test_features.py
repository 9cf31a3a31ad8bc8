"""Figures of the Dataset page's view to learn from: what they draw for known numbers."""

import numpy as np
import pandas as pd
import pytest

from core.datasets import get_dataset
from core.datasets.statistics import FEATURES
from dashboard.dataset.features import BINS, class_shares, density, distribution, separation_dots
from dashboard.style import class_colours

SPEC = get_dataset("bloodmnist")
NAMES = dict(zip(SPEC.codes, SPEC.class_names, strict=True))


@pytest.mark.parametrize("dark", [False, True])
def test_shares_have_a_bar_a_class_a_mark_for_other_splits_and_the_even_line(dark):
    counts = {"train": np.array([10, 30]), "val": np.array([5, 5]), "test": np.array([1, 3])}
    fig = class_shares(counts, ("BA", "EO"), NAMES, "train", title="t", dark=dark)
    bar = fig.data[0]
    assert list(bar.x) == [25, 75]
    assert list(bar.marker.color) == list(class_colours(("BA", "EO"), dark).values())
    assert [trace.name for trace in fig.data[1:] if trace.mode == "markers"] == ["val", "test"]
    assert list(fig.data[1].x) == [50, 50]
    assert fig.layout.shapes[0].x0 == 50


def test_an_empty_split_is_drawn_empty():
    fig = class_shares({"train": np.array([0, 0])}, ("BA", "EO"), NAMES, "train", title="t")
    assert list(fig.data[0].x) == [0, 0]


def ranked() -> pd.DataFrame:
    pair = ("BA", "EO")
    rows = [("size", "Size", 0.8, 0.9, 0.6, pair, ("BA", "NE")), ("energy", "Energy", 0.5, 0.5, 0.5, pair, pair)]
    return pd.DataFrame(rows, columns=["feature", "title", "mean", "best", "worst", "best_pair", "worst_pair"])


def test_dots_tell_mean_range_and_what_a_click_needs():
    dots = separation_dots(ranked(), "size", title="t").data[0]
    assert list(dots.x) == [80, 50]
    assert dots.error_x.array[0] == pytest.approx(10)
    assert dots.error_x.arrayminus[0] == pytest.approx(20)
    assert [said[0] for said in dots.customdata] == ["size", "energy"]
    assert dots.y[0] == "<b>Size</b>"


def test_bars_and_curve_of_a_class_add_up_to_all_of_it():
    rng = np.random.default_rng(0)
    values = {"BA": rng.normal(0, 1, 400), "EO": rng.normal(3, 1, 200)}
    fig = distribution(values, FEATURES[0], SPEC.codes, NAMES, title="t")
    bars = [trace for trace in fig.data if trace.type == "bar"]
    curves = [trace for trace in fig.data if trace.type == "scatter"]
    assert [len(bar.x) for bar in bars] == [BINS, BINS]
    assert sum(bars[0].y) == pytest.approx(100)
    width = bars[0].width
    assert np.trapezoid(curves[1].y, curves[1].x) / width == pytest.approx(100, abs=3)
    assert bars[1].marker.color == class_colours(SPEC.codes)["EO"]


@pytest.mark.parametrize("values", [np.full(30, 2.0), np.array([1.0, 2.0])])
def test_values_that_have_no_density_are_drawn_without_one(values):
    assert len(density(values, 0, 3)[0]) == 0
    fig = distribution({"BA": values}, FEATURES[0], SPEC.codes, NAMES, title="t")
    assert sum(fig.data[0].y) == pytest.approx(100)
