"""cGAN: pix2pix (Isola et al. 2017).

min_G max_D  E[log D(L, ab)] + E[log(1 - D(L, G(L)))] + λ E‖ab - G(L)‖_p
"""

from collections.abc import Iterator
from typing import Literal

from common.batches import Batch
from common.training import Losses
from variants.objectives import vanilla_critic, vanilla_generator
from variants.variant import AdversarialConfig, AdversarialVariant


class CganConfig(AdversarialConfig):
    """pix2pix."""

    name: Literal["cgan"] = "cgan"
    """The variant."""


class Cgan(AdversarialVariant):
    """One critic update, then one generator update, on one batch and one generator forward."""

    Config = CganConfig
    config: CganConfig

    def step(self, batches: Iterator[Batch]) -> Losses:
        """Isola et al. 2017, §3.3."""
        batch = next(batches)
        fake = self.generator(batch.L)

        critic_loss = vanilla_critic(self.critic(batch.L, batch.ab), self.critic(batch.L, fake.detach()))
        self.critic.update(critic_loss)

        adversarial = vanilla_generator(self.critic(batch.L, fake))
        reconstruction = self.reconstruction(fake, batch)
        self.generator.update(adversarial + self.config.reconstruction_weight * reconstruction)

        return {
            "critic": critic_loss.detach(),
            "adversarial": adversarial.detach(),
            "reconstruction": reconstruction.detach(),
        }
