"""Cells out of noise: the same for the same seed, as the networks make them, refused where they can't be."""

import numpy as np
import pytest
import torch

from core.generator import (
    DECODER,
    FACTS,
    FLOW,
    SHEET,
    BadGenerator,
    _session,
    decode,
    find_generator,
    generate,
    generator_path,
    load_sheet,
)
from core.runs import list_runs
from tests.fake_generator import networks, write_generator


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_generator(tmp_path_factory.mktemp("generated"))


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path / "shipped"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_a_cell_depends_on_its_class_place_and_seed_only(made):
    first = generate(made, [0, 3, 7, 3], seed=5)
    assert first.shape == (4, 32, 32, 3)
    assert first.dtype == np.uint8
    again = generate(made, [0, 3], seed=5).astype(int)
    assert np.abs(again - first[:2]).max() <= 1  # rounding may differ with the batch
    assert np.abs(generate(made, [0, 3], seed=6).astype(int) - again).max() > 1
    assert np.abs(first[1].astype(int) - first[3]).max() > 1
    assert np.abs(generate(made, [1], seed=5)[0].astype(int) - first[0]).max() > 1  # the class matters


def test_pages_go_on_where_a_batch_ends(made, monkeypatch):
    whole = generate(made, [2] * 5, seed=1).astype(int)
    monkeypatch.setattr("core.generator.BATCH", 2)
    assert np.abs(generate(made, [2] * 5, seed=1) - whole).max() <= 1


def test_progress_rises_to_the_end(made):
    told = []
    generate(made, [0] * 3, seed=0, report=told.append)
    assert [step.done for step in told] == sorted(step.done for step in told)
    assert told[-1].done == told[-1].total == 3


def test_no_cells_are_no_cells(made):
    assert generate(made, [], seed=0).shape == (0, 32, 32, 3)


@pytest.mark.parametrize("labels", [[8], [-1], [0, 99]])
def test_a_class_that_it_does_not_know_is_refused(made, labels):
    with pytest.raises(BadGenerator, match="knows 8 classes"):
        generate(made, labels, seed=0)


@torch.inference_mode()
def test_the_graphs_answer_as_the_networks_do(made):
    autoencoder, flow = networks()
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((3, 4, 8, 8)).astype(np.float32)
    painted = ((autoencoder.decoder(torch.from_numpy(latents)).clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1).numpy()
    assert np.abs(decode(made, latents) - painted).max() < 1.5  # half a grey level for rounding, one for kernels
    times, classes = np.array([0.1, 0.5, 1], np.float32), np.array([0, 7, 8])
    session = _session(made.path / FLOW)
    served = session.run(["velocity"], {"latent": latents, "time": times, "class": classes})[0]
    eager = flow(*map(torch.from_numpy, (latents, times, classes))).numpy()
    np.testing.assert_allclose(served, eager, atol=5e-3 * np.abs(eager).max())


def test_the_sheet_holds_a_row_a_class(made):
    cells, labels = load_sheet(made)
    assert cells.shape == (160, 32, 32, 3)
    assert labels.tolist() == np.repeat(range(8), 20).tolist()
    levels = 20 * labels + np.tile(np.arange(20), 8)
    assert np.abs(cells.mean((1, 2, 3)) - levels).max() < 3  # JPEG keeps them nearly


def test_own_before_shipped_and_none_where_there_is_none(root):
    assert find_generator("bloodmnist") is None
    shipped = write_generator(root / "shipped")
    assert find_generator("bloodmnist").path == shipped.path
    own = write_generator(root / "cache" / "runs")
    assert find_generator("bloodmnist").path == own.path
    assert list_runs() == []  # it lies among the runs and is none


def test_what_is_broken_says_what_to_do(root):
    made = write_generator(root / "shipped")
    (made.path / SHEET).write_bytes(b"broken")
    assert load_sheet(made) is None
    (made.path / DECODER).write_bytes(b"broken")
    with pytest.raises(BadGenerator, match=r"decoder\.onnx can't be used: restore its folder"):
        generate(made, [0], seed=0)
    path = generator_path(root / "shipped", "bloodmnist") / FACTS
    path.write_text('{"codes": []}')
    with pytest.raises(BadGenerator, match="can't be read as a generator"):
        find_generator("bloodmnist")
