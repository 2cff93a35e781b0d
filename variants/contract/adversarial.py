"""The base class of all methods with a critic: its settings, its losses and how they are descended."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from common.data.batches import Batch
from common.data.domain import Domain
from common.errors import ColourbenchError
from common.loop.engine import Engine
from common.loop.randomness import own_randomness
from common.loop.training import Losses
from common.networks.colours import Colours
from common.networks.patch_critic import Critic
from variants.contract.ranges import ADVERSARIAL_SPACE, Space
from variants.contract.variant import Variant, VariantConfig
from variants.losses import objectives
from variants.players.adam import AdamConfig
from variants.players.player import Loss, Player, means
from variants.players.settings import CriticConfig

MIN_CRITIC_MAP = 3  # pixels on a side: two more 4x4 convolutions must fit


class AdversarialConfig(VariantConfig):
    """Settings that all variants with a critic share."""

    critic: CriticConfig = CriticConfig()
    """The critic."""
    reconstruction_weight: float = Field(default=100.0, ge=0)
    """λ, the weight of the reconstruction loss, relative to the adversarial loss. pix2pix: 100."""
    critic_threshold: float | None = Field(default=None, gt=0)
    """NoGAN: before each generator update, train the critic until its loss is below this. DeOldify: 0.65; random guessing: 0.69."""
    most_critic_updates: int = Field(default=5, ge=1, le=100)
    """With `critic_threshold`: the most critic updates before each generator update, each on a new batch."""
    waiting: Literal["training", "evaluation"] = "training"
    """Mode (batch statistics and dropout) of the network that is not being updated while the other one is, and of the generator
    when it makes the stored fakes: `training` (pix2pix) or `evaluation` (DeOldify)."""

    @property
    def critic_adam(self) -> AdamConfig:
        """The critic's Adam settings; its learning rate is a multiple of the generator's if `learning_rate_ratio` is set."""
        adam = self.critic.adam
        ratio = self.critic.learning_rate_ratio
        return (
            adam.model_copy(update={"learning_rate": ratio * self.generator.adam.learning_rate})
            if ratio
            else adam
        )

    @property
    def is_loss_comparable(self) -> bool:
        """Whether losses of early and of late steps are on one scale; a Wasserstein critic's drift with its weights."""
        return True

    @model_validator(mode="after")
    def _projection_needs_labels(self) -> "AdversarialConfig":
        if self.critic.network.projection and not self.generator.labels:
            raise ValueError(
                "critic.network.projection judges by labels that the generator never sees; set generator.labels=true"
            )
        return self

    def check(self, domain: Domain) -> None:
        """Also checks that the images are large enough for the critic's layers and scales."""
        super().check(domain)
        network = self.critic.network
        if domain.size // 2 ** (network.layers + network.scales - 1) < MIN_CRITIC_MAP:
            named = f"layers={network.layers} at scales={network.scales}"
            raise ColourbenchError(
                f"variant.critic.network: {named} leave fewer than {MIN_CRITIC_MAP} of {domain.size} pixels; "
                "lower one or use larger images"
            )


class AdversarialVariant(Variant):
    """A method with a critic: its losses, how each network descends them, and one step.

    When the critic trains alone, and on which fakes, is the schedule's: it holds the method, and the method does not know it.
    """

    config: AdversarialConfig
    space: ClassVar[Space] = ADVERSARIAL_SPACE

    def __init__(self, config: AdversarialConfig, engine: Engine, domain: Domain) -> None:
        super().__init__(config, engine, domain)
        with own_randomness("critic"):
            network = Critic(config.critic.network, domain.classes)
            self.critic = Player(network, config.critic_adam, engine)

    # --- the method's losses

    @abstractmethod
    def critic_loss(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """The loss that the critic minimises, given its logit maps of real and of fake photographs."""

    def generator_loss(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """The adversarial loss that the generator minimises; the reconstruction loss is added to it.

        By default the game is zero-sum: the generator gains what the critic loses (Goodfellow et al. 2014, eq. 1).
        """
        return -self.critic_loss(real, fake)

    @property
    def penalty_weight(self) -> float:
        """λ_gp, the weight of the gradient penalty in the critic's loss; 0 without one."""
        return 0.0

    @property
    def compares(self) -> bool:
        """Whether the generator's loss needs the critic's logits of real photographs too."""
        return False

    def critic_accuracy(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """Share of the photographs, real and fake, that the critic classifies correctly."""
        return objectives.accuracy(real, fake)

    # --- how they are descended

    def step(self, batches: Iterator[Batch]) -> Losses:
        """Updates the critic until it is good, each time on a new batch, then the generator on the last one."""
        critic: list[Losses] = []
        while not self.is_critic_good(critic):
            parts = self.draw_parts(batches)
            critic.append(self.critic.update(self.critic_descent, parts))
        return means(critic) | self.generator.update(self.generator_descent, parts)

    def critic_descent(self, part: Batch) -> Loss:
        """The critic's loss on true colours and on new fakes of the same photographs."""
        return self.critic_terms(part, self.colourise_now(part))

    def generator_descent(self, part: Batch) -> Loss:
        """The generator's loss, after a forward pass of its own."""
        return self.generator_terms(part, self.generator(part.seen, part.label))

    def critic_terms(self, part: Batch, fake: Float[Tensor, "b 2 h w"]) -> Loss:
        """The critic's loss on true and generated colours, with its penalty, and what is logged of it."""
        loss = self.critic_loss(*self.logits(part, fake))
        if not self.penalty_weight:
            return loss, {"critic": loss}
        penalty, norms = self.gradient_penalty(part, fake)
        losses = {"critic": loss, "penalty": penalty, "gradient_norm": norms.mean()}
        return loss + self.penalty_weight * penalty, losses

    def generator_terms(self, part: Batch, fake: Colours) -> Loss:
        """Adversarial loss + λ reconstruction loss, and both for the log."""
        with self.in_waiting_mode(self.critic):
            # D(L, G(L)), one map of logits for each scale
            maps = self.critic(part.L, fake.ab, part.label)
            real = self.critic(part.L, part.ab, part.label) if self.compares else maps
        adversarial = self.generator_loss(real, maps)
        reconstruction = self.reconstruction(fake, part)
        loss = adversarial + self.config.reconstruction_weight * reconstruction
        return loss, {"adversarial": adversarial, "reconstruction": reconstruction}

    def is_critic_good(self, done: Sequence[Losses], fewest: int = 1) -> bool:
        """Whether the critic has had enough updates in this step, given their losses.

        With a threshold, when its loss is below the threshold (Antic 2018), or after `most_critic_updates`.
        """
        threshold = self.config.critic_threshold
        if len(done) < fewest or threshold is None:
            return len(done) >= fewest
        (loss,) = self.engine.average([done[-1]["critic"]])
        return len(done) >= self.config.most_critic_updates or bool(loss < threshold)

    def pretrain_critic(self, batches: Iterator[Batch], fakes: Callable[[Batch], Batch]) -> Losses:
        """One critic update while the generator waits.

        Args:
            fakes: draws stored fakes of the current generator, as many as the batch has images. With a penalty new ones are made:
                it needs real and fake colours of the same photograph.
        """
        if self.penalty_weight:
            parts = self.draw_parts(batches)
            losses = self.critic.update(self.critic_descent, parts)
            return losses | {"critic_accuracy": self._accuracy(parts[-1])}
        batch = self.draw(batches)
        count = self.config.accumulation
        pairs = zip(batch.parts(count), fakes(batch).parts(count), strict=True)
        return self.critic.update(self._stored_descent, list(pairs))

    @torch.no_grad()
    def _accuracy(self, part: Batch) -> objectives.Scalar:
        return self.critic_accuracy(*self.logits(part, self.colourise_now(part)))

    def _stored_descent(self, pair: tuple[Batch, Batch]) -> Loss:
        real, fake = (self.critic(part.L, part.ab, part.label) for part in pair)
        loss = self.critic_loss(real, fake)
        return loss, {"critic": loss, "critic_accuracy": self.critic_accuracy(real, fake)}

    # --- what the losses are made of

    def logits(
        self, part: Batch, fake: Float[Tensor, "b 2 h w"]
    ) -> tuple[objectives.Maps, objectives.Maps]:
        """The critic's logit maps D(L, ab) and D(L, fake): true and generated colours of the same photographs."""
        return self.critic(part.L, part.ab, part.label), self.critic(part.L, fake, part.label)

    def gradient_penalty(
        self, part: Batch, fake: Float[Tensor, "b 2 h w"]
    ) -> tuple[Tensor, Tensor]:
        """The penalty on this rank's part of the batch, and each photograph's gradient norm (B,); float32, outside autocast."""
        epsilon = self.engine.per_image(len(part))  # ε ~ U[0, 1), (B, 1, 1, 1)
        return objectives.gradient_penalty(
            self.critic.network, part.L, part.ab, fake, part.label, epsilon
        )

    @torch.no_grad()
    def colourise_now(self, batch: Batch) -> Float[Tensor, "b 2 h w"]:
        """G(L) without a graph, with the generator in the mode that it has while the critic trains."""
        with self.in_waiting_mode(self.generator):
            ab: Tensor = self.generator(batch.seen, batch.label).ab
        return ab

    @contextmanager
    def in_waiting_mode(self, player: Player) -> Iterator[None]:
        """Puts a player into the mode that `waiting` names while the other player is updated; restores training mode on exit."""
        if self.config.waiting == "training":
            yield
            return
        player.network.eval()
        try:
            yield
        finally:
            player.network.train()

    # --- its networks

    @property
    def players(self) -> list[Player]:
        """All generators and the critic."""
        return [*self.parents, self.critic]

    def updates(self) -> tuple[int, int]:
        """Number of updates of the generator and of the critic so far."""
        return self.generator.updates, self.critic.updates

    def start_from(self, generator: Mapping[str, Tensor], critic: Mapping[str, Tensor]) -> None:
        """Also starts the critic from trained weights, if there are any."""
        super().start_from(generator, critic)
        if critic:
            self.critic.take_weights(critic)

    def state_dict(self) -> dict[str, Any]:
        """State of generators and critic."""
        return super().state_dict() | {"critic": self.critic.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores generators and critic."""
        super().load_state_dict(state)
        self.critic.load_state_dict(state["critic"])
