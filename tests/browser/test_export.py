"""Every figure is saved by the browser itself: real downloads of PNG, SVG and CSV from Compare."""

import csv
import io
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image


@pytest.fixture
def compare(visitor):
    visitor.open("/compare")
    visitor.page.locator("[class*=st-key-figure_matrix] .heatmaplayer image").first.wait_for()
    visitor.settle()
    return visitor


@pytest.mark.parametrize("figure", ["scatter", "matrix_a"], ids=["scatter", "heatmap"])
def test_a_figure_is_saved_in_three_formats(compare, figure):
    row = compare.page.locator(f".st-key-figure_{figure}")
    files = {}
    for kind in ("PNG", "SVG", "CSV"):
        with compare.page.expect_download() as download:
            row.get_by_role("button", name=kind, exact=True).click()
        assert download.value.suggested_filename.startswith("hemalens-")
        assert download.value.suggested_filename.endswith(f".{kind.lower()}")
        with open(download.value.path(), "rb") as file:
            files[kind] = file.read()
    picture = Image.open(io.BytesIO(files["PNG"])).convert("RGB")
    assert min(picture.size) > 500, "sharp enough for a slide"
    assert len(picture.getcolors(picture.width * picture.height)) > 20, "not an empty ground"
    drawing = ElementTree.fromstring(files["SVG"])
    words = " ".join("".join(text.itertext()) for text in drawing.iter() if text.tag.endswith("text"))
    assert ("Accuracy on test" if figure == "scatter" else "true class") in words
    rows = list(csv.reader(io.StringIO(files["CSV"].decode("utf-8-sig"))))
    assert len(rows) > 2
    assert len({len(row) for row in rows}) == 1
    compare.check()
