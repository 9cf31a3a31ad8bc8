"""``python -m core datasets``."""

import json
from dataclasses import replace

import pytest

from core.cli import main
from core.commands import datasets as datasets_command
from core.datasets import dataset_names, get_dataset, statistics
from tests.core.datasets.planted import planted
from tests.drawn_folders import drawn_folder


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))


def test_list_names_what_is_here_and_what_is_not(capsys, tmp_path):
    assert main(["datasets", "list"]) == 0
    out = capsys.readouterr().out
    assert str(tmp_path / "data") in out
    real, drawn = out.split("synthetic:")
    assert "on this computer: none" in real
    assert "on this computer: 28, 64, 128, 224" in drawn


def test_download_failure_is_one_error_with_the_manual_way(capsys, monkeypatch):
    monkeypatch.setenv("HEMALENS_BLOODMNIST_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert main(["datasets", "download", "bloodmnist", "--size", "28"]) == 1
    err = capsys.readouterr().err
    assert "error: The download of bloodmnist.npz failed" in err
    assert "By hand:" in err
    assert "Traceback" not in err


def test_nothing_to_download(capsys):
    assert main(["datasets", "download", "synthetic", "--size", "28"]) == 0
    assert "need no download" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["download", "summarize"])
def test_a_size_that_does_not_exist(capsys, action):
    assert main(["datasets", action, "bloodmnist", "--size", "65"]) == 1
    assert "28, 64, 128, 224" in capsys.readouterr().err


def test_summarize_without_images_says_how_to_get_them(capsys):
    assert main(["datasets", "summarize", "bloodmnist", "--size", "28"]) == 1
    assert "datasets download bloodmnist" in capsys.readouterr().err


def test_summarize_writes_and_prints(capsys, tmp_path, monkeypatch):
    for save in (statistics.save_summary, statistics.save_texture):
        monkeypatch.setattr(save, "__defaults__", (tmp_path / "out",))
    assert main(["datasets", "summarize", "synthetic", "--size", "28"]) == 0
    out = capsys.readouterr().out
    assert "drawn, not real" in out
    assert "imbalance 1.0 to 1" in out
    written = {"synthetic-28.json", "synthetic-28.safetensors", "synthetic-28-texture.safetensors"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == written


def test_unknown_name_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["datasets", "download", "nothing", "--size", "28"])
    assert caught.value.code == 2
    assert "bloodmnist" in capsys.readouterr().err


def test_audit_prints_what_was_planted(capsys, monkeypatch):
    loaded = planted()
    monkeypatch.setattr(datasets_command, "get_dataset", lambda _: replace(loaded.spec, load=lambda *_, **__: loaded))
    assert main(["datasets", "audit", "synthetic"]) == 0
    out = capsys.readouterr().out
    assert "3 pairs are the same to the pixel; 2 across splits, 1 with different labels" in out
    assert "leakage: 3 of 80 test pictures (3.75 %) have a copy in train; 1 (1.25 %) an identical one" in out
    assert "train-030 (NE, train) = test-030 (PLT, test)  identical  DIFFERENT LABELS" in out
    assert "Bottom right corner" in out
    assert main(["datasets", "audit", "synthetic", "--json"]) == 0  # kept, and whole
    assert len(json.loads(capsys.readouterr().out)["duplicates"]) >= 5


def test_audit_refuses_a_split_that_is_not_there(capsys):
    assert main(["datasets", "audit", "synthetic", "--size", "28", "--scheme", "grouped"]) == 1
    assert "leave --scheme out" in capsys.readouterr().err


def test_a_folder_is_added_and_one_that_will_not_do_leaves_it_as_it_was(capsys, tmp_path):
    good = drawn_folder(tmp_path / "good")
    assert main(["datasets", "add", "my_lab", str(good), "--title", "My lab"]) == 0
    out = capsys.readouterr().out
    assert "54 pictures of 3 classes" in out
    assert "patient leakage can't be excluded" in out
    bad = tmp_path / "bad"
    for name in ("a", "b"):
        (bad / name).mkdir(parents=True)
        (bad / name / "1.png").write_text("no picture")
    assert main(["datasets", "add", "my_lab", str(bad)]) == 1
    assert "a/1.png" in capsys.readouterr().err
    assert get_dataset("my_lab").title == "My lab"
    assert main(["datasets", "add", "other", str(bad)]) == 1
    assert "other" not in dataset_names()
    assert main(["datasets", "remove", "my_lab"]) == 0
    assert "my_lab" not in dataset_names()
    assert (good / "alpha" / "cell 1.png").exists()


@pytest.mark.parametrize("option", ["--stretch", "--squeeze"])
def test_oblong_pictures_may_be_stretched_by_either_name(option, tmp_path, capsys):
    assert main(["datasets", "add", "my_lab", str(drawn_folder(tmp_path / "lab")), option]) == 0
    assert get_dataset("my_lab").stretched
    with pytest.raises(SystemExit):
        main(["datasets", "add", "--help"])
    out = capsys.readouterr().out
    assert "--stretch" in out
    assert "--squeeze" not in out
