"""How a generator of cells is built and trained; what decides a generator stands here and nowhere else."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from core.errors import HemaLensError


class BadGenerator(HemaLensError):
    """A generator that can't be trained, read or asked; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Stage:
    """One of the two trainings: ``minutes`` of a processor core's work, in which the learning rate falls to zero.

    A budget of work instead of epochs: it says beforehand when there will be a generator.
    """

    minutes: float
    batch_size: int
    learning_rate: float
    ema: float = 0.998
    warmup: int = 60  # steps over which the rate rises
    weight_decay: float = 0.01


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything needed to train a generator again.

    Pictures of ``size`` px are kept as latents (``channels``, size / 4, size / 4) by an autoencoder of ``width``; a
    flow of ``flow_width`` (at size / 4, and twice that where it is coarser) makes latents out of noise. ``noise`` is
    the deviation of what the autoencoder's latents, of deviation 1, are blurred by; ``critic`` names the run whose
    early features compare pictures with what is decoded; ``unlabelled`` is the share of cells shown to the flow
    without their class, which guidance needs.
    """

    dataset: str = "bloodmnist"
    size: int = 64
    channels: int = 4
    width: int = 64
    noise: float = 0.1
    critic: str = "cnn_se-64-4a7077"
    flow_width: int = 32
    unlabelled: float = 0.12
    seed: int = 0
    autoencoder: Stage = field(default_factory=lambda: Stage(7.6, 16, 2e-3))
    flow: Stage = field(default_factory=lambda: Stage(5, 32, 2e-3))

    def __post_init__(self) -> None:
        if self.size % 16:
            raise BadGenerator(f"cells of {self.size} px can't be generated: the side must be a multiple of 16 px")

    @property
    def latent_side(self) -> int:
        """Side of a latent."""
        return self.size // 4

    def as_json(self) -> dict[str, Any]:
        """The configuration as JSON holds it."""
        return asdict(self)

    def mark(self, content_hash: str) -> str:
        """Six hex digits that name this configuration on the data of ``content_hash``."""
        text = json.dumps([self.as_json(), content_hash], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:6]
