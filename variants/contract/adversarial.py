"""The base class of all variants with a critic: the critic, its pretraining and the schedule."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
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
from common.loop.training import Budget, Losses, Phase
from common.networks.backbone_unet import BackboneUNetConfig
from common.networks.patch_critic import Critic
from variants.contract.ranges import ADVERSARIAL_SPACE, Space
from variants.contract.variant import Variant, VariantConfig
from variants.losses import objectives
from variants.players.adam import AdamConfig
from variants.players.player import Loss, Player
from variants.players.settings import CriticConfig
from variants.schedule.game import GameConfig
from variants.schedule.inflection import InflectionConfig
from variants.schedule.phases import Schedule

MIN_CRITIC_MAP = 3  # pixels on a side: two more 4x4 convolutions must fit


class AdversarialConfig(VariantConfig):
    """Settings that all variants with a critic share."""

    critic: CriticConfig = CriticConfig()
    """The critic."""
    reconstruction_weight: float = Field(default=100.0, ge=0)
    """λ, the weight of the reconstruction loss, relative to the adversarial loss. pix2pix: 100."""
    critic_pretraining: float = Field(default=0.0, ge=0, lt=1)
    """Share of the budget in which only the critic trains, on stored fakes of the pretrained generator (NoGAN)."""
    stored_fakes: int = Field(default=512, ge=1, le=100_000)
    """Number of fakes that the generator makes for critic pretraining, once in each round."""
    rounds: int = Field(default=1, ge=1, le=100)
    """Number of rounds; each is critic pretraining followed by adversarial training (NoGAN)."""
    critic_threshold: float | None = Field(default=None, gt=0)
    """NoGAN: before each generator update, train the critic until its loss is below this. DeOldify: 0.65; random guessing: 0.69."""
    most_critic_updates: int = Field(default=5, ge=1, le=100)
    """With `critic_threshold`: the most critic updates before each generator update, each on a new batch."""
    game: GameConfig = GameConfig()
    """Optimiser settings that differ during adversarial training (NoGAN)."""
    waiting: Literal["training", "evaluation"] = "training"
    """Mode (batch statistics and dropout) of the network that is not being updated while the other one is, and of the generator
    when it makes the stored fakes: `training` (pix2pix) or `evaluation` (DeOldify)."""
    inflection: InflectionConfig = InflectionConfig()
    """Detector that ends adversarial training when artefacts begin to appear."""

    @property
    def critic_adam(self) -> AdamConfig:
        """The critic's Adam settings; its learning rate is a multiple of the generator's if `learning_rate_ratio` is set."""
        adam, ratio = self.critic.adam, self.critic.learning_rate_ratio
        return adam.model_copy(update={"learning_rate": ratio * self.generator.adam.learning_rate}) if ratio else adam

    @property
    def acts_on_validation(self) -> bool:
        """True if the inflection detector is on: it can end adversarial training early."""
        return bool(self.inflection.metric != "off")

    @model_validator(mode="after")
    def _sensible_schedule(self) -> "AdversarialConfig":
        if self.critic_pretraining and self.pretraining + self.critic_pretraining >= 1:
            raise ValueError("pretraining and critic_pretraining use the whole budget and leave nothing for the game of both")
        if self.rounds > 1 and not self.critic_pretraining:
            raise ValueError("rounds alternate critic pretraining with adversarial training; set critic_pretraining above 0")
        if self.game.encoder_rate is not None and not isinstance(self.generator.network, BackboneUNetConfig):
            raise ValueError("game.encoder_rate needs a generator with an encoder; set generator.network.kind=backbone")
        if self.critic.network.projection and not self.generator.labels:
            raise ValueError("critic.network.projection judges by labels that the generator never sees; set generator.labels=true")
        return self

    def check(self, domain: Domain) -> None:
        """Also checks that the images are large enough for the critic's layers and scales."""
        super().check(domain)
        network = self.critic.network
        if domain.size // 2 ** (network.layers + network.scales - 1) < MIN_CRITIC_MAP:
            named = f"layers={network.layers} at scales={network.scales}"
            raise ColourbenchError(
                f"variant.critic.network: {named} halve {domain.size} pixels too often; lower one or use larger images"
            )


class AdversarialVariant(Variant):
    """A variant with a critic."""

    config: AdversarialConfig
    space: ClassVar[Space] = ADVERSARIAL_SPACE

    def __init__(self, config: AdversarialConfig, engine: Engine, domain: Domain) -> None:
        super().__init__(config, engine, domain)
        with own_randomness():
            self.critic = Player(Critic(config.critic.network, domain.classes), config.critic_adam, engine)
        self.schedule = Schedule(self)

    @abstractmethod
    def critic_loss(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """The loss that the critic minimises, given its logit maps of real and of fake photographs."""

    def critic_accuracy(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """Share of the photographs, real and fake, that the critic classifies correctly."""
        return objectives.accuracy(real, fake)

    @property
    def players(self) -> list[Player]:
        """All generators and the critic."""
        return [*self.parents, self.critic]

    def updates(self) -> tuple[int, int]:
        """Number of updates of the generator and of the critic so far."""
        return self.generator.updates, self.critic.updates

    def phases(self, budget: Budget) -> list[Phase]:
        """[pretrain_generator] + rounds x [pretrain_critic, adversarial]."""
        return self.schedule.phases(budget)

    def pretrain_critic(self, batches: Iterator[Batch]) -> Losses:
        """One critic update on real photographs and on stored fakes of the current generator."""
        self.schedule.begin_critic_pretraining()
        batch = self.draw(batches)
        count = self.config.accumulation
        pairs = zip(batch.parts(count), self.schedule.draw_fakes(batch).parts(count), strict=True)
        return self.critic.update(self._pretraining_loss, list(pairs))

    def _pretraining_loss(self, pair: tuple[Batch, Batch]) -> Loss:
        real, fake = (self.critic(part.L, part.ab, part.label) for part in pair)
        loss = self.critic_loss(real, fake)
        return loss, {"critic": loss, "critic_accuracy": self.critic_accuracy(real, fake)}

    def judge(self, part: Batch, fake: Float[Tensor, "b 2 h w"]) -> tuple[objectives.Maps, objectives.Maps]:
        """The critic's logit maps D(L, ab) and D(L, fake): true and generated colours of the same photographs."""
        return self.critic(part.L, part.ab, part.label), self.critic(part.L, fake, part.label)

    def gradient_penalty(self, part: Batch, fake: Float[Tensor, "b 2 h w"]) -> tuple[Tensor, Tensor]:
        """The penalty on this rank's part of the batch, and each photograph's gradient norm (B,); float32, outside autocast."""
        epsilon = self.engine.per_image(len(part))  # ε ~ U[0, 1), (B, 1, 1, 1)
        return objectives.gradient_penalty(self.critic.network, part.L, part.ab, fake, part.label, epsilon)

    @torch.no_grad()
    def colourise_now(self, batch: Batch) -> Float[Tensor, "b 2 h w"]:
        """G(L) without a graph, with the generator in the mode that it has while the critic trains."""
        with self.waits(self.generator):
            ab: Tensor = self.generator(batch.seen, batch.label).ab
        return ab

    @contextmanager
    def waits(self, player: Player) -> Iterator[None]:
        """Puts a player into the mode that `waiting` names while the other player is updated; restores training mode on exit."""
        if self.config.waiting == "training":
            yield
            return
        player.network.eval()
        try:
            yield
        finally:
            player.network.train()

    def start_from(self, generator: Mapping[str, Tensor], critic: Mapping[str, Tensor]) -> None:
        """Also starts the critic from trained weights, if there are any."""
        super().start_from(generator, critic)
        if critic:
            self.critic.take_weights(critic)

    def advance(self, used: float) -> None:
        """Also passes the used share of the budget on to the schedule."""
        super().advance(used)
        self.schedule.advance(used)

    def observe(self, images: int, metrics: dict[str, float], opening: bool = False) -> dict[str, float]:
        """Passes a validation's metrics to the schedule, which may act on them."""
        return self.schedule.observe(images, metrics, opening)

    def state_dict(self) -> dict[str, Any]:
        """State of generators, critic and schedule."""
        return super().state_dict() | {"critic": self.critic.state_dict()} | self.schedule.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores generators, critic and schedule."""
        self.schedule.load_state_dict(state)
        super().load_state_dict(state)
        self.critic.load_state_dict(state["critic"])
