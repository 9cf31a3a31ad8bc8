"""SE and CBAM with weights set by hand, against the papers' formulas written out in numpy; and the recorder."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from core.models import build
from core.models.attention import _RECORDER, CBAM, SqueezeExcitation, record_gates


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def set_weights(block, hidden_from_input, output_from_hidden, hidden_bias, output_bias):
    """Put numpy matrices into a block's two 1x1 convolutions."""
    with torch.no_grad():
        block.squeeze.weight.copy_(torch.from_numpy(hidden_from_input)[:, :, None, None])
        block.squeeze.bias.copy_(torch.from_numpy(hidden_bias))
        block.excite.weight.copy_(torch.from_numpy(output_from_hidden)[:, :, None, None])
        block.excite.bias.copy_(torch.from_numpy(output_bias))


@pytest.fixture
def numbers():
    """Weights (4 hidden units, 3 channels) and an input (2, 3, 4, 5) of either sign."""
    rng = np.random.default_rng(7)
    shapes = {"w1": (4, 3), "w2": (3, 4), "b1": (4,), "b2": (3,), "x": (2, 3, 4, 5)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def mlp(v, n):
    return n["w2"] @ np.maximum(n["w1"] @ v + n["b1"], 0) + n["b2"]


def test_se_by_hand():
    """Two channels of constant value 1 and 3; W1 = identity above nothing, so every gate can be told in the head."""
    block = SqueezeExcitation(2)
    w1 = np.array([[1, 0], [0, 1], [0, 0], [0, 0]], np.float32)
    w2 = np.array([[0, 0, 0, 0], [1, -1, 0, 0]], np.float32)
    set_weights(block, w1, w2, np.zeros(4, np.float32), np.array([0, 2], np.float32))
    x = torch.ones(1, 2, 2, 2)
    x[:, 1] = 3
    with record_gates(block) as gates:
        y = block(x)
    # Gate 1 = sigmoid(0) = 1/2; gate 2 = sigmoid(1 - 3 + 2) = 1/2.
    assert torch.equal(y, torch.tensor([0.5, 1.5]).view(1, 2, 1, 1).expand(1, 2, 2, 2))
    assert gates[0].channel.tolist() == [[0.5, 0.5]]
    assert gates[0].spatial is None


def test_se_against_numpy(numbers):
    n = numbers
    block = SqueezeExcitation(3)
    set_weights(block, n["w1"], n["w2"], n["b1"], n["b2"])
    expected_gates = np.stack([sigmoid(mlp(picture.reshape(3, -1).mean(1), n)) for picture in n["x"]])
    with record_gates(block) as gates:
        y = block(torch.from_numpy(n["x"]))
    np.testing.assert_allclose(gates[0].channel.numpy(), expected_gates, rtol=1e-5)
    np.testing.assert_allclose(y.detach().numpy(), n["x"] * expected_gates[:, :, None, None], rtol=1e-5)


def test_cbam_against_numpy(numbers):
    """Channel gates from mean and maximum through one MLP, then a 3x3 spatial gate over the gated map, loop by loop."""
    n = numbers
    kernel = np.random.default_rng(8).normal(size=(2, 3, 3)).astype(np.float32)
    bias = -0.3
    block = CBAM(3, kernel=3)
    set_weights(block, n["w1"], n["w2"], n["b1"], n["b2"])
    with torch.no_grad():
        block.spatial.weight.copy_(torch.from_numpy(kernel)[None])
        block.spatial.bias.fill_(bias)
    with record_gates(block) as gates:
        y = block(torch.from_numpy(n["x"])).detach().numpy()

    for i, picture in enumerate(n["x"]):
        flat = picture.reshape(3, -1)
        channel = sigmoid(mlp(flat.mean(1), n) + mlp(flat.max(1), n))
        gated = picture * channel[:, None, None]
        pooled = np.pad(np.stack([gated.mean(0), gated.max(0)]), ((0, 0), (1, 1), (1, 1)))
        spatial = np.empty((4, 5))
        for row in range(4):
            for column in range(5):
                spatial[row, column] = sigmoid((pooled[:, row : row + 3, column : column + 3] * kernel).sum() + bias)
        np.testing.assert_allclose(gates[0].channel[i].numpy(), channel, rtol=1e-5)
        np.testing.assert_allclose(gates[0].spatial[i, 0].numpy(), spatial, rtol=1e-4)
        np.testing.assert_allclose(y[i], gated * spatial, rtol=1e-4, atol=1e-6)


def test_cbam_kernel_keeps_the_maps_sides():
    assert CBAM(4, kernel=7)(torch.rand(2, 4, 5, 9)).shape == (2, 4, 5, 9)


@pytest.fixture(params=["cnn_se", "cnn_cbam"])
def network(request):
    torch.manual_seed(0)
    network = build(request.param, 8, 28, width=8).eval()
    for module in network.modules():  # the residual branches start at zero, which would hide the gates
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return network


def test_recording_does_not_change_the_answer(network):
    x = torch.rand(3, 3, 28, 28)
    with torch.no_grad():
        plain = network(x)
        with record_gates(network) as gates:
            recorded = network(x)
    assert torch.equal(plain, recorded)
    assert [g.stage for g in gates] == [f"stage {i}" for i in range(1, 6)]
    assert all(((g.channel > 0) & (g.channel < 1)).all() for g in gates)


def test_nothing_is_recorded_outside(network):
    with record_gates(network) as gates:
        pass
    network(torch.rand(1, 3, 28, 28))
    assert gates == []
    with pytest.raises(RuntimeError), record_gates(network):
        network(torch.rand(1, 5, 28, 28))
    assert _RECORDER.get() is None


def test_only_the_networks_own_gates_are_recorded(network):
    other = build("cnn_se", 8, 28, width=8).eval()
    with record_gates(network) as gates:
        other(torch.rand(1, 3, 28, 28))
    assert gates == []


def test_gates_matter(network):
    """Opening every gate changes the answer: the blocks really are in the way of the signal."""
    x = torch.rand(2, 3, 28, 28)
    with torch.no_grad():
        before = network(x)
        for module in network.modules():
            if isinstance(module, SqueezeExcitation | CBAM):
                module.excite.bias.fill_(50)
        assert not torch.allclose(before, network(x), rtol=1e-3)


def test_two_threads_do_not_mix(network):
    """Each of two threads, in step, sees the gates of its own picture only."""
    pictures = [torch.zeros(1, 3, 28, 28), torch.rand(1, 3, 28, 28)]
    with torch.no_grad(), record_gates(network) as alone:
        for picture in pictures:
            network(picture)
    expected = [alone[:5], alone[5:]]
    barrier = threading.Barrier(2)
    seen, errors = [None, None], []

    def look(number):
        try:
            with torch.no_grad(), record_gates(network) as gates:
                barrier.wait(timeout=10)
                network(pictures[number])
                barrier.wait(timeout=10)
            seen[number] = list(gates)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=look, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for mine, wanted in zip(seen, expected, strict=True):
        assert len(mine) == 5
        assert all(torch.allclose(a.channel, b.channel) for a, b in zip(mine, wanted, strict=True))


def test_recording_adds_no_hook_and_no_state(network):
    before = set(network.state_dict())
    with record_gates(network):
        network(torch.rand(1, 3, 28, 28))
        assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in network.modules())
    assert set(network.state_dict()) == before


def test_the_exported_graph_answers_like_the_network(network, tmp_path):
    """What is served knows nothing of the recorder, even when it is exported while one listens."""
    import onnxruntime as ort
    from safetensors.numpy import save_file

    from core.models.export import export_graph, round_to_stored, stored_tensors

    round_to_stored(network)
    save_file(stored_tensors(network), tmp_path / "weights.safetensors")
    with record_gates(network):
        export_graph(network, 28, tmp_path / "model.onnx", tmp_path / "weights.safetensors")
    session = ort.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [o.name for o in session.get_outputs()] == ["logits", "features", "texture"]
    picture = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 3), dtype=np.uint8)
    logits, *_ = session.run(None, {"image": picture})
    with torch.no_grad():
        wanted = network(torch.from_numpy(picture).permute(0, 3, 1, 2).float() / 255)
    np.testing.assert_allclose(logits, wanted.numpy(), rtol=1e-3, atol=1e-4)
