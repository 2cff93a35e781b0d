"""One training step of each variant, written plainly after its paper."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from studies.bench.references.plain_networks import ADAM, PlainCritic, PlainGenerator

RECONSTRUCTION_WEIGHT = 100.0
PENALTY_WEIGHT = 10.0
DIVERSITY_WEIGHT = 0.05


class PlainCgan:
    """pix2pix (Isola et al. 2017): one critic update, then one generator update, on the same fake photographs."""

    def __init__(self, generator: PlainGenerator, critic: PlainCritic) -> None:
        self.generator = generator
        self.critic = critic
        self.generator_adam = torch.optim.Adam(generator.parameters(), **ADAM)  # type: ignore[arg-type]
        self.critic_adam = torch.optim.Adam(critic.parameters(), **ADAM)  # type: ignore[arg-type]

    def step(self, L: Tensor, ab: Tensor) -> None:
        """Makes both updates."""
        fake = self.generator(L)
        self.critic.requires_grad_(True)
        self.critic_adam.zero_grad()
        critic_loss(self.critic, L, ab, fake.detach()).backward()
        self.critic_adam.step()
        self.critic.requires_grad_(False)
        self.generator_adam.zero_grad()
        logits = self.critic(L, fake)
        adversarial = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
        (adversarial + RECONSTRUCTION_WEIGHT * F.l1_loss(fake, ab)).backward()
        self.generator_adam.step()


class PlainWganCritic:
    """The critic's update of WGAN-GP (Gulrajani et al. 2017, Algorithm 1, lines 4 to 9)."""

    def __init__(self, generator: PlainGenerator, critic: PlainCritic) -> None:
        self.generator = generator
        self.critic = critic
        self.adam = torch.optim.Adam(critic.parameters(), lr=1e-4, betas=(0.0, 0.9))

    def step(self, L: Tensor, ab: Tensor) -> None:
        """Makes one update of the critic."""
        epsilon = torch.rand(len(L), 1, 1, 1, device=L.device)
        with torch.no_grad():
            fake = self.generator(L)
        x_hat = (epsilon * ab + (1 - epsilon) * fake).requires_grad_()
        scores = self.critic(L, x_hat).mean(dim=(1, 2, 3))
        (gradient,) = torch.autograd.grad(scores.sum(), x_hat, create_graph=True)
        penalty = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
        loss = self.critic(L, fake).mean() - self.critic(L, ab).mean() + PENALTY_WEIGHT * penalty
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()


class NaiveEgan:
    """E-GAN (Wang et al. 2019) as in its authors' code: every child copies network and optimiser, with its own forward passes.

    The critic's update comes last, on the survivors' photographs of the evaluation batch, as in the product.
    """

    MUTATIONS = ("minimax", "heuristic", "least_squares")

    def __init__(
        self,
        parents: list[nn.Module],
        critic: nn.Module,
        reconstruction_weight: float = RECONSTRUCTION_WEIGHT,
        diversity_weight: float = DIVERSITY_WEIGHT,
    ) -> None:
        self.parents: list[tuple[nn.Module, torch.optim.Adam]] = [
            (network, _adam(network)) for network in parents
        ]
        self.critic = critic
        self.critic_adam = _adam(critic)
        self._reconstruction_weight = reconstruction_weight
        self._diversity_weight = diversity_weight

    def step(self, L: Tensor, ab: Tensor, judge_L: Tensor, judge_ab: Tensor) -> list[str]:
        """Runs one generation; returns the survivors' mutations, the fittest first."""
        children = []
        for parent, optimiser in self.parents:
            for mutation in self.MUTATIONS:
                child, adam = self._child(parent, optimiser.state_dict(), mutation, L, ab)
                with torch.no_grad():
                    judged = colours(child, judge_L)
                children.append(
                    (self._fitness(judge_L, judge_ab, judged), mutation, child, adam, judged)
                )
        children.sort(key=lambda c: c[0], reverse=True)
        best = children[: len(self.parents)]
        self.parents = [(child, adam) for _, _, child, adam, _ in best]
        self.critic_adam.zero_grad()
        torch.stack(
            [critic_loss(self.critic, judge_L, judge_ab, judged) for *_, judged in best]
        ).mean().backward()
        self.critic_adam.step()
        return [mutation for _, mutation, *_ in best]

    def _child(
        self, parent: nn.Module, state: Mapping[str, Any], mutation: str, L: Tensor, ab: Tensor
    ) -> tuple[nn.Module, torch.optim.Adam]:
        child = copy.deepcopy(parent)
        adam = _adam(child)
        adam.load_state_dict(copy.deepcopy(dict(state)))
        fake = colours(child, L)
        self.critic.requires_grad_(False)
        loss = _adversarial(
            mutation, logits_of(self.critic, L, fake)
        ) + self._reconstruction_weight * F.l1_loss(fake, ab)
        adam.zero_grad()
        loss.backward()
        adam.step()
        self.critic.requires_grad_(True)
        return child, adam

    def _fitness(self, L: Tensor, ab: Tensor, fake: Tensor) -> float:
        """F = F_q + γ F_d (eq. 5 and 6)."""
        real = logits_of(self.critic, L, ab)
        false = logits_of(self.critic, L, fake)
        gradients = torch.autograd.grad(_halved(real, false), list(self.critic.parameters()))
        diversity = -torch.log(torch.cat([gradient.flatten() for gradient in gradients]).norm())
        return float(torch.sigmoid(false.detach()).mean() + self._diversity_weight * diversity)


def critic_loss(critic: nn.Module, L: Tensor, ab: Tensor, fake: Tensor) -> Tensor:
    """Returns ½ (BCE(real, 1) + BCE(fake, 0))."""
    return _halved(logits_of(critic, L, ab), logits_of(critic, L, fake))


def colours(generator: nn.Module, L: Tensor) -> Tensor:
    """Returns ab from a plain generator, or from the product's."""
    made = generator(L)
    ab: Tensor = made if isinstance(made, Tensor) else made.ab
    return ab


def logits_of(critic: nn.Module, L: Tensor, ab: Tensor) -> Tensor:
    """Returns the logit map of a plain critic, or of the product's with one scale."""
    made = critic(L, ab)
    logits: Tensor = made if isinstance(made, Tensor) else made[0]
    return logits


def _halved(real: Tensor, false: Tensor) -> Tensor:
    ones = torch.ones_like(real)
    zeros = torch.zeros_like(false)
    return (
        F.binary_cross_entropy_with_logits(real, ones)
        + F.binary_cross_entropy_with_logits(false, zeros)
    ) / 2


def _adversarial(mutation: str, logits: Tensor) -> Tensor:
    """Wang et al. 2019, eq. 2 to 4, least squares on the raw logit."""
    return {
        "minimax": torch.log(1 - torch.sigmoid(logits)).mean(),
        "heuristic": -torch.log(torch.sigmoid(logits)).mean(),
        "least_squares": ((logits - 1) ** 2).mean(),
    }[mutation]


def _adam(network: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), **ADAM)  # type: ignore[arg-type]
