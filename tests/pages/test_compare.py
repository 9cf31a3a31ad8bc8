"""The Compare page in every state, driven as a visitor would."""

from pathlib import Path

import numpy as np

from core.formatting import markdown_text
from tests.fake_runs import fake_run
from tests.pages.driving import opened, texts


def test_without_runs_it_says_what_will_be_here_and_how(root):
    page = opened("compare")
    assert "There is none yet" in texts(page)
    assert "python -m core train" in page.code[0].value
    assert not page.dataframe


def test_one_run(root):
    fake_run(root, "only-64-1", title="Only")
    page = opened("compare")
    assert page.header[0].value == "Only, 64 px"
    assert "Tick a second run" in texts(page)
    assert len(page.dataframe[0].value) == 1
    assert not page.error


def test_the_two_best_are_compared_at_first_and_the_address_says_so(three):
    page = opened("compare")
    assert page.header[0].value == "Good, 64 px and Fair, 64 px"
    assert page.query_params["runs"] == "good-64-1,fair-64-1"
    assert "points more accurate" in texts(page)
    assert "McNemar" in texts(page)
    assert not page.error


def test_a_link_opens_the_same_view(three):
    link = {
        "runs": "small-28-1,good-64-1",
        "truth": "ERB",
        "called": "LY",
        "by": "either",
        "show": "percent",
        "against": "parameters",
    }
    page = opened("compare", **link)
    assert page.header[0].value == "Small, 28 px and Good, 64 px"
    assert {key: page.query_params[key] for key in link} == link
    assert not page.info or "isn't here" not in texts(page)


def test_two_sizes_are_matched_by_id_and_it_says_so(three):
    page = opened("compare", runs="small-28-1,good-64-1")
    assert "at 28 px" in texts(page)
    assert "matched by their ids" in texts(page)


def test_a_link_to_a_run_that_is_gone_names_the_nearest(three):
    page = opened("compare", runs="good-64-2,fair-64-1")
    assert f"'{markdown_text('good-64-2')}'" in texts(page)
    assert "Good, 64 px" in texts(page)
    assert page.query_params["runs"] == "good-64-1,fair-64-1"


def test_runs_on_different_data_are_shown_without_a_test(root):
    fake_run(root, "real-64-1", title="Real")
    fake_run(root, "other-64-1", title="Other", label="official BloodMNIST")
    page = opened("compare", runs="real-64-1,other-64-1")
    assert "No test of the difference" in texts(page)
    assert "McNemar" not in texts(page)
    assert not page.error


def test_filters_narrow_the_table(three):
    page = opened("compare", px="28")
    assert list(page.dataframe[0].value["run"]) == ["small-28-1"]
    assert page.query_params["runs"] == "good-64-1,fair-64-1", "filtered away is not unticked"


def test_choosing_a_square_shows_its_cells(three):
    page = opened("compare", runs="fair-64-1,good-64-1")
    page.selectbox(key="truth").set_value("ERB").run()
    page.selectbox(key="called").set_value("LY").run()
    assert not page.exception
    count = three[1].metrics["test"]["confusion"][2][4]
    cells = page.dataframe[-1].value
    assert len(cells) == count > 1
    assert set(cells["Fair, 64 px: answer"]) == {"LY"}
    assert page.query_params["truth"] == "ERB"
    assert page.query_params["called"] == "LY"


def test_a_square_without_cells_says_so(three):
    page = opened("compare", truth="PLT", called="BA")
    assert "No platelet (PLT)" in texts(page)


def test_nothing_ticked(three):
    page = opened("compare", runs="")
    assert page.header, "an empty link is no link"


def write_data(folder: Path, n: int) -> str:
    """A BloodMNIST file of 28 px with ``n`` black test cells; returns its content hash."""
    from core.datasets import get_dataset

    arrays = {}
    for split, count in (("train", 8), ("val", 8), ("test", n)):
        arrays[f"{split}_images"] = np.zeros((count, 28, 28, 3), np.uint8)
        arrays[f"{split}_labels"] = np.arange(count)[:, None] % 8
        arrays[f"{split}_ids"] = np.array([f"{split}-{i:05d}" for i in range(count)])
    folder.mkdir()
    np.savez(folder / "rebuilt_bloodmnist.npz", **arrays)
    return get_dataset("bloodmnist").load(28).provenance.content_hash


def test_pictures_where_the_same_data_is_here(root, tmp_path):
    content = write_data(tmp_path / "data", 320)
    fake_run(root, "here-28-1", title="Here", size=28, content=content)
    page = opened("compare")
    assert page.dataframe[-1].value["cell"].iloc[0].startswith("data:image/png;base64,")
    assert "Pictures appear here" not in texts(page)


def test_no_pictures_of_other_data(root, tmp_path):
    write_data(tmp_path / "data", 320)
    fake_run(root, "else-28-1", title="Else", size=28, content="ffffffffffff")
    page = opened("compare")
    assert "cell" not in page.dataframe[-1].value
    assert "Pictures appear here" in texts(page)
