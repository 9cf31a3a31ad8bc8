"""Runs on disk: found by name, whole or absent, read whatever version wrote them."""

import json

import numpy as np
import pytest

from core.runs import Run, RunNotFound, default_run, existing_run, find_run, list_runs, update_metrics, write_run
from core.training.config import TrainConfig
from tests.fake_runs import combined, fake_run


def test_runs_are_found_by_name_by_beginning_and_by_folder(tiny_runs) -> None:
    run = tiny_runs[0]
    assert find_run(run.name).path == run.path
    assert find_run(run.name[:-2]).path == run.path
    assert find_run(run.path).path == run.path


def test_what_is_not_there_names_what_is(tiny_runs) -> None:
    with pytest.raises(RunNotFound, match=tiny_runs[0].name):
        find_run("vgg")
    with pytest.raises(RunNotFound, match="several"):
        find_run("cnn_")


def test_the_default_is_the_best_on_val(tiny_runs) -> None:
    best = max(tiny_runs, key=lambda r: r.metrics["val"]["accuracy"])
    assert default_run("synthetic").name == best.name
    with pytest.raises(RunNotFound, match="train one"):
        default_run("bloodmnist")


def test_a_folder_that_is_not_whole_is_no_run(tiny_run, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path / "none"))
    half = tmp_path / "cache" / "runs" / "synthetic" / "half"
    half.mkdir(parents=True)
    (half / "config.json").write_text("{}")
    assert list_runs() == []


def test_arrays_come_back_as_float32(tiny_run) -> None:
    answers = tiny_run.predictions("val")
    assert answers.logits.dtype == np.float32
    assert answers.logits.shape == (len(answers.labels), 8)
    assert all(v.dtype in (np.float32, np.int64) for v in tiny_run.weights().values())


def test_metrics_can_be_added_to(tiny_run, tmp_path) -> None:
    import shutil

    copy = Run(tmp_path / "copy")
    shutil.copytree(tiny_run.path, copy.path)
    changed = update_metrics(copy, latency={"batch1_ms": 1.5})
    assert changed.metrics["latency"]["batch1_ms"] == 1.5
    assert changed.metrics["test"] == tiny_run.metrics["test"]


def test_a_run_says_what_kind_of_model_it_holds_and_is_a_network_where_it_says_nothing(tmp_path) -> None:
    for name, config in {"old": "{}", "forest": '{"kind": "classical"}'}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(config)
    assert [Run(tmp_path / name).kind for name in ("old", "forest")] == ["network", "classical"]


def test_on_a_clash_of_names_the_users_own_run_stands(tmp_path, monkeypatch) -> None:
    shipped, own = tmp_path / "shipped", tmp_path / "cache" / "runs"
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(shipped))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    fake_run(shipped, "cnn-64-1", accuracy=0.8)
    fake_run(shipped, "cnn-64-2", accuracy=0.7)
    fake_run(own, "cnn-64-1", accuracy=0.9)
    assert [(run.name, run.shipped) for run in list_runs()] == [("cnn-64-2", True), ("cnn-64-1", False)]
    assert find_run("cnn-64-1").path.is_relative_to(own)
    assert existing_run("bloodmnist", "cnn-64-1").path.is_relative_to(own)
    assert [run.shipped for run in list_runs(shipped_only=True)] == [True, True]


def test_members_are_the_users_own_before_shipped_ones(tmp_path, monkeypatch) -> None:
    shipped, own, elsewhere = tmp_path / "shipped", tmp_path / "cache" / "runs", tmp_path / "elsewhere"
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(shipped))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    members = [fake_run(shipped, "cnn-64-1"), fake_run(shipped, "cnn-64-2")]
    both = combined(fake_run(elsewhere, "both-64-1"), members)
    assert [member.shipped for member in both.members] == [True, True]
    fake_run(own, "cnn-64-2")
    assert [member.shipped for member in Run(both.path).members] == [True, False]


def test_what_fails_before_a_run_is_whole_leaves_no_folder_and_the_older_run(tmp_path) -> None:
    def fail(run: Run) -> None:
        assert run.predictions("val").logits.shape[1] == 8  # all else is there by then
        raise RuntimeError("no detector")

    def write(complete) -> Run:
        like = fake_run(tmp_path / "like", "cnn-64-1")
        return write_run(
            tmp_path / "runs",
            "cnn-64-1",
            config=like.config,
            metrics=like.metrics,
            predictions={split: like.predictions(split) for split in ("val", "test")},
            weights={"w": np.zeros(3, "f4")},
            export=lambda graph, weights: graph.write_bytes(b"not a graph"),
            complete=complete,
        )

    with pytest.raises(RuntimeError, match="no detector"):
        write(fail)
    assert list((tmp_path / "runs" / "bloodmnist").iterdir()) == []
    run = write(None)
    before = run.version
    with pytest.raises(RuntimeError, match="no detector"):
        write(fail)
    assert [folder.name for folder in run.path.parent.iterdir()] == [run.name]
    assert run.version == before


def test_a_run_that_is_still_being_written_is_not_listed(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    fake_run(tmp_path, ".cnn-64-1-abc")
    assert list_runs() == []


def test_the_version_changes_with_any_file_of_the_run_or_of_a_member(tmp_path) -> None:
    first, second = fake_run(tmp_path, "cnn-64-1"), fake_run(tmp_path, "cnn-64-2")
    both = combined(fake_run(tmp_path, "both-64-1"), [first, second])
    versions = [both.version]
    update_metrics(second, latency={"batch1_ms": 12.25})
    versions.append(both.version)
    fake_run(tmp_path, "cnn-64-1", accuracy=0.5)
    versions.append(both.version)
    assert len(set(versions)) == 3
    assert both.version == versions[-1]


NORTH = {"laboratory": "north", "before": 0.7, "after": 0.9, "cells": 200, "draws": 5, "answers": 20}
SPOILT = {"split": "test", "clean": {"accuracy": 0.9}, "corruptions": {}}


def test_a_run_of_a_former_version_still_loads(tmp_path) -> None:
    run = fake_run(tmp_path, "cnn-64-1", train={"start": "cnn-64-0", "teacher": "cnn-64-9", "teaching": 0.5})
    former = run.path
    (former / "guard.safetensors").write_bytes(b"detector")
    (former / "anchors.safetensors").write_bytes(b"exemplars")
    (former / "elsewhere.json").write_text(json.dumps({"laboratories": [NORTH]}))
    (former / "corruptions.json").write_text(json.dumps(SPOILT | {"of": 320}))
    config = json.loads((former / "config.json").read_text()) | {"views": 8, "chosen_on_val": True}
    config["beside"] = {"name": "bone_marrow"}
    config["train"] |= {"beside": "bone_marrow", "beside_share": 0.1, "model": "cnn_se", "size": 28}
    (former / "config.json").write_text(json.dumps(config))
    run = Run(former)
    assert run.ood_path.read_bytes() == b"detector"
    assert run.exemplars_path.read_bytes() == b"exemplars"
    assert run.external_validation() == [NORTH]
    assert run.robustness() == SPOILT | {"test_images": 320}
    assert (run.tta_views, run.config["selected_on_val"]) == (8, True)
    assert run.config["auxiliary"] == {"name": "bone_marrow"}
    train = run.config["train"]
    assert (train["warm_start"], train["distill_from"], train["distill_alpha"]) == ("cnn-64-0", "cnn-64-9", 0.5)
    assert (train["auxiliary"], train["auxiliary_fraction"]) == ("bone_marrow", 0.1)
    stored = TrainConfig.from_json(config["train"])
    assert (stored.warm_start, stored.auxiliary, stored.auxiliary_fraction) == ("cnn-64-0", "bone_marrow", 0.1)


def test_training_time_counts_every_cycle_and_every_member_once(tmp_path) -> None:
    first = fake_run(tmp_path, "cnn-64-1", seed=1)
    second = fake_run(tmp_path, "cnn-64-2", seed=2, train={"warm_start": first.name})
    third = fake_run(tmp_path, "cnn-64-3", seed=3, train={"warm_start": second.name})
    lost = fake_run(tmp_path, "cnn-64-4", seed=4, train={"warm_start": "cnn-64-0"})
    assert [run.training_seconds for run in (first, second, third, lost)] == [61, 123, 186, 64]
    assert combined(fake_run(tmp_path, "both-64-1"), [second, third, lost]).training_seconds == 250
