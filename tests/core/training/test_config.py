import pytest

from core.runs import list_runs
from core.training import BadConfig, TrainConfig


def test_a_model_brings_its_own_recipe_and_choices_override_it() -> None:
    assert TrainConfig.for_model("cnn_4").optimizer == "adamw"
    assert TrainConfig.for_model("cnn_4", optimizer="sgd", epochs=None).optimizer == "sgd"
    assert TrainConfig.for_model("cnn_se").optimizer == "sgd"


def test_the_name_stands_for_configuration_and_data_but_not_for_the_device() -> None:
    base = TrainConfig(seed=1)
    name = base.run_name("abc")
    assert name.startswith("cnn_se-64-")
    assert name == TrainConfig(seed=1, device="cpu").run_name("abc")
    assert name == TrainConfig(seed=1, model_arguments={"width": 32}).run_name("abc"), "a default that is spelt out"
    others = {
        TrainConfig(seed=2).run_name("abc"),
        TrainConfig(seed=1, epochs=21).run_name("abc"),
        TrainConfig(seed=1, model_arguments={"width": 36}).run_name("abc"),
        base.run_name("abd"),
    }
    assert name not in others
    assert len(others) == 4


def test_a_start_belongs_to_the_name_and_its_absence_does_not() -> None:
    assert "warm_start" not in TrainConfig().as_json()
    assert TrainConfig(warm_start="cnn_se-64-abcdef").run_name("x") != TrainConfig().run_name("x")


def test_shipped_runs_bear_the_names_of_their_configurations() -> None:
    trained = [run for run in list_runs() if run.kind != "combination"]  # these are named after their members
    assert trained
    for run in trained:
        cells = [run.config[part]["provenance"] for part in ("dataset", "auxiliary") if part in run.config]
        assert TrainConfig.from_json(run.config["train"]).run_name(*(c["content_hash"] for c in cells)) == run.name


def test_a_stored_configuration_reads_back() -> None:
    config = TrainConfig.for_model("cnn_bn", size=28, seed=4, model_arguments={"dropout": 0.4})
    again = TrainConfig.from_json(config.as_json())
    assert again.run_name("x") == config.run_name("x")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 63),
        ("epochs", 0),
        ("batch_size", 1),
        ("optimizer", "lion"),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("schedule", "step"),
        ("warmup", 1.0),
        ("augment", "wild"),
        ("precision", "fp8"),
        ("model_arguments", {"depth": 9}),
    ],
)
def test_what_can_not_work_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(BadConfig, match=field):
        TrainConfig(**{field: value})
