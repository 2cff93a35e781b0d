"""When which network trains: the phases of a run, and the state that is kept across them.

A schedule holds a method and calls it; a method knows nothing of its schedule. NoGAN (Antic 2018) pretrains the generator; each
round then trains the critic alone on stored fakes, and both networks together.
"""

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

from pydantic import Field, model_validator

from common.config import Settings
from common.data.batches import Batch
from common.loop.training import Budget, Losses, Phase
from common.networks.backbone_unet import BackboneUNetConfig
from variants.contract.adversarial import AdversarialConfig, AdversarialVariant
from variants.contract.variant import Variant, VariantConfig
from variants.schedule.game import GameConfig
from variants.schedule.inflection import Inflection, InflectionConfig
from variants.schedule.stored_fakes import StoredFakes


class ScheduleConfig(Settings):
    """When which network trains."""

    pretraining: float = Field(default=0.0, ge=0, le=1)
    """Share of the budget in which the generator trains on the reconstruction loss alone, before adversarial training."""
    critic_pretraining: float = Field(default=0.0, ge=0, lt=1)
    """Share of the budget in which only the critic trains, on stored fakes of the pretrained generator (NoGAN)."""
    stored_fakes: int = Field(default=512, ge=1, le=100_000)
    """Number of fakes, over all devices, that the generator makes for critic pretraining, once in each round."""
    rounds: int = Field(default=1, ge=1, le=100)
    """Number of rounds; each is critic pretraining followed by adversarial training (NoGAN)."""
    game: GameConfig = GameConfig()
    """Optimiser settings that differ during adversarial training (NoGAN)."""
    inflection: InflectionConfig = InflectionConfig()
    """Detector that ends adversarial training when artefacts begin to appear."""

    @property
    def acts_on_validation(self) -> bool:
        """Whether the results of validations influence training: the inflection detector can end adversarial training early."""
        return bool(self.inflection.metric != "off")

    @model_validator(mode="after")
    def _leaves_a_game(self) -> "ScheduleConfig":
        if self.critic_pretraining and self.pretraining + self.critic_pretraining >= 1:
            raise ValueError(
                "pretraining and critic_pretraining use the whole budget and leave nothing for the game of both"
            )
        if self.rounds > 1 and not self.critic_pretraining:
            raise ValueError(
                "rounds alternate critic pretraining with adversarial training; set critic_pretraining above 0"
            )
        return self

    def check(self, variant: VariantConfig) -> None:
        """Checks that a method of these settings can follow the schedule.

        Raises:
            ValueError: it cannot.
        """
        if not isinstance(variant, AdversarialConfig):
            self._needs_no_critic(variant.name)
            return
        if self.acts_on_validation and not variant.is_loss_comparable:
            raise ValueError(
                "schedule.inflection.metric compares losses over time, and a Wasserstein critic's loss drifts; leave it off"
            )
        network = variant.generator.network
        if self.game.encoder_rate is not None and not isinstance(network, BackboneUNetConfig):
            raise ValueError(
                "schedule.game.encoder_rate needs a generator with an encoder; set variant.generator.network.kind=backbone"
            )

    def _needs_no_critic(self, name: str) -> None:
        plain = ScheduleConfig(pretraining=self.pretraining)
        for field in ScheduleConfig.model_fields:
            if getattr(self, field) != getattr(plain, field):
                raise ValueError(
                    f"schedule.{field} is for methods with a critic, and variant.name={name} has none; leave it out"
                )


def schedule_of(variant: Variant, config: ScheduleConfig) -> "Schedule":
    """The schedule of a run."""
    if isinstance(variant, AdversarialVariant):
        return AdversarialSchedule(variant, config)
    return Schedule(variant, config)


class Schedule:
    """[pretrain_generator] + [adversarial]: the schedule of a method without a critic."""

    def __init__(self, variant: Variant, config: ScheduleConfig) -> None:
        self.variant = variant
        self.config = config

    def phases(self, budget: Budget) -> list[Phase]:
        """The phases of a run with this budget; phases with a share of 0 are left out."""
        variant = self.variant
        alone = self.config.pretraining * budget.amount
        rest = budget.amount - alone
        phases = [
            Phase("pretrain_generator", variant.pretrain_generator, alone, variant.updates),
            Phase("adversarial", variant.step, rest, variant.updates),
        ]
        return [phase for phase in phases if phase.amount > 0]

    def advance(self, used: float) -> None:
        """Called after each step with the used share of the budget: decays the learning rates and averages the weights."""
        self.variant.advance(used)

    def observe(
        self, images: int, metrics: dict[str, float], opening: bool = False
    ) -> dict[str, float]:
        """Called with each validation's metrics, on which a schedule may act; returns values to log.

        Args:
            opening: marks the validation before the first step of a phase that asks for one (`Phase.looks_first`).
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The schedule's own state, as tensors and plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`. Call it before the method's: it gives the players the Adam that their states belong to."""

    def rank_state(self) -> dict[str, Any]:
        """The part of the state that differs from rank to rank, on the CPU."""
        return {}

    def load_rank_state(self, state: dict[str, Any]) -> None:
        """Restores `rank_state`, after `load_state_dict`."""


class AdversarialSchedule(Schedule):
    """[pretrain_generator] + rounds x [pretrain_critic, adversarial]."""

    variant: AdversarialVariant

    def __init__(self, variant: AdversarialVariant, config: ScheduleConfig) -> None:
        super().__init__(variant, config)
        self.fakes = StoredFakes(variant.engine.share_of(config.stored_fakes))
        self.inflection = Inflection(config.inflection)
        # the generators at the best validation of an adversarial phase
        self._best: dict[str, Any] | None = None
        self._has_game_adam = False
        self._used = 0.0  # share of the budget that is used

    def phases(self, budget: Budget) -> list[Phase]:
        """The phases of a run with this budget; phases with a share of 0 are left out."""
        config = self.config
        variant = self.variant
        amount = config.pretraining * budget.amount
        phases = [Phase("pretrain_generator", variant.pretrain_generator, amount, variant.updates)]
        for number in range(1, config.rounds + 1):
            phases += self._round(number, budget.amount / config.rounds)
        return [phase for phase in phases if phase.amount > 0]

    def _round(self, number: int, amount: float) -> list[Phase]:
        """The two phases of a round, which take their shares of `amount`."""
        config = self.config
        together = 1 - config.pretraining - config.critic_pretraining
        critic_alone = Phase(
            "pretrain_critic",
            self._pretrain_critic,
            config.critic_pretraining * amount,
            self.variant.updates,
        )
        game = Phase(
            "adversarial",
            partial(self._adversarial_step, number),
            together * amount,
            self.variant.updates,
            partial(self.inflection.decided_in, number),
            self.inflection.watches is not None,
        )
        return [critic_alone, game]

    def _pretrain_critic(self, batches: Iterator[Batch]) -> Losses:
        self.inflection.pause()
        self._choose_adam(in_game=False)
        return self.variant.pretrain_critic(batches, self._draw_fakes)

    def _draw_fakes(self, batch: Batch) -> Batch:
        """Draws as many stored fakes as the batch has images; until the store is full, it first adds fakes made from this batch."""
        if self.fakes.wants_more(self.variant.generator.updates):
            self.fakes.add(batch.L, self.variant.colourise_now(batch), batch.label)
        return self.fakes.draw(len(batch))

    def _adversarial_step(self, number: int, batches: Iterator[Batch]) -> Losses:
        self._choose_adam(in_game=True)
        losses = self.variant.step(batches)
        if self.inflection.watches:
            (adversarial,) = self.variant.engine.average([losses["adversarial"]])
            self.inflection.note(number, float(adversarial))
        return losses

    def _choose_adam(self, in_game: bool) -> None:
        """At the start and the end of adversarial training, gives the players a new Adam if `game` has settings of its own."""
        game = self.config.game
        if in_game == self._has_game_adam or not game.is_different:
            return
        self._has_game_adam = in_game
        method = self.variant.config
        own = method.generator.adam
        for player in self.variant.parents:
            if in_game:
                player.restart_adam(game.adam(own), game.encoder_rate)
            else:
                player.restart_adam(own, None)
        critic = method.critic_adam
        ratio = method.critic.learning_rate_ratio or 1.0
        self.variant.critic.restart_adam(game.adam(critic, ratio) if in_game else critic)
        for player in self.variant.players:
            player.decay(self._used)

    def advance(self, used: float) -> None:
        """Also notes the used share of the budget, which sets the learning rate when a phase starts with a new Adam."""
        super().advance(used)
        self._used = used

    def observe(
        self, images: int, metrics: dict[str, float], opening: bool = False
    ) -> dict[str, float]:
        """Passes a validation to the inflection detector; if it ends the phase, restores the generator of the best validation."""
        watched = self.inflection.watches
        if watched is None or not (opening or self.inflection.is_watching):
            return {}
        if opening:
            self.inflection.open(images, metrics[watched])
        if opening or self.inflection.observe(images, metrics[watched]):
            self._best = copy.deepcopy(self.variant.generator_state())
        if not self.inflection.decided or self._best is None:
            return {}
        self.variant.load_generator_state(self._best)
        return {
            "inflection/decided_at": float(images),
            "inflection/best_at": float(self.inflection.best.images),
        }

    def state_dict(self) -> dict[str, Any]:
        """The schedule's own state, as tensors and plain values."""
        return {
            "fakes": self.fakes.state_dict(),
            "in_game": self._has_game_adam,
            "used": self._used,
            "inflection": self.inflection.state_dict(),
            "best": self._best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`. Call it before the method's: it gives the players the Adam that their states belong to."""
        self._used = state["used"]
        self._best = state["best"]
        self._choose_adam(state["in_game"])
        self.fakes.load_state_dict(state["fakes"], self.variant.engine.device)
        self.inflection.load_state_dict(state["inflection"])

    def rank_state(self) -> dict[str, Any]:
        """The fakes that this rank has stored."""
        return {"fakes": self.fakes.state_dict()}

    def load_rank_state(self, state: dict[str, Any]) -> None:
        """Restores the fakes that this rank had stored."""
        self.fakes.load_state_dict(state["fakes"], self.variant.engine.device)
