"""From a network to the graph that is served, without a second copy of its weights.

The ONNX graph takes ``image`` uint8 (N, S, S, 3) as decoded and yields ``logits`` (N, C),
``features`` (N, K, h, w), the last feature map, and, where the network names a layer for it, ``texture`` (N, 2 K'),
mean and deviation of an earlier one; normalisation is inside. Its weights are external
data that point into the run's ``weights.safetensors``: kernels are stored there in half precision
and cast on loading, when ONNX Runtime folds the casts and the batch norms away.
"""

import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, external_data_helper, helper
from torch import Tensor, nn

from core.models.base import ImageClassifier

OPSET = 17


def stored_tensors(network: nn.Module) -> dict[str, np.ndarray]:
    """The network's tensors as stored: matrices and kernels in float16, the rest (biases, norms) in float32.

    Step counters are left at their own type. Running variances can be too small for half precision.
    """
    stored = {}
    for name, tensor in network.state_dict().items():
        array = tensor.detach().cpu().numpy()
        half = tensor.is_floating_point() and tensor.ndim > 1 and name not in ("mean", "std")
        stored[name] = np.ascontiguousarray(array.astype(np.float16) if half else array)
    return stored


def round_to_stored(network: nn.Module) -> None:
    """Round the network's tensors in place to what `stored_tensors` keeps: scores are then those of the stored run."""
    stored = stored_tensors(network).items()
    network.load_state_dict({k: torch.from_numpy(v.astype("f4") if v.dtype == np.float16 else v) for k, v in stored})


class _ServedGraph(nn.Module):
    """The network as served: decoded pixels in; logits, last feature map and, where there is one, texture out."""

    def __init__(self, network: ImageClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        pictures = image.permute(0, 3, 1, 2).float() / 255
        features = self.network.features(pictures)
        outputs = self.network.head(features), features
        return outputs if self.network.texture_layer is None else (*outputs, self.network.texture(pictures))


def to_onnx(
    module: nn.Module, example: Tensor | tuple[Tensor, ...], inputs: list[str], outputs: list[str], **options: Any
) -> onnx.ModelProto:
    """The graph of ``module`` (in eval mode) as traced on ``example``, whose first axis, 'n', may have any length.

    ``options`` are further ones of `torch.onnx.export`.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter without onnxscript announces its retirement on each call
        torch.onnx.export(
            module.eval(),
            example if isinstance(example, tuple) else (example,),
            buffer,  # type: ignore[arg-type]  # this exporter, unlike its annotation, writes to memory too
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {0: "n"} for name in (*inputs, *outputs)},
            opset_version=OPSET,
            dynamo=False,
            **options,
        )
    return onnx.load_model_from_string(buffer.getvalue())


def export_graph(network: ImageClassifier, size: int, graph: Path, weights: Path) -> None:
    """Write the served graph of ``network`` (in eval mode) for ``size`` px to ``graph``.

    ``weights`` is the safetensors file in the same folder that holds `stored_tensors(network)`.
    """
    model = to_onnx(
        _ServedGraph(network.cpu()),
        torch.zeros(2, size, size, 3, dtype=torch.uint8),
        ["image"],
        ["logits", "features", *([] if network.texture_layer is None else ["texture"])],
        do_constant_folding=False,
        # In eval mode the exporter would fold batch norms into new weights, which no file holds.
        training=torch.onnx.TrainingMode.PRESERVE,
    )
    _use_external_weights(model, weights)
    onnx.save_model(model, str(graph))


def _use_external_weights(model: onnx.ModelProto, weights: Path) -> None:
    """Replace the initialisers of ``model`` by references into the safetensors file ``weights``."""
    places = _tensor_offsets(weights)
    casts = []
    for tensor in model.graph.initializer:
        original = tensor.name
        if (place := places.get(original.removeprefix("network."))) is None:
            continue
        dtype, offset, length = place
        if dtype == "F16":
            tensor.name = f"{original}.half"
            casts.append(helper.make_node("Cast", [tensor.name], [original], to=TensorProto.FLOAT))
        tensor.data_type = TensorProto.FLOAT16 if dtype == "F16" else TensorProto.FLOAT
        tensor.ClearField("float_data")
        tensor.raw_data = b""
        external_data_helper.set_external_data(tensor, weights.name, offset=offset, length=length)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _tensor_offsets(weights: Path) -> dict[str, tuple[str, int, int]]:
    """Where each tensor lies in a safetensors file: its type, offset from the file's start, length in bytes."""
    with open(weights, "rb") as file:
        header_length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(header_length))
    header.pop("__metadata__", None)
    spans = {name: (entry["dtype"], *entry["data_offsets"]) for name, entry in header.items()}
    return {name: (dtype, 8 + header_length + start, end - start) for name, (dtype, start, end) in spans.items()}
