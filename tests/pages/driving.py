"""Pages opened, filled and read in tests as a visitor would."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "pages"
TIMEOUT = 300  # seconds: a busy machine must not fail a test


def visited(name: str, state: Mapping[str, Any] | None = None, **link: str) -> AppTest:
    """The page ``name`` at an address with ``link``, in a session of that ``state``; it may tell of an error."""
    page = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=TIMEOUT)
    for key, value in link.items():
        page.query_params[key] = value
    for key, value in (state or {}).items():
        page.session_state[key] = value
    page.run()
    assert not page.exception
    return page


def opened(name: str, state: Mapping[str, Any] | None = None, **link: str) -> AppTest:
    """The page `visited`, which must tell of none."""
    return shown(visited(name, state, **link))


def shown(page: AppTest) -> AppTest:
    """The page, which must say of nothing that it went wrong."""
    assert not page.exception
    assert not page.error, page.error[0].value
    return page


def texts(page: AppTest) -> str:
    """All text of the page, a line an element, with plain spaces for those that do not break."""
    headings = (page.title, page.header, page.subheader)
    messages = (page.info, page.success, page.warning, page.error)
    elements = (e for kind in (*headings, page.markdown, page.caption, *messages, page.metric) for e in kind)
    return "\n".join(str(e.value) for e in elements).replace("\N{NO-BREAK SPACE}", " ")


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
