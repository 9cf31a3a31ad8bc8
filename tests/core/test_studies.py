import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from core import paths
from core.runs import list_runs
from core.studies import (
    InvalidStudy,
    Study,
    list_studies,
    mean_interval,
    read_study,
    study_path,
    write_study,
)
from tests.fake_studies import fake_ablation_study, fake_seeds_study, fake_tune_study, stored_study


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch) -> None:
    for name in ("CACHE", "DATA", "PRETRAINED"):
        monkeypatch.setenv(f"HEMALENS_{name}", str(tmp_path / name.lower()))


@pytest.mark.parametrize("make", [fake_tune_study, fake_ablation_study, fake_seeds_study])
def test_what_is_written_is_read_again(make) -> None:
    study = make()
    path = write_study(paths.shipped_runs_root(), study)
    assert path == paths.shipped_runs_root() / "bloodmnist" / "studies" / f"{study.name}.json"
    again = read_study(path)
    assert replace(again, trials=()) == replace(study, trials=())
    assert [t.params for t in again.trials] == [t.params for t in study.trials]
    for old, new in zip(study.trials, again.trials, strict=True):
        assert (new.number, new.seed, new.state, new.label, new.epochs) == (
            old.number,
            old.seed,
            old.state,
            old.label,
            old.epochs,
        )
        assert new.score == (None if old.score is None else pytest.approx(old.score, abs=1e-6))
        assert new.seconds == pytest.approx(old.seconds, abs=0.01)
    assert stored_study(study.name).best.number == study.best.number


def test_a_file_is_replaced_whole_and_nothing_else_is_left() -> None:
    root = paths.shipped_runs_root()
    write_study(root, fake_tune_study(3))
    path = write_study(root, fake_tune_study(5))
    assert len(read_study(path).trials) == 5
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_what_a_former_version_wrote_is_read_in_the_words_of_this_one() -> None:
    path = write_study(paths.user_runs_root(), replace(fake_seeds_study(), base={"teacher": "one", "epochs": 8}))
    assert read_study(path).base == {"distill_from": "one", "epochs": 8}


def test_the_best_is_complete_and_has_a_score() -> None:
    study = fake_tune_study()
    assert {t.state for t in study.trials} == {"complete", "pruned", "failed"}
    first, *others = study.trials
    lucky = replace(first, number=90, state="pruned", score=0.999)
    failed = replace(first, number=91, state="failed", score=None)
    assert replace(study, trials=(*study.trials, lucky, failed)).best == study.best
    assert study.best.score == max(t.score for t in study.complete)
    assert replace(study, trials=(failed, lucky)).best is None
    assert study.seconds == pytest.approx(sum(t.seconds for t in (first, *others)))


def test_variants_keep_their_order() -> None:
    groups = fake_ablation_study(seeds=3).by_label()
    assert list(groups)[:2] == ["base: 4 layers", "2 layers"]
    assert all([t.seed for t in trials] == [0, 1, 2] for trials in groups.values())


def test_the_interval_is_student_s() -> None:
    values = [0.951, 0.957, 0.949, 0.960]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert mean_interval(values) == pytest.approx((np.mean(values), low, high))
    with pytest.raises(ValueError, match="two"):
        mean_interval([0.9])


def test_studies_are_listed_by_kind_and_a_user_s_own_stands() -> None:
    shipped, own = paths.shipped_runs_root(), paths.user_runs_root()
    write_study(shipped, fake_seeds_study())
    write_study(shipped, fake_ablation_study())
    write_study(shipped, fake_tune_study(4))
    write_study(own, fake_tune_study(6))
    assert [s.kind for s in list_studies()] == ["tune", "ablation", "seeds"]
    assert len(stored_study("tune-cnn_4-28").trials) == 6
    assert list_studies("synthetic") == []
    assert list_runs() == []


def test_a_broken_file_is_left_out_and_told(caplog) -> None:
    root = paths.shipped_runs_root()
    good = write_study(root, fake_seeds_study())
    (good.parent / "half.json").write_text('{"name": "half"')
    (good.parent / "list.json").write_text("[1, 2]")
    content = json.loads(good.read_text())
    content["trials"][0]["state"] = "asleep"
    (good.parent / "asleep.json").write_text(json.dumps(content))
    assert [s.name for s in list_studies()] == ["seeds-cnn_bn-28"]
    assert {"half.json" in caplog.text, "list.json" in caplog.text, "asleep.json" in caplog.text} == {True}


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "two words"])
def test_a_name_is_a_file_s_name(name: str) -> None:
    with pytest.raises(InvalidStudy, match="can't be called"):
        fake_tune_study(1, name=name)


def test_a_score_that_is_no_number_is_stored_as_none() -> None:
    study = fake_seeds_study(2)
    odd = replace(study, trials=(replace(study.trials[0], score=float("nan"), state="failed"),))
    assert read_study(write_study(paths.user_runs_root(), odd)).trials[0].score is None


def test_an_unknown_kind_is_refused() -> None:
    facts = {k: getattr(fake_seeds_study(), k) for k in ("name", "title", "dataset", "size", "model", "provenance")}
    with pytest.raises(InvalidStudy, match="kind"):
        Study(**facts, kind="guess", metric="", device="", created="")


def test_the_path_is_beside_the_runs(tmp_path) -> None:
    assert study_path(tmp_path, "synthetic", "x") == tmp_path / "synthetic" / "studies" / "x.json"
