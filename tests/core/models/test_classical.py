"""What holds for every registered classical model."""

import inspect

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from core.datasets.synthetic import draw_cells
from core.models import UnknownModel, build, get_model, model_names
from core.models.classical.export import MIN_VOTE_FRACTION, export_forest
from core.probabilities import softmax

SIZE = 28
LABELS = np.arange(96) % 4


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Drawn cells of four classes, uint8 (96, 28, 28, 3)."""
    return draw_cells(LABELS, SIZE, seed=3)


@pytest.fixture(params=model_names("classical"))
def fitted(request: pytest.FixtureRequest, pictures):
    """A model fitted to the pictures, and its table of features."""
    model = build(request.param, 4, SIZE, trees=5, leaves=6)
    with torch.inference_mode():
        table = model.feature_set()(torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float()).numpy()
    model.estimator.set_params(random_state=0).fit(table, LABELS)
    return model, table


def test_the_models_of_the_bench_are_there() -> None:
    names = {"random_forest", "random_forest_colour", "bagged_trees", "bagged_trees_colour"}
    assert names <= set(model_names("classical"))
    assert not names & set(model_names("network"))


def test_the_served_graph_goes_from_pixels_to_calibrated_scores(fitted, pictures) -> None:
    model, table = fitted
    session = onnxruntime.InferenceSession(export_forest(model, temperature=0.5))
    assert [i.name for i in session.get_inputs()] == ["image"]
    logits, features = session.run(["logits", "features"], {"image": pictures})
    assert features.shape == (96, len(model.feature_set().names), 1, 1)
    np.testing.assert_allclose(features[:, :, 0, 0], table, rtol=1e-4, atol=2e-4)
    shares = model.estimator.predict_proba(features[:, :, 0, 0])
    expected = np.log(np.maximum(shares, MIN_VOTE_FRACTION)) / 0.5
    np.testing.assert_allclose(softmax(logits), softmax(expected), atol=1e-5)
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, atol=1e-5)
    assert session.run(["logits"], {"image": pictures[:1]})[0].shape == (1, 4)


def test_the_graph_is_one_compact_ensemble(fitted) -> None:
    model, _ = fitted
    graph = onnx.load_model_from_string(export_forest(model, 1.0))
    trees = [node for node in graph.graph.node if node.op_type == "TreeEnsembleClassifier"]
    assert len(trees) == 1
    leaves = sum(tree.tree_.n_leaves for tree in model.estimator.estimators_)
    assert leaves <= 5 * 6
    weights = next(a for a in trees[0].attribute if a.name == "class_weights")
    assert all(weights.floats), "classes without a share in a leaf are stored"


@pytest.mark.parametrize("name", model_names("classical"))
def test_a_model_is_documented_and_says_what_may_be_tuned(name: str) -> None:
    spec = get_model(name)
    assert spec.title
    assert spec.summary
    assert spec.paper_url.startswith("https://")
    assert inspect.getmodule(spec.builder).__doc__
    assert set(spec.tunable) <= set(spec.arguments)
    with pytest.raises(UnknownModel, match="takes no argument width"):
        build(name, 8, 28, width=8)
