"""Pages opened, filled and read in tests as a visitor would."""

import io
from pathlib import Path

from PIL import Image, ImageDraw
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "pages"
TIMEOUT = 300  # seconds: a busy machine must not fail a test


def opened(name: str, **link: str) -> AppTest:
    """The page ``name`` at an address with ``link``."""
    page = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=TIMEOUT)
    for key, value in link.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def shown(page: AppTest) -> AppTest:
    """The page, which must say of nothing that it went wrong."""
    assert not page.exception
    assert not page.error, page.error[0].value
    return page


def texts(page: AppTest) -> str:
    """All text of the page but its title, a line an element."""
    kinds = (page.subheader, page.markdown, page.caption, page.info, page.success, page.warning, page.error)
    return "\n".join(element.value for kind in kinds for element in kind)


def drop(page: AppTest, *files: tuple[str, bytes]) -> AppTest:
    """The page after ``files``, name and bytes, were dropped on its first uploader."""
    for name, data in files:
        page.file_uploader[0].upload(name, data)
    page.run()
    assert not page.exception
    return page


def png(colour, mark=0, width=360, height=363, at=(0.5, 0.5), nucleus=(60, 0, 255)) -> bytes:
    """A picture of one ``colour`` with a round ``nucleus`` at a place; ``mark`` makes its bytes its own."""
    image, centre = Image.new("RGB", (width, height), colour), (at[0] * width, at[1] * height)
    radius = 0.1 * height
    ImageDraw.Draw(image).ellipse([*(c - radius for c in centre), *(c + radius for c in centre)], fill=nucleus)
    image.putpixel((0, 0), (mark % 256, mark // 256, 7))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
