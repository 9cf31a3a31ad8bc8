"""An audit finds what was planted, says nothing of what is clean, and is kept."""

import json

import pytest

from core.datasets.quality import audit as audits
from core.datasets.quality.audit import as_json, audit, cached, from_json
from tests.core.datasets.planted import WRONG, planted


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("HEMALENS_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield tmp_path_factory
    patch.undo()


@pytest.fixture(scope="module")
def loaded():
    return planted()


@pytest.fixture(scope="module")
def steps():
    return []


@pytest.fixture(scope="module")
def found(home, loaded, steps):
    return audit(loaded, steps.append)


def reached(found, key):
    return next(s.accuracy for s in found.shortcuts if s.key == key)


def test_planted_copies_with_their_splits_and_labels(found):
    identical = {tuple(m.id for m in c.members): c for c in found.groups(identical=True)}
    assert set(identical) == {("train-010", "train-011"), ("train-020", "val-020"), ("train-030", "test-030")}
    conflict = identical["train-030", "test-030"]
    assert conflict.has_label_conflict
    assert conflict.across_splits
    assert found.duplicates[0] == conflict  # what matters most stands first
    assert not identical["train-010", "train-011"].across_splits
    near = {tuple(m.id for m in c.members) for c in found.groups(identical=False)}
    assert near == {("train-040", "test-000"), ("train-041", "test-001")}


def test_leakage_counts_pictures_of_test_with_a_copy_in_train(found):
    assert (found.leakage["test"].n, found.leakage["test"].identical, found.leakage["test"].any) == (80, 1, 3)
    assert (found.leakage["val"].n, found.leakage["val"].identical, found.leakage["val"].any) == (160, 1, 1)


def test_planted_wrong_labels_come_first(found):
    wrong = {f"train-{row}" for row in range(100, 100 + WRONG)}
    first = {s.member.id for s in found.label_issues[: WRONG + 4]}
    assert len(wrong & first) >= WRONG - 2
    by_id = {s.member.id: s for s in found.label_issues}
    right = [by_id[i] for i in wrong & set(by_id)]
    assert sum((s.member.label - s.suggested) % 8 == 3 for s in right) >= WRONG - 2  # the class it was is suggested
    assert all(s.suggested_probability > s.given_probability for s in found.label_issues)


def test_the_planted_scale_bar_is_a_shortcut(found):
    assert found.scored_on == "val"
    assert reached(found, "corner") > 0.9
    assert found.majority_share == 0.125


def test_clean_cells_raise_no_alarm(home):
    clean = audit(planted(faults=False))
    assert not clean.groups(identical=True)
    assert len(clean.duplicates) <= 1  # two drawn platelets on empty ground may look alike
    assert clean.leakage["test"].identical == 0
    assert reached(clean, "corner") < 0.5
    assert clean.label_issue_count < 20


def test_colours_are_those_of_the_pictures(found, loaded):
    label, images = loaded["val"].labels[0], loaded["val"].images
    assert len(found.colours.mean) == 8
    shown = images[loaded["val"].labels == label].reshape(-1, 3).mean(0)
    assert found.colours.mean[label] == pytest.approx(shown, abs=6)


def test_it_is_kept_and_a_broken_file_is_computed_anew(found, loaded):
    assert cached(loaded) == found
    assert audit(loaded) == found  # not computed: the same seconds
    path = audits._path("synthetic", 28, "", found.content_hash)
    for broken in ("", "{", "[]", json.dumps({"version": 0}), json.dumps(as_json(found) | {"duplicates": 3})):
        path.write_text(broken)
        assert cached(loaded) is None
    path.unlink()


def test_json_goes_there_and_back(found):
    assert from_json(json.loads(json.dumps(as_json(found)))) == found


def test_progress_rises_to_the_end(found, steps):
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert done[-1] == 100
    assert len({step.message for step in steps}) == 4
