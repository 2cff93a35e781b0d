"""E-GAN against the naive algorithm: a copy of network and optimiser for every child, each with forwards of its own."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional

from common.data.batches import Batch
from common.data.domain import Domain
from common.errors import ColourbenchError
from common.fast.adam import flat
from common.loop.engine import Engine
from common.loop.randomness import seed_everything
from studies.bench.references.plain_steps import NaiveEgan
from variants.egan import Egan, EganConfig, Judgement

SIZE = 32


def batches(count: int) -> list[Batch]:
    draw = torch.Generator().manual_seed(7)
    return [
        Batch(
            torch.rand(4, 1, SIZE, SIZE, generator=draw) * 2 - 1,
            torch.rand(4, 2, SIZE, SIZE, generator=draw) - 0.5,
            torch.full((4,), -1),
        )
        for _ in range(count)
    ]


def config(**fields: Any) -> EganConfig:
    small = {
        "generator": {"network": {"base_width": 8, "dropout": 0.0}},
        "critic": {"network": {"base_width": 8}},
    }
    return EganConfig.model_validate(small | {"reconstruction_weight": 10.0} | fields)


def close(network: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Equal to rounding. Adam's first step is ±learning rate whatever the gradient's size, so a handful may differ by more."""
    return alike(list(network.state_dict().values()), list(other.state_dict().values()))


def alike(some: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> bool:
    pairs = zip(some, others, strict=True)
    differences = torch.cat(
        [(a.detach().float() - b.detach().float()).abs().flatten() for a, b in pairs]
    )
    return bool(differences.max() < 1e-4 and (differences > 2e-6).float().mean() < 2e-3)


@pytest.mark.parametrize("parents", [1, 2])
def test_children_selection_and_critic_equal_the_naive_algorithm(
    parents: int, engine: Engine
) -> None:
    """In most seeds over four steps: Adam turns rounding into ±rate where a gradient is near 0, and later steps build on it."""
    agrees = [agrees_with_naive(parents, seed, engine) for seed in range(5)]
    assert sum(agrees) >= 3, agrees


def agrees_with_naive(parents: int, seed: int, engine: Engine) -> bool:
    """Whether survivors, weights, moments and critic are those of deep copies that are trained one by one."""
    seed_everything(seed)
    variant = Egan(config(parents=parents), engine, Domain(SIZE))
    networks = [copy.deepcopy(player.network) for player in variant.population]
    naive = NaiveEgan(networks, copy.deepcopy(variant.critic.network), reconstruction_weight=10.0)
    stream = batches(8)
    agrees = True
    for batch, judge in zip(stream[::2], stream[1::2], strict=True):
        losses = variant.step(iter([batch, judge]))
        survivors = naive.step(batch.L, batch.ab, judge.L, judge.ab)
        for mutation in variant.config.mutations:
            agrees &= losses[f"mutation_{mutation}"].item() == pytest.approx(
                survivors.count(mutation) / parents
            )
        for player, (network, adam) in zip(variant.population, naive.parents, strict=True):
            agrees &= close(player.network, network)
            state = player.adam.state_dict()
            for m, v, reference in zip(state["m"], state["v"], adam.state.values(), strict=True):
                agrees &= torch.allclose(m, flat(reference["exp_avg"]), rtol=1e-3, atol=1e-6)
                agrees &= torch.allclose(v, flat(reference["exp_avg_sq"]), rtol=1e-3, atol=1e-8)
        # its running statistics are never used
        agrees &= alike(variant.critic.parameters, list(naive.critic.parameters()))
    return agrees


def test_the_step_is_cheap(engine: Engine) -> None:
    """4 generator forwards, 5 critic forwards: one of each is shared by the children, the real half is judged once."""
    variant = Egan(config(), engine, Domain(SIZE))
    counts = {"generator": 0, "critic": 0}
    for name in counts:
        network = getattr(variant, name).network
        network.register_forward_hook(
            lambda *_, name=name: counts.__setitem__(name, counts[name] + 1)
        )
    variant.step(iter(batches(2)))
    assert counts == {"generator": 4, "critic": 5}


def test_n_critic_takes_fresh_batches(engine: Engine) -> None:
    stream = iter(batches(6))
    Egan(config(n_critic=3), engine, Domain(SIZE)).step(stream)
    assert len(list(stream)) == 2


def test_generator_is_the_fittest_survivor(engine: Engine) -> None:
    variant = Egan(config(parents=2), engine, Domain(SIZE))
    first = variant.generator
    variant.step(iter(batches(2)))
    assert variant.generator is variant.population[0]
    assert first in variant.population


@pytest.mark.parametrize("broken", ["minimax", "heuristic", "least_squares"])
def test_a_child_without_a_fitness_survives_no_valid_one(
    broken: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was judged first, in between or last."""
    variant = Egan(config(parents=2), engine, Domain(SIZE))
    evaluate, judged = variant._evaluate, iter(list(variant.config.mutations) * 2)

    def with_nan(*arguments: Any) -> Judgement:
        judgement = evaluate(*arguments)
        lost = next(judged) == broken
        return replace(judgement, fitness=judgement.fitness * float("nan")) if lost else judgement

    monkeypatch.setattr(variant, "_evaluate", with_nan)
    assert variant.step(iter(batches(2)))[f"mutation_{broken}"].item() == 0


@pytest.mark.parametrize(("size", "drawn"), [(2, 1), (4, 1), (7, 2), (12, 3)])
def test_children_are_judged_on_as_many_images_as_asked_for(
    size: int, drawn: int, engine: Engine
) -> None:
    variant = Egan(config(evaluation_size=size), engine, Domain(SIZE))
    stream = iter(batches(5))
    assert len(variant._evaluation_batch(stream).batch) == size and len(list(stream)) == 5 - drawn
    seen: list[int] = []
    variant.critic.network.register_forward_pre_hook(
        lambda module, inputs: seen.append(len(inputs[0]))
    )
    variant.step(iter(batches(1 + drawn)))
    # the real half, the parent's fakes, three children
    assert seen == [size, 4, size, size, size]


def test_smoothed_labels_change_the_critics_update(engine: Engine) -> None:
    """E-GAN's critic is trained on real photographs as cross-entropy with the target `real_label`."""
    (batch,) = batches(1)
    losses = []
    for label in (1.0, 0.9):
        seed_everything(0)
        critic = {"network": {"base_width": 8}, "real_label": label}
        variant = Egan(config(critic=critic), engine, Domain(SIZE))
        logits = variant.critic(batch.L, batch.ab, batch.label)[0]
        expected = 0.5 * functional.binary_cross_entropy_with_logits(
            logits, torch.full_like(logits, label)
        )
        assert variant._prepared(batch).real_loss.item() == pytest.approx(expected.item(), rel=1e-5)
        losses.append(expected.item())
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_subsets_of_mutations_and_refusals(engine: Engine) -> None:
    variant = Egan(config(mutations=("heuristic",)), engine, Domain(SIZE))
    losses = variant.step(iter(batches(2)))
    assert losses["mutation_heuristic"].item() == 1.0 and "mutation_minimax" not in losses
    for wrong in ([], ["minimax", "minimax"]):
        with pytest.raises(ValueError, match="each once"):
            config(mutations=wrong)


def test_fitness_does_not_depend_on_dropout_noise(engine: Engine) -> None:
    """Identical mutations must be judged alike even with dropout: all children see the same noise."""
    seed_everything(0)
    fields = config().model_dump()
    fields["generator"]["network"]["dropout"] = 0.5
    variant = Egan(EganConfig.model_validate(fields), engine, Domain(SIZE))
    prepared = variant._prepared(batches(1)[0])
    gradients = [torch.zeros_like(p) for p in variant.generator.parameters]
    buffers = dict(variant.generator.network.named_buffers())
    fitness = [
        variant._evaluate(
            variant.generator, gradients, {k: b.clone() for k, b in buffers.items()}, prepared
        ).fitness.item()
        for _ in range(2)
    ]
    assert fitness[0] == fitness[1]


def test_unknown_mutation_is_refused() -> None:
    from common.config import parse

    with pytest.raises(ColourbenchError, match=r"mutations\.0"):
        parse(EganConfig, {"mutations": ["crossover"]})
