"""Your lab in a real browser: from a drop of cells in a foreign stain to a profile in use on Classify, and back."""

import csv

import numpy as np
import pytest
from PIL import Image

from core.datasets import get_dataset
from core.datasets.synthetic import stain_shift_cells, stain_shift_labels

CELLS, QUESTIONS = 100, 25
ASKED = "asked about: "


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Drawn cells in a foreign stain as PNG files, whose names tell the class: '007-NE.png'."""
    folder = tmp_path_factory.mktemp("cells")
    labels = stain_shift_labels(CELLS)
    codes = np.array(get_dataset("bloodmnist").codes)[labels]
    files = []
    for number, (image, code) in enumerate(zip(stain_shift_cells(labels, 150), codes, strict=True)):
        files.append(folder / f"{number:03d}-{code}.png")
        Image.fromarray(image).save(files[-1])
    return files


def taught(page, codes):
    """Answer all questions with the number keys; the class stands in the file's name."""
    before = ""
    for number in range(QUESTIONS):
        asked = page.locator(f"img[alt^='{ASKED}']:not([alt='{before}'])")
        asked.wait_for()
        page.get_by_text(f"{number} of {QUESTIONS} answers").wait_for()
        before = asked.get_attribute("alt")
        page.keyboard.press(str(codes.index(code_in(before)) + 1))
    page.get_by_text(f"{QUESTIONS} of {QUESTIONS} answers").wait_for()


def code_in(name):
    return name.rpartition("-")[2].removesuffix(".png")


def right(page):
    """How many of the answers on Classify are the classes that the files are named after."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download results (CSV)").click()
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == CELLS
    return sum(code_in(row["file"]) == row["class"] for row in rows), rows[0]["profile"]


def test_a_laboratory_is_taught_by_25_answers_and_answers_on_classify(visitor, cells):
    page = visitor.page
    visitor.open("/lab")
    page.locator("input[type=file]").first.set_input_files([str(path) for path in cells])
    page.get_by_role("button", name="Next: adapt").click()
    page.get_by_role("button", name="Next: teach").click()
    taught(page, get_dataset("bloodmnist").codes)
    page.get_by_role("button", name="See what they changed").click()
    page.get_by_text("Right now").wait_for()
    page.get_by_role("button", name="Keep this laboratory").click()
    page.get_by_text("Kept as My laboratory").wait_for()
    page.get_by_role("button", name="Use on Classify").first.click()
    page.wait_for_url("**/classify*profile=My*")
    page.locator("input[type=file]").first.set_input_files([str(path) for path in cells])
    page.get_by_text("Answers as taught by your laboratory My laboratory").wait_for()
    page.get_by_text(f"{CELLS} cells:").wait_for()
    visitor.settle()
    after, by = right(page)
    assert by == "My laboratory"
    page.get_by_role("button", name="Back to none").click()
    page.get_by_text("answers and knows").wait_for()
    page.get_by_text(f"{CELLS} cells:").wait_for()
    visitor.settle()
    before, by = right(page)
    assert by == ""
    assert "profile" not in page.url
    assert after >= 90
    assert after > before
    visitor.check()
