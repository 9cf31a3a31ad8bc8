"""Two processes on the CPU train one network; one process alone is left as it was."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.errors import HemaLensError
from core.runs import Run
from core.training import TrainConfig, distributed, train
from core.training.distributed import ProcessGroup, init_process_group, resolve_world_size

ROOT = Path(__file__).resolve().parents[3]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The folder with what both processes of one launch ended with."""
    folder = tmp_path_factory.mktemp("pair")
    environment = os.environ | {f"HEMALENS_{n}": str(folder / n.lower()) for n in ("CACHE", "DATA", "PRETRAINED")}
    environment |= {"OMP_NUM_THREADS": "1"}
    for name in ("LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.training.pair", str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_end_with_the_same_weights(pair):
    for name in ("plain", "normed"):
        one, two = (load_file(pair / f"{name}-{rank}.safetensors") for rank in (0, 1))
        assert one
        assert all(torch.equal(one[k], two[k]) for k in one)


def test_their_gradients_are_those_of_the_whole_batch(pair):
    together, alone = load_file(pair / "plain-0.safetensors"), load_file(pair / "alone.safetensors")
    for name, weights in alone.items():
        torch.testing.assert_close(together[name], weights, rtol=1e-3, atol=1e-5, msg=name)


def test_the_leader_alone_reports_and_both_return_the_run(pair):
    (steps, path), (silent, same) = (json.loads((pair / f"told-{rank}.json").read_text()) for rank in (0, 1))
    assert silent == 0 < steps
    assert path == same
    run = Run(Path(path))
    assert run.metrics["device"].startswith("2 x ")
    assert run.metrics["test"]["accuracy"] > 0.6  # eight classes: 0.125 by chance
    assert len(run.history["epoch"]) == 6


def test_the_number_of_devices_is_no_part_of_the_identity():
    one, two = (TrainConfig.for_model("cnn_2", dataset="synthetic", size=28, devices=n) for n in (1, 2))
    assert one.run_name("0") == two.run_name("0")
    assert "devices" not in one.as_json()


def test_alone_everything_stays_as_it_is(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)  # importing it would fail
    alone = init_process_group(CPU, 1)
    value, network = torch.arange(3), torch.nn.Linear(1, 1)
    assert type(alone) is ProcessGroup
    assert alone.is_main
    assert alone.local_indices(value) is value is alone.all_reduce_mean(value) is alone.broadcast(value)
    assert alone.wrap_module(network) is network


def test_auto_takes_all_gpus_and_one_of_anything_else(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert resolve_world_size(torch.device("cuda"), 0) == 4
    assert resolve_world_size(torch.device("cuda"), 2) == 2
    assert resolve_world_size(CPU, 0) == 1
    assert resolve_world_size(CPU, 3) == 3
    with pytest.raises(HemaLensError, match="has 4 cuda devices"):
        resolve_world_size(torch.device("cuda"), 5)
    with pytest.raises(HemaLensError, match="has 1 mps device that"):
        resolve_world_size(torch.device("mps"), 2)


def test_a_batch_that_can_not_be_shared_is_told_before_anything_starts(monkeypatch, tmp_path):
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path))
    monkeypatch.setattr("core.training.loop.init_process_group", lambda *a: pytest.fail("started"))
    config = TrainConfig.for_model("cnn_2", dataset="synthetic", size=28, batch_size=33, devices=2, device="cpu")
    with pytest.raises(HemaLensError, match="multiple of 2"):
        train(config)


def test_a_helper_is_known_by_its_number(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert not distributed.is_secondary()
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert not distributed.is_secondary()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert distributed.is_secondary()
