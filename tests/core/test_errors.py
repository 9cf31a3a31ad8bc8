"""Why a file can't be read is told in words for a person, whatever a library says."""

import json

import pytest
from safetensors import safe_open

from core.adaptation.profile import ProfileError, read_profile
from core.errors import HemaLensError, plain_reason


def reason_of(raises):
    try:
        raises()
    except Exception as error:
        return plain_reason(error)
    raise AssertionError("nothing was raised")


def test_words_of_libraries_are_not_shown(tmp_path):
    (tmp_path / "broken").write_bytes(b"no tensors at all" * 9)
    damaged = "it is damaged, or no file of that kind"
    assert reason_of(lambda: safe_open(tmp_path / "broken", "numpy")) == damaged
    assert reason_of(lambda: json.loads("{")) == damaged
    assert reason_of(lambda: b"\xff".decode()) == damaged
    assert reason_of(lambda: None["key"]) == damaged
    assert reason_of(lambda: {}["codes"]) == "it lacks 'codes'"
    assert reason_of(lambda: (tmp_path / "none").open()) == "no such file or directory"


def test_words_of_our_own_stay():
    assert plain_reason(HemaLensError("The run is gone.")) == "The run is gone"
    assert plain_reason(ValueError("its numbers don't fit together")) == "its numbers don't fit together"


def test_a_profile_that_is_none_is_told_plainly(tmp_path):
    path = tmp_path / "ward.safetensors"
    path.write_bytes(b"no tensors at all" * 9)
    with pytest.raises(ProfileError, match="it is damaged, or no file of tensors") as told:
        read_profile(path)
    assert "deserializing" not in str(told.value)
