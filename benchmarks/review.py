"""How long from a drop to a signed report, and does the review screen keep up with a hand on the keys?

In headless Chromium a scripted reader takes cells in, names each one by the key of its true class, marks and signs the
case and downloads its report, whose counts must be those that were typed. Then a case of many cells: until its first
cells are on the screen, from a key to the frame that shows the cell's picture (both by the browser's own clock), until
the page has run again, the server's memory over ten openings, and many readers at once.
``python -m benchmarks.review FOLDER`` (a folder of pictures a class; Linux, Chromium and requirements-dev.txt).
"""

import argparse
import io
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.first_answer import FLAGS, dashboard, needed_chromium
from benchmarks.reporting import publish
from core.cases.case import CaseCell, CasePicture, CellPrediction, Reader
from core.cases.sprites import TILES_A_SHEET, cut_tile, sheet_bytes
from core.cases.store import CaseStore
from core.datasets import get_dataset
from core.datasets.synthetic import draw_cells

CODES = get_dataset("bloodmnist").codes
KEYS = {code: str(place) for place, code in enumerate(CODES, start=1)}
_PATIENCE = 300_000  # ms
_DISTINCT, _SIDE = 400, 128  # drawn pictures of the large case; px


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="pictures, a folder a class")
    parser.add_argument("--cells", type=int, default=200, help="to take in, name and sign")
    parser.add_argument("--many", type=int, default=10_000, help="cells of the large case")
    parser.add_argument("--sessions", type=int, default=20)
    options = parser.parse_args()
    executable = needed_chromium()
    from playwright.sync_api import sync_playwright

    truth = labelled_files(options.folder, options.cells)
    with tempfile.TemporaryDirectory() as name:
        made_case(Path(name) / "cases", "large", options.many)
        small = made_case(Path(name) / "cases", "small", options.cells)
        with dashboard(Path(name)) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
            rows = [
                *drop_to_report(browser, url, truth),
                *openings(browser, url),
                seen_by_another(browser, url, small),
                at_once(browser, url, small, options.sessions),
            ]
            browser.close()
    publish("review", rows, cells=options.cells, many=options.many, sessions=options.sessions)
    return 0


def labelled_files(folder: Path, count: int) -> dict[Path, str]:
    """The code of each of ``count`` pictures, as evenly over the classes as there are some; the same each time."""
    names = {code: get_dataset("bloodmnist").names[code].split()[0] for code in CODES}
    by_code = {}
    for code, name in names.items():
        below = [f for f in folder.iterdir() if f.is_dir() and f.name.lower() in (name, code.lower())]
        by_code[code] = sorted(file for path in below for file in path.iterdir())
    rng = random.Random(0)
    files = [(file, code) for code, of_class in by_code.items() for file in of_class]
    return dict(rng.sample(files, min(count, len(files))))


def made_case(folder: Path, sample: str, count: int) -> str:
    """The id of a case of ``count`` drawn cells in the store below ``folder``."""
    store = CaseStore(f"sqlite:///{folder / 'cases.sqlite3'}", folder)
    labels = np.arange(_DISTINCT) % len(CODES)
    drawn = draw_cells(labels, _SIDE, 0)
    files = []
    for pixels in drawn:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        files.append(buffer.getvalue())
    box = (0, 0, _SIDE, _SIDE)
    tiles = [cut_tile(pixels, box) for pixels in drawn]
    places = [k % _DISTINCT for k in range(count)]
    sheets = [
        sheet_bytes([tiles[k] for k in places[start : start + TILES_A_SHEET]])
        for start in range(0, count, TILES_A_SHEET)
    ]
    kept = store.keep_files([*files, *sheets], sample)
    pictures, cells = [], []
    for number, k in enumerate(places, start=1):
        pictures.append(CasePicture(number, f"cell-{number:05}.png", "A", kept[k], "crop", _SIDE, _SIDE))
        code, doubt = CODES[labels[k]], number <= count // 20
        shares = [0.6 if other == code else 0.4 / (len(CODES) - 1) for other in CODES]
        prediction = CellPrediction(
            code, "unsure" if doubt else "sure", tuple(shares), (code,), number <= 100, 0.5, number <= 100, text=code
        )
        cells.append(CaseCell(number, number, box, prediction))
    return store.create(
        Reader("made up"),
        sample=sample,
        pictures=pictures,
        cells=cells,
        codes=CODES,
        run="made-up",
        sheets=kept[_DISTINCT:],
        draft=sample,
    )


def drop_to_report(browser: Any, url: str, truth: dict[Path, str]) -> list[dict[str, Any]]:
    """Seconds from the drop to each step; raises where the report counts other cells than were typed."""
    page = browser.new_page(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    page.set_default_timeout(_PATIENCE)
    page.goto(f"{url}/cases")
    page.get_by_placeholder("Who reads? Your name").fill("Scripted reader")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="New case").click()
    page.locator("input[type=file]").first.wait_for(state="attached")
    started = time.perf_counter()
    page.locator("input[type=file]").first.set_input_files([str(path) for path in truth])
    page.get_by_role("button", name=f"Read {len(truth)} files").click()
    _ready(page)
    taken_in = time.perf_counter()
    by_name = {path.name: code for path, code in truth.items()}
    for _ in truth:
        page.keyboard.press(KEYS[by_name[page.locator(".where > .quiet").get_attribute("title")]])
    page.locator(".saved.stored").wait_for()
    named = time.perf_counter()
    page.get_by_role("button", name="Sign", exact=True).click()
    page.get_by_text("Signed by").wait_for()
    with page.expect_download() as report:
        page.get_by_role("button", name="Report (HTML)").click()
    assert Path(report.value.path()).stat().st_size
    ended = time.perf_counter()
    with page.expect_download() as table:
        page.get_by_role("button", name="Case (JSON)").click()
    content = json.loads(Path(table.value.path()).read_text(encoding="utf-8"))
    counted = Counter(cell["class"] for cell in content["cells"])
    if counted != Counter(truth.values()):
        raise RuntimeError(f"typed {Counter(truth.values())}, reported {counted}")
    page.context.close()
    steps = {
        "drop to signed report, s": ended - started,
        "of these until the cells are on the screen": taken_in - started,
        "of these until all are named": named - taken_in,
    }
    return [{"what": what, "median": seconds, "worst": seconds} for what, seconds in steps.items()]


def openings(browser: Any, url: str, times: int = 10) -> list[dict[str, Any]]:
    """The large case opened again and again: first cells, keys, reruns, and what the server's memory does."""
    first: list[float] = []
    keys: list[float] = []
    reruns: list[float] = []
    memory: list[float] = []
    for _ in range(times):
        page = _page(browser, url, "Opener")
        page.goto(f"{url}/cases")
        page.get_by_role("button", name="large").wait_for()
        page.wait_for_timeout(1500)
        page.evaluate("() => addEventListener('click', event => (window.clickedAt = event.timeStamp), true)")
        page.get_by_role("button", name="large").click()
        _ready(page)
        page.wait_for_function("() => performance.getEntriesByName('first-cells').length")
        first.append(page.evaluate("() => performance.getEntriesByName('first-cells')[0].startTime - clickedAt"))
        page.wait_for_timeout(2000)
        for key in ["ArrowRight"] * 15 + ["ArrowDown"] * 15 + ["PageDown"] * 3 + ["5"] * 5:
            page.keyboard.press(key)
            page.wait_for_timeout(60)
        page.locator(".saved.stored").wait_for()
        keys += page.evaluate("() => performance.getEntriesByName('key-to-picture').map(entry => entry.duration)")
        reruns.append(_rerun(page))
        memory.append(_megabytes(url))
        page.context.close()
    return [
        {"what": "first cells after opening, ms", "median": statistics.median(first), "worst": max(first)},
        {"what": "key to picture, ms", "median": statistics.median(keys), "worst": float(np.quantile(keys, 0.99))},
        {"what": "page rerun, ms", "median": statistics.median(reruns), "worst": max(reruns)},
        {"what": "server's memory, MB: at first, at last", "median": memory[0], "worst": memory[-1]},
    ]


def seen_by_another(browser: Any, url: str, case_id: str, times: int = 20) -> dict[str, Any]:
    """Two readers on one case, who decide in turn: how long until the other one's screen shows it."""
    pages = [_page(browser, url, reader) for reader in ("One", "Two")]
    for page in pages:
        page.goto(f"{url}/cases?case={case_id}")
    for page in pages:
        _ready(page)
        page.wait_for_timeout(1500)
    seconds = []
    for turn in range(times):
        one, other = pages if turn % 2 else pages[::-1]
        before = other.locator(".review").inner_text()
        one.keyboard.press("Home")
        one.keyboard.press("12"[turn % 2])  # another class than before, so that the counts by class change
        started = time.perf_counter()
        while other.locator(".review").inner_text() == before and time.perf_counter() - started < 20:
            time.sleep(0.02)
        seconds.append(time.perf_counter() - started)
        one.wait_for_timeout(800)
    for page in pages:
        page.context.close()
    return {"what": "another reader sees a decision, s", "median": statistics.median(seconds), "worst": max(seconds)}


def at_once(browser: Any, url: str, case_id: str, sessions: int) -> dict[str, Any]:
    """Many readers on one case: each names a few cells; all must be stored, and nobody may see an error."""
    pages = [_page(browser, url, f"Reader {number}") for number in range(sessions)]
    for page in pages:
        page.goto(f"{url}/cases?case={case_id}", wait_until="commit")
    for page in pages:
        _ready(page)
    started = time.perf_counter()
    for number, page in enumerate(pages):
        page.keyboard.press("End")
        for key in ["ArrowLeft"] * number + list("123"):
            page.keyboard.press(key)
    for page in pages:
        page.locator(".saved.stored").wait_for()
        if page.locator("[data-testid=stException]").count():
            raise RuntimeError("a session shows an error")
    seconds = time.perf_counter() - started
    for page in pages:
        page.context.close()
    return {"what": f"{sessions} readers at once, s until all is saved", "median": seconds, "worst": seconds}


def _page(browser: Any, url: str, reader: str) -> Any:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_cookies([{"name": "hemalens_reader", "value": reader.replace(" ", "%20"), "url": url}])
    page = context.new_page()
    page.set_default_timeout(_PATIENCE)
    return page


def _ready(page: Any) -> None:
    page.locator(".review[data-state=ready]").wait_for()
    page.locator(".wall [aria-selected=true]").first.wait_for()


def _rerun(page: Any) -> float:
    """Milliseconds of a run of the whole page that a reader asks for, from the request to its end."""
    page.get_by_role("button", name="Show them").click()
    page.wait_for_timeout(1000)
    runs = page.evaluate(
        "() => performance.getEntriesByType('mark').filter(mark => /unning$/.test(mark.name))"
        ".map(mark => [mark.name, mark.startTime])"
    )
    spans = [
        end - start
        for (name, start), (after, end) in zip(runs, runs[1:], strict=False)
        if (name, after) == ("running", "notRunning")
    ]
    return float(max(spans[-2:]))


def _megabytes(url: str) -> float:
    """Memory of the server that listens at ``url``."""
    port = url.rpartition(":")[2]
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            line = (process / "cmdline").read_text()
            if f"--server.port={port}" in line:
                status = (process / "status").read_text()
                return int(next(row.split()[1] for row in status.splitlines() if row.startswith("VmRSS"))) / 1024
        except OSError:
            continue
    raise RuntimeError("the server's process is not found")


if __name__ == "__main__":
    sys.exit(main())
