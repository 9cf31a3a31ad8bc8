"""Every page follows the data set: its runs, classes, words and pictures; what is gone is told."""

import io

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.datasets import CellClass
from core.runs import PREDICTIONS, replace_sealed
from dashboard.style import option_label
from tests.fake_datasets import CAUTION, added, fake_spec
from tests.fake_runs import fake_run
from tests.pages.driving import opened, shown, texts
from tests.stub_runs import make_run

__all__ = ["make_run"]
pytestmark = pytest.mark.usefixtures("any_picture_is_a_cell")


@pytest.fixture(autouse=True)
def _fresh():
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture
def smears(monkeypatch):
    """The made-up data set, of fields, beside BloodMNIST."""
    spec = fake_spec(unit="field", stretched=True)
    added(monkeypatch, spec)
    return spec


@pytest.fixture
def runs(root, smears):
    """Runs of two data sets; those of the made-up one were split in two ways."""
    return [
        fake_run(root, "cells-64-1", title="Cells", accuracy=0.95),
        fake_run(root, "cells-64-2", title="More cells", accuracy=0.85),
        fake_run(root, "grouped-64-1", title="Fields", dataset="smears", scheme="grouped", accuracy=0.8),
        fake_run(root, "random-64-1", title="Fields", dataset="smears", scheme="random", accuracy=0.95),
        fake_run(root, "small-64-1", title="Small", dataset="smears", scheme="grouped", accuracy=0.7),
    ]


def address(page: AppTest, key: str) -> str | None:
    value = page.query_params.get(key)
    return value[0] if isinstance(value, list) else value


def png(width: int, height: int, colour=(255, 0, 0)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------------ the switch


@pytest.mark.parametrize("name", ["dataset", "compare", "classify", "explain"])
def test_every_page_has_the_switch_and_the_address_bar_keeps_it(root, smears, name):
    page = opened(name)
    switch = page.selectbox(key="dataset")
    assert switch.options == ["BloodMNIST · no model", "Smears · no model", "Drawn cells · no model"]
    shown(switch.set_value("smears").run())
    assert address(page, "dataset") == "smears"
    assert page.selectbox(key="dataset").value == "smears"


@pytest.mark.parametrize("name", ["dataset", "compare", "classify", "explain"])
def test_a_link_to_a_data_set_that_is_gone_is_told(root, name):
    page = opened(name, dataset="mine")
    assert "The data set 'mine' is not here (any more). Showing BloodMNIST instead." in texts(page)
    assert page.selectbox(key="dataset").value == "bloodmnist"


def test_a_known_data_set_without_images_and_models_is_not_offered_and_says_what_to_do(root, monkeypatch):
    added(monkeypatch, fake_spec(here=False))
    page = opened("compare", dataset="smears")
    assert "Of Smears there are neither images nor models on this computer." in texts(page)
    assert "smears" not in str(page.selectbox(key="dataset").options).lower()


def test_a_data_set_that_goes_while_the_page_is_open_is_told(runs, monkeypatch):
    page = opened("compare", dataset="smears")
    added(monkeypatch)
    shown(page.run())
    assert "The data set 'smears' is not here (any more)" in texts(page)
    assert "Models of data sets that are not here any more are not shown: 'smears' (3)." in texts(page)


# ------------------------------------------------------------------------------------------------ Compare


def test_only_runs_of_the_chosen_data_set_stand_in_one_table(runs):
    page = opened("compare")
    assert set(page.dataframe[0].value["run"]) == {"cells-64-1", "cells-64-2"}
    assert "scheme" not in page.dataframe[0].value
    shown(page.selectbox(key="dataset").set_value("smears").run())
    assert set(page.dataframe[0].value["run"]) == {"grouped-64-1", "small-64-1"}  # under the split to trust
    assert CAUTION in texts(page)
    assert "scored on fields that it had never seen" in texts(page)


def test_ways_to_split_have_a_column_and_a_filter(runs):
    page = opened("compare", dataset="smears", scheme="all")
    table = page.dataframe[0].value
    assert dict(zip(table["run"], table["scheme"], strict=True)) == {
        "grouped-64-1": "Groups kept together",
        "small-64-1": "Groups kept together",
        "random-64-1": "At random",
    }
    assert "their accuracies don't compare" in texts(page)
    shown(page.segmented_control(key="scheme").set_value("random").run())
    assert list(page.dataframe[0].value["run"]) == ["random-64-1"]


def test_what_the_split_decides_is_told_with_its_interval(runs):
    page = opened("compare", dataset="smears")
    assert "What the split decides" in [s.value for s in page.header]
    table = next(t.value for t in page.dataframe if "gap" in t.value)
    scores = {run.name: 100 * run.metrics["test"]["accuracy"] for run in runs}
    assert len(table) == 1
    assert table["gap"].item() == pytest.approx(scores["random-64-1"] - scores["grouped-64-1"])
    assert " to +" in table["interval"].item()
    assert "What the split decides" not in texts(opened("compare", dataset="bloodmnist"))


def test_the_ticks_of_one_data_set_come_back_to_it(runs):
    page = opened("compare", runs="cells-64-2")
    shown(page.selectbox(key="dataset").set_value("smears").run())
    assert set(address(page, "runs").split(",")) == {"grouped-64-1", "small-64-1"}  # of the split to trust
    shown(page.selectbox(key="dataset").set_value("bloodmnist").run())
    assert address(page, "runs") == "cells-64-2"


def test_two_splits_are_compared_on_what_both_have_or_told_why_not(root, smears):
    ids = {"grouped": [f"{i:03d}" for i in range(320)], "random": [f"{i:03d}" for i in range(160, 480)]}
    for way in ids:
        run = fake_run(root, f"{way}-64-1", title=way, dataset="smears", scheme=way, ids=ids[way], accuracy=0.9)
        with np.load(run.path / "predictions.npz") as file:
            arrays = dict(file)
        arrays["test_labels"] = np.array([int(i) % 3 for i in ids[way]], np.uint8)
        replace_sealed(run, PREDICTIONS, lambda path, arrays=arrays: np.savez(path, **arrays))
    fake_run(root, "apart-64-1", title="apart", dataset="smears", scheme="random", ids=[f"x{i}" for i in range(320)])
    link = {"dataset": "smears", "view": "pair", "scheme": "all"}
    page = opened("compare", **link, runs="grouped-64-1,random-64-1")
    assert "On the same 160 test fields" in texts(page)
    assert "they were scored on different test fields: these are the ones that both have" in texts(page).lower()
    page = opened("compare", **link, runs="grouped-64-1,apart-64-1")
    assert "No image is in the test part of both" in texts(page)


@pytest.mark.parametrize("view", ["overview", "pair", "classes", "hardest", "studies"])
def test_fields_are_never_called_cells(runs, view):
    page = opened("compare", dataset="smears", view=view)
    spoken = "\n".join(line for line in texts(page).lower().splitlines() if "](/explain" not in line)
    assert "cell" not in spoken, [line for line in spoken.splitlines() if "cell" in line]


# ------------------------------------------------------------------------------------------------ Classify


@pytest.fixture
def stubs(make_run, smears, monkeypatch, tmp_path):
    """A run of BloodMNIST and one of the made-up set that knows two of its three classes: red CCC, green AAA."""
    made = [make_run(), make_run("stub-64-000001", dataset="smears", codes=("CCC", "AAA"), kind="classical")]
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(made[0].path.parent.parent))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    return made


def test_answers_are_named_by_the_runs_own_classes_and_fields_are_called_so(stubs):
    page = opened("classify", dataset="smears")
    assert "knows plain coloured squares; 2 of 3 classes (CCC, AAA)" in texts(page)
    assert "Or try sample fields" in texts(page)
    page.file_uploader[0].upload("one.png", png(1024, 768))
    shown(page.run())
    assert "1 field: 1 sure" in texts(page)
    assert "CCC  third kind" in texts(page)
    assert "cell" not in texts(page).replace(CAUTION, "").lower()


def test_each_data_set_has_a_tray_of_its_own(stubs):
    page = opened("classify", dataset="smears")
    page.file_uploader[0].upload("one.png", png(1024, 768))
    shown(page.run())
    shown(page.selectbox(key="dataset").set_value("bloodmnist").run())
    assert "1 field" not in texts(page)
    assert "Or try sample cells" in texts(page)
    shown(page.selectbox(key="dataset").set_value("smears").run())
    assert "1 field: 1 sure" in texts(page)


def test_a_field_among_cells_is_told_gently_and_moves_to_the_models_of_fields(stubs):
    page = opened("classify")
    page.file_uploader[0].upload("field.png", png(1024, 768))
    page.file_uploader[0].upload("cell.png", png(360, 363, (0, 255, 0)))
    shown(page.run())
    assert "1 picture (1024 x 768 px) shows a whole microscope field" in texts(page)
    shown(page.button(key="classify_move_smears").click().run())
    assert address(page, "dataset") == "smears"
    assert "1 field: 1 sure" in texts(page)
    shown(page.selectbox(key="dataset").set_value("bloodmnist").run())
    assert "1 cell: 0 sure, 1 unsure, no white cell found in 1" in texts(page)


def test_models_of_other_classes_are_left_out_of_the_tray(stubs, make_run):
    make_run("wide-64-000001", dataset="smears", codes=("AAA", "BBB", "CCC"))
    page = opened("classify", dataset="smears", model="stub-64-000001,wide-64-000001")
    assert "they know other classes than" in texts(page)


def test_without_images_and_drawings_there_are_no_samples_and_it_says_so(stubs, monkeypatch):
    added(monkeypatch, fake_spec(here=False))
    page = opened("classify", dataset="smears")
    assert "Sample cells appear here once the images of this data set are on this computer" in texts(page)


# ------------------------------------------------------------------------------------------------ Explain, Home


def test_explain_asks_about_the_runs_own_classes(stubs):
    page = opened("explain", dataset="smears")
    asked = [option_label(word) for word in ("Its answer", "Its runner-up", "CCC", "AAA")]
    assert page.segmented_control(key="class").options == asked
    assert "knows plain coloured squares; 2 of 3 classes" in texts(page)
    assert "Where a model looks on a field" in texts(page)


def test_explain_without_any_sample_takes_a_picture_of_ones_own(stubs, monkeypatch):
    added(monkeypatch, fake_spec(here=False))
    page = opened("explain", dataset="smears")
    assert "There are no sample cells" in texts(page)
    page.file_uploader[0].upload("mine.png", png(300, 300))
    shown(page.run())
    assert "Your picture" in texts(page)


def test_many_classes_are_asked_about_in_a_box(stubs, make_run, monkeypatch):
    classes = tuple(CellClass(f"C{n:02d}", f"kind {n}", "One of many.") for n in range(15))
    added(monkeypatch, fake_spec("many", classes=classes))
    make_run("many-64-000001", dataset="many", codes=tuple(c.code for c in classes), kind="classical")
    page = opened("explain", dataset="many")
    assert len(page.selectbox(key="class").options) == 17


def test_home_counts_models_by_data_set_and_tells_of_ones_own_folder(runs):
    page = opened("home")
    assert "2 models for BloodMNIST; 3 for Smears" in texts(page)
    assert "python -m core datasets add NAME FOLDER" in texts(page)
    assert "(/compare?dataset=smears)" in texts(page)
