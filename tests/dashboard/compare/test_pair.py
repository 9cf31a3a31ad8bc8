"""Two runs on the same cells, and all against all: tables and figures with hand-counted contents."""

import numpy as np
import pytest

from core.evaluation.compare import agreement, bootstrap, compare_predictions
from core.evaluation.hard_examples import Votes
from dashboard import compare
from dashboard.compare import pair
from dashboard.compare.pair import (
    agreement_figure,
    agreement_title,
    alike_figure,
    alike_title,
    difference_figure,
    difference_words,
)
from tests.fake_runs import fake_run

CODES = ["ERB", "LY", "PLT"]
NAMES = ["erythroblast", "lymphocyte", "platelet"]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path))
    return [
        fake_run(tmp_path, "good-64-1", title="Good", accuracy=0.95, seed=1),
        fake_run(tmp_path, "small-28-1", title="Small", size=28, accuracy=0.8, seed=2),
    ]


def test_a_pair_of_two_sizes_is_the_paired_comparison(runs):
    found = compare.compare_pair(*runs)
    one, two = (run.predictions("test") for run in runs)
    assert found.comparison == compare_predictions(one.labels, one.logits.argmax(1), two.logits.argmax(1))
    assert found.agreement.matrix.sum() == found.comparison.n == len(found.ids)
    assert found.resampled.interval[0] < found.comparison.difference < found.resampled.interval[1]
    assert compare.compare_pair(*runs) is found, "computed once"


def test_runs_of_other_cells_or_classes_are_refused_in_a_sentence(runs, tmp_path):
    other = fake_run(tmp_path, "other-64-1", label="official BloodMNIST")
    assert "test cells differ" in compare.compare_pair(runs[0], other)


@pytest.mark.parametrize(("who", "wrong"), [("first", "second"), ("second", "first")])
def test_cells_that_only_one_gets_right(runs, who, wrong):
    found = compare.compare_pair(*runs)
    codes = runs[0].config["dataset"]["codes"]
    table = pair.only_one_right(found, who, codes)
    assert len(table) == getattr(found.comparison, f"only_{who}") > 0
    assert (table[f"{who} answer"] == table["label"]).all()
    assert (table[f"{wrong} answer"] != table["label"]).all()
    assert table[f"{wrong} p"].is_monotonic_decreasing, "the surest error first"
    assert (table[f"{who} p"] == table[f"{who} p label"]).all()
    truth = dict(zip(found.ids, found.labels, strict=True))
    assert [codes[truth[identity]] for identity in table["id"]] == list(table["label"])


def test_no_such_cell(runs):
    found = compare.compare_pair(runs[0], runs[0])
    assert pair.only_one_right(found, "first", runs[0].config["dataset"]["codes"]).empty


def votes() -> Votes:
    labels = np.array([0, 1, 2, 0])
    answers = np.array([[0, 1, 2, 1], [2, 0, 0, 1], [0, 1, 2, 1]])
    return Votes(np.array(list("abcd")), labels, answers, np.full((4, 3), 1 / 3))


def test_all_against_all():
    table = pair.agreement_table(votes(), ["x", "y", "z"], {"x": "X", "y": "Y", "z": "Z"}, errors=False)
    assert len(table) == 9
    value = table.set_index(["one", "other"])["value"]
    assert value["x", "z"] == 100
    assert value["x", "y"] == value["y", "x"] == 25
    order = list(dict.fromkeys(table["one"]))
    assert abs(order.index("x") - order.index("z")) == 1, "what is alike stands side by side"
    errors = pair.agreement_table(votes(), ["x", "y", "z"], {"x": "X", "y": "Y", "z": "Z"}, errors=True)
    assert errors.set_index(["one", "other"])["value"]["x", "y"] == 25
    title = alike_title(table, "alike")
    assert "100.0 %" in title
    assert "25.0 %" in title
    squares, _, clicks = alike_figure(table, title=title).data
    assert np.shape(squares.z) == (3, 3)
    assert [list(pair) for pair in clicks.customdata] == table[["one", "other"]].to_numpy().tolist()


def test_the_agreement_figure_tells_share_and_kappa_and_is_not_clickable():
    first, second = np.repeat([0, 0, 1, 2], [20, 5, 10, 15]), np.repeat([0, 1, 0, 2], [20, 5, 10, 15])
    found = agreement(first, second, 3)
    fig = agreement_figure(found, CODES, NAMES)
    assert "70.00 %" in fig.layout.title.subtitle.text
    assert f"{found.kappa:.3f}" in fig.layout.title.subtitle.text
    assert fig.data[2].customdata is None
    assert fig.layout.yaxis.title.text == "the first says"
    assert fig.layout.title.text == "15 of 15 disputes: erythroblasts or lymphocytes"


def test_agreement_titles_of_the_ends():
    assert agreement_title(np.diag([3, 4, 5]), NAMES) == "Both say the same of every cell"
    assert agreement_title(np.zeros((3, 3)), NAMES) == "No cells were scored"


def test_the_bootstrap_figure_marks_zero_and_counts_every_resample():
    labels = np.zeros(100, int)
    second = np.r_[np.ones(20, int), np.zeros(80, int)]
    resampled = bootstrap(compare_predictions(labels, labels, second))
    fig = difference_figure(resampled, "A", "B")
    assert sum(fig.data[0].y) == pytest.approx(100)
    assert fig.layout.shapes[0].x0 == 0
    assert fig.layout.xaxis.range[0] < 0 < min(fig.data[0].x)
    assert fig.layout.title.text == "The first leads in > 99.9 % of the resamples"
    assert "A minus B" in fig.layout.xaxis.title.text


def test_the_bootstrap_in_words():
    labels = np.zeros(100, int)
    swapped = np.r_[np.ones(1, int), np.zeros(99, int)]
    said = difference_words(bootstrap(compare_predictions(labels, swapped, labels)))
    assert said.startswith("The interval holds zero; the second leads in ")
    same = bootstrap(compare_predictions(labels, labels, labels))
    assert difference_figure(same, "A", "B").data[0].y[0] == 100
    assert "holds zero" in difference_words(same)
