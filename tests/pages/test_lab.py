"""The page 'Your lab', driven as a visitor would: pictures, scale, questions, profiles."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from streamlit.testing.v1 import AppTest

from core.lab import profile as profiles
from tests.stub_runs import make_run

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "pages" / "lab.py"
RED, GREEN, BLUE = (255, 60, 60), (60, 255, 60), (60, 60, 255)  # BA, EO and ERB to the stub model
TIMEOUT = 300  # seconds: a busy machine must not fail a test
__all__ = ["make_run"]


def png(colour, mark=0, width=360, height=363):
    shade = tuple(int(np.clip(c - 2 * (mark % 20), 0, 255)) for c in colour)
    image, centre = Image.new("RGB", (width, height), shade), (width / 2, height / 2)
    radius = 0.1 * height
    ImageDraw.Draw(image).ellipse([*(c - radius for c in centre), *(c + radius for c in centre)], fill=(60, 0, 40))
    image.putpixel((0, 0), (mark % 256, mark // 256, 7))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def batch(count=30):
    return [(f"{i:03d}.png", png((RED, GREEN, BLUE)[i % 3], i)) for i in range(count)]


@pytest.fixture
def run(make_run, tmp_path, monkeypatch):
    made = make_run()
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(made.path.parent.parent))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    return made


@pytest.fixture
def page(run):
    return AppTest.from_file(str(PAGE), default_timeout=TIMEOUT).run()


def drop(page, files):
    for name, data in files:
        page.file_uploader[0].upload(name, data)
    page.run()
    assert not page.exception
    return page


def texts(page):
    elements = [*page.subheader, *page.markdown, *page.caption, *page.warning, *page.info, *page.error, *page.success]
    return "\n".join(e.value for e in elements)


def button(page, label):
    return next(b for b in page.button if b.label == label)


def click(page, label):
    button(page, label).click().run()
    assert not page.exception
    return page


def lab(page):
    return page.session_state["labs"]["bloodmnist"]


def teach(page, count, say=lambda lab, cell: 4):
    for _ in range(count):
        now = lab(page)
        cell = now.focused()
        code = page.session_state["labs"]["bloodmnist"].teaching.cells.probabilities[cell].argmax()
        del code
        labels = {4: "LY  lymphocyte", 6: "NE  neutrophil", 1: "EO  eosinophil", -1: "Not a cell"}
        click(page, labels[say(now, cell)])


def test_before_anything_there_are_the_promise_a_drop_zone_and_no_laboratory(page):
    assert not page.exception
    said = texts(page)
    assert "Drop 50 or more of your cells" in said
    assert "never leave this computer" in said
    assert "None yet" in said
    assert "Try it with 100 drawn cells" in [b.label for b in page.button]


def test_pictures_lead_to_the_scale(page):
    drop(page, batch())
    said = texts(page)
    assert "**30 cells**" in said
    assert "With 50 or more it learns better" in said
    assert "framed as they were" in said
    assert lab(page).step == "scale"
