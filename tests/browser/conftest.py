"""The dashboard in a real headless Chromium: a server of its own, offline, with empty data and cache folders."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120_000  # milliseconds; a busy machine is no reason to fail
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """A running browser; skips where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (requirements-dev.txt)")
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium here: install it (apt-get install chromium) or set HEMALENS_CHROMIUM to its path")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def address(chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard with the shipped runs, no data and an empty cache."""
    folder = tmp_path_factory.mktemp("dashboard")
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
                except OSError:
                    assert server.poll() is None, (folder / "log.txt").read_text()
                    assert time.monotonic() < deadline, "the dashboard did not answer within two minutes"
                    time.sleep(0.3)
            yield url
        finally:
            server.terminate()
            server.wait(timeout=30)


class Visitor:
    """One browser window on the dashboard that writes down every complaint of the browser."""

    def __init__(self, page, address: str):
        self.page, self.address, self.complaints = page, address, []
        page.set_default_timeout(PATIENCE)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"error in the page: {error}"))
        page.on("request", self._asked)

    def open(self, path: str) -> None:
        """Go to a page and wait until it stands still."""
        self.page.goto(self.address + path, wait_until="commit", timeout=PATIENCE)
        self.settle()

    def settle(self) -> None:
        """Wait for the script to end and for what it drew to be there."""
        self.page.wait_for_selector('[data-test-script-state="notRunning"]', state="attached")
        self.page.wait_for_function(
            "() => !document.querySelector('[data-testid=stSkeleton], [data-stale=true]')", timeout=PATIENCE
        )
        self.page.wait_for_timeout(500)

    def text(self) -> str:
        return self.page.locator("[data-testid=stMain]").inner_text()

    def chosen(self) -> list[str]:
        """What stands in the page's select boxes."""
        return self.page.locator("[data-testid=stSelectbox] input").evaluate_all("all => all.map(one => one.value)")

    def check(self) -> None:
        """Nothing went wrong: no exception, no error on the page, no complaint of the browser."""
        assert self.page.locator("[data-testid=stException]").count() == 0, self.text()
        assert "Something went wrong on our side" not in self.text()
        assert self.complaints == []

    def _heard(self, message) -> None:
        # At a page's own address Streamlit first looks for its server under that address: two 404s by design.
        if message.type == "error" and "/_stcore/" not in message.location.get("url", ""):
            self.complaints.append(f"console: {message.text} ({message.location.get('url')})")

    def _asked(self, request) -> None:
        if request.url.startswith(("http:", "https:")) and not request.url.startswith(self.address):
            self.complaints.append(f"asked the network: {request.url}")


@pytest.fixture(params=[(1440, 900)], ids=["wide"])
def visitor(request: pytest.FixtureRequest, chromium, address: str) -> Iterator[Visitor]:
    width, height = request.param
    context = chromium.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
    yield Visitor(context.new_page(), address)
    context.close()
