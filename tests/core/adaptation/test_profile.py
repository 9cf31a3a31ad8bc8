"""A profile is one file of numbers that comes back as it was, and whatever else is handed in is refused."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from core.adaptation import profile as profiles
from core.adaptation.active import ActiveLearner
from core.adaptation.profile import ProfileError, make_profile, predictor_for
from core.images.cell_check import CellCheck
from core.images.framing import CropWindow
from core.inference.laboratory import Laboratory
from core.inference.predictor import Evidence
from core.inference.specimen import SPECIMENS
from tests.core.adaptation.drawn_lab import CODES, made_up


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path))


@pytest.fixture
def profile(make_run):
    run = make_run(size=8)
    cells, labels = made_up({"EO": 40, "LY": 40, "NE": 40})
    taught = ActiveLearner(cells, np.isin(np.arange(len(CODES)), labels))
    for cell in range(20):
        taught = taught.with_answer(cell, int(labels[cell]))
    return make_profile("Ward 3", run, taught)


def test_it_comes_back_as_it_was(profile):
    path = profiles.save_profile(profile)
    again = profiles.find_profile("Ward 3")
    assert path.stat().st_size < 200_000
    for name in ("centre", "spread", "weights", "prior"):
        assert (getattr(again.head, name) == getattr(profile.head, name)).all()
    assert replace(again, head=None, ood_detector=None) == replace(profile, head=None, ood_detector=None)
    assert again.ood_detector.threshold == pytest.approx(profile.ood_detector.threshold)
    assert sum(again.labelled.values()) == 20
    assert again.after[1] <= again.after[0] <= again.after[2]


def test_a_file_of_the_first_version_loads_and_answers_as_it_did(profile, tmp_path):
    facts = {f.name: getattr(profile, f.name) for f in fields(profile) if f.name not in ("head", "ood_detector")}
    facts["sure_from"] = facts.pop("confidence_threshold")
    arrays = {f"head.{name}": getattr(profile.head, name) for name in ("centre", "spread", "weights", "prior")}
    parts, text = profile.ood_detector.to_tensors()
    arrays |= {f"guard.{name}": array for name, array in parts.items()}
    new = json.loads(text)
    old = {"version": 1, "coverage": 0.99, "limit": new["threshold"], "clouds": {}}
    for name, numbers in new["gaussians"].items():
        old["clouds"][name] = {"rest": numbers["residual_precision"], "usual": numbers["unit_distance"]}
    facts |= {"version": 1, "temperature": profile.head.temperature, "guard": json.dumps(old)}
    save_file(arrays, tmp_path / "old.safetensors", {"profile": json.dumps(facts)})
    again = profiles.read_profile(tmp_path / "old.safetensors")
    assert replace(again, head=None, ood_detector=None) == replace(profile, head=None, ood_detector=None)
    cells, _ = made_up({"EO": 9, "NE": 9}, seed=3)
    for one, other in ((again, profile), (profiles.read_profile(profiles.save_profile(again)), profile)):
        assert (
            one.head.probabilities(cells.embeddings, cells.probabilities)
            == other.head.probabilities(cells.embeddings, cells.probabilities)
        ).all()
        assert (
            one.ood_detector.ood_score(cells.embeddings, cells.crops)
            == other.ood_detector.ood_score(cells.embeddings, cells.crops)
        ).all()


def test_a_file_of_the_second_version_loads(profile, tmp_path):
    path = profiles.save_profile(profile)
    with safe_open(path, framework="numpy") as file:
        facts = json.loads(file.metadata()["profile"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    for newer in ("unnamed", "calibration_error", "in_distribution_share"):
        del facts[newer]
    save_file(arrays, tmp_path / "second.safetensors", {"profile": json.dumps(facts | {"version": 2})})
    again = profiles.read_profile(tmp_path / "second.safetensors")
    assert again.after == profile.after
    assert again.unnamed is None
    assert again.others == "all cells"


def test_a_file_of_the_third_version_is_of_any_specimen(profile, tmp_path):
    path = profiles.save_profile(replace(profile, specimen="blood"))
    assert profiles.read_profile(path).specimen == "blood"
    with safe_open(path, framework="numpy") as file:
        facts = json.loads(file.metadata()["profile"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    del facts["specimen"]
    save_file(arrays, tmp_path / "third.safetensors", {"profile": json.dumps(facts | {"version": 3})})
    assert profiles.read_profile(tmp_path / "third.safetensors").specimen == "any"
    save_file(arrays, tmp_path / "odd.safetensors", {"profile": json.dumps(facts | {"version": 4, "specimen": "soup"})})
    with pytest.raises(ProfileError, match="soup"):
        profiles.read_profile(tmp_path / "odd.safetensors")


DAMAGED = [{"temperature": float("nan")}, {"temperature": 0}, {"side": -5}, {"side": "wide"}, {"side": float("nan")}]
DAMAGED += [{"confidence_threshold": "high"}, {"confidence_threshold": -1}]


@pytest.mark.parametrize("change", DAMAGED, ids=str)
def test_a_number_out_of_its_range_makes_a_profile_unreadable(profile, change):
    path = profiles.save_profile(profile)
    with safe_open(path, framework="numpy") as file:
        facts = json.loads(file.metadata()["profile"]) | change
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    save_file(arrays, path, {"profile": json.dumps(facts)})
    with pytest.raises(ProfileError, match="number|below|NaN|can't be"):
        profiles.read_profile(path)
    assert profiles.list_profiles() == []


def test_a_predictor_knows_the_specimen_of_its_profile_and_another_answers_as_a_head_of_its_own_would(make_run):
    run = make_run(size=8)
    cells, labels = made_up({"EO": 40, "LY": 40, "NE": 40})
    taught = ActiveLearner(cells, np.ones(len(CODES), bool)).of_specimen(SPECIMENS["child"], run)
    for cell in range(20):
        taught = taught.with_answer(cell, int(labels[cell]))
    profile = make_profile("children", run, taught)
    assert profile.specimen == "child"
    assert profile.head.prior == pytest.approx(SPECIMENS["child"].odds(run, elsewhere=True))
    predictor = predictor_for(profile)
    assert predictor.specimen_at(Laboratory(known=True)) is SPECIMENS["child"]
    assert predictor.specimen_is_said
    head = replace(profile.head, prior=(SPECIMENS["blood"].odds(run, elsewhere=True)).astype(np.float32))
    checks = (CellCheck("cell", 1.0),) * len(cells)
    plain = profile.head.probabilities(cells.embeddings, cells.probabilities)
    evidence = Evidence(plain, checks, np.zeros(len(cells), bool))
    predictor = predictor_for(replace(profile, ood_detector=None), SPECIMENS["blood"])
    found = predictor.decide(evidence, Laboratory(known=True))[0]
    np.testing.assert_allclose(found, head.probabilities(cells.embeddings, cells.probabilities), atol=1e-5)


def test_few_cells_and_few_answers_are_told(profile):
    assert profile.cautions == ()
    assert (profile.named, profile.others) == (20, "the other 100")
    assert "29 cells only" in replace(profile, cells=29).cautions[0]
    assert "12 answers only" in replace(profile, labelled={"LY": 12}).cautions[0]
    assert len(replace(profile, cells=12, labelled={"LY": 12}).cautions) == 2
    assert "No answer will be sure" in replace(profile, confidence_threshold=1.0).cautions[0]


def test_the_newest_is_first_and_a_broken_one_is_passed_over(profile):
    profiles.save_profile(replace(profile, name="old", created="2020-01-01T00:00:00+00:00"))
    profiles.save_profile(profile)
    (profiles.profiles_folder() / "broken.safetensors").write_bytes(b"not a profile")
    assert [p.name for p in profiles.list_profiles()] == ["Ward 3", "old"]


@pytest.mark.parametrize("name", ["", " ", "../escape", "a/b", "x" * 80, "trailing.", ".hidden"])
def test_a_name_that_is_no_name_is_refused(name):
    with pytest.raises(ProfileError, match="can't be called"):
        profiles.checked_name(name)


def test_an_unknown_name_tells_those_there_are(profile):
    profiles.save_profile(profile)
    with pytest.raises(ProfileError, match="Ward 3"):
        profiles.find_profile("Ward 4")


def test_export_import_and_delete(profile, tmp_path):
    profiles.save_profile(profile)
    copy = profiles.export_profile("Ward 3", tmp_path)
    with pytest.raises(ProfileError, match="already"):
        profiles.import_profile(copy)
    assert profiles.import_profile(copy, "Ward 5").head.weights.shape == profile.head.weights.shape
    profiles.delete_profile("Ward 3")
    assert [p.name for p in profiles.list_profiles()] == ["Ward 5"]
    with pytest.raises(ProfileError):
        profiles.delete_profile("Ward 3")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 100, b'{"a": 1}', b"\xff" * 9, b"GIF89a" + b"0" * 500],
    ids=["empty", "zeros", "json", "ones", "picture"],
)
def test_a_file_that_is_no_profile_is_refused_in_words(content, tmp_path):
    path = tmp_path / "given.safetensors"
    path.write_bytes(content)
    with pytest.raises(ProfileError, match="no profile"):
        profiles.import_profile(path)


def test_weights_of_something_else_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(ProfileError, match="no profile"):
        profiles.read_profile(path)


def test_numbers_that_are_none_are_refused(profile):
    bad = replace(profile, head=replace(profile.head, weights=np.full_like(profile.head.weights, np.nan)))
    with pytest.raises(ProfileError, match="not finite"):
        profiles.read_profile(profiles.save_profile(bad))


def test_a_reader_answers_with_what_was_taught(make_run, colour):
    run = make_run()
    frames = np.stack([colour((220, 30, 30)), colour((30, 220, 30))] * 30)
    from core.adaptation.head import LabCells
    from core.images import red_cells as scale
    from core.inference.engine import encode as look

    beliefs, embeddings = look(run, frames)
    cells = LabCells(frames, beliefs, embeddings, scale.OFFICIAL)
    taught = ActiveLearner(cells, np.ones(len(CODES), bool))
    for cell in range(20):  # here the red ones are monocytes
        taught = taught.with_answer(cell, CODES.index("MO") if cell % 2 == 0 else CODES.index("EO"))
    reader = predictor_for(make_profile("reds", run, taught))
    found = list(reader.stream(frames[:2], CropWindow(side=64), Laboratory()))
    assert [CODES[p.predicted] for p in found] == ["MO", "EO"]
    assert {p.threshold for p in found} == {reader.threshold}
    assert reader.name == "reds"
    assert reader.key != predictor_for(replace(make_profile("reds", run, taught), created="another day")).key


def test_a_profile_whose_run_is_gone_says_so(profile):
    with pytest.raises(ProfileError, match="not on this computer"):
        predictor_for(replace(profile, run="cnn_se-64-gone00"))


def test_a_folder_that_can_not_be_written_is_told(profile, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("x")
    monkeypatch.setenv("HEMALENS_CACHE", str(blocked))
    with pytest.raises(ProfileError, match="can't be written"):
        profiles.save_profile(profile)
    assert blocked.read_text() == "x"


def test_what_named_cells_were_called_while_left_out_is_kept(profile, tmp_path):
    assert len(profile.left_out) == 20
    assert {label for label, _, _ in profile.left_out} <= {CODES.index(code) for code in ("EO", "LY", "NE")}
    path = profiles.save_profile(profile)
    with safe_open(path, framework="numpy") as file:
        facts = json.loads(file.metadata()["profile"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    for wrong in ([[0, 8, True]], [[0, 1, 1]], [[0, 1]], [[-1, 1, False]], 3):
        save_file(arrays, tmp_path / "odd.safetensors", {"profile": json.dumps(facts | {"left_out": wrong})})
        with pytest.raises(ProfileError):
            profiles.read_profile(tmp_path / "odd.safetensors")
    del facts["left_out"]
    save_file(arrays, tmp_path / "fourth.safetensors", {"profile": json.dumps(facts | {"version": 4})})
    assert profiles.read_profile(tmp_path / "fourth.safetensors").left_out == ()
