"""E-GAN against the naive algorithm: a copy of network and optimiser for every child, each with forwards of its own."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from common.batches import Batch
from common.domain import Domain
from common.engine import Engine, seed_everything
from common.errors import ColourbenchError
from variants.egan import Egan, EganConfig
from variants.player import Player

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


def optimiser_of(player: Player) -> torch.optim.Adam:
    return player._optimiser  # the reference works on the very same kind of optimiser


class Naive:
    """Wang et al. 2019 step by step, with deep copies; the critic's update comes last, as in the product."""

    def __init__(self, variant: Egan) -> None:
        self.config = variant.config
        self.parents = [(copy.deepcopy(p.network), self._optimiser(p)) for p in variant.population]
        self.parents = [(network, self._rebound(optimiser, network)) for network, optimiser in self.parents]
        self.critic = copy.deepcopy(variant.critic.network)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def step(self, stream: Iterator[Batch]) -> list[str]:
        batch, judge = next(stream), next(stream)
        children = []
        for network, optimiser in self.parents:
            for mutation in self.config.mutations:
                child = copy.deepcopy(network)
                adam = self._rebound(copy.deepcopy(optimiser.state_dict()), child)
                fake = child(batch.L).ab
                (d,) = self.critic(batch.L, fake)
                adversarial = {
                    "minimax": torch.log(1 - torch.sigmoid(d)).mean(),
                    "heuristic": -torch.log(torch.sigmoid(d)).mean(),
                    "least_squares": ((d - 1) ** 2).mean(),
                }[mutation]
                loss = adversarial + self.config.reconstruction_weight * F.l1_loss(fake, batch.ab)
                adam.zero_grad()
                loss.backward()
                adam.step()
                with torch.no_grad():
                    judged = child(judge.L).ab
                fitness = self._fitness(judge, judged)
                children.append((fitness, mutation, child, adam, judged))
        children.sort(key=lambda c: c[0], reverse=True)
        best = children[: self.config.parents]
        self.parents = [(child, adam) for _, _, child, adam, _ in best]
        self._update_critic(judge, [judged for *_, judged in best])
        return [mutation for _, mutation, *_ in best]

    def _fitness(self, judge: Batch, fake: torch.Tensor) -> float:
        (logits,) = self.critic(judge.L, fake)
        gradients = torch.autograd.grad(self._critic_loss(judge, fake), list(self.critic.parameters()))
        F_d = -torch.log(torch.cat([g.flatten() for g in gradients]).norm())
        return (torch.sigmoid(logits).mean() + self.config.diversity_weight * F_d).item()

    def _critic_loss(self, judge: Batch, fake: torch.Tensor) -> torch.Tensor:
        (real,), (false,) = self.critic(judge.L, judge.ab), self.critic(judge.L, fake)
        ones, zeros = torch.ones_like(real), torch.zeros_like(false)
        return (F.binary_cross_entropy_with_logits(real, ones) + F.binary_cross_entropy_with_logits(false, zeros)) / 2

    def _update_critic(self, judge: Batch, fakes: list[torch.Tensor]) -> None:
        self.critic_optimiser.zero_grad()
        torch.stack([self._critic_loss(judge, fake) for fake in fakes]).mean().backward()
        self.critic_optimiser.step()

    @staticmethod
    def _optimiser(player: Player) -> Any:
        return copy.deepcopy(optimiser_of(player).state_dict())

    @staticmethod
    def _rebound(state: Any, network: torch.nn.Module) -> Any:
        optimiser = torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
        state = copy.deepcopy(state)
        for group in state["param_groups"]:
            group["fused"] = None
        optimiser.load_state_dict(state)
        return optimiser


def close(network: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Equal to rounding. Adam's first step is ±learning rate whatever the gradient's size, so a handful may differ by more."""
    pairs = zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    differences = torch.cat([(a.float() - b.float()).abs().flatten() for a, b in pairs])
    return bool(differences.max() < 5e-5 and (differences > 2e-6).float().mean() < 1e-3)


@pytest.mark.parametrize("parents", [1, 2])
def test_children_selection_and_critic_equal_the_naive_algorithm(parents: int, engine: Engine) -> None:
    seed_everything(0)
    variant = Egan(config(parents=parents), engine, Domain(SIZE))
    naive = Naive(variant)
    stream = batches(12)
    fast, slow = iter(stream), iter(stream)
    for _ in range(4):
        losses = variant.step(fast)
        survivors = naive.step(slow)
        for mutation in variant.config.mutations:
            assert losses[f"mutation_{mutation}"].item() == pytest.approx(survivors.count(mutation) / parents)
        for player, (network, adam) in zip(variant.population, naive.parents, strict=True):
            assert close(player.network, network)
            moments = zip(optimiser_of(player).state.values(), adam.state.values(), strict=True)
            for mine, reference in moments:
                assert torch.allclose(mine["exp_avg"], reference["exp_avg"], rtol=1e-3, atol=1e-6)
                assert torch.allclose(mine["exp_avg_sq"], reference["exp_avg_sq"], rtol=1e-3, atol=1e-8)
                assert float(mine["step"]) == float(reference["step"])
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
    found = [
        variant._evaluate(variant.generator, gradients, {k: b.clone() for k, b in buffers.items()}, prepared).fitness.item()
        for _ in range(2)
    ]
    assert found[0] == found[1]


def test_unknown_mutation_is_refused() -> None:
    from common.config import parse

    with pytest.raises(ColourbenchError, match=r"mutations\.0"):
        parse(EganConfig, {"mutations": ["crossover"]})
