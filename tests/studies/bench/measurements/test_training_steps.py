"""The plain references do what the product does, and what is said of both is measured."""

import json

import pytest
import torch

from common.errors import ColourbenchError
from common.system.costs import CountFlops
from studies.bench.measurements.stepper import stepper
from studies.bench.measurements.training_steps import against_plain
from studies.bench.references.plain_networks import PlainCritic, PlainGenerator, take_weights
from studies.bench.tasks import Task, difference, photographs, plain_step, product_variant

TINY = {"size": 32, "batch": 2, "base_width": 4}


@pytest.mark.parametrize("variant", ["cgan", "wgan_gp", "egan"])
def test_the_product_makes_the_plain_steps(variant: str) -> None:
    assert difference(Task(variant, 32, 4, 8)) < 2e-3


def test_another_mathematics_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from studies.bench.references import plain_steps

    monkeypatch.setattr(plain_steps, "RECONSTRUCTION_WEIGHT", 1.0)
    assert difference(Task("cgan", 32, 4, 8)) > 0.05
    with pytest.raises(ColourbenchError, match="nothing is timed"):
        against_plain(Task("cgan", **TINY), 1, None)  # type: ignore[arg-type]


def test_the_plain_networks_are_pix2pix() -> None:
    assert sum(p.numel() for p in PlainGenerator(256, 64, 0.5).parameters()) == 54_409_858
    assert sum(p.numel() for p in PlainCritic(64).parameters()) == 2_765_633


def test_weights_of_another_network_do_not_fit() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        take_weights(PlainCritic(4), PlainCritic(8).parameters())


def test_operations_of_a_cgan_step() -> None:
    """86 GFLOP for an image of 256 pixels."""
    with CountFlops() as counter:
        plain_step(Task("cgan", 256, 1))()
    assert counter.flops / 1e9 == pytest.approx(86, rel=0.02)


@pytest.mark.integration
def test_a_comparison(capfd: pytest.CaptureFixture[str]) -> None:
    result = against_plain(Task("cgan", **TINY), rounds=2, target=1000.0)  # type: ignore[arg-type]
    plain, product = result.sides
    assert plain.memory_gb and product.memory_gb and 0.1 < product.memory_gb < 5
    assert (
        plain.gflops and plain.gflops > 0 and plain.per_second == pytest.approx(2 / plain.seconds)
    )
    assert result.is_met is False and "three steps" in result.checked
    json.dumps(result.record())


def test_what_cannot_be_measured_says_why() -> None:
    with pytest.raises(
        ColourbenchError, match="product cgan of 33 px, batch 8: the U-Net is made for images of"
    ):
        stepper(Task("cgan", size=33), "product").__enter__()


def test_photographs_are_the_same_each_time() -> None:
    a, b = (photographs(Task("cgan", **TINY), 2) for _ in range(2))  # type: ignore[arg-type]
    assert all(torch.equal(x.L, y.L) and torch.equal(x.ab, y.ab) for x, y in zip(a, b, strict=True))
    assert not torch.equal(a[0].L, a[1].L)


def test_the_product_is_measured_with_a_users_settings() -> None:
    variant = product_variant(Task("wgan_gp", **TINY))  # type: ignore[arg-type]
    assert variant.config.penalty_weight == 10.0  # type: ignore[attr-defined]
    assert variant.config.reconstruction_weight == 100.0  # type: ignore[attr-defined]
