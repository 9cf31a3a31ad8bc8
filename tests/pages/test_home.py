"""Home: three doors and what is installed, with models and without."""

import pytest
import streamlit as st

from tests.fake_runs import fake_run
from tests.pages.driving import opened, texts


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    for name in ("DATA", "CACHE", "PRETRAINED"):
        monkeypatch.setenv(f"HEMALENS_{name}", str(tmp_path / name.lower()))
    st.cache_resource.clear()


def test_offline_and_without_models():
    page = opened("home")
    said = texts(page)
    for door in ("(/dataset)", "(/compare)", "(/classify)", "(/lab)"):
        assert door in said
    assert "none yet" in said
    assert "not downloaded" in said
    assert "17,092 cells" in said


def test_tells_the_best_on_val_with_its_interval_and_provenance(tmp_path):
    fake_run(tmp_path / "pretrained", "worse-64", title="CNN", accuracy=0.8)
    fake_run(tmp_path / "pretrained", "better-64", title="CNN + SE", accuracy=0.95)
    page = opened("home")
    said = texts(page)
    assert "2 models" in said
    assert "**CNN + SE, 64 px**" in said
    assert "95 % interval" in said
    assert "rebuilt BloodMNIST (own split)" in said
    assert len(page.get("plotly_chart")) >= 2


def test_shipped_models_answer_a_generated_cell(monkeypatch):
    monkeypatch.delenv("HEMALENS_PRETRAINED")
    from core.runs import list_runs

    if not list_runs("bloodmnist"):
        pytest.skip("no shipped run")
    page = opened("home")
    assert len(page.get("plotly_chart")) == 3
    assert "the cell: generated, not a patient's cell" in texts(page)
