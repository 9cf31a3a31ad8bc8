"""From trained networks to the two graphs that are shipped: kernels in half precision, cast when loaded."""

import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from core.generator.networks import Decoder, Flow

OPSET = 17


class _Painted(nn.Module):
    """A decoder that ends in pixels: uint8 (N, S, S, 3)."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latents: Tensor) -> Tensor:
        pictures = (self.decoder(latents).clamp(-1, 1) + 1) * 127.5
        return pictures.round().permute(0, 2, 3, 1).to(torch.uint8)


def export_decoder(decoder: Decoder, latent: tuple[int, int, int], path: Path) -> None:
    """Write the graph from ``latent`` float32 (N, C, L, L) to ``image`` uint8 (N, S, S, 3)."""
    _export(_Painted(decoder), (torch.zeros(2, *latent),), ["latent"], "image", path)


def export_flow(flow: Flow, latent: tuple[int, int, int], path: Path) -> None:
    """Write the graph from ``latent``, ``time`` float32 (N,) and ``class`` int64 (N,) to ``velocity`` (N, C, L, L)."""
    example = (torch.zeros(2, *latent), torch.zeros(2), torch.zeros(2, dtype=torch.int64))
    _export(flow, example, ["latent", "time", "class"], "velocity", path)


def _export(network: nn.Module, example: tuple[Tensor, ...], inputs: list[str], output: str, path: Path) -> None:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter without onnxscript announces its retirement on each call
        torch.onnx.export(
            network.eval(),
            example,
            buffer,
            input_names=inputs,
            output_names=[output],
            dynamic_axes={name: {0: "n"} for name in [*inputs, output]},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_model_from_string(buffer.getvalue())
    _halve(model)
    onnx.save_model(model, str(path))


def _halve(model: onnx.ModelProto) -> None:
    """Store matrices and kernels in half precision; ONNX Runtime folds the casts away when it opens the graph."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name = tensor.name
        stored = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(stored, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
