"""ONNX Runtime sessions: cached, shared by threads, and plain words when a graph is broken."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.errors import HemaLensError
from core.inference import engine
from core.storage import cached_file


@pytest.fixture(autouse=True)
def _no_sessions():
    engine._open.cache_clear()
    yield
    engine._open.cache_clear()


def pictures(n, size=64):
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def test_logits_and_features_are_the_graphs(make_run):
    weights = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32)
    run, images = make_run(weights=weights), pictures(5)
    found = engine.logits(run, images)
    np.testing.assert_allclose(found, (images / 255).mean(axis=(1, 2)) @ weights, rtol=1e-4, atol=1e-5)
    assert found.dtype == np.float32
    maps = engine.feature_maps(run, images)
    np.testing.assert_allclose(maps, images.transpose(0, 3, 1, 2) / 255, rtol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 200])
def test_batches_leave_no_trace(make_run, n):
    run, images = make_run(), pictures(n)
    found = engine.logits(run, images)
    assert found.shape == (n, 8)
    for number in (0, n // 2, n - 1) if n else ():
        np.testing.assert_allclose(found[number], engine.logits(run, images[number : number + 1])[0], rtol=1e-5)


def test_a_session_is_opened_once_even_by_many_threads(make_run, monkeypatch):
    run, images, opened = make_run(), pictures(20), []
    real = engine.ort.InferenceSession
    monkeypatch.setattr(engine.ort, "InferenceSession", lambda *a, **k: opened.append(a) or real(*a, **k))
    expected = real(run.graph()[0]).run(["logits"], {"image": images})[0]
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: engine.logits(run, images), range(32)):
            np.testing.assert_array_equal(found, expected)
    assert len(opened) == 1


def test_sessions_are_bounded_and_the_oldest_goes(make_run, monkeypatch):
    opened = []
    monkeypatch.setattr(
        engine, "_open", cached_file(2)(lambda path, run: opened.append(run.name) or engine.ort.InferenceSession(path))
    )
    first, second, third = (make_run(f"stub-64-{n}") for n in range(3))
    for run in (first, second, first, third, first, third, second):
        engine.load(run)
    assert opened == [run.name for run in (first, second, third, second)]


def test_a_graph_that_was_replaced_is_opened_anew(make_run):
    zeros, run = make_run("zeros", weights=np.zeros((3, 8))), make_run()
    assert engine.logits(run, pictures(1)).any()
    shutil.copy(zeros.onnx_path, run.onnx_path)
    os.utime(run.onnx_path, ns=(1, 1))
    assert not engine.logits(run, pictures(1)).any()


def test_another_size_is_told(make_run):
    with pytest.raises(HemaLensError, match="64 x 64"):
        engine.logits(make_run(), pictures(2, 28))
    with pytest.raises(HemaLensError, match="uint8"):
        engine.logits(make_run("other"), pictures(2).astype(np.float32))


@pytest.mark.parametrize("content", [None, b"", b"not a graph", b"\x08\x07\x12\x04stub" * 50])
def test_a_missing_or_broken_graph_is_told(make_run, content):
    run = make_run()
    run.onnx_path.unlink()
    if content is not None:
        run.onnx_path.write_bytes(content)
    with pytest.raises(HemaLensError, match=f"{run.name}.*choose another model"):
        engine.load(run)


def test_features_of_a_graph_without_them_are_told(make_run):
    run = make_run(features=False)
    assert engine.logits(run, pictures(1)).shape == (1, 8)
    with pytest.raises(HemaLensError, match="could not answer"):
        engine.feature_maps(run, pictures(1))


@pytest.mark.parametrize("n", [0, 1, 65])
def test_answers_give_scores_and_embedding_in_one_pass(make_run, n):
    run, images = make_run(), pictures(n)
    scores, embeddings = engine.logits_and_embeddings(run, images)
    np.testing.assert_array_equal(scores, engine.logits(run, images))
    assert embeddings.shape == (n, 3)
    np.testing.assert_allclose(embeddings, (images / 255).mean((1, 2)), rtol=1e-5)


def test_what_has_no_feature_map_gives_no_embedding(make_run):
    scores, embeddings = engine.logits_and_embeddings(make_run(features=False), pictures(2))
    assert scores.shape == (2, 8)
    assert embeddings is None
