"""The Compare page's views by class, of hard cells and of studies, driven as a visitor would."""

from pathlib import Path

import numpy as np
import pytest

from core.formatting import markdown_text
from core.studies import write_study
from tests.fake_runs import fake_run
from tests.fake_studies import fake_ablation_study, fake_seeds_study, fake_tune_study
from tests.pages.driving import opened, shown, texts


@pytest.fixture
def studies(root, three):
    made = [fake_tune_study(), fake_ablation_study(), fake_seeds_study(), fake_seeds_study(3, "good", 0.9)]
    for study in made:
        write_study(root, study)
    return made


# ------------------------------------------------------------------------------------------------ classes


def test_classes_of_the_ticked_runs(three):
    page = opened("compare", view="classes", runs="fair-64-1,good-64-1")
    table = page.dataframe[0].value
    assert len(table) == 2 * 8
    stored = three[1].metrics["test"]["per_class"]["sensitivity"][2]
    here = table[(table["class"] == "ERB") & (table["model"] == "Fair, 64 px")]
    assert here["sensitivity"].item() == pytest.approx(100 * stored)
    assert "ROC and precision-recall curves" in [s.value for s in page.header]


def test_the_curves_switch_between_runs_and_classes(three):
    page = opened("compare", view="classes", runs="fair-64-1,good-64-1", cell_class="ERB")
    assert page.selectbox(key="cell_class").value == "ERB"
    page.segmented_control(key="curves").set_value("classes").run()
    shown(page)
    assert page.selectbox(key="curves_of").value == "good-64-1"
    page.selectbox(key="curves_of").set_value("fair-64-1").run()
    assert shown(page).query_params["curves_of"] == ["fair-64-1"] or page.query_params["curves_of"] == "fair-64-1"
    page.segmented_control(key="zoom").set_value("whole").run()
    shown(page)


def test_choosing_runs_here_ticks_them_everywhere(three):
    page = opened("compare", view="classes", runs="good-64-1")
    page.multiselect(key="ticked_here").set_value(["good-64-1", "small-28-1"]).run()
    shown(page)
    assert page.query_params["runs"] in ("good-64-1,small-28-1", ["good-64-1,small-28-1"])
    assert len(page.dataframe[0].value) == 16
    page.multiselect(key="ticked_here").set_value([]).run()
    assert "Choose a run above" in texts(shown(page))


def test_a_ticked_run_that_is_filtered_away_stays_ticked(three):
    page = opened("compare", view="classes", runs="small-28-1,good-64-1", px="64")
    assert page.multiselect(key="ticked_here").value == ["good-64-1"]
    page.multiselect(key="ticked_here").set_value(["good-64-1", "fair-64-1"]).run()
    assert "small-28-1,good-64-1,fair-64-1" in page.query_params["runs"]


def test_more_runs_than_symbols_are_all_in_the_table(root):
    names = [f"r{i}-64-1" for i in range(6)]
    for number, name in enumerate(names):
        fake_run(root, name, title=f"R{number}", seed=number)
    page = opened("compare", view="classes", runs=",".join(names))
    assert "the last 4 of 6" in texts(page)
    assert len(page.dataframe[0].value) == 48


def test_runs_of_other_classes_are_left_out(root):
    fake_run(root, "blood-64-1", title="Blood")
    run = fake_run(root, "other-64-1", title="Other")
    config = (run.path / "config.json").read_text().replace('"PLT"', '"XYZ"')
    (run.path / "config.json").write_text(config)
    page = opened("compare", view="classes", runs="blood-64-1,other-64-1")
    assert "Runs of other classes" in texts(page)
    assert set(page.dataframe[0].value["model"]) == {"Other, 64 px"}


# ------------------------------------------------------------------------------------------------ hardest


def write_data(folder: Path, n: int, twin: bool = False) -> str:
    """A BloodMNIST file of 28 px with ``n`` test cells, each its own grey; returns its content hash."""
    from core.datasets import get_dataset

    arrays, start = {}, 0
    for split, count in (("train", 8), ("val", 8), ("test", n)):
        numbers = np.arange(start, start + count)
        images = np.zeros((count, 28, 28, 3), np.uint8)
        images[:, 0, 0, 0], images[:, 0, 0, 1] = numbers % 256, numbers // 256
        if twin and split == "test":
            images[:] = arrays["train_images"][1]
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = images, numbers[:, None] % 8
        arrays[f"{split}_ids"] = np.array([f"{split}-{i:05d}" for i in range(count)])
        start += count
    folder.mkdir()
    np.savez(folder / "rebuilt_bloodmnist.npz", **arrays)
    return get_dataset("bloodmnist").load(28).provenance.content_hash


def test_hard_cells_without_the_pictures(three):
    page = opened("compare", view="hardest")
    table = page.dataframe[0].value
    answers = [run.predictions("test") for run in three]
    missed = sum((a.logits.argmax(1) != a.labels).astype(int) for a in answers)
    assert len(table) == (missed > 0).sum()
    assert table["wrong"].max() == missed.max()
    assert "Pictures appear here once" in texts(page)
    assert "matched by their ids" in texts(page)
    any_right = 100 * (missed < 3).mean()
    assert f"{any_right:.2f} %" in [m.value for m in page.metric]


def test_hard_cells_of_one_class_in_another_order(three):
    page = opened("compare", view="hardest", labelled="ERB", order="missed")
    table = page.dataframe[0].value
    assert set(table["label"]) == {"ERB"}
    assert set(table["instead"]) == {"LY"}, "made-up runs take erythroblasts for lymphocytes"
    assert (np.diff(table["wrong"]) <= 0).all()
    page.segmented_control(key="order").set_value("labels").run()
    assert (np.diff(shown(page).dataframe[0].value["suspect"].astype(int)) <= 0).all()


def test_a_wall_of_pictures_where_the_data_is_here(root, tmp_path):
    content = write_data(tmp_path / "data", 320)
    for seed, name in enumerate(("one-28-1", "two-28-1")):
        fake_run(root, name, title=name, size=28, content=content, seed=seed)
    page = opened("compare", view="hardest")
    assert not page.dataframe
    assert texts(page).count("cell test-") == 12
    assert "/explain?dataset=bloodmnist&cell=" in texts(page)
    assert "the same picture" not in texts(page)


def test_identical_pictures_are_told_with_their_label(root, tmp_path):
    content = write_data(tmp_path / "data", 320, twin=True)
    fake_run(root, "one-28-1", title="One", size=28, content=content)
    assert "the same picture is train train-00001, labelled EO" in texts(opened("compare", view="hardest"))


def test_combinations_do_not_vote_and_other_data_is_left_out(three, root):
    run = fake_run(root, "all-64-1", title="Ensemble")
    config = (run.path / "config.json").read_text().replace("{", '{"kind": "combination", "members": ["good-64-1"],', 1)
    (run.path / "config.json").write_text(config)
    fake_run(root, "official-64-1", title="Official", label="official BloodMNIST")
    page = opened("compare", view="hardest")
    assert set(page.dataframe[0].value["models"]) == {3}
    assert "2 runs left out" in texts(page)


def test_one_perfect_model(root):
    fake_run(root, "only-64-1", title="Only", accuracy=1.0)
    page = opened("compare", view="hardest")
    assert "missed by any model" in texts(page)
    assert not page.dataframe


# ------------------------------------------------------------------------------------------------ studies


def test_without_studies_it_says_how_to_make_one(three):
    page = opened("compare", view="studies")
    assert "There is no study yet" in texts(page)
    for command in ("core tune", "core ablate", "core repeat"):
        assert command in page.code[0].value


def test_a_search(studies):
    page = opened("compare", view="studies")
    assert page.selectbox(key="study").value == "tune-cnn_4-28"
    assert "Best settings" in texts(page)
    assert page.selectbox(key="across").value == "learning_rate"
    page.selectbox(key="across").set_value("dropout").run()
    shown(page)
    for figure in ("all", "importance", "trials"):
        page.segmented_control(key="settings").set_value(figure).run()
        shown(page)
    assert len(page.dataframe[0].value) == len(studies[0].trials)


def test_the_same_setting_is_not_asked_twice(studies):
    page = opened("compare", view="studies", across="dropout", up="dropout")
    assert page.selectbox(key="across").value == "dropout"
    assert page.selectbox(key="up").value != "dropout"


def test_an_ablation_against_another_base(studies):
    page = opened("compare", view="studies", study="ablation-28")
    table = page.dataframe[0].value
    assert table["label"].iloc[0] == "base: 4 layers"
    assert np.isnan(table["gain"].iloc[0])
    page.selectbox(key="base").set_value("SE").run()
    assert shown(page).dataframe[0].value["label"].iloc[0] == "SE"
    page.segmented_control(key="measure").set_value("score").run()
    shown(page)


def test_seeds_of_several_models_stand_together(studies):
    page = opened("compare", view="studies", study="seeds")
    table = page.dataframe[0].value
    assert list(table["model"]) == ["cnn_bn, 28 px", "Good, 28 px"]
    assert list(table["seeds"]) == [5, 3]
    assert "8 trainings" in texts(page)


def test_a_link_to_a_study_that_is_gone(studies):
    page = opened("compare", view="studies", study="ablation-64")
    assert f"'{markdown_text('ablation-64')}'" in texts(page)
    assert page.selectbox(key="study").value == "ablation-28"


def test_unfinished_studies(root, three):
    import dataclasses

    for study in (fake_tune_study(0), dataclasses.replace(fake_ablation_study(), trials=())):
        write_study(root, study)
    assert "No trial ran to its end yet" in texts(opened("compare", view="studies", study="tune-cnn_4-28"))
    assert "No variant has been trained" in texts(opened("compare", view="studies", study="ablation-28"))
