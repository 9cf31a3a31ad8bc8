"""A class that is left out is left out of everything, and a network that is there is not trained again."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import left_out_class
from benchmarks.left_out_class import main, train_without, without_class
from core.datasets import Split, get_dataset
from core.evaluation.left_out import read_left_out
from core.training.config import TrainConfig


def test_a_class_left_out_is_in_no_split_and_the_others_keep_their_names() -> None:
    data = get_dataset("synthetic").load(28)
    known = without_class(data, "ERB")
    assert known.spec.codes == tuple(code for code in data.spec.codes if code != "ERB")
    assert known.provenance.content_hash != data.provenance.content_hash
    assert known.provenance.label.endswith("without ERB")
    for name, part in data.splits.items():
        codes = np.array(data.spec.codes)[part.labels]
        kept = codes != "ERB"
        np.testing.assert_array_equal(np.array(known.spec.codes)[known[name].labels], codes[kept])
        np.testing.assert_array_equal(known[name].ids, part.ids[kept])
        np.testing.assert_array_equal(known[name].images, part.images[kept])


@pytest.fixture
def line(tmp_path, monkeypatch) -> list[str]:
    """The words of a call that trains in a second: few drawn cells of three classes, folders of its own."""
    for name in ("CACHE", "DATA", "PRETRAINED"):
        monkeypatch.setenv(f"HEMALENS_{name}", str(tmp_path / name.lower()))
    monkeypatch.setattr("benchmarks.reporting.RESULTS", tmp_path / "results")
    data = get_dataset("synthetic").load(28)
    for code in set(data.spec.codes) - {"BA", "ERB", "PLT"}:
        data = without_class(data, code)
    few = {name: Split(part.images[:96], part.labels[:96], part.ids[:96]) for name, part in data.splits.items()}
    monkeypatch.setattr(left_out_class.TrainConfig, "load_data", lambda _: replace(data, splits=few))
    recipe = {"dataset": "synthetic", "size": 28, "width": 8, "epochs": 1, "device": "cpu"}
    options = {**recipe, "rounds": 1, "threads": 1, "folder": tmp_path / "networks"}
    return [word for key, value in options.items() for word in (f"--{key}", str(value))]


def test_each_class_gets_its_figures_and_is_trained_once(line, tmp_path, monkeypatch, capsys) -> None:
    assert main(["PLT", "ERB", *line]) == 0
    result = tmp_path / "results" / "left_out_class.json"
    first = json.loads(result.read_text())
    assert [row["left out"] for row in first["rows"]] == ["PLT", "ERB"]
    assert first["train"]["half"] is True
    assert "PLT" in capsys.readouterr().out

    def fail(*_) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(left_out_class, "fit_network", fail)
    assert main(["PLT", "ERB", *line]) == 0
    assert json.loads(result.read_text())["rows"] == first["rows"]
    with pytest.raises(AssertionError, match="trained again"):
        main(["BA", *line])


@pytest.mark.parametrize("half", [False, True])
def test_an_interrupted_training_goes_on(line, tmp_path, half) -> None:
    config = TrainConfig.for_model("cnn_se", dataset="synthetic", size=28, model_arguments={"width": 8}, epochs=2)
    known = without_class(config.load_data(), "ERB")
    reached = []

    def stop_after_one(progress) -> None:
        reached.append(progress.details["finished"])
        if reached == [1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_without(config, known, tmp_path, half, stop_after_one)
    run = train_without(config, known, tmp_path, half, stop_after_one)
    assert reached == [1, 2]
    assert not list((tmp_path / "checkpoints").iterdir())
    assert run.codes == known.spec.codes
    assert run.provenance == known.provenance.label


def test_what_ships_has_all_classes(line, tmp_path) -> None:
    with pytest.raises(SystemExit):
        main(["PLT", *line, "--keep"])
    with pytest.raises(SystemExit):
        main(["LY", *line])
    assert main([*line, "--keep"]) == 0
    study = read_left_out(tmp_path / "pretrained" / "synthetic" / "left_out_class.json")
    assert {entry.code for entry in study.classes} == {"BA", "ERB", "PLT"}
    assert list(study.scores) == list(left_out_class.SCORES)
    assert study.milliseconds["one"] > 0
