"""The dashboard in a real headless Chromium: a server of its own, offline, with empty data and cache folders."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.first_answer import FLAGS, dashboard, find_chromium

PATIENCE = 120_000  # milliseconds; a busy machine is no reason to fail


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
    with dashboard(tmp_path_factory.mktemp("dashboard")) as url:
        yield url


class Visitor:
    """One browser window on the dashboard that writes down every complaint of the browser."""

    def __init__(self, page, address: str):
        self.page, self.address, self.complaints, self.late = page, address, [], set()
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
        shown = self.page.locator("img").evaluate_all("all => all.map(one => one.currentSrc || one.src)")
        assert not self.late & set(shown), "a picture is broken"
        assert self.complaints == []

    def _heard(self, message) -> None:
        # A busy browser may ask for a picture after the next rerun has replaced it: bad only where it still stands.
        if message.type == "error" and (pictures := re.findall(r"http://[^\s)]+/media/[^\s)]+", self._whole(message))):
            self.late.update(pictures)
            return
        # At a page's own address Streamlit first looks for its server under that address: two 404s by design.
        if message.type == "error" and "/_stcore/" not in message.location.get("url", ""):
            self.complaints.append(f"console: {message.text} ({message.location.get('url')})")

    @staticmethod
    def _whole(message) -> str:
        return f"{message.text} {message.location.get('url', '')}"

    def _asked(self, request) -> None:
        if request.url.startswith(("http:", "https:")) and not request.url.startswith(self.address):
            self.complaints.append(f"asked the network: {request.url}")


@pytest.fixture(params=[(1440, 900)], ids=["wide"])
def visitor(request: pytest.FixtureRequest, chromium, address: str) -> Iterator[Visitor]:
    width, height = request.param
    context = chromium.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
    yield Visitor(context.new_page(), address)
    context.close()
