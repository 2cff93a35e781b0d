"""E-GAN against the naive algorithm: a copy of network and optimiser for every child, each with forwards of its own."""

import copy
from typing import Any

import pytest
import torch

from common.data.batches import Batch
from common.data.domain import Domain
from common.errors import ColourbenchError
from common.fast.adam import flat
from common.loop.engine import Engine
from common.loop.randomness import seed_everything
from studies.bench.references.plain_steps import NaiveEgan
from variants.egan import Egan, EganConfig

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
    small = {"generator": {"network": {"base_width": 8, "dropout": 0.0}}, "critic": {"network": {"base_width": 8}}}
    return EganConfig.model_validate(small | {"reconstruction_weight": 10.0} | fields)


def close(network: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Equal to rounding. Adam's first step is ±learning rate whatever the gradient's size, so a handful may differ by more."""
    pairs = zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    differences = torch.cat([(a.float() - b.float()).abs().flatten() for a, b in pairs])
    return bool(differences.max() < 5e-5 and (differences > 2e-6).float().mean() < 1e-3)


@pytest.mark.parametrize("parents", [1, 2])
def test_children_selection_and_critic_equal_the_naive_algorithm(parents: int, engine: Engine) -> None:
    seed_everything(0)
    variant = Egan(config(parents=parents), engine, Domain(SIZE))
    networks = [copy.deepcopy(player.network) for player in variant.population]
    naive = NaiveEgan(networks, copy.deepcopy(variant.critic.network), reconstruction_weight=10.0)
    stream = batches(8)
    for batch, judge in zip(stream[::2], stream[1::2], strict=True):
        losses = variant.step(iter([batch, judge]))
        survivors = naive.step(batch.L, batch.ab, judge.L, judge.ab)
        for mutation in variant.config.mutations:
            assert losses[f"mutation_{mutation}"].item() == pytest.approx(survivors.count(mutation) / parents)
        for player, (network, adam) in zip(variant.population, naive.parents, strict=True):
            assert close(player.network, network)
            state = player.adam.state_dict()
            for m, v, reference in zip(state["m"], state["v"], adam.state.values(), strict=True):
                assert torch.allclose(m, flat(reference["exp_avg"]), rtol=1e-3, atol=1e-6)
                assert torch.allclose(v, flat(reference["exp_avg_sq"]), rtol=1e-3, atol=1e-8)
        critics = zip(variant.critic.parameters, naive.critic.parameters(), strict=True)  # its running statistics are never used
        assert all(torch.allclose(a, b, rtol=1e-4, atol=2e-6) for a, b in critics)


def test_the_step_is_cheap(engine: Engine) -> None:
    """4 generator forwards, 5 critic forwards: one of each is shared by the children, the real half is judged once."""
    variant = Egan(config(), engine, Domain(SIZE))
    counts = {"generator": 0, "critic": 0}
    for name in counts:
        network = getattr(variant, name).network
        network.register_forward_hook(lambda *_, name=name: counts.__setitem__(name, counts[name] + 1))
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
    prepared = variant._judge(batches(1)[0])
    gradients = [torch.zeros_like(p) for p in variant.generator.parameters]
    buffers = dict(variant.generator.network.named_buffers())
    fitness = [
        variant._evaluate(variant.generator, gradients, {k: b.clone() for k, b in buffers.items()}, prepared).fitness.item()
        for _ in range(2)
    ]
    assert fitness[0] == fitness[1]


def test_unknown_mutation_is_refused() -> None:
    from common.config import parse

    with pytest.raises(ColourbenchError, match=r"mutations\.0"):
        parse(EganConfig, {"mutations": ["crossover"]})
