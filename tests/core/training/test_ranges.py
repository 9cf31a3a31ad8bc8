import pytest

from core.models import build, get_model, model_names
from core.training import BadConfig, TrainConfig
from core.training.config import with_params
from core.training.tune import REFERENCE_VALUES, SearchSpace, parse_range

TUNABLE = [name for name in model_names() if get_model(name).tunable]


class Corner:
    """Stands in for an Optuna trial: takes the lowest or the highest of each range, the first or last choice."""

    def __init__(self, highest: bool, **chosen) -> None:
        self.highest = highest
        self.chosen = chosen

    def suggest_float(self, name, low, high, log=False):
        return self.chosen.get(name, high if self.highest else low)

    suggest_int = suggest_float

    def suggest_categorical(self, name, choices):
        return self.chosen.get(name, choices[-1 if self.highest else 0])


def base(model: str = "cnn_4", **choices) -> TrainConfig:
    return TrainConfig.for_model(model, dataset="synthetic", size=28, **choices)


@pytest.mark.parametrize("name", TUNABLE)
def test_what_a_model_lets_tune_are_its_arguments_and_its_defaults_lie_within(name: str) -> None:
    spec = get_model(name)
    assert set(spec.tunable) <= set(spec.arguments)
    for argument, short in spec.tunable.items():
        each = parse_range(short)
        default = spec.arguments[argument]
        if each["kind"] == "choice":
            assert default in each["choices"]
        else:
            assert each["low"] <= default <= each["high"]
            assert each["kind"] == type(default).__name__


@pytest.mark.parametrize("highest", [False, True], ids=["lowest", "highest"])
@pytest.mark.parametrize("name", TUNABLE)
def test_the_corners_of_the_ranges_can_be_built(name: str, highest: bool) -> None:
    space = SearchSpace(base(name))
    params = space.suggest(Corner(highest))
    assert set(params) == set(space.names)
    config = with_params(space.base, params)
    build(name, 8, 28, **config.model_arguments)


def test_rates_are_drawn_as_factors_of_what_the_optimiser_usually_takes() -> None:
    space = SearchSpace(base())
    usual = {"learning_rate_factor": 1.0, "weight_decay_factor": 1.0}
    own = space.suggest(Corner(True, optimizer="adamw", **usual))
    assert (own["learning_rate"], own["weight_decay"]) == (space.base.learning_rate, space.base.weight_decay)
    other = space.suggest(Corner(True, optimizer="sgd", **usual))
    assert {name: other[name] for name in REFERENCE_VALUES["sgd"]} == REFERENCE_VALUES["sgd"]


@pytest.mark.parametrize("highest", [False, True])
def test_drawn_values_lie_in_the_ranges_that_the_study_tells(highest: bool) -> None:
    space = SearchSpace(base())
    for optimizer in REFERENCE_VALUES:
        for name, value in space.suggest(Corner(highest, optimizer=optimizer)).items():
            each = space.ranges[name]
            if each["kind"] == "choice":
                assert value in each["choices"]
            else:
                assert each["low"] * 0.999 <= value <= each["high"] * 1.001


def test_the_recipe_as_it_is_comes_first() -> None:
    space = SearchSpace(base())
    first = space.default_params()
    drawn = space.suggest(Corner(True, **first))
    config = with_params(space.base, drawn)
    assert config.as_json() == space.base.as_json()


def test_a_recipe_outside_the_ranges_is_tried_as_far_as_it_lies_within() -> None:
    first = SearchSpace(base(batch_size=2, label_smoothing=0.5)).default_params()
    assert "batch_size" not in first
    assert "label_smoothing" not in first
    assert first["width"] == 32


def test_what_is_fixed_does_not_vary_and_only_restricts() -> None:
    fixed = SearchSpace(base(), exclude=("optimizer", "width"))
    assert {"optimizer", "width"} & set(fixed.names) == set()
    assert fixed.ranges["learning_rate"]["high"] < 0.01  # AdamW's alone
    assert SearchSpace(base(), include=("width", "dropout")).names == ("width", "dropout")
    with pytest.raises(BadConfig, match="wings can't be searched for cnn_4; these can: learning_rate"):
        SearchSpace(base(), include=("wings",))
    with pytest.raises(BadConfig, match="nothing is left"):
        SearchSpace(base(), exclude=("width",), include=("width",))
    with pytest.raises(BadConfig, match="made of other runs"):
        SearchSpace(base("ensemble"))


def test_names_find_their_place() -> None:
    config = with_params(base(model_arguments={"width": 8}), {"learning_rate": 0.5, "hidden": 16})
    assert config.learning_rate == 0.5
    assert config.model_arguments == {"width": 8, "hidden": 16}
    with pytest.raises(BadConfig, match="model_arguments"):
        with_params(base(), {"wings": 2})
    with pytest.raises(BadConfig):
        with_params(base(), {"learning_rate": "fast"})
