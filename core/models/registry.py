"""Registry of models: a model is added by adding one module to this package (or to one of its subpackages).

The module defines a builder and decorates it with `register`; `build` calls it, `load_network` gives it a run's
weights.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import cache
from typing import Any, Literal, get_args

import torch

from core.errors import HemaLensError
from core.models.base import ImageClassifier
from core.runs import Run

Kind = Literal["network", "classical", "combination"]
KINDS = get_args(Kind)


class UnknownModel(HemaLensError):
    """No model has that name, or it takes no such argument."""


@dataclass(frozen=True)
class ModelSpec:
    """A registered model: its builder, what a person should know of it, and how it likes to be trained.

    ``kind`` says how it comes to be: a 'network' learns by gradients, a 'classical' model is fitted to features
    of the picture, a 'combination' is made of other runs.
    ``summary`` may name its arguments in braces, and as ``{share}`` that of the ``published_width`` which it has: see
    `describe`. ``recipe`` holds the `TrainConfig` fields in which this model departs from the defaults, ``published``
    the accuracy (0 to 1) that a published notebook reports for this kind of model, by picture size, and
    ``published_as`` what that is where it is no accuracy on a test split. ``tunable`` gives the range of each own
    argument that `tune` may vary: ``("int" | "float", low, high)``, with a fourth ``"log"`` where multiples count, or
    ``("choice", first, second, ...)``.
    ``imagenet`` names torchvision's model whose ImageNet weights it can begin at, which it does at its
    ``published_width``, where it has that model's shapes.
    """

    name: str
    title: str
    family: str
    summary: str
    paper: str
    paper_url: str
    builder: Callable[..., Any]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[int, float] = field(default_factory=dict)
    kind: Kind = "network"
    tunable: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    imagenet: str = ""
    published_width: int = 0
    published_as: str = ""

    @property
    def arguments(self) -> dict[str, Any]:
        """The builder's own arguments (beyond classes and size) with their defaults."""
        parameters = inspect.signature(self.builder).parameters
        return {n: p.default for n, p in parameters.items() if n not in ("classes", "size")}

    def describe(self, arguments: Mapping[str, Any] | None = None) -> str:
        """The summary of the model as built with ``arguments`` (its defaults for those left out)."""
        values = {**self.arguments, **(arguments or {})}
        if self.published_width:
            share = Fraction(values["width"], self.published_width)
            values["share"] = {1: "all", Fraction(1, 2): "half", Fraction(1, 4): "a quarter"}.get(share, f"{share}")
        return self.summary.format(**values)


_REGISTRY: dict[str, ModelSpec] = {}


def register(name: str, **facts: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a builder ``(classes, size, **arguments) -> model``.

    ``facts`` are the fields of `ModelSpec`, of which title, family, summary, paper and paper_url must be there; other
    keywords are its recipe. A network's builder gives an `ImageClassifier`, a classical model's a
    `core.models.classical.ClassicalModel`.
    """
    own = {field.name for field in fields(ModelSpec)}
    about = {key: value for key, value in facts.items() if key in own}
    recipe = {key: value for key, value in facts.items() if key not in own}

    def decorate(builder: Callable[..., Any]) -> Callable[..., Any]:
        spec = ModelSpec(name, builder=builder, recipe=recipe, **about)
        if name in _REGISTRY:
            raise ValueError(f"model {name!r} is registered twice")
        if spec.kind not in KINDS:
            raise ValueError(f"model {name!r} can't be of kind {spec.kind!r}: it must be one of {', '.join(KINDS)}")
        _REGISTRY[name] = spec
        return builder

    return decorate


@cache
def _discover() -> None:
    package = importlib.import_module("core.models")
    for module in pkgutil.walk_packages(package.__path__, "core.models."):
        importlib.import_module(module.name)


def model_names(kind: Kind | None = None) -> list[str]:
    """Names of all registered models, or of those of one ``kind``."""
    _discover()
    return sorted(name for name, spec in _REGISTRY.items() if kind in (None, spec.kind))


def get_model(name: str) -> ModelSpec:
    """The spec of model ``name``; raises `UnknownModel` with the names that exist."""
    _discover()
    if name not in _REGISTRY:
        raise UnknownModel(f"no model is called {name!r}; there are: {', '.join(model_names())}")
    return _REGISTRY[name]


def build(name: str, classes: int, size: int, **arguments: Any) -> Any:
    """A fresh, untrained model for ``classes`` classes and pictures of ``size`` x ``size`` pixels.

    An `ImageClassifier` where the model's kind is 'network'; else what its builder gives.
    """
    spec = get_model(name)
    unknown = set(arguments) - set(spec.arguments)
    if unknown:
        arguments_text = ", ".join(f"{k}={v}" for k, v in spec.arguments.items())
        raise UnknownModel(f"{name} takes no argument {', '.join(sorted(unknown))}; it takes: {arguments_text}")
    return spec.builder(classes, size, **arguments)


def load_network(run: Run) -> ImageClassifier:
    """The network of ``run`` with its stored weights, float32, in eval mode, on the CPU.

    Raises `HemaLensError` where the run holds no network or its weights do not fit.
    """
    config = run.config
    if run.kind != "network":
        raise HemaLensError(f"{run.title} is no network: it has no layers to look into; choose a network instead")
    made = config["train"]
    network = build(made["model"], len(config["dataset"]["codes"]), run.size, **made["model_arguments"])
    try:
        network.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in run.weights().items()})
    except (RuntimeError, FileNotFoundError) as error:
        raise HemaLensError(
            f"the weights of {run.name} do not fit its model: the run was written by another version or is damaged; "
            f"train it again with --force ({error})"
        ) from error
    return network.eval()
