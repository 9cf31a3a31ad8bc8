"""Beginning at published weights: fetched from a server on this machine, through torchvision's own loader."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import torchvision
from torchvision.models import _api as loader

from core.cli import main
from core.models import build, get_model, model_names
from core.runs import list_runs
from core.training import BadConfig, TrainConfig
from core.training.init_weights import WeightsUnavailable, conv_and_norm_layers, load_imagenet_weights
from tests.core.training.pair import DATA

OFFERING = [name for name in model_names("network") if get_model(name).imagenet]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CACHE", "DATA", "PRETRAINED"):
        monkeypatch.setenv(f"HEMALENS_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def config(model="mobilenet_v2", **choices) -> TrainConfig:
    choices = {"weights": "imagenet", "model_arguments": {"width": get_model(model).published_width}} | choices
    return TrainConfig.for_model(model, dataset="synthetic", size=28, device="cpu", **choices)


@pytest.fixture
def published(tmp_path):
    """Made-up 'published' weights of MobileNetV2: (their state, their file)."""
    torch.manual_seed(5)
    state = torchvision.models.mobilenet_v2(weights=None).state_dict()
    for name, tensor in state.items():
        if "running_mean" in name:
            tensor.normal_()
    folder = tmp_path / "served"
    folder.mkdir()
    torch.save(state, folder / "file")
    digest = hashlib.sha256((folder / "file").read_bytes()).hexdigest()
    return state, (folder / "file").rename(folder / f"mobilenet_v2-{digest[:8]}.pth")


@pytest.fixture
def served(published, monkeypatch):
    """The published weights, at an address on this machine in place of torchvision's."""
    state, file = published

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(file.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    redirect(monkeypatch, f"http://127.0.0.1:{server.server_port}/{file.name}")
    yield state, file
    server.shutdown()
    server.server_close()


def redirect(monkeypatch, address: str) -> None:
    real = loader.load_state_dict_from_url
    monkeypatch.setattr(loader, "load_state_dict_from_url", lambda url, *a, **named: real(address, *a, **named))


def test_all_layers_of_the_same_shape_begin_at_the_published_weights(served, capsys):
    state, _ = served
    network = build("mobilenet_v2", 8, 28, width=32)
    fresh = {k: v.clone() for k, v in network.state_dict().items()}
    load_imagenet_weights(network, config())
    ours = network.state_dict()
    assert torch.equal(ours["body.1.conv.0.0.weight"], state["features.1.conv.0.0.weight"])
    assert torch.equal(ours["body.17.conv.3.running_mean"], state["features.17.conv.3.running_mean"])
    last = "body.18.0.weight"  # slimmer than the published one
    assert torch.equal(ours[last], fresh[last])
    assert torch.equal(ours["body.18.1.running_mean"], fresh["body.18.1.running_mean"])
    assert torch.equal(ours["head.3.weight"], fresh["head.3.weight"])
    assert ours["mean"].flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert network(torch.rand(2, 3, 28, 28)).shape == (2, 8)


@pytest.mark.parametrize("name", OFFERING)
def test_nearly_all_of_an_offering_model_fits_the_published_one(name):
    published, width = get_model(name).imagenet, get_model(name).published_width
    with torch.device("meta"):
        ours = conv_and_norm_layers(build(name, 8, 64, width=width).body)
        theirs = conv_and_norm_layers(torchvision.models.get_model(published, weights=None))
    assert len(ours) == len(theirs)
    fitting = [
        mine["weight"].shape == other["weight"].shape for (_, mine), (_, other) in zip(ours, theirs, strict=True)
    ]
    assert sum(fitting) >= 0.95 * len(fitting)
    for (_, mine), (_, other) in zip(ours, theirs, strict=True):
        assert set(mine) == set(other)


def test_the_models_that_have_published_weights_are_there():
    assert {"resnet18", "vgg16", "mobilenet_v2"} <= set(OFFERING)


def test_a_training_says_where_it_began(served, monkeypatch):
    monkeypatch.setattr(TrainConfig, "load_data", lambda config, report=None: DATA.spec.load(28))
    command = ["train", "--dataset", "synthetic", "--size", "28", "--model", "mobilenet_v2", "--arg", "width=32"]
    assert main([*command, "--weights", "imagenet", "--epochs", "1", "--device", "cpu"]) == 0
    run = list_runs("small")[0]
    assert run.config["train"]["weights"] == "imagenet"
    assert "Begun at torchvision's weights of mobilenet_v2, learned from ImageNet's photographs" in run.card
    scratch = config(weights="")
    assert "weights" not in scratch.as_json()
    assert scratch.run_name("0") != config().run_name("0")


def test_without_a_network_it_says_so_and_what_to_do(monkeypatch, tmp_path):
    redirect(monkeypatch, "http://127.0.0.1:9/mobilenet_v2-7ebf99e0.pth")  # nobody listens there
    with pytest.raises(WeightsUnavailable, match="can't be fetched from https://.*mobilenet_v2.*refused.*put it into"):
        load_imagenet_weights(build("mobilenet_v2", 8, 28, width=32), config())


def test_a_file_put_there_by_hand_is_used(published, monkeypatch, tmp_path):
    redirect(monkeypatch, f"http://127.0.0.1:9/{published[1].name}")
    place = tmp_path / "torch" / "hub" / "checkpoints"
    place.mkdir(parents=True)
    published[1].rename(place / published[1].name)
    load_imagenet_weights(build("mobilenet_v2", 8, 28, width=32), config())


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x04cos\nsystem\n(S'true'\ntR."])
@pytest.mark.parametrize("by_hand", [True, False])
def test_a_broken_or_hostile_file_is_told(served, tmp_path, content, by_hand):
    _, file = served
    place = tmp_path / "torch" / "hub" / "checkpoints"
    place.mkdir(parents=True)
    (place / file.name if by_hand else file).write_bytes(content)
    with pytest.raises(WeightsUnavailable, match="delete that file"):
        load_imagenet_weights(build("mobilenet_v2", 8, 28, width=32), config())


def test_where_there_are_none_or_the_width_is_another_it_says_which():
    with pytest.raises(BadConfig, match="none are published for cnn_se, but for .*resnet18"):
        load_imagenet_weights(build("cnn_se", 8, 28), TrainConfig.for_model("cnn_se", weights="imagenet"))
    with pytest.raises(BadConfig, match="width 16.*--arg width=64"):
        load_imagenet_weights(build("vgg16", 8, 28), TrainConfig.for_model("vgg16", weights="imagenet"))
    with pytest.raises(BadConfig, match="nothing where --warm-start"):
        config(warm_start="a run")
    with pytest.raises(BadConfig, match="weights can't be 'cifar'"):
        config(weights="cifar")
