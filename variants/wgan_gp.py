"""WGAN-GP (Gulrajani et al. 2017, Algorithm 1), conditioned on L.

min_G max_D  E[D(L, ab)] - E[D(L, G(L))] - λ_gp E[(‖∇_x̂ D(L, x̂)‖₂ - 1)²],  and G also minimises λ E‖ab - G(L)‖_p
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from common.data.batches import Batch
from common.loop.training import Losses
from common.networks.patch_critic import PatchCriticConfig
from variants.contract.adversarial import AdversarialConfig, AdversarialVariant
from variants.contract.ranges import ADVERSARIAL_SPACE, Choice, Value, log_range
from variants.losses import objectives
from variants.players.adam import AdamConfig
from variants.players.settings import CriticConfig, GeneratorConfig, refuse_mixed_images

ADAM = AdamConfig(learning_rate=1e-4, beta1=0.0, beta2=0.9)
# Vitoria et al. 2020 and their code: both players with Adam(2e-5, β₁ 0.5), no norm in the critic, one critic update a step.
CHROMAGAN: dict[str, Value] = {
    "variant.generator.adam.learning_rate": 2e-5,
    "variant.generator.adam.beta1": 0.5,
    "variant.critic.adam.learning_rate": 2e-5,
    "variant.critic.adam.beta1": 0.5,
    "variant.critic.network.norm": "none",
    "variant.n_critic": 1,
}


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

    @property
    def is_loss_comparable(self) -> bool:
        """False: this is a Wasserstein critic."""
        return False

    @model_validator(mode="after")
    def _sensible_critic(self) -> "WganGpConfig":
        refuse_mixed_images(self.critic)
        if self.critic.real_label != 1:
            raise ValueError(
                "critic.real_label smooths a probability, and this critic gives a distance; leave it at 1"
            )
        if self.critic_threshold is not None:
            raise ValueError(
                "critic_threshold is a cross-entropy, and a Wasserstein critic's loss has another scale; use n_critic"
            )
        return self


class WganGp(AdversarialVariant):
    """n_critic critic updates, each on a new batch, then one generator update on the last of these batches."""

    Config = WganGpConfig
    config: WganGpConfig
    space = ADVERSARIAL_SPACE | {
        "variant.generator.adam.learning_rate": log_range(1e-5, 2e-3),
        "variant.critic.adam.learning_rate": log_range(1e-5, 1e-3),
        "variant.generator.adam.beta1": Choice(options=(0.0, 0.5)),
        "variant.critic.adam.beta1": Choice(options=(0.0, 0.5)),
        "variant.critic.network.norm": Choice(options=("layer", "none")),
        "variant.n_critic": Choice(options=(1, 2, 5)),
        "variant.penalty_weight": log_range(1.0, 30.0),
    }
    presets = (CHROMAGAN,)

    def step(self, batches: Iterator[Batch]) -> Losses:
        """Algorithm 1, lines 2 to 12; line 11 draws no new batch but takes the last one of line 4."""
        for _ in range(self.config.n_critic):  # line 2
            parts = self.draw_parts(batches)  # line 4: x ~ P_r, here (L, ab)
            critic = self.critic.update(self.critic_descent, parts)  # lines 3 to 9
        # lines 11 and 12
        return critic | self.generator.update(self.generator_descent, parts)

    def critic_loss(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """Line 7 without its penalty: E[D(L, G(L))] - E[D(L, ab)]."""
        return objectives.wasserstein_critic(real, fake)

    def generator_loss(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """Line 12: -E[D(L, G(L))]."""
        return objectives.wasserstein_generator(fake)

    @property
    def penalty_weight(self) -> float:
        """λ_gp of line 7, the weight of (‖∇_x̂ D(x̂)‖₂ - 1)²."""
        return self.config.penalty_weight

    def critic_accuracy(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """The share of pairs that the critic ranks correctly, because a Wasserstein critic's scores have no decision boundary."""
        return objectives.ranking_accuracy(real, fake)
