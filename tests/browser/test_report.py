"""A case's report as a browser shows and prints it: nothing is fetched, nothing runs, nothing is cut off, and each
printed page of a draft says so.
"""

import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from core.cases.limits import shipped_limits
from core.cases.report import report_of
from core.cases.report_html import to_html
from tests.drawn_cases import ANNA, DrawnCase, drawn_case, said, signed_case

AT = datetime(2026, 11, 30, tzinfo=UTC)
HOSTILE = "<img src=http://127.0.0.1:9/x onerror=document.title='run'>" + "x" * 200


def hostile_case():
    drawn = DrawnCase([said("NE"), said("LY", alarm=True)], field=False, sample=HOSTILE, folder=HOSTILE, note=HOSTILE)
    return drawn.decide(ANNA, "assign", 2, "", text=HOSTILE)


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens the report of a drawn case; gives the page and what it asked for."""
    pages = []

    def open_report(drawn, width):
        path = tmp_path / "report.html"
        path.write_bytes(to_html(report_of(drawn.case, drawn.picture_bytes, shipped_limits(), AT)))
        page = chromium.new_page(viewport={"width": width, "height": 900})
        pages.append(page)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: asked.append(message.text))
        page.goto(path.as_uri())
        return page, [url for url in asked if not url.startswith(("data:", "file:"))]

    yield open_report
    for page in pages:
        page.close()


@pytest.mark.parametrize("width", [1440, 768])
@pytest.mark.parametrize("drawn", [drawn_case, signed_case, hostile_case])
def test_a_report_fits_its_window_and_fetches_nothing(opened, drawn, width):
    page, asked = opened(drawn(), width)
    assert asked == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.title().startswith("Differential count, ")
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0 && image.alt)")
    assert page.evaluate("document.fonts.check('16px \"HemaLens Sans\"')")
    page.get_by_role("heading", name="Limits of this report").scroll_into_view_if_needed()


def test_each_printed_page_of_a_draft_says_so(opened, tmp_path):
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler-utils) is not installed")
    for drawn, is_draft in ((drawn_case(), True), (signed_case(), False)):
        page, _ = opened(drawn, 1440)
        page.pdf(path=tmp_path / "printed.pdf", prefer_css_page_size=True)
        done = subprocess.run(["pdftotext", tmp_path / "printed.pdf", "-"], capture_output=True, check=True)
        printed = done.stdout.decode().split("\f")[:-1]
        assert len(printed) > 1
        assert [("Draft, not signed" in text) for text in printed] == [is_draft] * len(printed)
