"""WGAN-GP (Gulrajani et al. 2017, Algorithm 1), conditioned on L.

min_G max_D  E[D(L, ab)] - E[D(L, G(L))] - λ_gp E[(‖∇_x̂ D(L, x̂)‖₂ - 1)²],  and G also minimises λ E‖ab - G(L)‖_p
"""

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, field_validator

from common.batches import Batch
from common.networks.patch_critic import PatchCriticConfig
from common.training import Losses
from variants.objectives import gradient_penalty, wasserstein_critic, wasserstein_generator
from variants.player import AdamConfig
from variants.variant import AdversarialConfig, AdversarialVariant, CriticConfig, GeneratorConfig

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
    penalty_weight: float = Field(default=10.0, ge=0)
    """Weight of the gradient penalty (λ in the paper, which λ = reconstruction_weight is not)."""

    @field_validator("critic")
    @classmethod
    def _no_batch_norm(cls, critic: CriticConfig) -> CriticConfig:
        if critic.network.norm == "batch":
            raise ValueError(
                "network.norm is batch, which mixes the images that the gradient penalty must keep apart; "
                "use layer, instance or none"
            )
        return critic


class WganGp(AdversarialVariant):
    """n_critic critic updates, each on a fresh batch, then one generator update on the last of them."""

    Config = WganGpConfig
    config: WganGpConfig

    @property
    def critic_updates(self) -> int:
        """Critic updates in one step."""
        return self.config.n_critic

    def step(self, batches: Iterator[Batch]) -> Losses:
        """Algorithm 1, lines 2 to 11."""
        for _ in range(self.config.n_critic):
            batch = next(batches)
            critic_losses = self.critic_step(batch)

        fake = self.generator(batch.L)
        adversarial = wasserstein_generator(self.critic(batch.L, fake))
        reconstruction = self.reconstruction(fake, batch)
        self.generator.update(adversarial + self.config.reconstruction_weight * reconstruction)

        return {**critic_losses, "adversarial": adversarial.detach(), "reconstruction": reconstruction.detach()}

    def critic_step(self, batch: Batch) -> Losses:
        """One critic update: distance and penalty in one backward."""
        with torch.no_grad():
            fake = self.generator(batch.L)
        distance = wasserstein_critic(self.critic(batch.L, batch.ab), self.critic(batch.L, fake))
        penalty, norms = gradient_penalty(self.critic.network, batch.L, batch.ab, fake)  # float32, outside autocast
        self.critic.update(distance + self.config.penalty_weight * penalty)
        return {"critic": distance.detach(), "penalty": penalty.detach(), "gradient_norm": norms.mean()}
