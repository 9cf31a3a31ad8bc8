"""Whole or not at all, and read once."""

import json
import os
import threading

import numpy as np
import pytest
from safetensors import safe_open

from core import storage


def test_what_is_written_is_whole_readable_by_all_and_leaves_nothing_else(tmp_path):
    folder = tmp_path / "new" / "folder"
    storage.write_json(folder / "a.json", {"ü": 1})
    storage.write_bytes(folder / "b.bin", b"\x00\xff")
    storage.save_array(folder / "c.npy", np.arange(3))
    storage.save_tensors(folder / "d.safetensors", {"x": np.ones((2, 2), np.float16)}, {"text": "beside"})
    assert json.loads((folder / "a.json").read_text(encoding="utf-8")) == {"ü": 1}
    assert (folder / "b.bin").read_bytes() == b"\x00\xff"
    assert np.load(folder / "c.npy").tolist() == [0, 1, 2]
    with safe_open(folder / "d.safetensors", "numpy") as file:
        assert file.metadata() == {"text": "beside"}
        assert file.get_tensor("x").dtype == np.float16
    assert sorted(p.name for p in folder.iterdir()) == ["a.json", "b.bin", "c.npy", "d.safetensors"]
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o644}


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    storage.write_json(path, {"a": 1})

    def half(temporary):
        temporary.write_text("{")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.write_atomic(path, half)
    with pytest.raises(ValueError, match="JSON"):
        storage.write_json(path, {"a": float("nan")})
    with pytest.raises(ValueError, match="allow_pickle"):
        storage.save_array(tmp_path / "b.npy", np.array([object()]))
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_file_is_read_once_and_anew_when_it_was_replaced(tmp_path):
    path, reads = tmp_path / "a.bin", []

    @storage.cached_file(maxsize=2)
    def read(path, times=1):
        reads.append(path.name)
        return path.read_bytes() * times

    storage.write_bytes(path, b"old")
    stamp = path.stat()
    assert (read(path), read(path), read(path, times=2)) == (b"old", b"old", b"oldold")
    assert len(reads) == 2
    storage.write_bytes(path, b"new")  # as long, and of the same time, as after a copy that keeps times
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert read(path) == b"new"
    read.cache_clear()
    assert read(path) == b"new"
    assert len(reads) == 4
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read(path)


def test_threads_that_ask_at_once_read_once_and_an_error_is_not_kept(tmp_path):
    path, reads, together = tmp_path / "a.bin", [], threading.Barrier(4)
    path.write_bytes(b"x")

    @storage.cached_file(maxsize=2)
    def read(path):
        reads.append(path)
        if len(reads) == 1:
            raise ValueError("broken")
        return path.read_bytes()

    with pytest.raises(ValueError, match="broken"):
        read(path)

    def ask():
        together.wait()
        assert read(path) == b"x"

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 2
