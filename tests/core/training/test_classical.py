"""Fits forests and bagged trees for real, on drawn cells, in seconds."""

import numpy as np
import pytest

from core.cli import main
from core.datasets import get_dataset
from core.errors import HemaLensError
from core.inference import engine
from core.models import load_network
from core.runs import Run, list_runs
from core.training import TrainConfig, classical, train

SMALL = {"trees": 12, "leaves": 20}


def config(model: str = "random_forest", **choices) -> TrainConfig:
    return TrainConfig.for_model(model, **{"dataset": "synthetic", "size": 28, "model_arguments": SMALL, **choices})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory):
    """A folder with a small forest on each feature set."""
    folder = tmp_path_factory.mktemp("forests")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEMALENS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HEMALENS_PRETRAINED", str(folder))
        for model in ("random_forest", "bagged_trees_colour"):
            train(config(model), root=folder)
    return folder


@pytest.fixture
def forest(root, tmp_path, monkeypatch) -> Run:
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(root))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    return next(run for run in list_runs() if run.model == "random_forest")


def test_a_forest_tells_drawn_cells_apart_and_its_run_is_whole(forest) -> None:
    assert forest.kind == "classical"
    assert forest.metrics["test"]["accuracy"] > 0.8  # eight classes: 0.125 by chance
    assert forest.history == {}  # nothing is trained epoch by epoch
    assert forest.metrics["parameters"] > 0
    assert forest.title == "Random forest, grey, 28 px"
    assert not (forest.path / "weights.safetensors").exists()
    assert "trees grown" in forest.card
    assert "epochs" not in forest.card
    assert forest.model_bytes == forest.onnx_path.stat().st_size


def test_its_figures_are_those_of_the_served_graph(forest) -> None:
    test = get_dataset("synthetic").load(28)["test"]
    stored = forest.predictions("test")
    np.testing.assert_allclose(engine.logits(forest, test.images), stored.logits, rtol=2e-3, atol=2e-3)
    assert forest.metrics["test"]["accuracy"] == np.mean(stored.logits.argmax(1) == test.labels)


def test_the_shell_scores_it_anew_reports_it_and_predicts_with_it(forest, capsys, tmp_path) -> None:
    from PIL import Image

    assert main(["evaluate", forest.name]) == 0
    assert main(["report"]) == 0
    assert forest.name in capsys.readouterr().out
    Image.fromarray(get_dataset("synthetic").load(28)["test"].images[0]).save(tmp_path / "cell.png")
    assert main(["predict", "--image-path", str(tmp_path / "cell.png"), "--model", forest.name]) == 0


def test_what_does_not_apply_to_trees_is_neither_stored_nor_part_of_the_name(forest) -> None:
    assert set(forest.config["train"]) == {"dataset", "size", "model", "model_arguments", "seed"}
    content = forest.config["dataset"]["provenance"]["content_hash"]
    assert TrainConfig.from_json(forest.config["train"]).run_name(content) == forest.name
    assert config(epochs=3, learning_rate=0.01).run_name(content) == forest.name
    assert config(seed=1).run_name(content) != forest.name
    assert config(model_arguments=SMALL | {"leaves": 21}).run_name(content) != forest.name


def test_the_same_configuration_is_fitted_once_and_gives_the_same_trees(forest) -> None:
    graph, _ = forest.graph()
    assert train(config()).path == forest.path
    again = train(config(), force=True)
    assert again.path != forest.path  # the user's own
    assert again.graph() == (graph, None)
    np.testing.assert_array_equal(again.predictions("val").logits, forest.predictions("val").logits)


def test_it_says_what_its_answers_rest_on(root, forest) -> None:
    colour = next(run for run in list_runs() if run.model == "bagged_trees_colour")
    for run in (forest, colour):
        found = run.importances()
        assert len(found["features"]) == len(found["groups"]) == len(found["importance"])
        assert set(found["group_importance"]) == set(found["groups"])
        assert max(found["group_importance"].values()) > 0.01
        assert found["images"] == run.metrics["val"]["n"]
    assert len(colour.importances()["features"]) > len(forest.importances()["features"])


def test_a_network_has_no_such_list_and_a_forest_no_layers(tiny_run, forest) -> None:
    assert tiny_run.importances() is None
    with pytest.raises(HemaLensError, match="is no network"):
        load_network(forest)


def test_progress_is_one_count_that_only_goes_up(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path / "none"))
    monkeypatch.setattr(classical, "_feature_tables", {})
    steps = []
    train(config(seed=9), report=steps.append)
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert steps[-1].done == steps[-1].total
    lines = " ".join(step.message for step in steps)
    assert "features of" in lines
    assert "12 of 12 trees" in lines


def test_cross_validation_is_stratified_repeatable_and_can_be_given_up(monkeypatch) -> None:
    data = get_dataset("synthetic").load(28)
    steps = []
    accuracies = classical.cross_validate(config(), data, folds=3, report=steps.append)
    assert len(accuracies) == 3
    assert all(0.7 < accuracy <= 1 for accuracy in accuracies)
    assert (steps[-1].done, steps[-1].total) == (3, 3)
    assert steps[-1].details["accuracy"] == pytest.approx(np.mean(accuracies))
    seen = []

    def give_up(so_far: list[float]) -> bool:
        seen.append(list(so_far))
        return len(so_far) == 2

    assert classical.cross_validate(config(), data, folds=3, should_prune=give_up) == accuracies[:2]
    assert [len(s) for s in seen] == [1, 2]


def test_features_are_computed_once(monkeypatch) -> None:
    data = get_dataset("synthetic").load(28)
    table = classical.compute_features(data, "grey")
    monkeypatch.setattr("core.models.classical.features.FEATURE_SETS", {})
    assert classical.compute_features(data, "grey") is table
    assert not table.flags.writeable


def test_the_shell_refuses_options_that_mean_nothing_to_trees(capsys) -> None:
    assert main(["train", "--model", "random_forest", "--dataset", "synthetic", "--size", "28", "--epochs", "5"]) != 0
    assert "--epochs" in capsys.readouterr().err
