"""What is fast against plain torch: the same training to rounding."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from common.colour import lab
from common.config import parse
from common.data.batches import Batch, BatchConfig, Batches
from common.data.domain import Domain
from common.data.shards import Dataset
from common.fast import switch
from common.fast.adam import FusedAdam
from common.loop.engine import Engine, EngineConfig
from common.loop.randomness import seed_everything
from variants.players.adam import AdamConfig, PlainAdam, new_adam
from variants.registry import CLASSES, build, variant_class

SIZE = 32


@pytest.fixture(autouse=True)
def _on_again() -> Iterator[None]:
    yield
    switch.turn(True)


def trained(
    name: str, fast: bool, precision: str = "32", steps: int = 3, seed: int = 0
) -> list[torch.Tensor]:
    """The weights of all players after some steps."""
    engine = Engine(parse(EngineConfig, {"device": "cpu", "precision": precision, "fast": fast}))
    seed_everything(seed)
    network = {"base_width": 8}
    fields: dict[str, Any] = {
        "generator": {"network": network | {"dropout": 0.0}},
        "critic": {"network": network},
    }
    known = variant_class(name).Config.model_fields
    variant = build(
        parse(variant_class(name).Config, {k: v for k, v in fields.items() if k in known}),
        engine,
        Domain(SIZE),
    )
    stream = batches()
    for _ in range(steps):
        variant.step(stream)
    return [p.detach().clone() for player in variant.players for p in player.parameters]


def batches() -> Iterator[Batch]:
    draw = torch.Generator().manual_seed(0)
    while True:
        L, ab = (
            torch.rand(8, 1, SIZE, SIZE, generator=draw) * 2 - 1,
            torch.rand(8, 2, SIZE, SIZE, generator=draw) - 0.5,
        )
        yield Batch(L, ab, torch.full((8,), -1))


@pytest.mark.parametrize("name", CLASSES)
def test_a_few_steps_give_the_same_weights(name: str) -> None:
    """In most seeds: Adam's first steps are ±rate, whatever the size of a gradient near 0, and a few such weights move the rest."""
    shares = []
    for seed in range(3):
        pairs = zip(
            trained(name, fast=True, seed=seed), trained(name, fast=False, seed=seed), strict=True
        )
        shares.append(
            torch.cat([((a - b).abs() > 2e-5).float().flatten() for a, b in pairs]).mean()
        )
    assert torch.stack(shares).median() < 5e-3


def test_in_mixed_precision_too_it_trains_without_working_weights() -> None:
    pairs = zip(
        trained("cgan", fast=True, precision="bf16"),
        trained("cgan", fast=False, precision="bf16"),
        strict=True,
    )
    a, b = (torch.cat([w.flatten() for w in side]) for side in zip(*pairs, strict=True))
    assert torch.cosine_similarity(a, b, dim=0) > 0.999


def test_off_no_fast_layer_or_loop_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the switch is off")

    monkeypatch.setattr("common.fast.convolution._spread", refuse)
    monkeypatch.setattr("common.colour.lab.for_each", refuse)
    monkeypatch.setattr(FusedAdam, "step", refuse)
    assert trained("cgan", fast=False, steps=1)
    assert lab.rgb_to_lab(torch.zeros(1, 3, 4, 4, dtype=torch.uint8)).shape == (1, 3, 4, 4)
    with pytest.raises(AssertionError, match="switch is off"):
        trained("cgan", fast=True, steps=1)


def test_batches_are_the_same(dataset: Dataset) -> None:
    either_way = []
    for fast in (True, False):
        switch.turn(fast)
        either_way.append(
            [next(Batches(dataset.split("train"), BatchConfig(size=8), 0)) for _ in range(2)]
        )
    for one, other in zip(*either_way, strict=True):
        assert torch.allclose(one.L, other.L, atol=2e-6) and torch.allclose(
            one.ab, other.ab, atol=1e-5
        )


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_both_adams_are_one(weight_decay: float) -> None:
    config, draw = (
        AdamConfig(learning_rate=0.01, weight_decay=weight_decay),
        np.random.default_rng(0),
    )
    start = torch.from_numpy(draw.normal(size=(5, 3, 4, 4))).float()
    weights = [start.clone(), start.clone()]
    fused, plain = (
        new_adam(config, [w], [None], [0.5], fast)
        for w, fast in zip(weights, (True, False), strict=True)
    )
    assert isinstance(plain, PlainAdam)
    for _ in range(4):
        gradient = [torch.from_numpy(draw.normal(size=start.shape)).float()]
        ahead = plain.stepped(gradient)
        fused.step(gradient)
        plain.step(gradient)
        assert torch.equal(ahead[0], weights[1]) and torch.allclose(
            weights[0], weights[1], atol=1e-6
        )
    again = new_adam(config, [weights[1].clone()], [None], [0.5], fast=False)
    # a checkpoint of the one goes on with the other
    again.load_state_dict(fused.state_dict())
    assert torch.allclose(again.stepped(gradient)[0], plain.stepped(gradient)[0], atol=1e-6)
