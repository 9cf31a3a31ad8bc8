"""Figures of the Explain page, from arrays whose answer is known."""

import numpy as np
import pytest

from dashboard.explain.gates import NAMED, gates_figure, nearest_classes, unusual
from dashboard.explain.maps import colour_strip, labelled


@pytest.fixture
def gates():
    """Two stages of 4 and 6 channels, and means over three classes; class 1 usually opens .5 everywhere."""
    channels = {
        "stage 1": np.array([0.5, 0.9, 0.2, 0.5], np.float32),
        "stage 2": np.array([0.5, 0.5, 0.6, 0.5, 0.5, 0.5], np.float32),
    }
    means = {stage: np.stack([g * 0 + 0.1, g * 0 + 0.5, g]).astype(np.float32) for stage, g in channels.items()}
    return channels, means


def test_unusual_channels_come_most_different_first():
    channel, mean = np.array([0.5, 0.1, 0.9, 0.4]), np.array([0.5, 0.3, 0.8, 0.7])
    assert unusual(channel, mean, 2).tolist() == [3, 1]
    assert unusual(channel, mean, 99).tolist() == [3, 1, 2, 0]


def test_nearest_class(gates):
    channels, means = gates
    distance = nearest_classes(channels, means)
    assert distance.argmin() == 2
    assert distance[2] == 0
    assert distance[1] == pytest.approx((0.7 / 4 + 0.1 / 6) / 2, abs=1e-6)


def test_bars_lead_from_the_mean_to_the_gate(gates):
    channels, means = gates
    figure = gates_figure(channels, means, 1, "EO")
    bars = [t for t in figure.data if t.type == "bar" and t.yaxis == "y"]
    tips = {int(c[0]): base + y for t in bars for c, base, y in zip(t.customdata, t.base, t.y, strict=True)}
    assert tips == pytest.approx({1: 0.5, 2: 0.9, 3: 0.2, 4: 0.5})
    below = next(t for t in bars if t.name == "opens less than usual")
    assert [int(c[0]) for c in below.customdata] == [3]
    assert figure.layout.title.text == "Stage 1 departs most from what is usual for EO"


def test_channels_run_from_the_widest_open_for_the_class():
    means = {"stage 1": np.array([[0.2, 0.9, 0.5]], np.float32)}
    figure = gates_figure({"stage 1": np.full(3, 0.5, np.float32)}, means, 0, "BA")
    line = next(t for t in figure.data if t.type == "scatter")
    assert list(line.y) == pytest.approx([0.9, 0.5, 0.2])


def test_the_most_different_channels_are_named(gates):
    channels, means = gates
    named = [a.text for a in gates_figure(channels, means, 1, "EO").layout.annotations]
    assert len(named) == 2 * NAMED
    assert named[:2] == ["2", "3"]  # channels count from 1
    assert "3" in named[NAMED:]


def test_names_do_not_lie_on_each_other():
    gates = np.full(100, 0.5, np.float32)
    gates[[10, 11, 60]] = [0.9, 0.85, 0.8]
    means = {"stage 1": np.full((1, 100), 0.5, np.float32)}
    named = [a.text for a in gates_figure({"stage 1": gates}, means, 0, "BA").layout.annotations]
    assert named == ["11", "61"]


@pytest.mark.parametrize("means", [{}, {"stage 1": np.full((2, 4), np.nan, np.float32)}])
def test_without_class_means_the_gates_stand_alone(means):
    gates = {"stage 1": np.array([0.2, 0.9, 0.4, 0.6], np.float32)}
    figure = gates_figure(gates, means, 0, "BA")
    assert list(figure.data[0].y) == pytest.approx([0.9, 0.6, 0.4, 0.2])
    assert figure.layout.title.text == "Channel gates"


def test_dark_and_light_differ_in_colours_only(gates):
    light, dark = (gates_figure(*gates, 1, "EO", dark=d) for d in (False, True))
    assert light.data[0].marker.color != dark.data[0].marker.color
    assert np.array_equal(light.data[0].y, dark.data[0].y)


def test_labelled_picture():
    picture = np.full((64, 64, 3), 128, np.uint8)
    short = labelled(picture, ["A title", "one line"], side=320)
    long = labelled(
        picture, ["A title", "a line that goes on and on, far beyond the picture's right edge " * 2], side=320
    )
    assert short.shape[1] == long.shape[1] == 320
    assert (short[:320] == 128).all()
    assert long.shape[0] > short.shape[0] > 320
    assert (short[320:] < 100).any()  # there is ink under the picture
    assert (long[320:, -6:] == 255).all()  # and none of it runs out of the frame


def test_colour_strip_fades_into_the_ground():
    strip = colour_strip("viridis", 1.0, True, width=100, height=4)
    assert strip.shape == (4, 100, 3)
    assert strip[0, 0].tolist() == [255, 255, 255]
    assert strip[0, -1].tolist() == [0xFD, 0xE7, 0x25]
    assert colour_strip("viridis", 1.0, False)[0, 0].tolist() == [0x44, 0x01, 0x54]
