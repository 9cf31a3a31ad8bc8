import pytest
import torch

from core.models import build
from core.training import TrainConfig
from core.training.optim import learning_rate_at, make_optimizer


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_the_rate_rises_to_its_peak_and_falls_to_nothing(schedule: str) -> None:
    config = TrainConfig(schedule=schedule, learning_rate=0.4, warmup=0.2)
    rates = [learning_rate_at(step, 1000, config) for step in range(1000)]
    peak = rates.index(max(rates))
    assert peak == 200
    assert max(rates) == pytest.approx(0.4)
    assert rates[:200] == sorted(rates[:200])
    assert rates[200:] == sorted(rates[200:], reverse=True)
    assert 0 <= rates[-1] < 0.4 / 500
    assert rates[0] < 0.4 / 100


def test_without_warm_up_it_starts_at_the_peak() -> None:
    assert learning_rate_at(0, 10, TrainConfig(warmup=0.0, learning_rate=0.1)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)]
)
def test_only_matrices_decay(name: str, kind: type) -> None:
    network = build("cnn_se", 8, 28, width=8)
    optimizer = make_optimizer(network, TrainConfig(optimizer=name, weight_decay=0.01))
    assert isinstance(optimizer, kind)
    decayed, plain = optimizer.param_groups
    assert decayed["weight_decay"] == 0.01
    assert plain["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim <= 1 for p in plain["params"])
    assert len(decayed["params"]) + len(plain["params"]) == len(list(network.parameters()))
