"""A laboratory in a session: what tables and folders say, rounds of questions, cells in view; its figures."""

import numpy as np
import pytest

from core.adaptation.active import ActiveLearner
from core.adaptation.head import LabCells
from core.datasets import get_dataset
from core.images.red_cells import given_scale
from dashboard.lab import ANSWERS_ASKED, BadTable, Laboratory, adapt, crop, table_labels, use
from dashboard.session import UploadedCell
from tests.stub_runs import make_run

__all__ = ["make_run"]

SPEC = get_dataset("bloodmnist")
NAMES = dict(zip(SPEC.codes, SPEC.class_names, strict=True))


@pytest.fixture
def lab():
    """Sixty cells in three clouds, which the model takes for platelets."""
    rng = np.random.default_rng(0)
    kinds = np.arange(60) % 3
    embeddings = (np.eye(3)[kinds] * 4 + rng.normal(0, 0.3, (60, 3))).astype(np.float32)
    probabilities = np.full((60, 8), 0.05)
    probabilities[:, 7] = 0.65
    cells = LabCells(
        np.zeros((60, 8, 8, 3), np.uint8), probabilities, embeddings, given_scale(20), boxes=((-5, 10, 15, 30),) * 60
    )
    made = Laboratory()
    for i in range(60):
        picture = np.full((40, 40, 3), i, np.uint8)
        made.session.cells[f"c{i}"] = UploadedCell(f"c{i}", f"{i}.png", picture)
    made.ids = tuple(made.session.cells)
    made.learner = ActiveLearner(cells, np.ones(8, bool))
    return made


def test_a_table_names_classes_by_code_name_or_synonym():
    text = "\ufefffile;label;slide\na/x.png;Neutrophils;s1\ny.png;lymph;s2\nz.png;;\nw.png;blast;s1\n"
    labels, slides, notes = table_labels(text.encode(), SPEC, "mine.csv")
    assert labels == {"a/x.png": "NE", "y.png": "LY"}
    assert slides == {"a/x.png": "s1", "y.png": "s2", "w.png": "s1"}
    assert notes[0] == "1 picture of mine.csv without an entry of 'label'."
    assert notes[-1] == "No class is called 'blast': 1 picture left without an answer."


@pytest.mark.parametrize("data", [b"\xff\xfe\x00x", b"name,class\na,NE\n", b""])
def test_what_is_no_table_of_labels_is_told(data):
    with pytest.raises(BadTable):
        table_labels(data, SPEC)


def test_folders_called_like_classes_are_labels_and_others_are_not():
    lab = Laboratory()
    lab.take(
        [("mine/neutrophil/a.png", b""), ("mine/images/b.png", b""), ("c.png", b""), ("mine/.DS_Store", b"")], SPEC
    )
    assert lab.labels == {"mine/neutrophil/a.png": "NE"}
    assert [name for name, _ in lab.session.queue] == ["mine/neutrophil/a.png", "mine/images/b.png", "c.png"]


def test_a_bad_table_leaves_the_pictures():
    lab = Laboratory()
    lab.take([("labels.csv", b"what,is\nthis,?\n"), ("c.png", b"")], SPEC)
    assert len(lab.session.queue) == 1
    assert "labels.csv needs the columns 'file' and 'label'" in lab.notes[0]


def taken(lab, files, table):
    lab.take([*files, ("a folder/labels.csv", table.encode("utf-16"))], SPEC)
    for number, name in enumerate(files):
        lab.session.cells[f"c{number}"] = UploadedCell(f"c{number}", name[0], np.zeros((20, 20, 3), np.uint8))
    return {
        cell.name if len(files) == len({f for f, _ in files}) else i: lab.label(i)
        for i, cell in lab.session.cells.items()
    }


def test_pictures_of_one_name_in_two_slides_have_the_labels_of_their_own_rows():
    files = [("slide1/1.png", b""), ("slide2/1.png", b""), ("slide2/2.png", b"")]
    table = "file\tlabel\tslide\nslide1/1.png\tneutrophil\ta\nslide2/1.png\tlymphocyte\tb\n2.png\tmono\tb\n"
    lab = Laboratory()
    assert taken(lab, files, table) == {"slide1/1.png": "NE", "slide2/1.png": "LY", "slide2/2.png": "MO"}
    assert lab.matches.slides == {"c0": "a", "c1": "b", "c2": "b"}


def test_where_only_names_are_known_two_of_one_name_have_no_label_and_that_is_told():
    files = [("1.png", b""), ("1.png", b""), ("2.png", b"")]
    table = "file\tlabel\nslide1/1.png\tneutrophil\nslide2/1.png\tlymphocyte\nslide2/2.png\tmono\ngone.png\tmono\n"
    lab = Laboratory()
    assert taken(lab, files, table) == {"c0": None, "c1": None, "c2": "MO"}
    told = " ".join(lab.matches.notes)
    assert "1 path of labels.csv match no picture here, such as gone.png" in told
    assert "2 paths of labels.csv may mean several pictures" in told


def test_a_table_goes_before_a_folders_name_and_contradictions_are_no_answer():
    files = [("neutrophil/1.png", b""), ("neutrophil/2.png", b""), ("neutrophil/3.png", b"")]
    rows = ["neutrophil/1.png,lymphocyte", "neutrophil/2.png,mono", r"NEUTROPHIL\2.png,baso"]
    lab = Laboratory()
    found = taken(lab, files, "\r".join(["file,label", *rows]))
    assert found["neutrophil/1.png"] == "LY"
    assert found["neutrophil/3.png"] == "NE"
    assert found["neutrophil/2.png"] == "NE"
    assert lab.matches.notes == (
        "labels.csv names 1 picture twice, with different entries, and none is used, such as neutrophil/2.png.",
    )


def test_rounds_are_ten_and_then_five_until_the_goal(lab):
    sizes = []
    while (now := lab.round()) is not None:
        sizes.append(len(now.cells))
        for cell in now.cells:
            assert lab.answers.get(cell) is None
            lab.answer(cell, cell % 3)
    assert sizes == [10, 5, 5, 5]
    assert lab.asked == ANSWERS_ASKED
    assert (lab.learner.posterior.argmax(1) == np.arange(60) % 3).all()
    assert lab.estimate.before < 0.3 < lab.estimate.after
    lab.ask_more()
    assert len(lab.round().cells) == 5


def test_guesses_stay_until_a_round_is_over(lab):
    first = lab.round()
    for cell in first.cells[:9]:
        lab.answer(cell, 0)
    assert lab.round() is first
    lab.answer(first.cells[9], 0)
    assert lab.round() is not first


def test_undo_never_touches_labels_that_came_along(lab):
    lab.learner = lab.learner.with_answer(5, 2)
    lab.undo()
    assert lab.answers == {5: 2}
    cell = lab.focused()
    lab.answer(cell, 1)
    lab.undo()
    assert lab.answers == {5: 2}
    assert lab.focused() == cell


def test_saying_which_classes_occur_asks_anew(lab, make_run):
    lab.round()
    run = make_run()
    lab.set_present_classes(run, ["LY", "NE"])
    assert not lab.rounds
    assert lab.learner.posterior[:, 7].max() < 0.65
    lab.set_present_classes(run, run.codes)
    assert lab.present_classes is None


def test_a_crop_is_what_the_frame_holds(lab):
    seen = crop(lab, 7)
    assert seen.shape == (20, 20, 3)
    assert (seen == 7).all()
    assert lab.box(7, side=10) == (0, 15, 10, 25)


def test_counts_and_their_bars():
    table = adapt.counts_table(np.array([0, 0, 4]), np.array([4, 4, 6]), SPEC.codes)
    assert table["before"].tolist() == [2, 0, 0, 0, 1, 0, 0, 0]
    assert table["after"].tolist() == [0, 0, 0, 0, 2, 0, 1, 0]
    figure = adapt.class_counts_figure(table, NAMES, title="Counts")
    assert [bar.name for bar in figure.data] == ["before", "after"]
    assert figure.data[0].marker.opacity < figure.data[1].marker.opacity == 1
    assert len(adapt.class_counts_figure(table.drop(columns="before"), NAMES, title="Counts").data) == 1


def test_the_map_colours_answers_and_rings_what_was_named():
    points = np.arange(8.0).reshape(4, 2)
    table = adapt.map_table(points, np.array([0, 0, 4, 6]), np.full(4, 1.0), {1: 4, 2: -1}, SPEC.codes)
    assert table["told"].tolist() == ["", "LY", "", ""]
    figure = adapt.cell_map_figure(table, SPEC.codes, NAMES, title="Map", dark=True)
    assert [trace.name for trace in figure.data] == ["BA", "LY", "NE", "named by you"]
    assert figure.data[-1].x.tolist() == [2.0]
    assert max(row[0] for row in figure.data[0].customdata) < 100


def test_a_small_matrix_holds_the_classes_there_and_says_what_is_wrong():
    matrix = use.confusion_counts(np.array([0, 0, 4, 6]), np.array([0, 4, 4, 4]), 8)
    assert matrix[0, 4] == matrix[0, 0] == matrix[4, 4] == matrix[6, 4] == 1
    figure = use.small_matrix(matrix, np.array([0, 4, 6]), SPEC.codes, SPEC.class_names, title="Now")
    assert figure.data[0].z.shape == (3, 3)
    assert sorted(a.text for a in figure.layout.annotations) == ["1", "1", "1", "1"]
    assert use.worst_mix_up(matrix, SPEC.class_names) == "Most often wrong: 1 of 2 basophils taken for lymphocytes."
    assert use.worst_mix_up(np.eye(8, dtype=int), SPEC.class_names).startswith("None")
    assert use.matrix_table(matrix, SPEC.codes).loc["BA", "LY"] == 1
