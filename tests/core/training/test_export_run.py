"""The card says of every data set what its figures are worth."""

import pytest

from core.training.export_run import model_card
from tests.fake_datasets import CAUTION, added, fake_spec
from tests.fake_runs import fake_run


def written(tmp_path, spec, **changes) -> str:
    run = fake_run(tmp_path, "cnn-64-1", dataset="smears", **changes)
    run.config["train"] |= {"model_arguments": {}, "model": "cnn_2", "optimizer": "sgd", "learning_rate": 0.1}
    run.config["train"] |= {"batch_size": 8, "augment": "standard"}
    run.metrics.update({"epochs": 4, "bf16": False, "temperature": 1.0})
    return model_card(run, spec.with_classes(run.codes))


@pytest.fixture
def spec(monkeypatch):
    made = fake_spec(unit="field")
    added(monkeypatch, made)
    return made


def test_domain_cautions_split_and_unit_stand_on_the_card(tmp_path, spec):
    text = written(tmp_path, spec, scheme="random")
    assert f"Domain: {spec.domain}" in text
    assert CAUTION in text
    assert "Split 'random' (At random): Near duplicates stand in several parts" in text
    assert "microscope field with several cells" in text
    assert "fields of another laboratory" in text
    assert "No patient identities" not in text  # what is known of patients is the data set's own caution
    assert "classes (" not in text  # it knows all of them


def test_a_run_that_knows_some_classes_only_says_so(tmp_path, spec):
    text = written(tmp_path, spec, codes=("AAA", "CCC"))
    assert "It knows 2 of the 3 classes (AAA, CCC)" in text
    assert "| AAA first kind |" in text
    assert "second kind" not in text


def test_a_data_set_that_comes_split_and_has_no_cautions_says_what_it_always_did(tmp_path, monkeypatch):
    plain = fake_spec(schemes=(), cautions=())
    added(monkeypatch, plain)
    text = written(tmp_path, plain)
    assert "Split '" not in text
    assert "No patient identities are known" in text
    assert "cells of another laboratory" in text


def test_what_is_told_and_promised_stands_on_the_card(tmp_path, spec):
    text = written(tmp_path, spec)
    assert "## What is told" in text
    assert "Of the test fields" in text
    assert "nothing is guaranteed" in text
    assert "Val had chosen the epoch" in text
