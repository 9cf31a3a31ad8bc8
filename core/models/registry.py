"""Registry of networks: a model is added by adding one module to this package.

The module defines a builder and decorates it with `register`; `build` calls it.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from core.errors import HemaLensError
from core.models.base import ImageClassifier


class UnknownModel(HemaLensError):
    """No model has that name, or it takes no such argument."""


@dataclass(frozen=True)
class ModelSpec:
    """A registered network: its builder, what a person should know of it, and how it likes to be trained.

    ``recipe`` holds the `TrainConfig` fields in which this model departs from the defaults, ``published``
    the test accuracy (0 to 1) that a published notebook reports for this kind of model, by picture size.
    """

    name: str
    title: str
    family: str
    summary: str
    paper: str
    paper_url: str
    builder: Callable[..., ImageClassifier]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[int, float] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        """The builder's own arguments (beyond classes and size) with their defaults."""
        parameters = inspect.signature(self.builder).parameters
        return {n: p.default for n, p in parameters.items() if n not in ("classes", "size")}


_REGISTRY: dict[str, ModelSpec] = {}


def register(
    name: str,
    *,
    title: str,
    family: str,
    summary: str,
    paper: str,
    paper_url: str,
    published: Mapping[int, float] | None = None,
    **recipe: Any,
) -> Callable[[Callable[..., ImageClassifier]], Callable[..., ImageClassifier]]:
    """Decorate a builder ``(classes, size, **arguments) -> ImageClassifier``; other keywords are its recipe."""

    def decorate(builder: Callable[..., ImageClassifier]) -> Callable[..., ImageClassifier]:
        if name in _REGISTRY:
            raise ValueError(f"model {name!r} is registered twice")
        _REGISTRY[name] = ModelSpec(name, title, family, summary, paper, paper_url, builder, recipe, published or {})
        return builder

    return decorate


@cache
def _discover() -> None:
    package = importlib.import_module("core.models")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"core.models.{module.name}")


def model_names() -> list[str]:
    """Names of all registered models."""
    _discover()
    return sorted(_REGISTRY)


def get_model(name: str) -> ModelSpec:
    """The spec of model ``name``; raises `UnknownModel` with the names that exist."""
    _discover()
    if name not in _REGISTRY:
        raise UnknownModel(f"no model is called {name!r}; there are: {', '.join(model_names())}")
    return _REGISTRY[name]


def build(name: str, classes: int, size: int, **arguments: Any) -> ImageClassifier:
    """A freshly initialised network for ``classes`` classes and pictures of ``size`` x ``size`` pixels."""
    spec = get_model(name)
    unknown = set(arguments) - set(spec.arguments)
    if unknown:
        known = ", ".join(f"{k}={v}" for k, v in spec.arguments.items())
        raise UnknownModel(f"{name} takes no argument {', '.join(sorted(unknown))}; it takes: {known}")
    return spec.builder(classes, size, **arguments)
