"""The alarm for abnormal cells: what it learns from sources, where its limit lies, and the graph that serves it."""

import json

import numpy as np
import pytest

from core.cli import main
from core.inference.alarm import RAISED_FROM, AbnormalCellAlarm, alarm_figures_of
from core.training import alarm
from core.training.alarm import Source, alarm_figures, alarm_graph, fit_alarm, normal_laboratories

FEATURES = 12


def source(name, shift, abnormal=False, part="train", count=150, views=3):
    rng = np.random.default_rng(sum(map(ord, name + part)))
    cells = rng.normal(size=(views, count, FEATURES)).astype(np.float32)
    cells[..., 0] += shift
    return Source(name, cells, abnormal, part)


@pytest.fixture(scope="module")
def sources():
    """Abnormal cells lie three deviations aside; one laboratory's normal cells come a little nearer to them."""
    return [
        source("home train", 0),
        source("home val", 0, part="val", views=1),
        source("home test", 0, part="test", views=1),
        source("marrow BLA train", 3.5, abnormal=True),
        source("marrow BLA test", 3.5, abnormal=True, part="test"),
        source("marrow NGS train", 0),
        source("marrow NGS test", 0, part="test"),
        source("ward", 0.2),
        source("clinic", 0.8),
    ]


@pytest.fixture(scope="module")
def fitted(sources):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alarm, "_STEPS", 150)
        return fit_alarm(sources)


def test_it_finds_the_abnormal_and_leaves_the_others(sources, fitted):
    found, left_out = fitted
    figures = alarm_figures(found, sources, left_out)
    assert figures["auroc"] == {"marrow: blasts against mature cells": pytest.approx(1, abs=0.03)}
    assert figures["test"]["marrow BLA test"]["raised"] > 0.8
    assert figures["test"]["home test"]["raised"] < 0.03
    assert figures["learnt_from"]["ward"] == 150
    json.dumps(figures, allow_nan=False)


def test_the_limit_keeps_laboratories_that_were_left_out(sources, fitted):
    _, left_out = fitted
    assert [s.name for s in normal_laboratories(sources)] == ["ward", "clinic"]
    assert np.mean(list(left_out.values())) == pytest.approx(0.04, abs=0.011)
    assert left_out["clinic"] > left_out["ward"]


def test_the_graph_says_what_the_perceptrons_say(sources, fitted, tmp_path):
    found, _ = fitted
    path = tmp_path / "alarm.onnx"
    path.write_bytes(alarm_graph(found))
    cells = sources[3].views[1]
    served = AbnormalCellAlarm(path)
    assert served.features == FEATURES
    np.testing.assert_allclose(served.scores(cells), found.scores(cells), atol=1e-4)
    at_limit = (found.logits(cells) >= found.limit) == (found.scores(cells) >= RAISED_FROM)
    assert at_limit.all()


def test_two_fits_of_one_seed_are_one(sources, monkeypatch):
    monkeypatch.setattr(alarm, "_STEPS", 20)
    train = [s for s in sources if s.part == "train"]
    one, other = (alarm.fit_perceptrons(train, seed=3) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one.layers[0], other.layers[0], strict=True))


def test_whole_single_nuclei_are_cut_out_of_a_field():
    field = np.full((200, 260, 3), (235, 225, 240), np.uint8)
    y, x = np.mgrid[:200, :260]
    for at_x, at_y, radius in ((60, 60, 12), (180, 120, 14), (255, 190, 12), (120, 40, 3)):
        field[(x - at_x) ** 2 + (y - at_y) ** 2 < radius**2] = (90, 40, 140)  # the third touches the border
    found = sorted(alarm._nuclei(field))
    np.testing.assert_allclose(found, [(60, 60), (180, 120)], atol=1)
    assert alarm._nuclei(np.full((60, 60, 3), 240, np.uint8)) == []


def test_a_square_cut_larger_shows_the_cell_smaller():
    crops = np.zeros((1, 64, 64, 3), np.uint8)
    crops[0, 24:40, 24:40] = 255
    assert alarm._zoomed(crops, 1.25).sum() < crops.sum() < alarm._zoomed(crops, 0.8).sum()
    assert alarm._zoomed(crops, 1.0) is crops


def test_without_blasts_it_says_what_to_add(tiny_run, capsys):
    assert main(["alarm", str(tiny_run.path)]) != 0
    assert "No abnormal cells are on this computer" in capsys.readouterr().err
    assert not tiny_run.alarm_path.exists()


def test_figures_that_make_no_sense_are_none(tiny_run, fitted, sources):
    path = tiny_run.alarm_path.with_suffix(".json")
    figures = alarm_figures(fitted[0], sources, fitted[1])
    try:
        path.write_text(json.dumps(figures))
        assert alarm_figures_of(tiny_run) == figures
        for broken in ("[]", "{", json.dumps(figures | {"auroc": {"x": 7}}), json.dumps(figures | {"test": 3})):
            path.write_text(broken)
            assert alarm_figures_of(tiny_run) == {}
    finally:
        path.unlink()
