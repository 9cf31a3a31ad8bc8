"""Everything that decides what a training yields, in one frozen object."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from core.datasets import LoadedDataset, UnknownDataset, get_dataset
from core.errors import HemaLensError
from core.models import get_model
from core.progress import Report, silent
from core.runs import FORMER_KEYS, in_current_words
from core.training.augment import AUGMENTATIONS

SMALL_SIZE = 32  # pixels a side up to which smoothing by resampling costs more than free rotation gains
# All that decides what a classical model learns.
CLASSICAL_FIELDS = ("dataset", "scheme", "size", "model", "model_arguments", "seed")
OPTIMIZERS = ("sgd", "adamw", "adam")


class BadConfig(HemaLensError):
    """A training configuration that can't work; the message says which field and what it may be."""


@dataclass(frozen=True)
class TrainConfig:
    """One training. `for_model` fills in what the model prefers; the defaults suit networks with batch norm.

    ``scheme`` is the way to split a data set that offers several ('' for the one it offers first).
    ``learning_rate`` is the peak of the schedule; ``warmup`` the share of steps in which it rises;
    ``weight_decay`` falls on matrices and kernels only; ``ema`` is the decay a step of the averaged
    weights, which are the ones validated and stored (0 = none); ``patience`` stops after so many
    epochs without a better val (0 = never); ``warm_start`` names a run whose weights are where the training
    begins ('' = from scratch), ``weights`` 'imagenet' begins at torchvision's (see `core.training.init_weights`);
    ``distill_from`` names runs, separated by commas, whose answers make up the share ``distill_alpha`` of the labels
    (see `core.training.data`); ``auxiliary`` names a data set of another laboratory whose cells make up the share
    ``auxiliary_fraction`` of each batch (see `core.training.data`); ``precision``: 'auto', 'fp32' or 'bf16'.
    ``device`` ('auto', 'cpu', 'cuda', 'mps') and ``devices`` (how many of them train together, 0 = all GPUs)
    say where, not what, and are no part of the identity.
    """

    dataset: str = "bloodmnist"
    scheme: str = ""
    size: int = 64
    model: str = "cnn_se"
    model_arguments: dict[str, Any] = field(default_factory=dict)
    epochs: int = 20
    batch_size: int = 128
    optimizer: str = "sgd"
    learning_rate: float = 0.4
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "onecycle"
    warmup: float = 0.2
    label_smoothing: float = 0.1
    ema: float = 0.998
    augment: str = "standard"
    patience: int = 0
    warm_start: str = ""
    weights: str = ""
    distill_from: str = ""
    distill_alpha: float = 0.8
    auxiliary: str = ""
    auxiliary_fraction: float = 0.25
    seed: int = 0
    precision: str = "auto"
    device: str = "auto"
    devices: int = 1

    def __post_init__(self) -> None:
        spec = get_dataset(self.dataset)
        model = get_model(self.model)
        schemes = [s.name for s in spec.schemes]
        checks = {
            "scheme": (
                self.scheme in ("", *schemes),
                f"one of {', '.join(schemes)}" if schemes else f"left out: {self.dataset} comes split",
            ),
            "size": (self.size in spec.sizes, f"one of {', '.join(map(str, spec.sizes))} for {self.dataset}"),
            "model_arguments": (
                set(self.model_arguments) <= set(model.arguments),
                f"among {', '.join(model.arguments)} for {self.model}",
            ),
            "epochs": (self.epochs >= 1, "1 or more"),
            "batch_size": (self.batch_size >= 2, "2 or more"),
            "optimizer": (self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "schedule": (self.schedule in ("onecycle", "cosine"), "onecycle or cosine"),
            "warmup": (0 <= self.warmup < 1, "from 0 up to 1"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "from 0 up to 1"),
            "ema": (0 <= self.ema < 1, "from 0 up to 1"),
            "augment": (self.augment in AUGMENTATIONS, f"one of {', '.join(AUGMENTATIONS)}"),
            "distill_alpha": (0 < self.distill_alpha <= 1, "above 0, up to 1"),
            "auxiliary": (
                self.auxiliary == "" or _is_auxiliary_for(self.auxiliary, self.dataset),
                f"a data set whose cells can stand beside those of {self.dataset}",
            ),
            "auxiliary_fraction": (0 < self.auxiliary_fraction < 1, "between 0 and 1"),
            "weights": (
                self.weights == "" or (self.weights == "imagenet" and not self.warm_start),
                "imagenet, or nothing where --warm-start says where to begin",
            ),
            "patience": (self.patience >= 0, "0 or more"),
            "precision": (self.precision in ("auto", "fp32", "bf16"), "auto, fp32 or bf16"),
            "device": (self.device in ("auto", "cpu", "cuda", "mps"), "auto, cpu, cuda or mps"),
            "devices": (self.devices >= 0, "1 or more, or 0 for all GPUs"),
        }
        for name, (good, allowed) in checks.items():
            if not good:
                raise BadConfig(f"{name} can't be {getattr(self, name)!r}: it must be {allowed}")

    @classmethod
    def for_model(cls, model: str, **choices: Any) -> "TrainConfig":
        """The model's own recipe, overridden by ``choices`` (those that are None are ignored).

        Small pictures are augmented without resampling, see `core.training.augment`.
        """
        chosen = {k: v for k, v in choices.items() if v is not None}
        by_size = {"augment": "sharp"} if chosen.get("size", cls.size) <= SMALL_SIZE else {}
        return cls(model=model, **{**by_size, **get_model(model).recipe, **chosen})

    def load_data(self, report: Report = silent) -> LoadedDataset:
        """The data set at this size, split in this way. Raises `DatasetUnavailable`."""
        return get_dataset(self.dataset).load(self.size, scheme=self.scheme, report=report)

    def all_model_arguments(self) -> dict[str, Any]:
        """The model's arguments with the defaults filled in."""
        return {**get_model(self.model).arguments, **self.model_arguments}

    def as_json(self) -> dict[str, Any]:
        """The fields as stored in ``config.json`` (model arguments complete; devices and what is not used left out)."""
        content = asdict(self)
        del content["device"], content["devices"]
        # None is the way a model was before it had that argument: naming it would make another run of an old one.
        content["model_arguments"] = {k: v for k, v in self.all_model_arguments().items() if v is not None}
        if not self.scheme:
            del content["scheme"]
        if get_model(self.model).kind == "classical":
            return {name: content[name] for name in CLASSICAL_FIELDS if name in content}
        for name in ("warm_start", "weights"):
            if not content[name]:
                del content[name]
        if not self.distill_from:
            del content["distill_from"], content["distill_alpha"]
        if not self.auxiliary:
            del content["auxiliary"], content["auxiliary_fraction"]
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "TrainConfig":
        """The configuration stored in a run's ``config['train']`` or in a study, by this version or a former one."""
        field_names = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in in_current_words(content).items() if k in field_names})

    def run_name(self, *content_hashes: str) -> str:
        """Name of the run: model, size, and 6 hex digits that stand for configuration and training data.

        Keys count under their first names, so that a configuration keeps its run whatever they are called.
        """
        first_names = {current: former for former, current in FORMER_KEYS.items()}
        content = {first_names.get(key, key): value for key, value in self.as_json().items()}
        identity = json.dumps([content, *content_hashes], sort_keys=True)
        return f"{self.model}-{self.size}-{hashlib.sha256(identity.encode()).hexdigest()[:6]}"


def _is_auxiliary_for(name: str, dataset: str) -> bool:
    try:
        auxiliary_for = get_dataset(name).auxiliary_for
    except UnknownDataset:
        return False
    return auxiliary_for is not None and auxiliary_for.dataset == dataset


def with_params(base: TrainConfig, params: Mapping[str, Any]) -> TrainConfig:
    """``base`` with ``params``: fields of `TrainConfig`, all other names are arguments of the model.

    Raises `BadConfig` for what neither knows.
    """
    field_names = {f.name for f in fields(TrainConfig)}
    model_arguments = {name: value for name, value in params.items() if name not in field_names}
    try:
        return replace(
            base,
            **{name: value for name, value in params.items() if name in field_names},
            model_arguments={**base.model_arguments, **model_arguments},
        )
    except TypeError as error:
        raise BadConfig(f"a value is of the wrong kind: {error}") from error
