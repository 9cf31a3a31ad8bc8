"""The Dataset page's other views: learn, map and quiz; and data sets that are split in ways of their own."""

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.datasets import get_dataset
from core.runs import seal_run
from dashboard import dataset
from dashboard.dataset import features
from dashboard.dataset.quiz import Quiz
from tests.fake_datasets import CAUTION, added, fake_spec
from tests.fake_runs import fake_run
from tests.pages.driving import opened, texts
from tests.stub_runs import graph


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """No images, no runs of the user's own, nothing remembered."""
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    st.cache_resource.clear()


@pytest.fixture
def painter(root):
    """A run on drawn cells, 28 px, with a graph that goes by the mean colour."""
    run = fake_run(root, "painter-28-1", dataset="synthetic", size=28, title="Painter")
    graph(run.onnx_path, 28, np.eye(3, 8))
    return seal_run(run)


# ---------------------------------------------------------------- learn
def test_learn_without_images_shows_what_ships(empty):
    page = opened("dataset", view="learn", split="test")
    said = texts(page)
    assert "**19.5 %** of test" in said  # neutrophils, 666 of 3,421
    assert "**12.5 %**" in said
    assert "**92.9 %** accuracy" in said
    assert "50 % is chance" in said
    assert page.session_state["among"][0] == "BA"
    assert len(page.get("plotly_chart")) == 3


def test_learn_compares_the_classes_and_the_feature_of_the_link(empty):
    page = opened("dataset", view="learn", among="NE,EO", feature="energy")
    assert page.session_state["among"] == ["NE", "EO"]
    assert page.selectbox(key="feature").value == "energy"
    assert "of neutrophils" not in texts(page)
    page.multiselect(key="among").set_value(["NE"]).run()
    assert not page.exception
    assert "Choose two to four classes" in texts(page)


def test_learn_at_a_size_without_figures_says_whose_they_are(empty):
    assert "Measured at 64 px" in texts(opened("dataset", view="learn", size="224"))


def test_learn_of_even_classes(empty):
    assert "about equally common" in texts(opened("dataset", view="learn", dataset="synthetic", size="28"))


def test_learn_measures_what_no_file_ships(empty, monkeypatch):
    added(monkeypatch, fake_spec())
    page = opened("dataset", view="learn", dataset="smears", size="16")
    assert "AAA 4, BBB 4, CCC 4 cells of train" in texts(page)
    assert CAUTION in texts(page)


def test_what_was_computed_once_is_kept_for_the_next_start(empty, monkeypatch):
    added(monkeypatch, fake_spec())
    loaded = get_dataset("smears").load(16)
    first = dataset.statistics("smears", 16, loaded)[0], features.feature_statistics("smears", 16, loaded)[0]
    st.cache_resource.clear()
    for module, name in ((dataset, "summarize"), (features.texture, "measure_texture")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("computed again"))
    again = dataset.statistics("smears", 16, loaded)[0], features.feature_statistics("smears", 16, loaded)[0]
    assert again[0].provenance == first[0].provenance
    assert np.allclose(again[1].values, first[1].values, rtol=2e-3)


# ---------------------------------------------------------------- data sets of all kinds
def test_a_set_of_fields_is_never_called_cells_and_its_ways_to_split_are_offered(empty, monkeypatch):
    added(monkeypatch, fake_spec(unit="field", cautions=()))
    page = opened("dataset", dataset="smears", size="16", scheme="random")
    said = texts(page)
    assert "microscope field with several cells" in said
    assert "Click a bar to see its fields" in said
    assert "What tells first kind fields from their neighbours" in said
    assert page.session_state["scheme"] == "random"
    assert "Near duplicates stand in several parts" in page.segmented_control(key="scheme").help


def test_some_of_the_classes_are_counted(empty, monkeypatch):
    spec = fake_spec()
    some = spec.with_classes(("AAA", "CCC"))

    def load(size: int, content: str | None = None, scheme: str = "", report: object = None):
        return fake_loaded(size, content, scheme)

    fake_loaded = fake_spec(classes=some.classes).load
    added(monkeypatch, fake_spec(load=load))
    page = opened("dataset", dataset="smears", size="16")
    assert "2 of 3 classes are here" in texts(page)
    assert page.selectbox(key="class").options == ["AAA  first kind", "CCC  third kind"]
    opened("dataset", dataset="smears", size="16", view="learn")
    opened("dataset", dataset="smears", size="16", view="quiz")


def test_images_that_are_not_here_and_can_not_be_drawn(empty, monkeypatch, tmp_path):
    from core.datasets import DatasetUnavailable

    def load(size: int, content: str | None = None, scheme: str = "", report: object = None):
        raise DatasetUnavailable("Smears are not on this computer: put them into the folder smears.")

    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path / "shipped"))
    added(monkeypatch, fake_spec(here=False, load=load))
    fake_run(tmp_path / "shipped", "good-64-1", dataset="smears")
    for view in ("cells", "learn", "map", "quiz"):
        page = opened("dataset", dataset="smears", view=view, size="16")
        assert "put them into the folder smears" in texts(page), view


# ---------------------------------------------------------------- map
def test_map_without_images_says_what_to_do(empty):
    page = opened("dataset", view="map")
    assert "The 64 px images are not on this computer" in texts(page)
    assert "so it needs them" in texts(page)
    assert any(button.label == "Download them" for button in page.button)


def test_map_without_a_model_says_how_to_train_one(root):
    page = opened("dataset", view="map", dataset="synthetic", size="28")
    assert "python -m core train --dataset synthetic --size 28" in page.code[0].value


def test_map_shows_the_sample_and_the_most_similar(painter):
    page = opened("dataset", view="map", dataset="synthetic", size="28", map_run=painter.name)
    assert "800 cells of val and test" in texts(page)
    assert len(page.get("plotly_chart")) == 1
    before = len(page.image)
    wall = [button for button in page.button if (button.key or "").startswith("wall-")]
    wall[0].click().run()
    assert not page.exception
    assert any(heading.value.startswith("Most like cell drawn-") for heading in page.header)
    assert len(page.image) == before + 13
    like = page.query_params["like"]
    like = like if isinstance(like, str) else like[0]
    again = opened("dataset", view="map", dataset="synthetic", size="28", map_run=painter.name, like=like)
    assert any(heading.value.startswith("Most like cell drawn-") for heading in again.header)


def test_map_of_a_link_to_no_picture_tells_it(painter):
    page = opened("dataset", view="map", dataset="synthetic", size="28", like="test 999")
    assert "no picture 'test 999'" in texts(page)


# ---------------------------------------------------------------- quiz
def game(page: AppTest) -> Quiz:
    return page.session_state["_quiz"][1]


def answer(page: AppTest, *, right: bool) -> str:
    """Answer the picture shown; returns the code of the truth."""
    codes = get_dataset("bloodmnist").codes
    truth = game(page).question[0]
    said = truth if right else (truth + 1) % len(codes)
    page.button(key=f"quiz-{codes[said]}").click().run()
    assert not page.exception
    return codes[truth]


def test_quiz_with_generated_cells(empty):
    page = opened("dataset", view="quiz")
    assert "generated, not a patient's cell" in texts(page)
    assert [b.proto.shortcut for b in page.button if (b.key or "").startswith("quiz-")] == list("12345678")
    truth = answer(page, right=True)
    assert f"Right: **{truth}**" in page.success[0].value
    next(button for button in page.button if button.label == "Next").click().run()
    truth = answer(page, right=False)
    assert f"It is labelled **{truth}**" in page.error[0].value
    assert [metric.value for metric in page.metric][0] == "50 %"
    assert game(page).right == 1


def test_quiz_asks_on_and_starts_again(empty):
    page = opened("dataset", view="quiz")
    answer(page, right=True)
    first = game(page)
    next(button for button in page.button if button.label == "Next").click().run()
    assert (game(page), game(page).number) == (first, 1)
    next(button for button in page.button if button.label == "Start again").click().run()
    assert game(page) is not first
    assert game(page).answers == []


def test_quiz_on_two_classes_only(empty):
    page = opened("dataset", view="quiz", dataset="synthetic", size="28")
    page.pills(key="asked-synthetic").set_value(["NE", "EO"]).run()
    assert [b.key for b in page.button if (b.key or "").startswith("quiz-")] == ["quiz-EO", "quiz-NE"]
    page.pills(key="asked-synthetic").set_value(["NE"]).run()
    assert "two classes or more" in texts(page)


def test_a_model_answers_beside_the_person(painter):
    page = opened("dataset", view="quiz", dataset="synthetic", size="28")
    truth = answer(page, right=True)
    assert f"**{truth}**" in page.success[0].value
    assert "Painter, 28 px says " in texts(page)
    assert [metric.label for metric in page.metric] == ["You", "The model", "Balanced"]
