"""WGAN-GP (Gulrajani et al. 2017, Algorithm 1), conditioned on L.

min_G max_D  E[D(L, ab)] - E[D(L, G(L))] - λ_gp E[(‖∇_x̂ D(L, x̂)‖₂ - 1)²],  and G also minimises λ E‖ab - G(L)‖_p
"""

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from common.batches import Batch
from common.networks.patch_critic import PatchCriticConfig
from common.training import Losses
from variants import objectives
from variants.adam import AdamConfig
from variants.adversarial import AdversarialVariant, Tally
from variants.settings import AdversarialConfig, CriticConfig, GeneratorConfig, refuse_mixed_images

ADAM = AdamConfig(learning_rate=1e-4, beta1=0.0, beta2=0.9)


class WganGpConfig(AdversarialConfig):
    """WGAN with gradient penalty."""

    name: Literal["wgan_gp"] = "wgan_gp"
    """The variant."""
    generator: GeneratorConfig = GeneratorConfig(adam=ADAM)
    """The generator."""
    critic: CriticConfig = CriticConfig(network=PatchCriticConfig(norm="layer"), adam=ADAM)
    """The critic."""
    n_critic: int = Field(default=5, ge=1, le=100)
    """Critic updates for each generator update, each on a fresh batch."""
    penalty_weight: float = Field(default=10.0, gt=0)
    """Weight of the gradient penalty (λ in the paper, which λ = reconstruction_weight is not)."""

    @model_validator(mode="after")
    def _sensible_critic(self) -> "WganGpConfig":
        refuse_mixed_images(self.critic)
        if self.critic.real_label != 1:
            raise ValueError("critic.real_label smooths a probability, and this critic gives a distance; leave it at 1")
        if self.inflection.metric != "off":
            raise ValueError("inflection.metric needs a game whose loss has a zero; a Wasserstein critic's drifts, so leave it off")
        return self


class WganGp(AdversarialVariant):
    """n_critic critic updates, each on a fresh batch, then one generator update on the last of them."""

    Config = WganGpConfig
    config: WganGpConfig

    def step(self, batches: Iterator[Batch]) -> Losses:
        """Algorithm 1, lines 2 to 11."""
        for _ in range(self.config.n_critic):
            parts = self.parts(self.draw(batches))
            critic_losses = self.critic_step(parts)
        tally = Tally()
        self.generator.update(self._generator_losses(parts, tally))
        return critic_losses | tally.means()

    def pretrain_critic(self, batches: Iterator[Batch]) -> Losses:
        """One critic update on fresh fakes: the penalty needs real and fake colours of the same photograph, so none are stored."""
        self._outside_the_game()
        parts = self.parts(self.draw(batches))
        losses = self.critic_step(parts)
        return losses | {"critic_accuracy": self._accuracy(parts[-1])}

    def critic_step(self, parts: list[Batch]) -> Losses:
        """One critic update: distance and penalty in one backward."""
        tally = Tally()
        self.critic.update(self._critic_losses(parts, tally))
        return tally.means()

    def _critic_losses(self, parts: list[Batch], tally: Tally) -> Iterator[Tensor]:
        for part in parts:
            fake = self.colourise_now(part)
            real_maps, fake_maps = self.critic(part.L, part.ab, part.label), self.critic(part.L, fake, part.label)
            distance = objectives.wasserstein_critic(real_maps, fake_maps)
            # float32, outside autocast
            penalty, norms = self.gradient_penalty(part, fake)
            tally.add(critic=distance, penalty=penalty, gradient_norm=norms.mean())
            yield distance + self.config.penalty_weight * penalty

    @torch.no_grad()
    def _accuracy(self, part: Batch) -> Tensor:
        fake = self.colourise_now(part)
        real_maps, fake_maps = self.critic(part.L, part.ab, part.label), self.critic(part.L, fake, part.label)
        return objectives.ranking_accuracy(real_maps, fake_maps)

    def _generator_losses(self, parts: list[Batch], tally: Tally) -> Iterator[Tensor]:
        for part in parts:
            fake = self.generator(part.L, part.label)
            with self.waits(self.critic):
                adversarial = objectives.wasserstein_generator(self.critic(part.L, fake.ab, part.label))
            reconstruction = self.reconstruction(fake, part)
            tally.add(adversarial=adversarial, reconstruction=reconstruction)
            yield adversarial + self.config.reconstruction_weight * reconstruction
