"""What a reader does with a case, in a real browser: drops cells, names them by keys, reloads, signs; two at once."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from core.datasets.synthetic import draw_cells
from tests.browser.conftest import PATIENCE, Visitor

CODES = ("BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT")
BOTH_WIDTHS = pytest.mark.parametrize("visitor", [(1440, 900), (768, 1024)], indirect=True, ids=["wide", "narrow"])
CELLS = 40


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Drawn cells as files of the size that a CellaVision gives."""
    folder = tmp_path_factory.mktemp("slide")
    files = []
    for number, image in enumerate(draw_cells(np.arange(CELLS) % 8, 360, 11)):
        files.append(folder / f"cell-{number:02}.png")
        Image.fromarray(image).save(files[-1])
    return files


class CasesPage:
    """The page Cases as one reader uses it."""

    def __init__(self, visitor: Visitor, reader: str):
        self.visitor, self.page, self.reader = visitor, visitor.page, reader

    def name_oneself(self) -> None:
        self.page.get_by_placeholder("Who reads? Your name").fill(self.reader)
        self.page.keyboard.press("Enter")
        self.visitor.settle()

    def new_case(self, sample: str, files) -> str:
        """Take ``files`` in; the address of the case."""
        self.visitor.open("/cases")
        self.name_oneself()
        self.page.get_by_role("button", name="New case").click()
        self.page.get_by_role("textbox", name="Sample").fill(sample)
        self.page.keyboard.press("Enter")
        self.visitor.settle()
        self.page.locator("input[type=file]").first.set_input_files([str(path) for path in files])
        self.page.get_by_role("button", name=f"Read {len(files)} files").click()
        self.ready()
        return self.page.url.removeprefix(self.visitor.address)

    def open(self, address: str) -> None:
        self.visitor.open(address)
        if self.page.get_by_text("Type your name above").count():
            self.name_oneself()
        self.ready()

    def ready(self) -> None:
        self.page.locator(".review[data-state=ready]").wait_for()
        self.page.locator(".wall [aria-selected=true]").first.wait_for()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def saved(self) -> None:
        self.page.locator(".saved.stored").wait_for()

    @property
    def counts(self) -> dict[str, int]:
        """How many cells each class button tells."""
        rows = self.page.locator(".classes .class").evaluate_all(
            "all => all.map(one => [one.querySelector('.name').textContent, one.querySelector('.number').textContent])"
        )
        return {name: int(number) for name, number in rows}

    @property
    def line(self) -> str:
        return self.page.locator(".count").inner_text()

    def sees_blasts(self, number: int) -> None:
        """Wait until so many are counted."""
        for _ in range(PATIENCE // 100):
            if self.counts["BLA"] == number:
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{self.reader} never saw {number} blasts")

    def shown(self) -> str:
        """What a screen reader says of the chosen cell."""
        active = self.page.locator(".wall").get_attribute("aria-activedescendant")
        return self.page.locator(f"#{active}").get_attribute("aria-label")


@pytest.fixture
def another(chromium, address):
    """A second browser, with cookies of its own."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    yield Visitor(context.new_page(), address)
    context.close()


@pytest.fixture(scope="module")
def case_address(chromium, address, drawn):
    """The address of a case that was taken in."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    made = CasesPage(Visitor(context.new_page(), address), "Maker").new_case("made for all", drawn[:16])
    context.close()
    return made


def test_a_reader_names_every_cell_by_keys_faster_than_the_server_and_signs(visitor, drawn):
    cases = CasesPage(visitor, "Ann")
    case = cases.new_case("S 1", drawn)
    typed = [str(1 + number % 8) for number in range(CELLS)]
    cases.press(*typed)  # no waiting between two keys
    cases.saved()
    want = {code: typed.count(str(place)) for place, code in enumerate(CODES, 1)} | {"BLA": 0, "None": 0}
    assert cases.counts == want
    visitor.page.reload()
    cases.ready()
    assert visitor.page.url.endswith(case)
    assert cases.counts == want
    visitor.page.get_by_role("button", name="Sign", exact=True).click()
    visitor.page.get_by_text("Signed by").wait_for()
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("button", name="Cells (CSV)").click()
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(io.StringIO(file.read())))
    assert len(rows) == CELLS
    cases.press("1")
    visitor.page.get_by_text("This case is signed and read-only").wait_for()
    assert cases.counts == want
    visitor.check()


def test_two_browsers_see_each_others_decisions(visitor, another, case_address):
    ann, bob = CasesPage(visitor, "Ann"), CasesPage(another, "Bob")
    ann.open(case_address)
    bob.open(case_address)
    before = ann.counts
    ann.press("9")
    ann.saved()
    bob.sees_blasts(before["BLA"] + 1)
    bob.press("Home", "9")  # another cell: the one that Ann named is still shown
    bob.saved()
    ann.sees_blasts(before["BLA"] + 2)
    assert ann.counts == bob.counts
    visitor.check()
    another.check()


def test_all_can_be_done_and_undone_by_keyboard_alone(visitor, case_address):
    cases = CasesPage(visitor, "Cid")
    cases.open(case_address)
    before = cases.counts
    first = cases.shown()
    cases.press("Space", "ArrowRight", "Space", "n")
    cases.saved()
    assert cases.counts["None"] == before["None"] + 2
    cases.press("u")
    cases.saved()
    assert cases.counts == before
    assert cases.shown() == first
    cases.press("s")
    cases.saved()
    cases.press("u", "End", "Home", "PageDown", "PageUp", "ArrowDown", "ArrowUp")
    assert cases.shown()
    cases.press("z")
    assert visitor.page.locator(".review.zoomed").count() == 1
    cases.press("Escape", "?")
    assert visitor.page.get_by_role("dialog").get_by_text("undo your last decision").is_visible()
    cases.press("Escape")
    titles = visitor.page.locator(".classes .class").evaluate_all("all => all.map(one => one.title)")
    assert titles[0] == "Basophil (key 1)"
    assert titles[-1] == "Not a cell (key N)"
    visitor.check()


def test_what_was_not_saved_is_kept_over_a_reload(visitor, case_address):
    cases = CasesPage(visitor, "Dot")
    cases.open(case_address)
    before = cases.counts
    visitor.page.route("**/decisions", lambda route: route.abort())
    cases.press("9", "9")
    visitor.page.get_by_text("2 not saved: retrying").wait_for()
    visitor.page.unroute("**/decisions")
    visitor.complaints.clear()  # of the requests that were cut off
    visitor.page.on("dialog", lambda dialog: dialog.accept())  # 'leave the page?'
    visitor.page.reload()
    cases.ready()
    cases.saved()
    assert cases.counts["BLA"] == before["BLA"] + 2


def test_after_an_outage_the_latest_decision_is_taken_back_first(visitor, case_address):
    cases = CasesPage(visitor, "Fay")
    cases.open(case_address)
    cases.press("9")
    cases.saved()
    between = cases.counts
    visitor.page.route("**/decisions", lambda route: route.abort())
    cases.press("n")
    visitor.page.get_by_text("1 not saved: retrying").wait_for()
    visitor.page.unroute("**/decisions")
    visitor.complaints.clear()
    visitor.page.on("dialog", lambda dialog: dialog.accept())
    visitor.page.reload()
    cases.ready()
    cases.saved()
    cases.press("u")
    cases.saved()
    assert cases.counts == between


def test_a_key_that_is_held_down_names_one_cell(visitor, case_address):
    cases = CasesPage(visitor, "Gil")
    cases.open(case_address)
    before = cases.counts
    visitor.page.keyboard.down("9")
    for _ in range(5):
        visitor.page.keyboard.down("9")  # as the keyboard repeats it
    visitor.page.keyboard.up("9")
    cases.saved()
    assert cases.counts["BLA"] == before["BLA"] + 1


def test_a_case_is_not_signed_over_decisions_that_are_on_their_way(visitor, drawn):
    cases = CasesPage(visitor, "Hal")
    cases.new_case("on its way", drawn[:8])
    cases.press(*"12345678")
    cases.saved()
    visitor.page.route("**/decisions", lambda route: route.abort())
    cases.press("1")
    visitor.page.get_by_text("1 not saved: retrying").wait_for()
    visitor.page.get_by_role("button", name="Sign", exact=True).click()
    visitor.page.get_by_text("1 decision on the way").wait_for()
    assert visitor.page.get_by_text("Signed by").count() == 0
    visitor.page.unroute("**/decisions")
    cases.saved()
    visitor.page.get_by_role("button", name="Sign", exact=True).click()
    visitor.page.get_by_text("Signed by").wait_for()


@BOTH_WIDTHS
def test_the_page_fits_the_window(visitor, case_address):
    cases = CasesPage(visitor, "Eve")
    cases.open(case_address)
    main = visitor.page.locator("[data-testid=stMain]")
    assert main.evaluate("e => e.scrollWidth <= e.clientWidth + 1"), "the page scrolls sideways"
    for part in (".wall", ".stage", ".classes"):
        box = visitor.page.locator(part).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= visitor.page.viewport_size["width"]
    assert visitor.page.locator(".stage").bounding_box()["y"] < 400
    visitor.check()
