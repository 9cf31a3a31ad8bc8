"""Runs with a small hand-made graph that can be computed by hand: what serving needs, without training."""

import io
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from core.inference.laboratory import ExternalCalibration, SpecimenCalibration
from core.inference.ood import fit_detector
from core.runs import Run

NUCLEUS = (60, 0, 255)
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


def _all_right(split, classes, each=24):
    """Answers for ``each`` cells a class, every one right: too few to lower the confidence threshold from .9."""
    labels = np.repeat(np.arange(classes), each)
    return {
        f"{split}_ids": np.array([f"{i:05d}" for i in range(len(labels))]),
        f"{split}_labels": labels.astype(np.uint8),
        f"{split}_logits": (8 * np.eye(classes)[labels]).astype(np.float16),
    }


@pytest.fixture
def make_run(tmp_path):
    """A function that writes a run with a hand-made graph: it names the first class red, the second green ...

    Its val answers are those for ``cells`` by chance; by default those for a few, all right.
    """

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
        if not cells:
            arrays |= _all_right("val", len(codes))
        np.savez(folder / "predictions.npz", **arrays)
        return Run(folder)

    return make


@pytest.fixture
def colour():
    """A function (rgb, height=64, width=64) that makes a plain picture."""

    def make(rgb, height=64, width=64):
        return np.tile(np.uint8(rgb), (height, width, 1))

    return make


def write_alarm(run, weights=(0, 0, 40, 0, 0, 0), bias=-20.0):
    """Give ``run`` an alarm: the sigmoid of its embedding (mean of each channel, deviation of each) times ``weights``;
    by default raised where a picture is half blue or more.
    """
    nodes = [
        helper.make_node("Gemm", ["embedding", "weights", "bias"], ["linear"]),
        helper.make_node("Sigmoid", ["linear"], ["score"]),
    ]
    column = np.float32(weights).reshape(-1, 1)
    made = helper.make_graph(
        nodes,
        "alarm",
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", len(column)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(column, "weights"), numpy_helper.from_array(np.float32([bias]), "bias")],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), run.alarm_path)


def write_detector(run):
    """Give ``run`` a detector that knows `home_pictures`."""
    pictures = home_pictures(240, run.size)
    embeddings = np.concatenate([pictures.mean((1, 2)), pictures.std((1, 2))], 1).astype(np.float32) / 255
    labels = np.arange(240) % 3
    half = np.arange(240) < 120
    fit_detector(embeddings[half], labels[half], embeddings[~half]).save(run.ood_path)


def write_calibration(run, temperature=1.25, confidence_threshold=0.9, set_threshold=0.2):
    """Say what answers of ``run`` are worth at other laboratories."""
    part = SpecimenCalibration(temperature, confidence_threshold, set_threshold, 0.72, 0.84)
    ExternalCalibration(("a", "b"), part, part).save(run.external_calibration_path)


def home_pictures(count, size=64, seed=0):
    """Pictures uint8 (count, size, size, 3) with a nucleus, red, green, blue in turn, that `write_detector` knows."""
    rng = np.random.default_rng(seed)
    base = 160 * np.eye(3)[np.arange(count) % 3][:, None, None] + 60
    jitter = rng.normal(0, 6, (count, 1, 1, 3)) + rng.integers(-7, 8, (count, size, size, 3), dtype=np.int8)
    away = np.hypot(*(np.mgrid[:size, :size] - (size - 1) / 2))[..., None]
    return np.where(away < size / 10, NUCLEUS, np.clip(base + jitter, 0, 255)).astype(np.uint8)


def foreign_pictures(count, size=64, seed=1):
    """The same classes under another stain: every picture is darker and redder than at home."""
    return (home_pictures(count, size, seed) * np.array([0.95, 0.6, 0.6])).astype(np.uint8)


def as_files(pictures):
    """Names and PNG bytes of ``pictures`` uint8 (N, H, W, 3)."""
    files = []
    for number, pixels in enumerate(pictures):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        files.append((f"{number:03d}.png", buffer.getvalue()))
    return files
