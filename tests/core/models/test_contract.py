"""What holds for every registered network."""

import inspect

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

from core.models import UnknownModel, build, get_model, model_names
from core.models.attention import GatedBlock
from core.models.export import export_graph, round_to_stored, stored_tensors

SIZES = (28, 64)
CLASSES = 5


@pytest.fixture(
    params=[(name, size) for name in model_names("network") for size in SIZES], ids=lambda p: f"{p[0]}-{p[1]}"
)
def case(request: pytest.FixtureRequest):
    name, size = request.param
    torch.manual_seed(3)
    arguments = {"width": 8} if "width" in get_model(name).arguments else {}
    return name, size, build(name, CLASSES, size, **arguments), torch.rand(4, 3, size, size)


def test_the_models_of_the_bench_are_there() -> None:
    bench = {"cnn_2", "cnn_3", "cnn_4", "cnn_bn", "cnn_se", "cnn_cbam", "resnet18", "fcnn", "fcnn_colour", "conv1d"}
    bench |= {"lstm", "vgg16", "vgg16_se", "vgg16_cbam", "vgg19", "inception_v3", "densenet", "mobilenet_v2"}
    bench |= {"light", "vit"}
    assert bench <= set(model_names())


def test_the_light_network_is_light() -> None:
    for size in SIZES:
        assert sum(p.numel() for p in build("light", 8, size).parameters()) < 100_000


def test_logits_and_features_have_their_shapes(case) -> None:
    _, size, network, pictures = case
    network.eval()
    features = network.features(pictures)
    assert network(pictures).shape == (4, CLASSES)
    assert features.ndim == 4
    assert features.shape[0] == 4
    assert max(features.shape[2:]) <= size


def test_the_cam_layer_yields_the_last_feature_map(case) -> None:
    _, _, network, pictures = case
    network.eval()
    seen = []
    handle = network.cam_layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    network(pictures)
    handle.remove()
    torch.testing.assert_close(seen[0], network.features(pictures))


def test_every_parameter_learns(case) -> None:
    _, _, network, pictures = case
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):  # branches that start at zero pass gradients on from the second step
        optimizer.zero_grad()
        F.cross_entropy(network(pictures), torch.tensor([0, 1, 2, 3])).backward()
        optimizer.step()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not silent


def test_a_picture_is_read_alone_and_whatever_its_memory_layout(case) -> None:
    _, _, network, pictures = case
    network.eval()
    together = network(pictures)
    torch.testing.assert_close(network(pictures[1:2]), together[1:2], rtol=1e-4, atol=1e-5)
    last = network.to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(pictures.to(memory_format=torch.channels_last)), together, rtol=1e-4, atol=1e-5)


def test_the_served_graph_agrees_and_keeps_one_copy_of_the_weights(case, tmp_path) -> None:
    _, size, network, pictures = case
    network.train()
    network(pictures)  # so that the running statistics are no longer those of a new network
    network.set_normalisation([0.6, 0.5, 0.4], [0.2, 0.25, 0.3])
    round_to_stored(network.eval())
    weights = tmp_path / "weights.safetensors"
    save_file(stored_tensors(network), weights)
    export_graph(network, size, tmp_path / "model.onnx", weights)
    graph = onnx.load(tmp_path / "model.onnx", load_external_data=False).graph
    assert sum(len(t.raw_data) for t in graph.initializer) < 4_000, "weights are stored twice"
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    decoded = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    logits, features = session.run(["logits", "features"], {"image": decoded})
    x = torch.from_numpy(decoded).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        np.testing.assert_allclose(logits, network(x).numpy(), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(features, network.features(x).numpy(), rtol=1e-3, atol=1e-3)
        given = {output.name for output in session.get_outputs()}
        assert ("texture" in given) == (network.texture_layer is not None)
        if "texture" in given:
            texture = session.run(["texture"], {"image": decoded})[0]
            np.testing.assert_allclose(texture, network.texture(x).numpy(), rtol=1e-3, atol=1e-3)


def test_dividing_the_logits_divides_the_logits(case) -> None:
    _, _, network, pictures = case
    network.eval()
    before = network(pictures)
    network.divide_logits(2.5)
    torch.testing.assert_close(network(pictures), before / 2.5, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", model_names("network"))
def test_a_model_is_documented_compact_and_seeded(name: str) -> None:
    spec = get_model(name)
    assert spec.title
    assert spec.summary
    assert spec.paper_url.startswith("https://")
    assert spec.family
    assert "width" in spec.arguments
    module = inspect.getmodule(spec.builder)
    assert module.__doc__
    networks = []
    for _ in range(2):
        torch.manual_seed(7)
        networks.append(build(name, 8, 64))
    assert sum(p.numel() for p in networks[0].parameters()) < 2_000_000
    for a, b in zip(networks[0].state_dict().values(), networks[1].state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", model_names("network"))
def test_width_is_an_argument(name: str) -> None:
    narrow, wide = (sum(p.numel() for p in build(name, 8, 28, width=w).parameters()) for w in (8, 16))
    assert narrow < wide


def test_attention_stands_where_its_name_says() -> None:
    assert any(isinstance(m, GatedBlock) for m in build("cnn_se", 8, 28, width=8).modules())
    assert any(isinstance(m, GatedBlock) for m in build("cnn_cbam", 8, 28, width=8).modules())
    assert not any(isinstance(m, GatedBlock) for m in build("resnet18", 8, 28, width=8).modules())


def test_unknown_names_and_arguments_are_told_plainly() -> None:
    with pytest.raises(UnknownModel, match="cnn_se"):
        get_model("cnn_sea")
    with pytest.raises(UnknownModel, match="takes no argument depth"):
        build("cnn_se", 8, 64, depth=3)


def test_models_are_named_by_kind() -> None:
    kinds = ("network", "classical", "combination")
    assert sorted(name for kind in kinds for name in model_names(kind)) == model_names()
    assert all(get_model(name).kind == kind for kind in kinds for name in model_names(kind))
    assert "cnn_se" in model_names("network")
    assert "cnn_se" not in model_names("classical")
