"""'Best for': chosen on val, by what the intervals allow, told in true words."""

import numpy as np
import pandas as pd
import pytest

from core.runs import Predictions
from dashboard.compare.overview import MARGIN, advice, over_seeds, sort_by_aim, standing
from tests.fake_runs import fake_run
from tests.fake_studies import fake_seeds_study

N = 2000


def answers(*wrong: int, ids: str = "cell") -> Predictions:
    """Answers on N cells of class 0, wrong where said."""
    logits = np.tile(np.float32([4, 0]), (N, 1))
    logits[list(wrong)] = [0, 4]
    return Predictions(np.array([f"{ids}-{i:05d}" for i in range(N)]), np.zeros(N, int), logits)


# Wrong on 0.5 %, 0.7 % (among them the first's), 5 % of the cells.
STAND = standing([answers(*range(10)), answers(*range(14)), answers(*range(100))])
TABLE = pd.DataFrame(
    {
        "run": ["a", "b", "c"],
        "model": ["Slow", "Quick", "Poor"],
        "accuracy": [99.0, 99.2, 95.0],
        "latency_ms": [4.0, 1.0, 0.5],
        "megabytes": [8.0, np.nan, 1.0],
    }
)


def test_standing_by_hand():
    assert STAND.leader == 0
    assert STAND.n == N
    assert STAND.lag == pytest.approx([0, 0.2, 4.5])
    assert STAND.at_most[0] == 0
    assert 0.2 < STAND.at_most[1] < MARGIN < 4.5 < STAND.at_most[2]
    assert STAND.ties.tolist() == [True, True, False]


def test_a_run_scored_on_other_cells_is_not_set_against_the_best():
    stand = standing([answers(*range(10)), answers(ids="other")])
    assert stand.leader == 0
    assert np.isnan(stand.at_most[1])
    assert "Poor" not in advice(TABLE.iloc[[0, 2]].reset_index(drop=True), stand, "speed")


def test_the_fastest_is_sought_among_those_surely_close():
    said = advice(TABLE, STAND, "speed")
    assert "Fastest surely within 1 point of the most accurate: **Quick**" in said
    assert "4.0 times faster than **Slow**" in said
    assert "99.20 % on test" not in said
    assert "it reaches 99.20 %" in said
    assert "0.2 points behind" in said


def test_an_unmeasured_run_can_not_be_the_smallest():
    assert "**Slow** (8.0 MB): no smaller run is surely within 1 point" in advice(TABLE, STAND, "size")
    assert "Nothing is known" in advice(TABLE.assign(latency_ms=np.nan), STAND, "speed")


def test_the_most_accurate_is_that_of_val_and_ties_are_named():
    said = advice(TABLE, STAND, "accuracy")
    assert "**Slow**, 99.00 % on test" in said, "test must not choose"
    assert "over Quick." in said
    assert "Poor" not in said
    alone = standing([answers(*range(3))])
    assert "Chance" not in advice(TABLE.head(1), alone, "accuracy")
    clear = standing([answers(*range(3)), answers(*range(300))])
    assert "doesn't explain" in advice(TABLE.iloc[[0, 2]].reset_index(drop=True), clear, "accuracy")


def test_the_table_is_put_in_order():
    assert list(sort_by_aim(TABLE, STAND, "accuracy")["model"]) == ["Quick", "Slow", "Poor"]
    assert list(sort_by_aim(TABLE, STAND, "speed")["model"]) == ["Quick", "Slow", "Poor"]
    assert list(sort_by_aim(TABLE, STAND, "size")["model"]) == ["Slow", "Quick", "Poor"], (
        "unknown last of the close ones"
    )
    assert sort_by_aim(TABLE, STAND, "size")["behind"].iloc[2] > 4.5


def test_seeds_of_the_same_model_and_size_only(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path))
    study = fake_seeds_study()
    runs = [fake_run(tmp_path, "a-1", size=study.size), fake_run(tmp_path, "b-1", size=study.size + 1)]
    for run in runs:
        run.config["train"]["model"] = study.model
    told = over_seeds(runs, [study])
    assert list(told) == ["a-1"]
    mean = 100 * np.mean([trial.test for trial in study.trials])
    assert told["a-1"].startswith(f"{mean:.2f} ± ")
    assert told["a-1"].endswith(f"({len(study.trials)})")
    assert over_seeds(runs, []) == {}
