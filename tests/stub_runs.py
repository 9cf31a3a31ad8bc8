"""Runs with a small hand-made graph that can be computed by hand: what serving needs, without training."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.runs import Run

CODES = ["BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT"]


def graph(path, size, weights, features=True):
    """logits = mean colour (0 to 1) of the picture times ``weights`` (3, C); features = the scaled picture."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["nchw", "scale"], ["features"]),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", weights.shape[1]])]
    if features:
        outputs.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3, size, size]))
    made = helper.make_graph(
        nodes,
        "stub",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", size, size, 3])],
        outputs,
        [
            numpy_helper.from_array(np.float32(255), "scale"),
            numpy_helper.from_array(weights.astype(np.float32), "weights"),
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


@pytest.fixture
def make_run(tmp_path):
    """A function that writes a run with a hand-made graph: it names the first class red, the second green ..."""

    def make(
        name="stub-64-000000",
        size=64,
        weights=None,
        cells=0,
        features=True,
        dataset="bloodmnist",
        codes=tuple(CODES),
        kind="network",
    ):
        folder = tmp_path / dataset / name
        folder.mkdir(parents=True)
        if weights is None:
            weights = np.zeros((3, len(codes)))
            for number in range(min(3, len(codes))):  # red BA, green EO, blue ERB
                weights[number, number] = 20
        graph(folder / "model.onnx", size, weights, features)
        config = {
            "name": name,
            "kind": kind,
            "train": {"model": "stub", "dataset": dataset, "size": size, "seed": 0},
            "model": {"name": "stub", "title": "Stub"},
            "dataset": {
                "name": dataset,
                "title": dataset,
                "size": size,
                "codes": list(codes),
                "provenance": {"label": "made for tests"},
            },
        }
        score = {"accuracy": 0.9, "accuracy_interval": [0.8, 0.95], "n": 100, "ece": 0.1}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "metrics.json").write_text(json.dumps({"val": score, "test": score}))
        (folder / "history.csv").write_text("epoch\n1\n")
        rng = np.random.default_rng(0)
        arrays = {}
        for split in ("val", "test"):
            arrays[f"{split}_ids"] = np.array([f"{i:05d}" for i in range(cells)], dtype="U5")
            arrays[f"{split}_labels"] = rng.integers(0, len(codes), cells).astype(np.uint8)
            arrays[f"{split}_logits"] = rng.normal(size=(cells, len(codes))).astype(np.float16)
        np.savez(folder / "predictions.npz", **arrays)
        return Run(folder)

    return make


@pytest.fixture
def colour():
    """A function (rgb, height=64, width=64) that makes a plain picture."""

    def make(rgb, height=64, width=64):
        return np.tile(np.uint8(rgb), (height, width, 1))

    return make
