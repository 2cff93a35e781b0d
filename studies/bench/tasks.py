"""A training step of each variant: the plain one, and the product's with the settings that users get."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from common.config import parse
from common.data.batches import Batch
from common.data.domain import Domain
from common.loop.engine import Engine, EngineConfig
from common.loop.randomness import seed_everything
from studies.bench.references.plain_networks import PlainCritic, PlainGenerator, take_weights
from studies.bench.references.plain_steps import NaiveEgan, PlainCgan, PlainWganCritic
from variants.contract.variant import Variant
from variants.registry import build, variant_class
from variants.wgan_gp import WganGp

Step = Callable[[], object]


@dataclass(frozen=True)
class Task:
    """What is trained: a variant's step at a size."""

    variant: str
    size: int = 256
    batch: int = 8
    base_width: int = 64
    precision: str = "auto"
    device: str = "cpu"
    dropout: float = 0.5
    threads: int = 0


def plain_step(task: Task, like: Variant | None = None) -> Step:
    """Returns the plain training step, with the weights of `like` if it is given."""
    device = torch.device(task.device)
    generator = PlainGenerator(task.size, task.base_width, task.dropout).to(device)
    critic = PlainCritic(task.base_width, "layer" if task.variant == "wgan_gp" else "batch").to(
        device
    )
    if like is not None:
        take_weights(generator, like.generator.network.parameters())
        take_weights(critic, like.critic.network.parameters())  # type: ignore[attr-defined]
    L, ab, judge_L, judge_ab = (
        tensor for batch in photographs(task, 2) for tensor in (batch.L, batch.ab)
    )
    if task.variant == "wgan_gp":
        return partial(PlainWganCritic(generator, critic).step, L, ab)
    if task.variant == "egan":
        return partial(NaiveEgan([generator], critic).step, L, ab, judge_L, judge_ab)
    return partial(PlainCgan(generator, critic).step, L, ab)


def product_variant(task: Task) -> Variant:
    """Builds the product's variant, with the settings that users get."""
    network = {"network": {"base_width": task.base_width}}
    fields = {
        "generator": {"network": {"base_width": task.base_width, "dropout": task.dropout}},
        "critic": network,
    }
    return build(
        parse(variant_class(task.variant).Config, fields), _engine(task), Domain(task.size)
    )


def _engine(task: Task) -> Engine:
    return Engine(
        parse(
            EngineConfig,
            {"device": task.device, "precision": task.precision, "threads": task.threads},
        )
    )


def product_step(task: Task, variant: Variant) -> Step:
    """Returns the product's training step: WGAN-GP's critic update alone, the other variants' whole step."""
    batches = photographs(task, 2)
    if isinstance(variant, WganGp):
        return partial(variant.critic.update, variant.critic_descent, batches[:1])
    return lambda: variant.step(iter(copy.copy(batches)))


def photographs(task: Task, count: int) -> list[Batch]:
    """Returns batches of noise: timings do not depend on the images."""
    draw = torch.Generator().manual_seed(0)
    shape = (task.batch, 1, task.size, task.size)

    def one() -> Batch:
        L = torch.rand(shape, generator=draw) * 2 - 1
        ab = torch.rand(task.batch, 2, *shape[2:], generator=draw) - 0.5
        return Batch(
            L.to(task.device), ab.to(task.device), torch.full((task.batch,), -1, device=task.device)
        )

    return [one() for _ in range(count)]


def difference(task: Task, steps: int = 3) -> float:
    """Returns the largest share of visibly different weights after some steps in float32 without dropout; 0: equal up to rounding.

    Adam's first steps are ±learning rate whatever a gradient's size, so elements whose gradient is about 0 may differ.
    """
    seed_everything(0)
    exact = replace(task, precision="32", dropout=0.0)
    variant = product_variant(exact)
    plain = plain_step(exact, variant)
    product = product_step(exact, variant)
    for number in range(steps):
        for step in (plain, product):
            seed_everything(number)  # both draw the same ε
            step()
    owner: Any = plain.func.__self__  # type: ignore[attr-defined]
    pairs = [
        *zip(_generator(owner).parameters(), variant.generator.network.parameters(), strict=True)
    ]
    pairs += [*zip(owner.critic.parameters(), variant.critic.network.parameters(), strict=True)]  # type: ignore[attr-defined]
    return max(float(((a - b).abs() > 2e-5).float().mean()) for a, b in pairs)


def _generator(owner: Any) -> torch.nn.Module:
    network: torch.nn.Module = (
        owner.parents[0][0] if isinstance(owner, NaiveEgan) else owner.generator
    )
    return network
