"""The Compare page's view of picture quality, driven as a visitor would."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from core.evaluation.robustness import CORRUPTIONS
from core.formatting import markdown_text
from tests.fake_damage import fake_damage
from tests.fake_runs import fake_run
from tests.pages.driving import opened, shown, texts


@pytest.fixture
def measured(three):
    """Three runs, of which the first two were asked about spoilt pictures."""
    fake_damage(three[0], worst_step=0.06)
    fake_damage(three[1], worst_step=0.12)
    return three


def figure(page: AppTest) -> dict:
    return json.loads(page.get("plotly_chart")[0].proto.spec)


def test_without_figures_it_says_how_to_make_them(three):
    page = opened("compare", view="quality", runs="fair-64-1,good-64-1")
    assert "asked about spoilt pictures" in texts(page)
    assert page.code[0].value == "python -m core evaluate good-64-1 --corrupted"
    assert not page.dataframe


def test_two_runs_over_eleven_kinds_of_damage(measured):
    page = opened("compare", view="quality", runs="good-64-1,fair-64-1")
    fig = figure(page)
    assert fig["layout"]["title"]["text"] == "Out of focus, severity 1: Fair loses 12 points, Good 6"
    assert len(fig["data"]) == 2 * len(CORRUPTIONS)
    assert {trace["name"] for trace in fig["data"]} == {"Good", "Fair"}
    assert len(page.get("image")) == 6
    text = texts(page)
    assert "Good: **66 %** right, 95 % sure" in text
    assert "Fair: **36 %** right, 95 % sure" in text
    assert "400 of 4,000 test cells" in text
    assert "Not asked" not in text


def test_the_table_has_every_measured_run_and_names_the_worst(measured):
    table = opened("compare", view="quality", runs="good-64-1").dataframe[0].value
    assert list(table["model"]) == ["Good, 64 px", "Fair, 64 px"]
    assert set(table["worst"]) == {"Out of focus"}
    assert table["defocus_blur"].tolist() == pytest.approx([78, 60])
    assert set(CORRUPTIONS) <= set(table.columns)


def test_another_damage_is_chosen_and_shared(measured):
    page = opened("compare", view="quality", runs="fair-64-1,good-64-1", damage="bubble", on="LY")
    assert figure(page)["layout"]["title"]["text"].startswith("Bubbles, severity 5: ")
    assert "air is enclosed" in texts(page)
    assert "LY, drawn, not real" in texts(page)
    page.selectbox(key="damage").set_value("brightness_down").run()
    assert "exposure is too weak" in texts(shown(page))
    assert page.query_params["damage"] in ("brightness_down", ["brightness_down"])


def test_a_link_to_an_unknown_damage(measured):
    page = opened("compare", view="quality", damage="motion_blurr")
    assert f"'{markdown_text('motion_blurr')}'" in texts(page)
    assert page.selectbox(key="damage").value == "motion_blur"


def test_how_sure_a_run_is_can_be_drawn(measured):
    page = opened("compare", view="quality", runs="good-64-1")
    page.toggle(key="damage_sure").set_value(True).run()
    dotted = [trace for trace in figure(shown(page))["data"] if trace["line"].get("dash") == "dot"]
    assert len(dotted) == len(CORRUPTIONS)


def test_an_unmeasured_run_among_the_ticked_is_named_with_its_command(measured):
    page = opened("compare", view="quality", runs="good-64-1,small-28-1")
    assert {trace["name"] for trace in figure(page)["data"]} == {"Good"}
    assert "Not asked about spoilt pictures yet: Small, 28 px" in texts(page)
    assert page.code[0].value == "python -m core evaluate small-28-1 --corrupted"


def test_where_no_ticked_run_was_measured_the_best_measured_stand_in(measured):
    page = opened("compare", view="quality", runs="small-28-1")
    assert "shown instead: Good, 64 px and Fair, 64 px" in texts(page)
    assert page.code[0].value == "python -m core evaluate small-28-1 --corrupted"


def test_a_run_made_for_pictures_from_anywhere_comes_along(root, measured):
    fake_damage(fake_run(root, "robust-64-1", title="Robust", accuracy=0.8, train={"augment": "stain"}))
    page = opened("compare", view="quality", runs="good-64-1")
    assert {trace["name"] for trace in figure(page)["data"]} == {"Robust", "Good"}
    assert "Beside the ticked runs: Robust, 64 px, made for pictures from anywhere" in texts(page)
    page = opened("compare", view="quality", runs="robust-64-1")
    assert {trace["name"] for trace in figure(page)["data"]} == {"Robust"}


def test_runs_of_several_sizes_say_so_and_keep_their_full_names(measured):
    fake_damage(measured[2])
    page = opened("compare", view="quality", runs="small-28-1,good-64-1")
    assert {trace["name"] for trace in figure(page)["data"]} == {"Good, 64 px", "Small, 28 px"}
    assert "different sizes" in texts(page)


def test_a_data_set_whose_pictures_are_not_here(root):
    fake_damage(fake_run(root, "fields-64-1", title="Fields", dataset="all4"))
    page = opened("compare", view="quality", dataset="all4")
    assert "Example pictures appear here once" in texts(page)
    assert not page.get("image")
    assert len(page.dataframe[0].value) == 1
