"""Combinations, on runs with hand-made graphs and a small data set of plain pictures: nothing is trained."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from core.cli import main
from core.datasets import LoadedDataset, Provenance, Split, get_dataset
from core.datasets.base import content_hash
from core.evaluation.metrics import score
from core.inference import engine
from core.inference.engine import tta_views
from core.inference.predictor import Predictor
from core.probabilities import softmax
from core.runs import DamagedRun, Predictions, Run, best_run, find_run, list_runs, write_run
from core.training import ensemble as module
from core.training.ensemble import BadCombination, combine, select_members
from tests.stub_runs import CODES, graph

SIZE = 28


def small_data(seed=0):
    """Pictures whose left half alone carries the class's colour, so that views differ, and noise over all."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (len(CODES), 3))
    splits = {}
    for split, count in (("train", 16), ("val", 80), ("test", 120)):
        labels = rng.integers(0, len(CODES), count)
        images = rng.integers(0, 256, (count, SIZE, SIZE, 3))
        images[:, :, : SIZE // 2] = (images[:, :, : SIZE // 2] + colours[labels][:, None, None]) // 2
        splits[split] = Split(images.astype("u1"), labels, np.array([f"{split}-{i}" for i in range(count)]))
    spec = get_dataset("synthetic")
    return LoadedDataset(spec, SIZE, Provenance("drawn", "drawn, not real", content_hash(splits)), splits)


@pytest.fixture
def data(monkeypatch, tmp_path):
    for name in ("CACHE", "DATA", "PRETRAINED"):
        monkeypatch.setenv(f"HEMALENS_{name}", str(tmp_path / name.lower()))
    made = small_data()
    spec = replace(made.spec, load=lambda size, **how: made)
    for place in ("core.training.ensemble", "core.commands.evaluate"):
        monkeypatch.setattr(f"{place}.get_dataset", lambda name: spec)
    return made


def stored(data, tmp_path, name, weights, kind="network", **dataset):
    """A run with a hand-made graph whose stored answers are its graph's."""
    facts = {
        "name": "synthetic",
        "title": "Drawn cells",
        "size": SIZE,
        "provenance": {"kind": "drawn", "label": "drawn, not real", "content_hash": data.provenance.content_hash},
        "codes": CODES,
        "counts": {split: len(part) for split, part in data.splits.items()},
    }
    config = {
        "name": name,
        "kind": kind,
        "train": {"model": "stub", "dataset": "synthetic", "size": SIZE, "seed": 0},
        "model": {"name": "stub", "title": f"Stub {name}", "summary": "", "paper": "", "paper_url": ""},
        "dataset": facts | dataset,
    }
    root = tmp_path / "cache" / "runs"
    folder = root / "graphs"
    folder.mkdir(parents=True, exist_ok=True)
    graph(folder / name, SIZE, weights)
    session = engine.ort.InferenceSession(str(folder / name))
    answers = {
        split: Predictions(part.ids, part.labels, session.run(["logits"], {"image": part.images})[0])
        for split, part in data.splits.items()
        if split != "train"
    }
    metrics = {split: score(p.labels, p.logits) for split, p in answers.items()}
    metrics |= {"parameters": 100, "train_seconds": 5.0, "device": f"machine of {name}"}
    return write_run(
        root,
        name,
        config=config,
        metrics=metrics,
        predictions=answers,
        export=lambda path, weights: path.write_bytes((folder / name).read_bytes()),
    )


@pytest.fixture
def members(data, tmp_path):
    """Three runs: two that see something (each something else), one that is worse than chance."""
    rng = np.random.default_rng(3)
    pixels = np.concatenate([s.images.mean((1, 2)) / 255 for s in data.splits.values()])
    labels = np.concatenate([s.labels for s in data.splits.values()])
    good = LogisticRegression(C=30, fit_intercept=False, max_iter=2000).fit(pixels, labels).coef_.T
    noise = 0.05 * np.abs(good).mean()
    return [
        stored(data, tmp_path, "a", good + rng.normal(0, noise, good.shape)),
        stored(data, tmp_path, "b", good + rng.normal(0, noise, good.shape)),
        stored(data, tmp_path, "c", -good),
    ]


def by_hand(members, images, count):
    return np.mean(
        [softmax(engine.logits(m, np.ascontiguousarray(v))) for m in members for v in tta_views(images, count)], 0
    )


@pytest.mark.parametrize(("number", "count"), [(2, 1), (2, 8), (1, 8), (3, 8)])
def test_it_answers_with_the_mean_probability_of_members_and_views(data, members, number, count):
    run = combine(members[:number], tta_views=count)
    assert run.kind == "combination"
    assert run.model == ("ensemble" if number > 1 else "averaged_views")
    assert [m.name for m in run.members] == [m.name for m in members[:number]]
    assert run.tta_views == count
    images = data["test"].images[:70]  # more than one batch
    expected = np.log(by_hand(members[:number], images, count)) / run.metrics["temperature"]
    found = engine.logits(run, images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(run.predictions("test").logits[:70], found, atol=0.02)  # stored in half precision
    np.testing.assert_allclose(Predictor(run).predict_crops(images[:1]).probabilities, softmax(expected[:1]), rtol=1e-3)


def test_its_folder_says_what_it_is_and_nothing_is_stored_twice(data, members):
    run = combine(members[:2], tta_views=8)
    files = {"config.json", "metrics.json", "predictions.npz", "card.md", "ood.safetensors"}
    assert {p.name for p in run.path.iterdir()} == files
    assert run.title == "Ensemble of 2, 8 views, 28 px"
    assert run.model_bytes == sum(m.model_bytes for m in members[:2]) > 0
    assert run.metrics["parameters"] == 200
    assert run.metrics["train_seconds"] == 10
    assert run.metrics["device"] == "machine of a; machine of b"
    assert run.history == {}
    assert "`a`, `b`, each over 8 flips" in run.card
    assert "8 views averaged" in run.card
    assert combine(members[:1], title="Turned").title == "Turned, 28 px"


def test_val_chooses_the_temperature_and_the_figures_are_those_of_the_answers(data, members):
    run = combine(members[:2], tta_views=1)
    for split in ("val", "test"):
        stored_answers = run.predictions(split)
        assert run.metrics[split]["accuracy"] == np.mean(stored_answers.logits.argmax(1) == stored_answers.labels)
    val = run.predictions("val")

    def loss(factor):
        return -np.log(softmax(val.logits * factor)[np.arange(len(val.labels)), val.labels]).mean()

    assert loss(1) < min(loss(0.8), loss(1.25))


def test_the_shell_combines_and_scores_it_anew(data, members, capsys):
    assert main(["combine", "a", "b", "--views", "1", "--title", "Two"]) == 0
    run = next(r for r in list_runs() if r.kind == "combination")
    assert run.name in capsys.readouterr().out
    assert run.title == "Two, 28 px"
    assert main(["evaluate", run.name]) == 0
    assert f"stored {run.metrics['test']['accuracy']:.4f}" in capsys.readouterr().out


def test_the_same_combination_is_made_once_unless_forced(data, members, monkeypatch):
    first = combine(members[:2], tta_views=1)
    assert combine(members[1::-1], tta_views=1).path == first.path
    assert combine(members[:2], tta_views=8).path != first.path
    monkeypatch.setattr(engine, "mean_probabilities", lambda *a: pytest.fail("asked again"))
    assert combine(members[:2], tta_views=1).name == first.name
    with pytest.raises(pytest.fail.Exception):
        combine(members[:2], tta_views=1, force=True)


def test_it_never_answers_by_default_but_where_there_is_nothing_else(data, members):
    run = combine(members[:2], tta_views=8)
    assert best_run([run, *members]).name in ("a", "b")
    assert best_run([run]) == run
    assert best_run([]) is None


def test_a_lost_member_takes_the_combination_from_the_list_and_says_so(data, members):
    run = combine(members[:2], tta_views=1)
    members[1].onnx_path.unlink()
    assert run.name not in [r.name for r in list_runs()]
    with pytest.raises(DamagedRun, match=f"{run.name} combines several models, of which b is missing"):
        find_run(run.path)
    again = Run(run.path)
    with pytest.raises(engine.EngineError, match=f"{run.name} combines several models, of which b is missing"):
        engine.load(again)
    with pytest.raises(engine.EngineError, match="b is missing"):
        engine.logits(again, data["test"].images)


def test_it_has_no_feature_map_of_its_own(data, members):
    with pytest.raises(engine.EngineError, match="choose one of its members"):
        engine.feature_maps(combine(members[:1]), data["test"].images)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9])
def test_any_number_of_pictures(data, members, n):
    run = combine(members[:1])
    assert engine.logits(run, data["test"].images[:n]).shape == (n, len(CODES))
    with pytest.raises(engine.EngineError, match="28 x 28"):
        engine.logits(run, np.zeros((n, 64, 64, 3), "u1"))


def test_certain_answers_stay_numbers(data, tmp_path, members):
    sure = stored(data, tmp_path, "sure", np.eye(3, len(CODES)) * 1e4)
    assert np.isfinite(engine.logits(combine([sure]), data["test"].images)).all()


def test_what_can_not_be_combined_is_told(data, tmp_path, members):
    a, b, _ = members
    weights = np.zeros((3, len(CODES)))
    with pytest.raises(BadCombination, match="that run itself"):
        combine([a], tta_views=1)
    with pytest.raises(BadCombination, match="views can't be 3"):
        combine([a, b], tta_views=3)
    with pytest.raises(BadCombination, match="named twice"):
        combine([a, a])
    with pytest.raises(BadCombination, match="name its members instead"):
        combine([a, combine([b])])
    with pytest.raises(BadCombination, match="at 28 px, the other on drawn, not real at 64 px"):
        combine([a, stored(data, tmp_path, "large", weights, size=64)])
    other = {"kind": "drawn", "label": "drawn, not real", "content_hash": "0" * 12}
    with pytest.raises(BadCombination, match="of another content"):
        combine([a, stored(data, tmp_path, "other", weights, provenance=other)])


def test_members_must_be_where_the_combination_finds_them(data, tmp_path, members):
    with pytest.raises(BadCombination, match="a lies in .*copy its folder"):
        combine(members[:2], root=tmp_path / "pretrained")  # what ships must not lean on one's own runs
    far = shutil.copytree(members[0].path, tmp_path / "far" / "synthetic" / "far")
    with pytest.raises(BadCombination, match="far lies in"):
        combine([Run(far), members[1]])
    beside = combine(members[:2], tta_views=1, root=tmp_path / "cache" / "runs")
    assert beside.members == tuple(members[:2])


def test_images_that_are_not_those_of_the_members_are_refused(data, members, monkeypatch):
    other = small_data(seed=1)
    monkeypatch.setattr(module, "get_dataset", lambda name: replace(other.spec, load=lambda *a, **k: other))
    with pytest.raises(BadCombination, match="not on this computer"):
        combine(members[:2])


def test_members_are_chosen_on_val_and_a_bad_one_is_left_out(data, members, capsys):
    chosen = select_members(members, 3)
    assert {run.name for run in chosen} <= {"a", "b"}
    losses = [-np.log(softmax(r.predictions("val").logits)[np.arange(80), data["val"].labels]).mean() for r in members]
    assert chosen[0] == members[int(np.argmin(losses))]
    assert len(select_members(members, 1)) == 1
    assert main(["combine", "--select", "2", "--dataset", "synthetic", "--size", "28", "--tta", "8"]) == 0
    made = next(run for run in list_runs() if run.kind == "combination")
    assert "chosen on val" in capsys.readouterr().out
    assert "log loss on val" in made.card
    assert select_members([*members, made], 3) == chosen, "a combination is no member"


def test_choosing_never_looks_at_test(data, members, monkeypatch):
    real = Run.predictions

    def val_only(self, split):
        assert split == "val"
        return real(self, split)

    monkeypatch.setattr(Run, "predictions", val_only)
    select_members(members, 2)
    with pytest.raises(BadCombination, match="train some first"):
        select_members([], 2)


def test_the_shell_asks_for_runs(capsys):
    assert main(["combine"]) == 1
    assert "--select 5" in capsys.readouterr().err


def test_combinations_are_registered_but_not_trained(data, capsys):
    from core.models import UnknownModel, build, model_names

    assert model_names("combination") == ["averaged_views", "ensemble"]
    with pytest.raises(UnknownModel, match="core combine RUN"):
        build("ensemble", 8, 64)
