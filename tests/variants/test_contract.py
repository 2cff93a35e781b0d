"""What every variant must do; a new one in the registry is tested here without another line."""

import copy
from collections.abc import Iterator

import pytest
import torch

from common.colour.hints import Hint, placed
from common.data.batches import Batch
from common.data.domain import Domain
from common.loop.engine import Engine, EngineConfig
from common.loop.randomness import random_state, restore_random_state, seed_everything
from common.loop.training import Budget
from variants.contract.variant import Variant, VariantConfig
from variants.registry import CLASSES, build, variant_class
from variants.schedule.phases import ScheduleConfig, schedule_of

SIZE = 32
NAMES = list(CLASSES)


def small(name: str, **fields: object) -> VariantConfig:
    given = {
        "generator": {"network": {"base_width": 8}},
        "critic": {"network": {"base_width": 8}},
        **fields,
    }
    known = variant_class(name).Config.model_fields
    return variant_class(name).Config.model_validate(
        {key: value for key, value in given.items() if key in known}
    )


def toy_batches(seed: int = 0, size: int = 8) -> Iterator[Batch]:
    """Endless batches in which ab is a known function of L: a = L / 2, b = -L / 3."""
    draw = torch.Generator().manual_seed(seed)
    while True:
        L = torch.rand(size, 1, SIZE // 8, SIZE // 8, generator=draw) * 2 - 1
        L = torch.nn.functional.interpolate(L, SIZE, mode="bilinear")
        yield Batch(L, torch.cat([L / 2, -L / 3], dim=1), torch.full((size,), -1))


DOMAIN = Domain(SIZE, stream=lambda size: toy_batches(1, size))


def new(name: str, engine: Engine, **fields: object) -> Variant:
    seed_everything(0)
    return build(small(name, **fields), engine, DOMAIN)


def weights(variant: Variant) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}

    def walk(value: object, name: str) -> None:
        if isinstance(value, torch.Tensor):
            tensors[name] = value.clone()
        elif isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{name}.{key}")
        elif isinstance(value, list):
            for number, item in enumerate(value):
                walk(item, f"{name}.{number}")

    walk(variant.state_dict(), "")
    return tensors


@pytest.mark.parametrize("name", NAMES)
def test_a_step_updates_every_weight_and_returns_detached_scalars(
    name: str, engine: Engine
) -> None:
    variant = new(name, engine)
    before = weights(variant)
    batches = toy_batches()
    for _ in range(2):
        losses = variant.step(batches)
    assert losses and all(
        loss.shape == () and not loss.requires_grad and torch.isfinite(loss)
        for loss in losses.values()
    )
    after = weights(variant)
    # a Wasserstein critic's offset has no gradient
    learnt = [key for key in before if ".network." in key and key.endswith("weight")]
    unchanged = [key for key in learnt if torch.equal(before[key], after[key])]
    assert learnt and unchanged == []


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_variant_goes_on_bit_by_bit(name: str, precision: str) -> None:
    engine = Engine(EngineConfig.model_validate({"device": "cpu", "precision": precision}))
    whole = new(name, engine)
    batches = list(zip(range(12), toy_batches(), strict=False))
    stream = iter([batch for _, batch in batches] * 20)
    for _ in range(3):
        whole.step(stream)
    state, noise = copy.deepcopy(whole.state_dict()), random_state()
    rest = [next(stream) for _ in range(40)]
    expected = [whole.step(it) for it in [iter(rest)] for _ in range(4)]

    seed_everything(99)
    resumed = build(small(name), engine, DOMAIN)
    resumed.load_state_dict(state)
    restore_random_state(noise)
    losses = [resumed.step(it) for it in [iter(rest)] for _ in range(4)]
    assert all(
        torch.equal(a[key], b[key]) for a, b in zip(expected, losses, strict=True) for key in a
    )
    first, second = weights(whole), weights(resumed)
    assert first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


@pytest.mark.parametrize("name", NAMES)
def test_learns_a_toy_mapping(name: str, engine: Engine) -> None:
    variant = new(name, engine, reconstruction_weight=100.0, n_critic=1)
    batches, held_out = toy_batches(1), next(toy_batches(2, size=16))
    error = (variant.colourise(held_out.L) - held_out.ab).abs().mean()
    for _ in range(80):
        variant.step(batches)
    learnt = (variant.colourise(held_out.L) - held_out.ab).abs().mean()
    assert learnt < 0.6 * error  # 0.17 to 0.46 over eight seeds in float32


@pytest.mark.parametrize("name", NAMES)
def test_colourising_changes_nothing(name: str, engine: Engine) -> None:
    variant = new(name, engine, test_time="dropout")
    variant.step(toy_batches())
    before = weights(variant)
    L = next(toy_batches(5)).L
    ab = variant.colourise(L)
    assert ab.shape == (8, 2, SIZE, SIZE) and ab.abs().max() <= 1
    after = weights(variant)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert variant.generator.network.training


@pytest.mark.parametrize("name", NAMES)
def test_test_time_behaviour(name: str, engine: Engine) -> None:
    L = next(toy_batches(5)).L
    for mode, repeats in (
        ("calibrated", True),
        ("running", True),
        ("batch", True),
        ("dropout", False),
    ):
        variant = new(name, engine, test_time=mode)
        variant.step(toy_batches())
        assert torch.equal(variant.colourise(L), variant.colourise(L)) == repeats
    for mode in ("calibrated", "running"):
        variant = new(name, engine, test_time=mode)
        variant.step(toy_batches())
        # no image depends on its neighbours
        assert torch.allclose(variant.colourise(L)[:1], variant.colourise(L[:1]), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_schedule_splits_the_budget(name: str, engine: Engine) -> None:
    budget = Budget(amount=1000, unit="images")
    plain, mixed, pure = (
        schedule_of(new(name, engine), ScheduleConfig(pretraining=share)).phases(budget)
        for share in (0.0, 0.25, 1.0)
    )
    assert [(phase.name, phase.amount) for phase in plain] == [("adversarial", 1000)]
    assert [(phase.name, phase.amount) for phase in mixed] == [
        ("pretrain_generator", 250),
        ("adversarial", 750),
    ]
    assert [phase.name for phase in pure] == ["pretrain_generator"]


@pytest.mark.parametrize("name", NAMES)
def test_has_a_search_space_of_real_fields(name: str) -> None:
    for path in variant_class(name).space:
        value: object = {"variant": small(name).model_dump()}
        for part in path.split("."):
            assert isinstance(value, dict) and part in value, path
            value = value[part]


@pytest.mark.parametrize("name", NAMES)
def test_with_hints_it_trains_resumes_and_listens(name: str, engine: Engine) -> None:
    """Any variant may give its generator hints; the critic never sees them."""
    fields = {"generator": {"network": {"base_width": 8}, "hints": True}, "evaluation_size": 12}
    whole, stream = new(name, engine, **fields), toy_batches(3)
    whole.step(stream)
    state, noise = copy.deepcopy(whole.state_dict()), random_state()
    rest = [next(stream) for _ in range(12)]
    expected = whole.step(iter(rest))
    resumed = new(name, engine, **fields)
    resumed.load_state_dict(state)
    restore_random_state(noise)
    again = resumed.step(iter(rest))
    assert all(torch.equal(expected[key], again[key]) for key in expected)
    L, colouriser = next(stream).L, whole.colourise
    points = placed([Hint(0.5, 0.5, (0.9, -0.9))], SIZE, SIZE).expand(len(L), -1, -1, -1)
    assert torch.equal(colouriser(L), colouriser(L, None, torch.zeros_like(points)))
    assert not torch.allclose(colouriser(L), colouriser(L, None, points))
    if hasattr(whole, "critic"):
        assert next(iter(whole.critic.network.parameters())).shape[1] == 3  # L and ab
