"""What is damaged is listed with its reason, can be deleted, and stops nothing that is sound."""

import os

import numpy as np
import pytest

from core import damaged, runs
from core.adaptation import profile as profiles
from core.adaptation.head import Head
from core.adaptation.profile import LabProfile, ProfileError
from core.cli import main
from core.errors import HemaLensError
from core.inference import engine
from core.storage import MAKING, Locked, locked, sweep_leftovers
from tests.fake_runs import combined, fake_run
from tests.stub_runs import CODES, make_run  # noqa: F401 - a fixture
from tests.tampered import PROFILES, RUNS, tampered_run

SOUND = "sound-28-000000"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder of the user's own runs, with one that is sound."""
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path / "none"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    fake_run(tmp_path / "cache" / "runs", SOUND)
    return tmp_path / "cache" / "runs"


def made_profile(name: str = "ours") -> LabProfile:
    head = Head(np.zeros(6, "f4"), np.ones(6, "f4"), np.zeros((7, 8), "f4"), np.full(8, 1 / 8, "f4"))
    return LabProfile(name, SOUND, "bloodmnist", tuple(CODES), 80.0, head, 40, {"BA": 3}, 0.9)


@pytest.mark.parametrize("kind", RUNS)
def test_a_run_that_was_tampered_with_is_listed_with_its_reason_and_not_used(own, kind):
    folder = tampered_run(own / "bloodmnist" / SOUND, own / "bloodmnist" / "bad-28-000000", RUNS[kind])
    assert [run.name for run in runs.list_runs(thorough=True)] == [SOUND]
    (thing,) = damaged.damaged_things()
    assert (thing.kind, thing.path) == ("run", folder)
    assert thing.reason.strip()
    damaged.delete_damaged(thing.name)
    assert damaged.damaged_things() == []
    assert [run.name for run in runs.list_runs()] == [SOUND]


@pytest.mark.parametrize("kind", PROFILES)
def test_a_profile_that_was_tampered_with_is_listed_with_its_reason_and_not_used(own, kind):
    profiles.save_profile(made_profile())
    path = profiles.save_profile(made_profile("bad"))
    PROFILES[kind](path)
    assert [profile.name for profile in profiles.list_profiles()] == ["ours"]
    with pytest.raises(ProfileError, match=r"bad\.safetensors"):
        profiles.find_profile("bad")
    (thing,) = damaged.damaged_things()
    assert (thing.kind, thing.path) == ("laboratory", path)
    profiles.delete_profile("bad")
    assert damaged.damaged_things() == []
    assert profiles.find_profile("ours").cells == 40


def test_members_that_lead_in_circles_or_out_of_the_folder_are_no_combination(own):
    member = fake_run(own, "one-28-000000")
    for name in ("../one-28-000000", "both-28-000000"):
        both = combined(fake_run(own, "both-28-000000"), [member, member])
        config = both.config | {"members": [name]}
        runs.write_json(both.path / "config.json", config)
        assert "both-28-000000" in [thing.path.name for thing in damaged.damaged_things()]
        assert "both-28-000000" not in [run.name for run in runs.list_runs()]


def test_studies_records_and_limits_that_are_damaged_are_listed(own, capsys):
    for name in ("runs/bloodmnist/studies/bad.json", "datasets/bad.json", "limits.json"):
        path = own.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"name": NaN}')
    assert [thing.kind for thing in damaged.damaged_things()] == ["study", "data set", "limits"]
    assert main(["check"]) == 1
    assert capsys.readouterr().out.count("NaN is no finite number") >= 2
    assert main(["check", "--delete", "datasets/bad.json", "--delete", "limits.json"]) == 1
    assert [thing.kind for thing in damaged.damaged_things()] == ["study"]
    with pytest.raises(HemaLensError, match="core check"):
        damaged.delete_damaged(f"runs/bloodmnist/{SOUND}")  # what is sound isn't deleted so


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all")
def test_a_folder_of_laboratories_that_cant_be_read_is_not_an_empty_one(own):
    profiles.save_profile(made_profile())
    profiles.profiles_folder().chmod(0)
    try:
        with pytest.raises(ProfileError, match="permission denied"):
            profiles.list_profiles()
    finally:
        profiles.profiles_folder().chmod(0o755)


def test_a_folder_of_laboratories_that_cant_be_listed_is_told(own):
    profiles.profiles_folder().parent.mkdir(exist_ok=True)
    profiles.profiles_folder().write_text("a file where a folder was")
    with pytest.raises(ProfileError, match="can't be read"):
        profiles.list_profiles()
    assert [thing.kind for thing in damaged.damaged_things()] == ["laboratories"]


def test_an_answer_that_is_no_number_is_an_error(make_run):  # noqa: F811
    run = make_run(weights=np.full((3, 8), np.nan))
    with pytest.raises(engine.EngineError, match="no number"):
        engine.logits(run, np.zeros((1, 64, 64, 3), "u1"))


def test_weights_that_are_not_those_that_were_written_are_told_when_they_are_loaded(own):
    run = runs.find_run(SOUND)
    (run.path / "weights.safetensors").write_bytes(b"others")
    with pytest.raises(engine.EngineError, match=r"weights\.safetensors"):
        engine.load(run)


def test_a_file_made_anew_is_known_and_one_that_was_not_sealed_stays_so(own):
    run = runs.find_run(SOUND)
    runs.replace_sealed(run, "ood.safetensors", lambda path: path.write_bytes(b"detector"))
    assert runs.fault_of(run.path) == ""
    (run.path / "ood.safetensors").unlink()
    assert "core ood" in runs.fault_of(run.path)
    runs.replace_sealed(runs.Run(run.path), "ood.safetensors", lambda path: path.write_bytes(b"again"))
    assert runs.fault_of(run.path, thorough=True) == ""


def test_what_was_left_half_made_is_swept_once_it_is_old(own):
    half, former = own / "bloodmnist" / f".x-28{MAKING}abc", own / "bloodmnist" / f".gone-28{MAKING}abc-former"
    for folder in (half, former):
        folder.mkdir()
    file = own / ".metrics.json.abc.tmp"
    file.write_text("half")
    sweep_leftovers(own)
    assert half.exists()
    assert file.exists()
    sweep_leftovers(own, age=-1)
    assert not half.exists()
    assert not file.exists()
    assert not former.exists()
    assert (own / "bloodmnist" / "gone-28").is_dir()  # the older run is back where no newer one took its place


def test_the_second_to_write_one_thing_waits_or_is_told(own):
    with (
        locked(own / "x", 0.1),
        pytest.raises(Locked, match="another process"),
        locked(own / "x", 0.1),
    ):
        pass
    with locked(own / "x", 0.1):
        pass
