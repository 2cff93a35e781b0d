"""cGAN: pix2pix (Isola et al. 2017), with a choice of adversarial objectives.

min_G max_D  E[log D(L, ab)] + E[log(1 - D(L, G(L)))] + λ E‖ab - G(L)‖_p
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field, model_validator

from common.data.batches import Batch
from common.data.domain import Domain
from common.errors import ColourbenchError
from common.loop.engine import ranks
from common.loop.training import Losses
from common.networks.colours import Colours
from variants.contract.adversarial import AdversarialConfig, AdversarialVariant
from variants.losses import objectives
from variants.players.player import Loss, means
from variants.players.settings import refuse_mixed_images


class CganConfig(AdversarialConfig):
    """pix2pix."""

    name: Literal["cgan"] = "cgan"
    """The variant."""
    objective: objectives.ObjectiveName = "vanilla"
    """Adversarial objective of generator and critic. pix2pix: vanilla. `relativistic` is the relativistic average GAN (RaSGAN)."""
    penalty_weight: float = Field(default=0.0, ge=0)
    """Weight of a gradient penalty on the critic; 0 switches it off. The Wasserstein objective needs one (usual: 10)."""

    @property
    def is_loss_comparable(self) -> bool:
        """False for the Wasserstein objective."""
        return self.objective != "wasserstein"

    @model_validator(mode="after")
    def _sensible_objective(self) -> "CganConfig":
        if self.penalty_weight:
            refuse_mixed_images(self.critic)
        if self.objective == "wasserstein" and not self.penalty_weight:
            raise ValueError(
                "objective=wasserstein without a penalty lets the critic grow without bound; set penalty_weight=10"
            )
        if self.critic.real_label != 1 and not objectives.OBJECTIVES[self.objective].smoothable:
            raise ValueError(
                f"critic.real_label has no meaning with objective={self.objective}; use vanilla or least_squares"
            )
        if self.accumulation > 1 and objectives.OBJECTIVES[self.objective].compares:
            raise ValueError(
                "objective=relativistic compares with the mean over the whole batch; leave accumulation at 1"
            )
        if self.critic_threshold is not None and self.objective != "vanilla":
            raise ValueError(
                f"critic_threshold is a cross-entropy, and objective={self.objective} has another scale; use vanilla"
            )
        return self

    def check(self, domain: Domain) -> None:
        """Also checks that the objective can be computed separately on each device."""
        super().check(domain)
        if ranks() > 1 and objectives.OBJECTIVES[self.objective].compares:
            raise ColourbenchError(
                "objective=relativistic compares with the mean over the whole batch; train it on one device"
            )


@dataclass(frozen=True)
class Prediction:
    """A part of a batch, and the colours G(L) that the generator predicts for it."""

    part: Batch
    fake: Colours


class Cgan(AdversarialVariant):
    """One critic update, then one generator update, on one batch and one forward pass of G. Comments show the vanilla objective."""

    Config = CganConfig
    config: CganConfig

    def step(self, batches: Iterator[Batch]) -> Losses:
        """Isola et al. 2017, §3.3. With `critic_threshold`, updates the critic until its loss is low enough (Antic 2018, NoGAN)."""
        critic, predictions = self._update_critic(batches)
        # min_G -E[log D(L, G(L))] + λ E‖ab - G(L)‖_p
        return critic | self.generator.update(self._generator_descent, predictions)

    def critic_loss(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """-½ E[log D(L, ab)] - ½ E[log(1 - D(L, G(L)))], or that of another objective."""
        return self._objective.critic(real, fake, self.config.critic.real_label)

    def generator_loss(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """-E[log D(L, G(L))], or that of another objective."""
        return self._objective.generator(real, fake)

    @property
    def penalty_weight(self) -> float:
        """The weight of the gradient penalty."""
        return self.config.penalty_weight

    @property
    def compares(self) -> bool:
        """Whether the objective compares fakes with real photographs."""
        return self._objective.compares

    def critic_accuracy(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """Accuracy at the objective's decision boundary; where it has none, the share of correctly ranked pairs."""
        boundary = self._objective.boundary
        if boundary is None:
            return objectives.ranking_accuracy(real, fake)
        return objectives.accuracy(real, fake, boundary)

    @property
    def _objective(self) -> objectives.Objective:
        return objectives.OBJECTIVES[self.config.objective]

    def _update_critic(self, batches: Iterator[Batch]) -> tuple[Losses, list[Prediction]]:
        """max_D ½ E[log D(L, ab)] + ½ E[log(1 - D(L, G(L)))], and the last predictions, which the generator's update takes."""
        losses: list[Losses] = []
        while True:
            predictions = [self._predict(part) for part in self.draw_parts(batches)]  # G(L)
            losses.append(self.critic.update(self._critic_descent, predictions))
            if self.is_critic_good(losses):
                return means(losses), predictions
            del predictions  # their graph is released before the next one is made

    def _predict(self, part: Batch) -> Prediction:
        """Computes G(L), and keeps its graph if the generator's update can use the same forward pass.

        It cannot with several parts, whose graphs are built one at a time to save memory; nor if `waiting` is evaluation, where
        the fakes for the critic are computed in evaluation mode and those for the generator's update in training mode.
        """
        one_forward = self.config.accumulation == 1 and self.config.waiting == "training"
        with torch.set_grad_enabled(one_forward), self.in_waiting_mode(self.generator):
            return Prediction(part, self.generator(part.seen, part.label))

    def _critic_descent(self, prediction: Prediction) -> Loss:
        return self.critic_terms(prediction.part, prediction.fake.ab.detach())

    def _generator_descent(self, prediction: Prediction) -> Loss:
        if not prediction.fake.ab.requires_grad:
            return self.generator_descent(prediction.part)  # G(L) again, now with a graph
        return self.generator_terms(prediction.part, prediction.fake)
