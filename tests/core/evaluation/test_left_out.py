"""Figures of left-out classes: written, read again, and refused where they can't be true."""

import json
from dataclasses import replace

import pytest

from core.evaluation.left_out import Area, InvalidLeftOut, read_left_out, write_left_out
from tests.fake_studies import fake_left_out_study


def test_what_is_written_is_read_again(tmp_path) -> None:
    study = fake_left_out_study()
    path = write_left_out(tmp_path, study)
    assert path == tmp_path / "bloodmnist" / "left_out_class.json"
    assert read_left_out(path) == study


def test_scores_keep_their_order(tmp_path) -> None:
    assert list(read_left_out(write_left_out(tmp_path, fake_left_out_study())).scores) == ["OOD detector", "energy"]


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("classes", 0, "areas", "energy", "value"), 1.01),
        (("classes", 0, "areas", "energy", "low"), 0.999),
        (("classes", 0, "areas", "energy", "high"), float("nan")),
        (("classes", 0, "areas"), {"energy": {"value": 0.5, "low": 0.4, "high": 0.6}}),
        (("classes", 0, "flagged"), -0.1),
        (("classes", 0, "flagged"), "all"),
        (("classes", 0, "cells"), 0),
        (("classes", 0, "accuracy_interval"), [0.5]),
        (("classes", 0, "train_seconds"), -1),
        (("classes", 1, "code"), "BA"),
        (("classes",), []),
        (("scores",), {"energy": "alone"}),
        (("milliseconds",), {"one": 1.0}),
        (("milliseconds", "batch"), 0),
        (("provenance",), {"label": "somewhere"}),
        (("train",), {"model": "cnn_se"}),
        (("more",), 1),
    ],
)
def test_what_can_not_be_is_refused(tmp_path, where, value) -> None:
    path = write_left_out(tmp_path, fake_left_out_study())
    content = json.loads(path.read_text())
    place = content
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidLeftOut, match=r"left_out_class\.json"):
        read_left_out(path)


@pytest.mark.parametrize("text", ["", "[]", '{"classes": []}', "\ud800".encode("utf-8", "surrogatepass")])
def test_what_is_no_study_is_refused(tmp_path, text) -> None:
    path = tmp_path / "left_out_class.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidLeftOut):
        read_left_out(path)


def test_an_interval_holds_its_value() -> None:
    with pytest.raises(ValueError, match="interval"):
        Area(0.9, 0.95, 0.99)
    study = fake_left_out_study()
    with pytest.raises(ValueError, match="each once"):
        replace(study, classes=study.classes[:1] * 2)
