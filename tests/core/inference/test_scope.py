"""What a run knows is said by its own classes, and a picture of another domain by its shape."""

import pytest

from core.datasets import UnknownDataset, get_dataset
from core.images import framing
from core.inference import scope
from tests.fake_datasets import added, fake_spec
from tests.fake_runs import fake_run


@pytest.fixture
def spec(monkeypatch):
    made = fake_spec()
    added(monkeypatch, made)
    return made


def test_a_run_knows_its_own_classes_in_its_own_order(tmp_path, spec):
    run = fake_run(tmp_path, "cnn-64-1", dataset="smears", codes=("CCC", "AAA"))
    assert scope.spec_for(run).class_names == ("third kind", "first kind")
    assert scope.class_scope_text(run) == "2 of 3 classes (CCC, AAA)"
    assert scope.scope_text(run) == "knows plain coloured squares; 2 of 3 classes (CCC, AAA)"


def test_of_a_run_that_knows_all_there_is_nothing_to_say(tmp_path, spec):
    run = fake_run(tmp_path, "cnn-64-1", dataset="smears")
    assert scope.spec_for(run) is spec
    assert scope.class_scope_text(run) == ""


def test_a_class_that_the_data_set_has_no_more_goes_by_its_code(spec):
    assert scope.spec_with_codes(spec, ("AAA", "OLD")).class_names == ("first kind", "OLD")


def test_a_data_set_that_is_gone_is_told_with_the_way_out(tmp_path, spec, monkeypatch):
    run = fake_run(tmp_path, "cnn-64-1", dataset="smears")
    added(monkeypatch)
    with pytest.raises(UnknownDataset, match="datasets add smears FOLDER"):
        scope.spec_for(run)


def test_runs_under_the_split_to_trust_come_first_whatever_their_scores(tmp_path, spec):
    random = fake_run(tmp_path, "a-64-1", dataset="smears", scheme="random", accuracy=0.99)
    grouped = fake_run(tmp_path, "b-64-1", dataset="smears", scheme="grouped", accuracy=0.8)
    assert scope.on_trusted_split([random, grouped]) == [grouped]
    assert scope.on_trusted_split([random]) == [random]
    assert scope.on_trusted_split([]) == []


@pytest.mark.parametrize(
    ("shape", "unit", "seen"),
    [
        ((1024, 768), "cell", "field"),
        ((768, 1024), "cell", "field"),
        ((360, 363), "cell", "cell"),
        ((1000, 1000), "cell", "cell"),  # square: it could be anything
        ((120, 90), "cell", "cell"),  # a small oblong crop is no field
        ((1024, 768), "field", "field"),
        ((64, 64), "field", "field"),  # the size of its own pictures
        ((360, 363), "field", "cell"),
        ((250, 250), "field", "cell"),
    ],
)
def test_the_shape_tells_a_field_from_a_cell_where_it_is_plain(shape, unit, seen):
    spec = fake_spec(unit=unit)
    assert framing.unit_by_shape(*shape, spec) == seen
    told = framing.shape_warning(*shape, spec)
    assert (told is None) == (seen == unit)
    if told:
        assert f"{shape[0]} x {shape[1]} px" in told


def test_no_published_shape_of_a_data_set_is_a_stranger_to_it():
    assert framing.shape_warning(360, 363, get_dataset("bloodmnist")) is None
