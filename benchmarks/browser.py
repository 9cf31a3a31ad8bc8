"""A dashboard of its own and a headless Chromium to visit it with, for benchmarks and browser tests."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    """The path of a Chromium: ``HEMALENS_CHROMIUM``, or what the system has."""
    names = (os.environ.get("HEMALENS_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


@contextmanager
def dashboard(folder: Path) -> Iterator[str]:
    """The address of a dashboard with the shipped runs; its data, cache and log lie in ``folder``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "HEMALENS_DATA": str(folder / "data"), "HEMALENS_CACHE": str(folder / "cache")}
    env.pop("HEMALENS_PRETRAINED", None)
    with open(folder / "log.txt", "w") as log:
        line = [sys.executable, "-m", "dashboard", "--port", str(port), "--no-browser"]
        server = subprocess.Popen(line, cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 120
            while True:
                try:
                    with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5):
                        break
                except OSError as error:
                    if server.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(
                            f"the dashboard did not start: {(folder / 'log.txt').read_text()}"
                        ) from error
                    time.sleep(0.3)
            yield url
        finally:
            server.terminate()
            server.wait(timeout=30)
