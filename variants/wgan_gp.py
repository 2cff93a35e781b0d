"""WGAN-GP (Gulrajani et al. 2017, Algorithm 1), conditioned on L.

min_G max_D  E[D(L, ab)] - E[D(L, G(L))] - λ_gp E[(‖∇_x̂ D(L, x̂)‖₂ - 1)²],  and G also minimises λ E‖ab - G(L)‖_p
"""

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, model_validator

from common.data.batches import Batch
from common.loop.training import Losses
from common.networks.patch_critic import PatchCriticConfig
from variants.contract.adversarial import AdversarialConfig, AdversarialVariant
from variants.contract.ranges import ADVERSARIAL_SPACE, Choice, orders
from variants.losses import objectives
from variants.players.adam import AdamConfig
from variants.players.player import Loss
from variants.players.settings import CriticConfig, GeneratorConfig, refuse_mixed_images

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
    """Critic updates for each generator update, each on a new batch. The paper: 5."""
    penalty_weight: float = Field(default=10.0, gt=0)
    """Weight of the gradient penalty. The paper calls it λ; here λ is reconstruction_weight."""

    @model_validator(mode="after")
    def _sensible_critic(self) -> "WganGpConfig":
        refuse_mixed_images(self.critic)
        if self.critic.real_label != 1:
            raise ValueError("critic.real_label smooths a probability, and this critic gives a distance; leave it at 1")
        if self.critic_threshold is not None:
            raise ValueError("critic_threshold is a cross-entropy, and a Wasserstein critic's loss has another scale; use n_critic")
        if self.inflection.metric != "off":
            raise ValueError("inflection.metric needs a game whose loss has a zero; a Wasserstein critic's drifts, so leave it off")
        return self


class WganGp(AdversarialVariant):
    """n_critic critic updates, each on a new batch, then one generator update on the last of these batches."""

    Config = WganGpConfig
    config: WganGpConfig
    space = ADVERSARIAL_SPACE | {"variant.n_critic": Choice(options=(1, 2, 5)), "variant.penalty_weight": orders(1.0, 30.0)}
    presets = ({"variant.n_critic": 1, "variant.generator.adam.learning_rate": 5e-5},)  # as in ChromaGAN

    def step(self, batches: Iterator[Batch]) -> Losses:
        """Algorithm 1, lines 2 to 12; line 11 draws no new batch but takes the last one of line 4."""
        for _ in range(self.config.n_critic):  # line 2
            parts = self.draw_parts(batches)  # line 4: x ~ P_r, here (L, ab)
            critic = self.critic_step(parts)  # lines 3 to 9
        return critic | self.generator.update(self._generator_descent, parts)  # lines 11 and 12

    def pretrain_critic(self, batches: Iterator[Batch]) -> Losses:
        """One critic update on new fakes: the penalty needs real and fake colours of the same photograph, so none are stored."""
        self.schedule.begin_critic_pretraining()
        parts = self.draw_parts(batches)
        return self.critic_step(parts) | {"critic_accuracy": self._accuracy(parts[-1])}

    def critic_step(self, parts: list[Batch]) -> Losses:
        """Lines 3 to 9: one critic update; Wasserstein distance and penalty share one backward pass."""
        return self.critic.update(self._critic_descent, parts)

    def critic_loss(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """E[D(L, G(L))] - E[D(L, ab)], without the penalty."""
        return objectives.wasserstein_critic(real, fake)

    def critic_accuracy(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """The share of pairs that the critic ranks correctly, because a Wasserstein critic's scores have no decision boundary."""
        return objectives.ranking_accuracy(real, fake)

    @torch.no_grad()
    def _accuracy(self, part: Batch) -> objectives.Scalar:
        return self.critic_accuracy(*self.judge(part, self.colourise_now(part)))

    def _critic_descent(self, part: Batch) -> Loss:
        fake = self.colourise_now(part)  # line 5: x̃ ← G(L), (B, 2, H, W)
        distance = self.critic_loss(*self.judge(part, fake))  # line 7: D(x̃) - D(x)
        penalty, norms = self.gradient_penalty(part, fake)  # lines 6 and 7: (‖∇_x̂ D(x̂)‖₂ - 1)²
        losses = {"critic": distance, "penalty": penalty, "gradient_norm": norms.mean()}
        return distance + self.config.penalty_weight * penalty, losses  # mean of L⁽ⁱ⁾, which line 9 descends

    def _generator_descent(self, part: Batch) -> Loss:
        fake = self.generator(part.seen, part.label)  # line 12: G(L)
        with self.waits(self.critic):
            adversarial = objectives.wasserstein_generator(self.critic(part.L, fake.ab, part.label))  # -E[D(L, G(L))]
        reconstruction = self.reconstruction(fake, part)
        loss = adversarial + self.config.reconstruction_weight * reconstruction
        return loss, {"adversarial": adversarial, "reconstruction": reconstruction}
