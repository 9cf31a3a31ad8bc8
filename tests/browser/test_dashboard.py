"""What a visitor does in the dashboard, offline: look at every page, classify, explain, compare, share a link."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from core.datasets.synthetic import draw_cells
from core.runs import list_runs
from dashboard.app import ROOT, find_pages

PAGES = [facts for _, facts in find_pages(ROOT / "pages")]
MATRICES = "[class*=st-key-figure_matrix]"
BOTH_WIDTHS = pytest.mark.parametrize("visitor", [(1440, 900), (768, 1024)], indirect=True, ids=["wide", "narrow"])


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Three drawn cells as PNG files of the size that a CellaVision gives."""
    folder = tmp_path_factory.mktemp("crops")
    files = []
    for number, image in enumerate(draw_cells(np.array([1, 4, 6]), 360, 3)):
        files.append(folder / f"cell-{number}.png")
        Image.fromarray(image).save(files[-1])
    return files


@BOTH_WIDTHS
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page["path"])
def test_every_page_opens_by_its_address(visitor, page):
    visitor.open(f"/{page['path']}")
    assert visitor.page.locator("h1").count() == 1
    assert "not a medical device" in visitor.text()
    assert "Page not found" not in visitor.page.locator("body").inner_text()
    main = visitor.page.locator("[data-testid=stMain]")
    assert main.evaluate("e => e.scrollWidth <= e.clientWidth + 1"), "the page scrolls sideways"
    visitor.check()


def test_the_plain_address_shows_home_and_the_navigation_leads_everywhere(visitor):
    visitor.open("/")
    for page in PAGES[1:]:
        visitor.page.get_by_role("link", name=page["title"], exact=True).first.click()
        visitor.page.wait_for_url(f"**/{page['path']}*")
        visitor.settle()
        assert visitor.page.locator("h1").inner_text() == page["title"]
    visitor.check()


def test_three_crops_are_classified_and_the_results_kept(visitor, crops):
    visitor.open("/classify")
    visitor.page.locator("input[type=file]").first.set_input_files([str(path) for path in crops])
    visitor.page.get_by_text("3 cells:").wait_for()
    visitor.settle()
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("button", name="Download results (CSV)").click()
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(io.StringIO(file.read())))
    told = " ".join(" ".join(row.values()) for row in rows)
    assert all(path.name in told for path in crops)
    assert len(rows) == 3
    visitor.check()


def test_explain_shows_a_heatmap(visitor):
    visitor.open("/explain")
    heatmap = visitor.page.locator("img[alt^='Grad-CAM of']").first
    heatmap.wait_for()
    visitor.settle()
    assert heatmap.evaluate("image => image.naturalWidth") >= 96
    visitor.check()


def test_a_pasted_link_opens_the_same_comparison(visitor):
    runs = [run.name for run in list_runs("bloodmnist")][:2]
    link = f"/compare?runs={','.join(runs)}&truth=ERB&called=LY&show=percent&against=parameters"
    visitor.open(link)
    visitor.page.locator(f"{MATRICES} .heatmaplayer image").first.wait_for()
    visitor.settle()
    first = visitor.page.url
    assert visitor.page.locator(f"{MATRICES} .js-plotly-plot").count() == (3 if len(runs) == 2 else 1)
    headings, chosen = visitor.page.locator("h3").all_inner_texts(), visitor.chosen()
    assert "ERB · erythroblast" in chosen
    assert "LY · lymphocyte" in chosen
    visitor.open(first.removeprefix(visitor.address))
    assert visitor.page.url == first
    assert visitor.page.locator("h3").all_inner_texts() == headings
    assert visitor.chosen() == chosen
    visitor.check()


def click_square(visitor, figure: str, row: int, column: int, of: int) -> None:
    """Click the square of a matrix of ``of`` x ``of``; near its corner, as people do."""
    plot = visitor.page.locator(f".st-key-figure_{figure} .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    place = (box["x"] + (column + 0.85) * box["width"] / of, box["y"] + (row + 0.85) * box["height"] / of)
    visitor.page.mouse.move(*place)
    visitor.page.wait_for_timeout(300)
    visitor.page.mouse.click(*place)


@BOTH_WIDTHS
def test_a_click_on_a_square_shows_its_cells(visitor):
    visitor.open("/compare?truth=PLT&called=PLT")
    click_square(visitor, "matrix_a", 0, 0, 8)
    visitor.page.wait_for_url("**truth=BA**")
    visitor.settle()
    assert "called=BA" in visitor.page.url
    click_square(visitor, "matrix_a", 2, 4, 8)  # another one, also after the figure was drawn anew
    visitor.page.wait_for_url("**truth=ERB**")
    visitor.settle()
    assert "called=LY" in visitor.page.url
    click_square(visitor, "matrix_difference", 5, 3, 8)
    visitor.page.wait_for_url("**truth=MO**")
    visitor.settle()
    assert "called=IG" in visitor.page.url
    assert "by=either" in visitor.page.url
    visitor.check()


def test_a_click_on_two_runs_sets_them_side_by_side(visitor):
    visitor.open("/compare?view=pair")
    runs = len(list_runs("bloodmnist"))
    before = visitor.page.url
    click_square(visitor, "together", 0, 2, runs)
    visitor.page.wait_for_url(lambda url: url != before)
    visitor.settle()
    both = visitor.page.url.partition("runs=")[2].partition("&")[0].split("%2C")[-2:]
    assert len(set(both)) == 2
    assert not set(both) & set(before.partition("runs=")[2].partition("&")[0].split("%2C"))
    visitor.check()


def test_a_link_to_a_run_that_is_gone_is_told_plainly(visitor):
    visitor.open("/compare?runs=nothing-like-this")
    visitor.page.get_by_text("'nothing-like-this'").wait_for()
    visitor.check()
