"""Batch statistics over training images: those that a naive loop finds, and training never notices."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from common.config import parse
from common.data.batches import Batch
from common.data.domain import Domain
from common.loop.engine import Engine
from common.loop.randomness import seed_everything
from common.loop.shared_norm import SharedBatchNorm2d, share_statistics, unshared
from variants.cgan import Cgan, CganConfig
from variants.players.calibration import calibrated_statistics
from variants.regression import Regression, RegressionConfig

SIZE = 32
BATCH = 16
SMALL: dict[str, Any] = {
    "generator": {"network": {"base_width": 8}},
    "critic": {"network": {"base_width": 8}},
}


def images(size: int = 8, seed: int = 0) -> Iterator[Batch]:
    """Endless, and the same from the start at each call."""
    draw = torch.Generator().manual_seed(seed)
    while True:
        L = torch.rand(size, 1, SIZE, SIZE, generator=draw) * 2 - 1
        yield Batch(L, torch.cat([L / 2, -L / 3], dim=1), torch.arange(size) % 3)


DOMAIN = Domain(SIZE, 3, stream=images)


def trained(engine: Engine, **fields: Any) -> Cgan:
    seed_everything(0)
    variant = Cgan(parse(CganConfig, SMALL | fields), engine, DOMAIN)
    stream = images(seed=1)
    for _ in range(3):
        variant.step(stream)
    return variant


def test_they_are_the_averages_over_the_first_training_images(engine: Engine) -> None:
    variant = trained(engine)
    network = variant.generator.network
    seen: dict[str, list[torch.Tensor]] = {}
    naive = copy.deepcopy(network).eval()
    for name, module in naive.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
            module.register_forward_pre_hook(
                lambda m, args, name=name: seen.setdefault(name, []).append(args[0].double())
            )
    stream = images(BATCH)
    with torch.no_grad():
        for _ in range(4):
            naive(next(stream).L)
    statistics = calibrated_statistics(network, engine, DOMAIN, 4 * BATCH, False, BATCH)
    for name, batches in seen.items():
        mean = torch.stack([x.mean(dim=(0, 2, 3)) for x in batches]).mean(dim=0)
        variance = torch.stack([x.var(dim=(0, 2, 3), unbiased=True) for x in batches]).mean(dim=0)
        assert torch.allclose(
            statistics[f"{name}.running_mean"].double(), mean, atol=1e-4, rtol=1e-4
        )
        assert torch.allclose(
            statistics[f"{name}.running_var"].double(), variance, atol=1e-4, rtol=1e-3
        )
    assert len(seen) == sum(key.endswith("running_mean") for key in statistics)


@pytest.mark.parametrize(
    "fields",
    [{}, {"generator": {"network": {"base_width": 8}, "average": 0.9}}],
    ids=["last", "average"],
)
def test_looking_changes_nothing_and_finds_the_same_again(
    engine: Engine, fields: dict[str, Any]
) -> None:
    variant = trained(engine, **fields)
    before = copy.deepcopy(variant.state_dict())
    noise = torch.get_rng_state()
    L = next(images(seed=5)).L
    first, second = variant.colourise(L), variant.colourise(L)
    assert torch.equal(first, second) and torch.equal(noise, torch.get_rng_state())
    assert str(before) == str(variant.state_dict()) and variant.generator.network.training
    assert not torch.equal(first, trained(engine, test_time="running", **fields).colourise(L))


def test_what_is_saved_colourises_alike(engine: Engine) -> None:
    variant = trained(engine)
    colouriser, L = variant.colouriser(128), next(images(seed=5)).L
    saved = copy.deepcopy(variant.generator.network)
    saved.load_state_dict(colouriser.state_dict())
    assert torch.allclose(saved.eval()(L).ab, colouriser(L), atol=1e-6)


def test_without_batch_norm_or_photographs_nothing_is_computed(engine: Engine) -> None:
    config = parse(RegressionConfig, {"generator": {"network": {"base_width": 8, "norm": "layer"}}})
    assert Regression(config, engine, DOMAIN).colourise.statistics == {}
    assert (
        Regression(
            parse(RegressionConfig, {"generator": SMALL["generator"]}), engine, Domain(SIZE)
        ).colourise.statistics
        == {}
    )


def test_a_frozen_encoder_keeps_its_own_statistics(engine: Engine) -> None:
    network = {
        "kind": "backbone",
        "encoder": "test_resnet",
        "pretrained": False,
        "decoder_width": 16,
    }
    variant = Regression(
        parse(RegressionConfig, {"generator": {"network": network}}), engine, DOMAIN
    )
    inner: Any = variant.generator.network
    inner._config = inner._config.model_copy(update={"frozen": True})
    statistics = calibrated_statistics(inner, engine, DOMAIN, BATCH, False, BATCH)
    assert statistics and not any(name.startswith("encoder.") for name in statistics)


def test_one_rank_may_calibrate_while_others_wait() -> None:
    """The norms of several ranks would wait for all of them."""
    network = share_statistics(nn.Sequential(nn.BatchNorm2d(3)))
    with unshared(network):
        # no group of ranks is there to ask
        assert network.train()(torch.rand(2, 3, 4, 4)).shape == (
            2,
            3,
            4,
            4,
        )
    assert isinstance(network[0], SharedBatchNorm2d) and network[0].is_shared  # type: ignore[index]


@pytest.mark.integration
def test_figures_of_one_run_jump_less(engine: Engine) -> None:
    """The spectral-normed generator with attention whose error went from 0.2 to 3.2 of the target between looks (median of seeds)."""
    network = {
        "kind": "backbone",
        "encoder": "test_resnet",
        "pretrained": False,
        "decoder_width": 16,
        "dropout": 0.2,
    }
    network |= {"attention": True, "spectral_norm": True}
    given = SMALL | {"generator": {"network": network, "adam": {"learning_rate": 1e-3}}}
    worst: dict[str, list[float]] = {"running": [], "calibrated": []}
    held_out = next(images(16, seed=2))
    for seed in range(3):
        seed_everything(seed)
        variant = Cgan(parse(CganConfig, given), engine, DOMAIN)
        stream = images(seed=seed + 10)
        errors: dict[str, list[float]] = {mode: [] for mode in worst}
        for step in range(1, 61):
            variant.step(stream)
            if step >= 40 and step % 10 == 0:
                for mode in worst:
                    variant.config = variant.config.model_copy(update={"test_time": mode})
                    errors[mode].append(
                        float((variant.colourise(held_out.L) - held_out.ab).abs().mean())
                    )
        for mode in worst:
            worst[mode].append(max(errors[mode]) / float(held_out.ab.abs().mean()))
    middle = {mode: sorted(values)[1] for mode, values in worst.items()}
    assert middle["calibrated"] < middle["running"]


def test_with_hints_they_are_those_of_training_and_the_same_at_every_call(engine: Engine) -> None:
    seed_everything(0)
    network = {"generator": {"network": {"base_width": 8}, "hints": True}}
    variant = Regression(parse(RegressionConfig, network), engine, DOMAIN)
    one, two = (
        calibrated_statistics(variant.generator.network, engine, DOMAIN, 2 * BATCH, False, BATCH)
        for _ in range(2)
    )
    assert one and all(torch.equal(one[name], two[name]) for name in one)
    without = Domain(
        SIZE, 3, stream=lambda size: (Batch(b.L, 0 * b.ab, b.label) for b in images(size))
    )
    other = calibrated_statistics(
        variant.generator.network, engine, without, 2 * BATCH, False, BATCH
    )
    # the hints' colours count
    assert any(not torch.equal(one[name], other[name]) for name in one)
