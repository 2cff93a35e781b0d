from collections.abc import Iterator

import pytest
import torch

from common.config import parse
from common.data.batches import Batch
from common.data.domain import Domain
from common.errors import ColourbenchError
from common.loop.engine import Engine
from common.loop.randomness import seed_everything
from variants.wgan_gp import WganGp, WganGpConfig

SIZE = 32
SMALL = {"generator": {"network": {"base_width": 8}}, "critic": {"network": {"base_width": 8}}}


def stream(drawn: list[int]) -> Iterator[Batch]:
    draw = torch.Generator().manual_seed(0)
    while True:
        drawn.append(1)
        L = torch.rand(8, 1, SIZE, SIZE, generator=draw) * 2 - 1
        yield Batch(L, torch.cat([L / 2, -L / 2], dim=1), torch.full((8,), -1))


def test_five_batches_for_one_generator_update(engine: Engine) -> None:
    drawn: list[int] = []
    variant = WganGp(parse(WganGpConfig, SMALL), engine, Domain(SIZE))
    variant.step(stream(drawn))
    assert len(drawn) == 5 and variant.updates() == (1, 5)
    assert variant.critic.updates == 5
    assert variant.generator.updates == 1


def test_critic_gradient_norm_comes_near_one(engine: Engine) -> None:
    """The best slope is 1 + d / (2 λ) for photographs a distance d apart, so a heavy penalty shows the 1."""
    seed_everything(0)
    critic = {"network": {"base_width": 8}, "adam": {"learning_rate": 1e-3}}
    variant = WganGp(
        parse(WganGpConfig, SMALL | {"critic": critic, "penalty_weight": 100.0}),
        engine,
        Domain(SIZE),
    )
    batches = stream([])
    norms = [
        variant.critic.update(variant.critic_descent, [next(batches)])["gradient_norm"].item()
        for _ in range(150)
    ]
    assert norms[0] < 0.5  # freshly drawn weights are small
    assert sum(norms[-20:]) / 20 == pytest.approx(1.0, abs=0.15)


def test_defaults_are_the_papers() -> None:
    config = WganGpConfig()
    assert (config.n_critic, config.penalty_weight) == (5, 10.0)
    assert config.critic.adam.learning_rate == 1e-4 and (
        config.critic.adam.beta1,
        config.critic.adam.beta2,
    ) == (0.0, 0.9)


def test_naming_one_field_keeps_the_papers_other_defaults() -> None:
    config = parse(WganGpConfig, {"critic": {"adam": {"learning_rate": 3e-4}}})
    assert config.critic.adam.beta2 == 0.9 and config.critic.network.norm == "layer"


def test_batch_norm_in_the_critic_is_refused_with_the_reason() -> None:
    with pytest.raises(ColourbenchError, match="mixes the images"):
        parse(WganGpConfig, {"critic": {"network": {"norm": "batch"}}})
