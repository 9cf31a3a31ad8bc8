"""What a search may vary and how far: fields of the training recipe, and a model's own arguments."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from core.models import get_model
from core.training.augment import RECIPES
from core.training.config import BadConfig, TrainConfig

if TYPE_CHECKING:
    import optuna

Range = Mapping[str, Any]  # {"kind": "float" | "int", "low", "high", "log"} or {"kind": "choice", "choices": [...]}

# What suits one optimiser is a hundred times too much for another, so that a search varies the factor of
# the usual value: the model's own recipe for its own optimiser, these figures for another.
USUAL: dict[str, dict[str, float]] = {
    "sgd": {"learning_rate": 0.1, "weight_decay": 5e-4},
    "adamw": {"learning_rate": 2e-3, "weight_decay": 0.05},
}
FACTORS: dict[str, tuple[float, float]] = {"learning_rate": (0.1, 3.0), "weight_decay": (0.03, 10.0)}
_FACTOR = "_factor"

_RECIPE: dict[str, tuple[Any, ...]] = {
    "optimizer": ("choice", *USUAL),
    "batch_size": ("choice", 64, 128, 256),
    "label_smoothing": ("float", 0.0, 0.2),
    "augment": ("choice", *RECIPES),
    "ema": ("choice", 0.0, 0.98, 0.998),
}


def configured(base: TrainConfig, params: Mapping[str, Any]) -> TrainConfig:
    """``base`` with ``params``: fields of `TrainConfig`, all other names are arguments of the model.

    Raises `BadConfig` for what neither knows.
    """
    known = {f.name for f in fields(TrainConfig)}
    own = {name: value for name, value in params.items() if name not in known}
    try:
        return replace(
            base,
            **{name: value for name, value in params.items() if name in known},
            model_arguments={**base.model_arguments, **own},
        )
    except TypeError as error:
        raise BadConfig(f"a value is of the wrong kind: {error}") from error


def as_range(short: tuple[Any, ...]) -> Range:
    """The JSON form of ``("int" | "float", low, high[, "log"])`` or ``("choice", first, second, ...)``."""
    kind, *rest = short
    if kind == "choice":
        return {"kind": "choice", "choices": list(rest)}
    low, high, *log = rest
    return {"kind": kind, "low": low, "high": high, "log": log == ["log"]}


@dataclass(frozen=True)
class Space:
    """What a search over ``base`` varies; ``fixed`` names stay as ``base`` has them, ``only`` restricts the rest.

    Raises `BadConfig` for a name that can't be searched, or when nothing is left.
    """

    base: TrainConfig
    fixed: Collection[str] = ()
    only: Collection[str] = ()

    def __post_init__(self) -> None:
        if get_model(self.base.model).kind == "combination":
            raise BadConfig(f"{self.base.model} can't be searched: it is made of other runs and has no settings")
        unknown = sorted(set(self.only) - set(self._all))
        if unknown:
            raise BadConfig(
                f"{', '.join(unknown)} can't be searched for {self.base.model}; these can: {', '.join(self._all)}"
            )
        if not self.names:
            raise BadConfig(f"nothing is left to be searched for {self.base.model}")

    @cached_property
    def _all(self) -> dict[str, Range]:
        model = get_model(self.base.model)
        recipe = dict(_RECIPE) if model.kind == "network" else {}
        short = {**recipe, **model.tunable}
        ranges = {name: as_range(each) for name, each in short.items()}
        if model.kind == "network":
            ranges = {name: self._spread(name) for name in FACTORS} | ranges
        return ranges

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The parameters that vary, in `TrainConfig`'s and the model's words."""
        return tuple(n for n in self._all if n not in self.fixed and (not self.only or n in self.only))

    @property
    def ranges(self) -> dict[str, Range]:
        """The range of each parameter; those that depend on the optimiser span what all optimisers may get."""
        return {name: self._all[name] for name in self.names}

    def usual(self, name: str, optimizer: str) -> float:
        """The value of ``name`` that ``optimizer`` usually takes for this model."""
        own = getattr(self.base, name) if optimizer == self.base.optimizer else 0.0
        return own or USUAL[optimizer][name]

    def draw(self, trial: "optuna.Trial") -> dict[str, Any]:
        """The parameters of one trial, chosen by Optuna."""
        drawn: dict[str, Any] = {}
        for name in sorted(self.names, key=lambda n: n in FACTORS):  # the optimiser before what depends on it
            if name in FACTORS:
                factor = trial.suggest_float(name + _FACTOR, *FACTORS[name], log=True)
                usual = self.usual(name, drawn.get("optimizer", self.base.optimizer))
                drawn[name] = _short(usual * factor)
            else:
                drawn[name] = _suggest(trial, name, self._all[name])
        return {name: drawn[name] for name in self.names}

    def first(self) -> dict[str, Any]:
        """What Optuna is to try first: the recipe as it is, as far as it lies within the ranges."""
        defaults = {**vars(self.base), **self.base.complete_arguments()}
        chosen: dict[str, Any] = {}
        for name in self.names:
            if name in FACTORS:
                chosen[name + _FACTOR] = 1.0
            elif _within(defaults[name], self._all[name]):
                chosen[name] = defaults[name]
        return chosen

    def _spread(self, name: str) -> Range:
        varied = "optimizer" not in self.fixed and (not self.only or "optimizer" in self.only)
        usual = [self.usual(name, o) for o in (USUAL if varied else (self.base.optimizer,))]
        low, high = FACTORS[name]
        return {"kind": "float", "low": _short(min(usual) * low), "high": _short(max(usual) * high), "log": True}


def _suggest(trial: "optuna.Trial", name: str, each: Range) -> Any:
    if each["kind"] == "choice":
        return trial.suggest_categorical(name, each["choices"])
    suggest = trial.suggest_int if each["kind"] == "int" else trial.suggest_float
    value = suggest(name, each["low"], each["high"], log=each["log"])
    return value if each["kind"] == "int" else _short(value)


def _short(value: float) -> float:
    """Four digits: more would not matter, and the settings can be read and typed."""
    return float(f"{value:.4g}")


def _within(value: Any, each: Range) -> bool:
    if each["kind"] == "choice":
        return value in each["choices"]
    return isinstance(value, int | float) and each["low"] <= value <= each["high"]
