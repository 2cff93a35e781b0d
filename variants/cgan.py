"""cGAN: pix2pix (Isola et al. 2017), with the objective as a choice.

min_G max_D  E[log D(L, ab)] + E[log(1 - D(L, G(L)))] + λ E‖ab - G(L)‖_p
"""

from collections.abc import Iterator
from typing import Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor

from common.batches import Batch
from common.domain import Domain
from common.engine import ranks
from common.errors import ColourbenchError
from common.networks.colours import Colours
from common.training import Losses
from variants import objectives
from variants.adversarial import AdversarialVariant, Tally
from variants.settings import AdversarialConfig, VariantConfig, refuse_mixed_images


class CganConfig(AdversarialConfig):
    """pix2pix."""

    name: Literal["cgan"] = "cgan"
    """The variant."""
    objective: objectives.ObjectiveName = "vanilla"
    """What the players minimise; pix2pix's is vanilla. relativistic is its average form (RaSGAN)."""
    penalty_weight: float = Field(default=0.0, ge=0)
    """Weight of a gradient penalty on the critic; the Wasserstein objective needs one (10)."""
    critic_threshold: float | None = Field(default=None, gt=0)
    """NoGAN: the critic is updated until its loss is below this before each generator update. DeOldify: 0.65; a guess: 0.69."""
    most_critic_updates: int = Field(default=5, ge=1, le=100)
    """… but at most so often, each on a fresh batch."""

    @model_validator(mode="after")
    def _sensible_objective(self) -> "CganConfig":
        if self.penalty_weight:
            refuse_mixed_images(self.critic)
        if self.objective == "wasserstein" and not self.penalty_weight:
            raise ValueError("objective=wasserstein without a penalty lets the critic grow without bound; set penalty_weight=10")
        if self.critic.real_label != 1 and not objectives.OBJECTIVES[self.objective].smoothable:
            raise ValueError(f"critic.real_label has no meaning with objective={self.objective}; use vanilla or least_squares")
        if self.objective == "wasserstein" and self.inflection.metric != "off":
            raise ValueError("inflection.metric needs a game whose loss has a zero; a Wasserstein critic's drifts, so leave it off")
        if self.critic_threshold is not None and self.objective != "vanilla":
            raise ValueError(f"critic_threshold is a cross-entropy, and objective={self.objective} has another scale; use vanilla")
        return self


class Cgan(AdversarialVariant):
    """One critic update, then one generator update, on one batch and one generator forward."""

    Config = CganConfig
    config: CganConfig

    @classmethod
    def check(cls, config: VariantConfig, domain: Domain) -> None:
        """Also whether the objective can be computed device by device."""
        super().check(config, domain)
        if ranks() > 1 and objectives.OBJECTIVES[cast(CganConfig, config).objective].compares:
            raise ColourbenchError("objective=relativistic compares with the mean over the whole batch; train it on one device")

    def step(self, batches: Iterator[Batch]) -> Losses:
        """Isola et al. 2017, §3.3; with a threshold the critic is updated until it is good enough (Antic 2018, NoGAN)."""
        tally = Tally()
        for _ in range(self.config.most_critic_updates):
            fakes: list[Colours] = []  # lets go of the graph of the update before
            parts = self.parts(self.draw(batches))
            fakes += [self._fake(part) for part in parts]
            self.critic.update(self._critic_losses(parts, fakes, tally))
            if self._is_good_enough(tally):
                break
        self.generator.update(self._generator_losses(parts, fakes, tally))
        return tally.means()

    def pretrain_critic(self, batches: Iterator[Batch]) -> Losses:
        """With a gradient penalty on fresh fakes: it needs real and fake colours of the same photograph."""
        if not self.config.penalty_weight:
            return super().pretrain_critic(batches)
        parts, tally = self.parts(self.draw(batches)), Tally()
        self._outside_the_game()
        with torch.no_grad(), self.waits(self.generator):
            fakes: list[Colours] = [self.generator(part.L, part.label) for part in parts]
        self.critic.update(self._critic_losses(parts, fakes, tally))
        return tally.means()

    def critic_accuracy(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """By the objective's boundary, or by pairs where it has none."""
        boundary = objectives.OBJECTIVES[self.config.objective].boundary
        return objectives.ranking_accuracy(real, fake) if boundary is None else objectives.accuracy(real, fake, boundary)

    def critic_loss(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """The objective's."""
        return objectives.OBJECTIVES[self.config.objective].critic(real, fake, self.config.critic.real_label)

    def _fake(self, part: Batch) -> Colours:
        """The generator's colours, with a graph for its own update; of several parts each graph is built again when its turn comes,
        and where it waits in evaluation mode these are not the colours of its own update."""
        one_forward = self.config.accumulation == 1 and self.config.waiting == "training"
        with torch.set_grad_enabled(one_forward), self.waits(self.generator):
            fake: Colours = self.generator(part.L, part.label)
        return fake

    def _critic_losses(self, parts: list[Batch], fakes: list[Colours], tally: Tally) -> Iterator[Tensor]:
        for part, fake in zip(parts, fakes, strict=True):
            ab = fake.ab.detach()
            loss = self.critic_loss(self.critic(part.L, part.ab, part.label), self.critic(part.L, ab, part.label))
            tally.add(critic=loss)
            if self.config.penalty_weight:
                penalty, norms = self.gradient_penalty(part, ab)
                tally.add(penalty=penalty, gradient_norm=norms.mean())
                loss = loss + self.config.penalty_weight * penalty
            yield loss

    def _generator_losses(self, parts: list[Batch], fakes: list[Colours], tally: Tally) -> Iterator[Tensor]:
        objective = objectives.OBJECTIVES[self.config.objective]
        for part, made in zip(parts, fakes, strict=True):
            fake = made if made.ab.requires_grad else self.generator(part.L, part.label)
            with self.waits(self.critic):
                maps = self.critic(part.L, fake.ab, part.label)
                real = self.critic(part.L, part.ab, part.label) if objective.compares else maps
            adversarial, reconstruction = objective.generator(real, maps), self.reconstruction(fake, part)
            tally.add(adversarial=adversarial, reconstruction=reconstruction)
            yield adversarial + self.config.reconstruction_weight * reconstruction

    def _is_good_enough(self, tally: Tally) -> bool:
        threshold = self.config.critic_threshold
        return threshold is None or bool(self.engine.average([tally.last("critic")])[0] < threshold)
