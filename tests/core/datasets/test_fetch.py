"""Downloads against a server of our own: resumed, retried, checked, and never half there."""

import hashlib
import re
import shutil
import threading
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core.datasets import DatasetUnavailable, bloodmnist

CONTENT = bytes(range(256)) * 8000  # 2 MB: some pieces
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server:
    """Answers each request by the next of ``plan`` ('ok', 'drop', 'no range', or a status)."""

    def __init__(self, *plan):
        self.plan, self.seen = list(plan), []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.seen.append(self.headers.get("Range"))
                step = outer.plan.pop(0) if len(outer.plan) > 1 else outer.plan[0]
                if isinstance(step, int):
                    self.send_response(step)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                start = 0
                asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
                if asked and step != "no range":
                    start = int(asked[1])
                if start >= len(CONTENT):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
                self.send_header("Content-Length", str(len(CONTENT) - start))
                self.end_headers()
                body = CONTENT[start:]
                if step == "drop":
                    self.wfile.write(body[: len(body) // 2])
                    self.close_connection = True
                    return
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(bloodmnist, "official_md5", lambda size: MD5)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "data" / "bloodmnist.npz"


def part_of(target):
    return target.with_name(target.name + ".part")


def run(url):
    return list(bloodmnist.download(28, base=url, pause=0.01))


def test_whole_file_arrives_with_progress_in_bytes(target):
    with Server("ok") as server:
        steps = run(server.url)
    assert target.read_bytes() == CONTENT
    assert not part_of(target).exists()
    assert {s.unit for s in steps} == {"B"}
    assert [s.done for s in steps] == sorted(s.done for s in steps)
    assert steps[0].done == 0
    assert steps[-1].done == steps[-1].total == len(CONTENT)
    assert len(steps) > 5


def test_a_file_that_is_there_is_not_fetched_again(target):
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    with Server(500) as server:
        steps = run(server.url)
        assert server.seen == []
    assert steps[-1].done == steps[-1].total


def test_another_file_of_that_name_is_left_alone(target):
    target.parent.mkdir()
    target.write_bytes(b"mine")
    with Server("ok") as server, pytest.raises(DatasetUnavailable, match="not the official file"):
        run(server.url)
    assert target.read_bytes() == b"mine"


def test_dropped_connection_is_resumed_where_it_broke(target):
    with Server("drop", "ok") as server:
        steps = run(server.url)
        first, second = server.seen
    assert first is None
    assert len(CONTENT) // 2 - bloodmnist.CHUNK <= int(second[6:-1]) <= len(CONTENT) // 2
    assert target.read_bytes() == CONTENT
    assert any("next try" in s.message for s in steps)


def test_a_later_call_continues_an_earlier_one(target):
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT[:1000])
    with Server("ok") as server:
        run(server.url)
        assert server.seen == ["bytes=1000-"]
    assert target.read_bytes() == CONTENT


def test_a_server_that_does_not_resume_starts_from_the_beginning(target):
    with Server("drop", "no range") as server:
        run(server.url)
    assert target.read_bytes() == CONTENT


def test_a_whole_part_is_only_checked(target):
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT)
    with Server("ok") as server:
        run(server.url)
    assert target.read_bytes() == CONTENT


def test_a_part_too_long_is_thrown_away(target):
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT + b"more")
    with Server("ok") as server:
        run(server.url)
    assert target.read_bytes() == CONTENT


def test_two_server_errors_then_well(target):
    with Server(500, 503, "ok") as server:
        run(server.url)
        assert len(server.seen) == 3
    assert target.read_bytes() == CONTENT


def test_three_failures_give_the_manual_way(target):
    with Server(500) as server, pytest.raises(DatasetUnavailable) as caught:
        run(server.url)
    message = str(caught.value)
    for piece in ("500", "3 times", "1. ", "4. ", server.url, str(target.parent), target.name, "HEMALENS_DATA", MD5):
        assert piece in message
    assert not target.exists()


def test_not_found_is_not_tried_again(target):
    with Server(404) as server:
        with pytest.raises(DatasetUnavailable, match="404"):
            run(server.url)
        assert len(server.seen) == 1


def test_no_network_gives_the_manual_way():
    with Server("ok") as server:
        url = server.url
    with pytest.raises(DatasetUnavailable, match="no connection to 127.0.0.1"):
        run(url)


def test_wrong_content_is_removed(target, monkeypatch):
    monkeypatch.setattr(bloodmnist, "official_md5", lambda size: "0" * 32)
    with Server("ok") as server, pytest.raises(DatasetUnavailable, match="not the published file"):
        run(server.url)
    assert not target.exists()
    assert not part_of(target).exists()


def test_full_disk_is_told_before_the_download(target, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    with Server("ok") as server, pytest.raises(DatasetUnavailable, match="MB free"):
        run(server.url)
    assert not target.exists()


def test_a_folder_that_cannot_be_made_is_told(target):
    target.parent.write_text("a file where the folder should be")
    with Server("ok") as server, pytest.raises(DatasetUnavailable, match="can't be written"):
        run(server.url)


@pytest.mark.skipif(bloodmnist.fcntl is None, reason="no file locks on this system")
def test_two_downloads_of_one_file_are_kept_apart(target):
    with Server("ok") as server:
        first = bloodmnist.download(28, base=server.url)
        next(first)
        with pytest.raises(DatasetUnavailable, match="already"):
            run(server.url)
        assert list(first)[-1].done == len(CONTENT)
    assert target.read_bytes() == CONTENT


def test_a_stopped_download_keeps_its_part_and_lets_go(target):
    with Server("ok") as server:
        first = bloodmnist.download(28, base=server.url)
        for _ in range(3):
            next(first)
        first.close()
        assert 0 < part_of(target).stat().st_size < len(CONTENT)
        run(server.url)
    assert target.read_bytes() == CONTENT


def test_address_from_the_environment(monkeypatch):
    monkeypatch.setenv("HEMALENS_BLOODMNIST_URL", "http://mirror/")
    assert bloodmnist.download_url(224) == "http://mirror/bloodmnist_224.npz"
