"""Every page and view, by day and by night, serves who sees or hears it otherwise: axe-core finds nothing serious."""

import numpy as np
import pytest
from PIL import Image

from core.datasets.synthetic import draw_cells
from dashboard.app import ROOT, find_pages
from dashboard.page import find_views
from tests.browser.conftest import Visitor
from tests.browser.test_cases_page import CasesPage

SERIOUS = ("serious", "critical")
ALWAYS = ("heading-order",)  # told as moderate; a heading that skips a level loses who goes by headings
# What only Streamlit itself can mend: by rule, the end of the selector that axe names, and why.
OF_STREAMLIT: dict[str, dict[str, str]] = {}

ROOMS = ("compare", "dataset")  # pages whose views are chosen in the address
PAGES = [facts["path"] for _, facts in find_pages(ROOT / "pages")]
DAY_AND_NIGHT = pytest.mark.parametrize("scheme", ["light", "dark"])


def addresses(path: str) -> list[str]:
    """The page's own address, and one for each further view of its room."""
    if path not in ROOMS:
        return [f"/{path}"]
    first, *others = find_views(f"dashboard.{path}")
    return [f"/{path}", *(f"/{path}?view={view.key}" for view in others)]


@pytest.fixture
def themed(chromium, address, scheme):
    """A window in the light or in the dark theme."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    yield Visitor(context.new_page(), address)
    context.close()


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Drawn cells as files, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("cells")
    files = []
    for number, image in enumerate(draw_cells(np.arange(10) % 8, 360, 3)):
        files.append(str(folder / f"cell-{number}.png"))
        Image.fromarray(image).save(files[-1])
    broken = folder / "broken.png"
    broken.write_bytes(b"no picture " * 40)
    return [*files, str(broken)]


def findings(visitor: Visitor, opened: str = "") -> list[str]:
    """What axe-core finds on the page as it stands, but for what is Streamlit's: a line each. ``opened``: a popover
    whose label Streamlit gives a darker shade of the primary colour while it is open, too dark in the dark theme.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = []
    for violation in axe.Axe().run(visitor.page).response["violations"]:
        rule = violation["id"]
        if violation["impact"] not in SERIOUS and rule not in ALWAYS:
            continue
        for node in violation["nodes"]:
            place = str(node["target"][-1])
            if any(place.endswith(end) for end in OF_STREAMLIT.get(rule, ())):
                continue
            if opened and rule == "color-contrast" and node["html"] == f"<p>{opened}</p>":
                continue
            why = [check["message"] for check in node["any"] + node["all"] + node["none"]][:1]
            found.append(f"{rule}: {node['html'][:200]} {why}")
    return found


@DAY_AND_NIGHT
@pytest.mark.parametrize("path", PAGES)
def test_no_page_or_view_shuts_anyone_out(themed, path):
    for place in addresses(path):
        themed.open(place)
        assert findings(themed) == [], place


@DAY_AND_NIGHT
def test_nor_do_answers_their_lists_and_their_choices(themed, cells):
    page = themed.page
    themed.open("/classify")
    page.locator("input[type=file]").first.set_input_files(cells)
    page.get_by_text("10 cells:").wait_for()
    themed.settle()
    assert findings(themed) == []
    for button in ("1 file not used", "Framing", "Models", "Clear all"):
        page.get_by_role("button", name=button).click()
        themed.settle()
        assert findings(themed, opened=button) == [], button
        page.keyboard.press("Escape")


@DAY_AND_NIGHT
def test_nor_does_teaching_a_laboratory(themed, cells):
    page = themed.page
    themed.open("/lab")
    page.locator("input[type=file]").first.set_input_files(cells)
    for button in ("Next: adapt", "Next: teach"):
        page.get_by_role("button", name=button).wait_for()
        themed.settle()
        assert findings(themed) == [], f"before {button}"
        page.get_by_role("button", name=button).click()
    themed.settle()
    assert findings(themed) == [], "teach"


@DAY_AND_NIGHT
def test_nor_does_the_review_of_a_case(themed, cells):
    CasesPage(themed, "Reader").new_case("made to be read", cells[:-1])
    themed.settle()
    assert findings(themed) == []


def test_the_wall_is_read_and_followed(visitor, cells):
    """Every cell has a text, one is reached by the tab key, and the one shown stays in view while keys step through."""
    page = visitor.page
    visitor.open("/classify")
    page.locator("input[type=file]").first.set_input_files(cells)
    page.get_by_text("10 cells:").wait_for()
    visitor.settle()
    wall = page.locator("#wall")
    texts = wall.locator("button").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert len(texts) == 10
    assert all(".png, " in text for text in texts)
    assert wall.locator("button[tabindex='0']").count() == 1
    for place in (2, 3, 4, 5):
        page.keyboard.press("ArrowRight")
        page.get_by_text(f"{place} of 10").wait_for()
        visitor.settle()
        chosen = wall.locator("button[aria-pressed=true]")
        inside, around = chosen.bounding_box(), wall.bounding_box()
        assert texts[place - 1] == chosen.get_attribute("aria-label")
        assert around["y"] - 1 <= inside["y"]
        assert inside["y"] + inside["height"] <= around["y"] + around["height"] + 1
        assert inside["x"] + inside["width"] <= around["x"] + around["width"]
    wall.locator("button").nth(7).click()
    page.get_by_text("8 of 10").wait_for()


def test_one_step_back_from_explain_and_a_question_before_work_is_lost(visitor, cells):
    page, asked = visitor.page, []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    visitor.open("/classify")
    page.locator("input[type=file]").first.set_input_files(cells)
    page.get_by_text("10 cells:").wait_for()
    visitor.settle()
    page.get_by_role("button", name="Explain this cell").click()
    page.wait_for_url("**/explain*")
    visitor.settle()
    page.go_back()
    page.wait_for_url("**/classify*")
    page.get_by_text("10 cells:").wait_for()
    visitor.settle()
    assert asked == []
    page.reload()
    assert asked == ["beforeunload"]
