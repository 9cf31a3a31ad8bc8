"""Compare, the view of two runs, and how it hangs together with the overview."""

import pytest
import streamlit as st

from tests.fake_runs import fake_run
from tests.pages.driving import opened, texts
from tests.pages.test_compare import write_data


def test_the_ticked_runs_are_set_against_each_other(three):
    page = opened("compare", view="pair", runs="fair-64-1,small-28-1")
    assert page.selectbox(key="pair_first").value == "fair-64-1"
    assert page.selectbox(key="pair_second").value == "small-28-1"
    assert "McNemar" in texts(page)
    assert "matched by their ids" in texts(page)
    assert "Paired bootstrap over the 320 test cells" in texts(page)
    assert sum(int(metric.value) for metric in page.metric) == 320
    assert not page.error


def test_another_run_is_chosen_here_and_ticked_everywhere(three):
    page = opened("compare", view="pair", runs="good-64-1,fair-64-1")
    page.selectbox(key="pair_second").set_value("small-28-1").run()
    assert page.query_params["runs"] == "good-64-1,small-28-1"
    page.segmented_control(key="view").set_value("overview").run()
    assert page.header[0].value == "Good, 64 px and Small, 28 px"


def test_choosing_the_other_one_swaps_them(three):
    page = opened("compare", view="pair", runs="good-64-1,fair-64-1")
    page.selectbox(key="pair_first").set_value("fair-64-1").run()
    assert page.query_params["runs"] == "fair-64-1,good-64-1"
    assert page.selectbox(key="pair_second").value == "good-64-1"


def test_a_second_run_is_proposed_where_one_is_ticked(three):
    page = opened("compare", view="pair", runs="small-28-1")
    assert page.query_params["runs"].startswith("small-28-1,")
    assert "McNemar" in texts(page)


def test_cells_that_only_one_gets_right_are_shown_with_both_answers(three):
    page = opened("compare", view="pair", runs="good-64-1,fair-64-1")
    both = {metric.label: int(metric.value) for metric in page.metric}
    tiles = [text.value for text in page.markdown if ", cell test-" in text.value]
    assert len(tiles) == min(both["Only the first"], 12) > 0
    page.segmented_control(key="only").set_value("second").run()
    assert page.query_params["only"] == "second"
    assert "Fair, 64 px is right here, Good, 64 px is wrong" in texts(page)
    assert not page.exception


def test_pictures_where_the_data_is_here(root, tmp_path):
    content = write_data(tmp_path / "data", 320)
    for name, accuracy in (("one-28-1", 0.9), ("two-28-1", 0.8)):
        fake_run(root, name, title=name, size=28, content=content, accuracy=accuracy)
    page = opened("compare", view="pair")
    assert "Pictures appear here" not in texts(page)
    assert len(page.image) > 0


def test_runs_of_different_data(root):
    fake_run(root, "real-64-1", title="Real")
    fake_run(root, "other-64-1", title="Other", label="official BloodMNIST")
    page = opened("compare", view="pair", runs="real-64-1,other-64-1")
    assert "No test of the difference" in texts(page)
    assert not page.error


def test_one_run_alone(root):
    fake_run(root, "only-64-1", title="Only")
    assert "There is only one yet" in texts(opened("compare", view="pair"))


@pytest.mark.parametrize("what", ["answers", "errors"])
def test_all_shown_runs_against_each_other(three, what):
    page = opened("compare", view="pair", alike=what)
    assert "Who agrees with whom" in [heading.value for heading in page.header]
    assert not page.error


def test_filters_hold_in_every_view_and_the_pair_stays(three):
    page = opened("compare", view="pair", runs="good-64-1,small-28-1", px="64")
    assert page.selectbox(key="pair_second").value == "small-28-1", "filtered away is not unticked"
    assert not page.error


def test_words_narrow_the_table(three):
    page = opened("compare", find="smal")
    assert list(page.dataframe[0].value["run"]) == ["small-28-1"]
    page.text_input(key="find").set_value("").run()
    assert len(page.dataframe[0].value) == 3
    assert "find" not in page.query_params
    page.text_input(key="find").set_value("nothing like it").run()
    assert "No run fits" in texts(page)


def test_families_narrow_the_table(root):
    fake_run(root, "a-64-1", title="A")
    run = fake_run(root, "b-64-1", title="B")
    config = (run.path / "config.json").read_text().replace('"family": "CNN"', '"family": "Forests"')
    (run.path / "config.json").write_text(config)
    st.cache_resource.clear()
    page = opened("compare", family="Forests")
    assert list(page.dataframe[0].value["run"]) == ["b-64-1"]


@pytest.mark.parametrize("aim", ["accuracy", "speed", "size"])
def test_best_for_an_aim_says_why(three, aim):
    page = opened("compare", best=aim)
    assert "320 val cells" in texts(page)
    assert page.query_params["best"] == aim
    assert not page.error


def test_a_link_to_a_view_that_is_not_there(three):
    page = opened("compare", view="pears")
    assert "'pears'" in texts(page)
    assert not page.error
