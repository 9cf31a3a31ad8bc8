"""Batches, stages and the time that is left."""

from core.progress import Progress, batches, part, time_left


def test_batches_cover_everything_once_and_report_what_is_done() -> None:
    told: list[Progress] = []
    slices = list(batches(10, 4, told.append, "answers", "image"))
    assert slices == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert [(step.done, step.total, step.message, step.unit) for step in told] == [
        (4, 10, "answers", "image"),
        (8, 10, "answers", "image"),
        (10, 10, "answers", "image"),
    ]


def test_a_batch_is_reported_after_the_work_on_it() -> None:
    told: list[int] = []
    for piece in batches(6, 3, lambda step: told.append(step.done)):
        assert told == ([] if piece.start == 0 else [3])


def test_nothing_has_no_batch_unless_one_is_needed() -> None:
    assert list(batches(0, 4)) == []
    assert list(batches(0, 4, at_least_one=True)) == [slice(0, 0)]


def test_a_stage_counts_within_its_part_of_the_whole() -> None:
    told: list[Progress] = []
    tell = part(told.append, 0.4, 0.5, total=200, prefix="trees: ")
    tell(Progress(0, 10, "begun"))
    tell(Progress(10, 10, "grown", details={"trees": 10}))
    assert [(step.done, step.total, step.message) for step in told] == [
        (80, 200, "trees: begun"),
        (180, 200, "trees: grown"),
    ]
    assert told[1].details == {"trees": 10}


def test_time_left_is_known_after_a_second_of_work() -> None:
    assert time_left(10, 100, 0.5) == ""
    assert time_left(0, 100, 5) == ""
    assert time_left(100, 100, 5) == ""
    assert time_left(10, 100, 4) == "36 s"
    assert time_left(10, 100, 60) == "9 min"
    assert time_left(60, 100, 4, begun_at=50) == "16 s"
    assert time_left(50, 100, 4, begun_at=50) == ""
