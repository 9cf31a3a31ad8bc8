"""From fitted trees to the graph that is served: pixels to features to calibrated scores, in one file.

The graph takes ``image`` uint8 (N, S, S, 3) as decoded and yields ``logits`` (N, C), the logarithms of calibrated
probabilities, and ``features`` (N, K, 1, 1). There are no weights beside it.
"""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from core.models.classical import ClassicalModel
from core.models.classical.features import FeatureSet
from core.models.export import OPSET, to_onnx

MIN_VOTE_FRACTION = 1e-3  # least share of votes a class is given before the logarithm
_OPSETS = {"": OPSET, "ai.onnx.ml": 3}
_IR = 8


class _FeatureGraph(nn.Module):
    """Decoded pixels to the features, as a table for the trees and as a map for whoever asks for it."""

    def __init__(self, features: FeatureSet) -> None:
        super().__init__()
        self.features = features

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        table = self.features(image.permute(0, 3, 1, 2).float())
        return table, table.unsqueeze(2).unsqueeze(3)


def export_forest(model: ClassicalModel, temperature: float) -> bytes:
    """The served graph of a fitted ``model``, whose votes are sharpened or softened by ``temperature``."""
    described = onnx.compose.add_prefix(_features_graph(model), "pixels.", rename_outputs=False, rename_inputs=False)
    trees = _trees_graph(model)
    merged = onnx.compose.merge_models(described, trees, io_map=[("table", "table")], outputs=["features", "shares"])
    _append_logits(merged, temperature)
    merged.producer_name = "HemaLens"
    onnx.checker.check_model(merged)
    return merged.SerializeToString()


def _features_graph(model: ClassicalModel) -> onnx.ModelProto:
    example = torch.zeros(2, model.size, model.size, 3, dtype=torch.uint8)
    graph = to_onnx(_FeatureGraph(model.feature_set()), example, ["image"], ["table", "features"])
    graph.ir_version = _IR
    return graph


def _trees_graph(model: ClassicalModel) -> onnx.ModelProto:
    """``table`` (N, K) to ``shares`` (N, C) of the votes."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    graph = convert_sklearn(
        model.estimator,
        name="trees",  # else a random one: the same trees shall give the same file
        initial_types=[("table", FloatTensorType([None, model.estimator.n_features_in_]))],
        options={id(model.estimator): {"zipmap": False}},
        target_opset=_OPSETS,
    )
    graph.ir_version = _IR
    node = next(n for n in graph.graph.node if n.op_type == "TreeEnsembleClassifier")
    _drop_unused_attributes(node)
    del graph.graph.output[0]  # the class, which is the greatest share
    graph.graph.output[0].name = node.output[1] = "shares"
    del graph.opset_import[:]
    graph.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in _OPSETS.items())
    return graph


def _drop_unused_attributes(trees: onnx.NodeProto) -> None:
    """Leave out what changes no answer: statistics, the way of missing values, and classes without a share."""
    attributes = {a.name: helper.get_attribute_value(a) for a in trees.attribute}
    for name in ("nodes_hitrates", "nodes_missing_value_tracks_true"):
        attributes.pop(name, None)
    kept = [i for i, weight in enumerate(attributes["class_weights"]) if weight]
    for name in ("class_ids", "class_nodeids", "class_treeids", "class_weights"):
        attributes[name] = [attributes[name][i] for i in kept]
    needed = [helper.make_attribute(name, value) for name, value in attributes.items()]
    del trees.attribute[:]
    trees.attribute.extend(needed)


def _append_logits(model: onnx.ModelProto, temperature: float) -> None:
    """Replace the output ``shares`` by ``logits``, the log-softmax of log(shares, at least `MIN_VOTE_FRACTION`) /
    temperature.
    """
    graph = model.graph
    for name, value in (("floor", MIN_VOTE_FRACTION), ("temperature", temperature)):
        graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
    graph.node.extend(
        [
            helper.make_node("Max", ["shares", "floor"], ["shares.floored"]),
            helper.make_node("Log", ["shares.floored"], ["shares.log"]),
            helper.make_node("Div", ["shares.log", "temperature"], ["shares.divided"]),
            helper.make_node("LogSoftmax", ["shares.divided"], ["logits"], axis=1),
        ]
    )
    classes = next(o for o in graph.output if o.name == "shares").type.tensor_type.shape.dim[1].dim_value
    outputs = [o for o in graph.output if o.name != "shares"]
    del graph.output[:]
    graph.output.extend([helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes]), *outputs])
