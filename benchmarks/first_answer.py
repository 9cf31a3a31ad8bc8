"""How long from a file's arrival to its class on the screen, in a real browser, with the model loaded?

Uploads one drawn 360 px crop after another to Classify in headless Chromium and times from the moment the file is
handed to the page until its class can be read. ``python -m benchmarks.first_answer`` (needs Chromium and the packages
of requirements-dev.txt). Browser tests use its dashboard and its Chromium.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.reporting import publish
from core.datasets.synthetic import draw_cells
from core.runs import default_run

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--no-sandbox", "--no-first-run"]
FLAGS += [f"--disable-{part}" for part in ("gpu", "quic", "background-networking", "component-update", "sync")]


def find_chromium() -> str | None:
    """The path of a Chromium: ``HEMALENS_CHROMIUM``, or what the system has."""
    names = (os.environ.get("HEMALENS_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def needed_chromium() -> str:
    """The same; ends the program, which can't do without, where there is none."""
    if executable := find_chromium():
        return executable
    raise SystemExit("no Chromium here: install it or set HEMALENS_CHROMIUM to its path")


@contextmanager
def dashboard(folder: Path) -> Iterator[str]:
    """The address of a dashboard with the shipped runs; its data, cache, cases and log lie in ``folder``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = {f"HEMALENS_{name.upper()}": str(folder / name) for name in ("data", "cache", "cases")}
    env = {**os.environ, **places}
    env.pop("HEMALENS_DATABASE", None)
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
                        said = (folder / "log.txt").read_text()
                        raise RuntimeError(f"the dashboard did not start: {said}") from error
                    time.sleep(0.3)
            yield url
        finally:
            server.terminate()
            server.wait(timeout=30)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--uploads", type=int, default=6)
    options = parser.parse_args()
    executable = needed_chromium()
    from playwright.sync_api import sync_playwright

    seconds = []
    with tempfile.TemporaryDirectory() as name, dashboard(Path(name)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(120_000)
        for number, image in enumerate(draw_cells(np.arange(options.uploads) % 8, 360, seed=11)):
            file = Path(name) / f"cell-{number}.png"
            Image.fromarray(image).save(file)
            page.goto(f"{url}/classify")  # a new visit, so that each upload is a first one
            page.wait_for_selector('[data-test-script-state="notRunning"]', state="attached")
            page.get_by_role("button", name="Take all 8").wait_for()
            page.wait_for_timeout(1000)
            started = time.perf_counter()
            page.locator("input[type=file]").first.set_input_files(str(file))
            page.get_by_text("1 cell:").wait_for()
            seconds.append(time.perf_counter() - started)
        browser.close()
    figures = {"median s": statistics.median(seconds), "first s": seconds[0], "slowest s": max(seconds)}
    publish("first_answer", [{"run": default_run().name, "uploads": options.uploads, **figures}])
    return 0


if __name__ == "__main__":
    sys.exit(main())
