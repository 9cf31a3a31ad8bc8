"""The Dataset page, without the images, with images, and while they are fetched."""

import hashlib
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import streamlit as st

from core.datasets import bloodmnist
from tests.pages.driving import PAGES, ROOT, opened, texts


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "data").mkdir()
    st.cache_resource.clear()


def write_images(path: Path, n: int = 8 * 30) -> Path:
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = rng.integers(0, 256, (n, 28, 28, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(n) % 8)[:, None].astype(np.uint8)
    np.savez(path, **arrays)
    return path


def test_offline_shows_shipped_counts_and_generated_cells():
    page = opened("dataset")
    assert not page.exception
    assert not page.error
    said = texts(page)
    assert "generated, not a patient's cell" in said
    assert "rebuilt BloodMNIST (own split)" in said
    assert "17,092" in page.table[0].value.to_string()
    assert page.dataframe[0].value["all"].sum() == 17092
    assert any(button.label == "Download them" for button in page.button)
    assert page.query_params["class"] == ["BA"] or page.query_params["class"] == "BA"


@pytest.mark.parametrize("size", ["28", "128", "224"])
def test_every_size_works_offline(size):
    page = opened("dataset", size=size, **{"class": "MO"})
    assert not page.exception
    assert f"{size} px" in texts(page)
    assert "monocyte" in page.header[0].value


def test_a_link_to_what_is_not_there_is_told():
    page = opened("dataset", size="32", split="all", page="many", **{"class": "NEU"})
    assert not page.exception
    told = " ".join(info.value for info in page.info)
    for missing in ("NEU", "32", "all"):
        assert f"'{missing}'" in told
    assert page.session_state["class"] == "NE"


def test_choosing_a_class_changes_page_and_address():
    page = opened("dataset")
    page.selectbox(key="class").select("PLT").run()
    assert not page.exception
    assert "platelets" in page.header[0].value
    assert page.query_params["class"] in ("PLT", ["PLT"])


def test_drawn_data_set():
    page = opened("dataset", dataset="synthetic", size="28")
    assert not page.exception
    assert "Every class is equally common" in page.get("plotly_chart")[0].proto.spec
    assert page.dataframe[0].value["all"].sum() == 2400
    assert not any("Download" in button.label for button in page.button)


def test_with_images_the_wall_is_real_and_the_statistics_are_their_own(tmp_path):
    write_images(tmp_path / "data" / "rebuilt_bloodmnist.npz")
    page = opened("dataset", size="28", page="2", **{"class": "LY"})
    assert not page.exception
    said = texts(page)
    assert "21 to 30 of 30" in said
    assert "drawn" not in said
    assert "generated" not in said
    assert page.dataframe[0].value["all"].sum() == 3 * 240
    assert page.query_params["page"] in ("2", ["2"])
    page.selectbox(key="class").select("MO").run()
    assert "1 to 20 of 30" in texts(page)  # another class begins at its first page


def test_a_page_beyond_the_last_shows_the_last(tmp_path):
    write_images(tmp_path / "data" / "rebuilt_bloodmnist.npz")
    assert "21 to 30 of 30" in texts(opened("dataset", size="28", page="999"))


def test_broken_file_is_told_and_generated_cells_stand_in(tmp_path):
    (tmp_path / "data" / "rebuilt_bloodmnist.npz").write_bytes(b"no zip")
    page = opened("dataset", size="28")
    assert not page.exception
    assert "can't be read as BloodMNIST" in page.warning[0].value
    assert "generated, not a patient's cell" in texts(page)


def test_failed_download_gives_the_manual_way(monkeypatch):
    monkeypatch.setattr(bloodmnist.fetch.__globals__["time"], "sleep", lambda _: None)
    monkeypatch.setenv("HEMALENS_BLOODMNIST_URL", "http://127.0.0.1:9")
    page = opened("dataset", size="28")
    page.button(key="download_bloodmnist_28").click().run()
    assert not page.exception
    message = page.error[0].value
    assert "By hand:" in message
    assert "bloodmnist.npz" in message
    assert "HEMALENS_DATA" in message
    assert page.button(key="download_bloodmnist_28").label == "Try again"


def test_download_from_the_page(tmp_path, monkeypatch):
    source = tmp_path / "server"
    source.mkdir()
    content = write_images(source / "bloodmnist.npz").read_bytes()
    monkeypatch.setattr(bloodmnist, "official_md5", lambda size: hashlib.md5(content).hexdigest())

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(source))

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HEMALENS_BLOODMNIST_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        page = opened("dataset", size="28")
        page.button(key="download_bloodmnist_28").click().run()
    finally:
        server.shutdown()
        server.server_close()
    assert not page.exception
    assert not page.error
    assert "official BloodMNIST (MedMNIST v2 split)" in texts(page)
    assert "1 to 20 of 30" in texts(page)


def test_page_never_imports_torch(tmp_path):
    script = (
        "import sys; from streamlit.testing.v1 import AppTest;"
        f"page = AppTest.from_file({str(PAGES / 'dataset.py')!r}, default_timeout=120).run();"
        "assert not page.exception; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True)
