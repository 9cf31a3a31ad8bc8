"""The launcher: starts, answers, stops, and says plainly what is wrong."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from dashboard.__main__ import command, environment, main, why_not

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def busy_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        yield taken.getsockname()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_busy_port_is_told_with_another_one_to_try(busy_port, capsys):
    assert main(["--port", str(busy_port), "--no-browser"]) == 1
    said = capsys.readouterr().err
    assert str(busy_port) in said
    suggested = int(said.rsplit("--port ", 1)[1])
    assert why_not("127.0.0.1", suggested) is None


def test_unknown_addresses_and_ports_are_told():
    assert "not known" in why_not("no.such.host.invalid", 8501)
    with pytest.raises(SystemExit):
        main(["--port", "70000"])


def test_relative_locations_stay_what_they_were(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEMALENS_DATA", "data")
    assert environment()["HEMALENS_DATA"] == str(tmp_path / "data")


def test_the_server_asks_no_questions_and_listens_where_told():
    line = command("127.0.0.1", 9000)
    assert "--server.headless=true" in line
    assert "--server.address=127.0.0.1" in line
    assert "--server.port=9000" in line


def test_it_starts_from_another_folder_answers_and_stops_on_ctrl_c(tmp_path):
    port = free_port()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HEMALENS_CACHE": str(tmp_path), "HEMALENS_DATA": str(tmp_path)}
    launcher = subprocess.Popen(
        [sys.executable, "-m", "dashboard", "--port", str(port), "--no-browser"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        # As in a terminal: what a script runs in the background inherits that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        answer, deadline = None, time.monotonic() + 120
        while answer is None and time.monotonic() < deadline and launcher.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as response:
                    answer = response.status
            except OSError:
                time.sleep(0.2)
        assert answer == 200
        assert f"http://127.0.0.1:{port}" in next(line for line in launcher.stdout if "HemaLens" in line)
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(timeout=90) == 0
        with pytest.raises(OSError):  # noqa: PT011 - whatever the system calls a refused connection
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2)
    finally:
        launcher.terminate()
        launcher.wait(timeout=30)
