import numpy as np
import pytest

from core.runs import Run, RunNotFound, default_run, find_run, list_runs, update_metrics


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
