"""What all variants with a critic share: the critic, its pretraining on stored fakes, and the rounds of NoGAN."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from common.batches import Batch
from common.domain import Domain
from common.engine import Engine, own_randomness
from common.errors import ColourbenchError
from common.networks.patch_critic import Critic
from common.training import Budget, Losses, Phase
from variants import objectives
from variants.adam import AdamConfig
from variants.inflection import Inflection
from variants.player import Player
from variants.settings import AdversarialConfig, VariantConfig
from variants.stored_fakes import StoredFakes
from variants.variant import Variant

MIN_CRITIC_MAP = 3  # two more convolutions of 4x4 must fit


class AdversarialVariant(Variant):
    """A variant with a critic: it is pretrained and plays in rounds where the schedule says so (NoGAN)."""

    config: AdversarialConfig

    def __init__(self, config: AdversarialConfig, engine: Engine, domain: Domain) -> None:
        super().__init__(config, engine, domain)
        with own_randomness():
            self.critic = self._new_critic()
        self._fakes = StoredFakes(config.stored_fakes)
        self._inflection = Inflection(config.inflection)
        self._best: dict[str, Any] | None = None  # the generators at the best validation of an adversarial phase
        self._in_game = False
        self._used = 0.0  # share of the budget

    @property
    def players(self) -> list[Player]:
        """Generators and critic."""
        return [*self.parents, self.critic]

    def updates(self) -> tuple[int, int]:
        """Updates of the generator and of the critic so far."""
        return self.generator.updates, self.critic.updates

    def phases(self, budget: Budget) -> list[Phase]:
        """[pretrain_generator] + rounds x [pretrain_critic, adversarial]."""
        config = self.config
        game = 1 - config.pretraining - config.critic_pretraining
        phases = [Phase("pretrain_generator", self.pretrain_generator, config.pretraining * budget.amount, self.updates)]
        for number in range(1, config.rounds + 1):
            alone, together = (share * budget.amount / config.rounds for share in (config.critic_pretraining, game))
            phases.append(Phase("pretrain_critic", self.pretrain_critic, alone, self.updates))
            step, ended = partial(self._watched_step, number), partial(self._inflection.decided_in, number)
            phases.append(Phase("adversarial", step, together, self.updates, ended, self._inflection.watches is not None))
        return [phase for phase in phases if phase.amount > 0]

    def pretrain_critic(self, batches: Iterator[Batch]) -> Losses:
        """One critic update on real photographs and on stored fakes of the generator as it stands."""
        self._outside_the_game()
        batch = self.draw(batches)
        if self._fakes.wants_more(self.generator.updates):
            self._fakes.add(batch.L, self.colourise_now(batch), batch.label)
        tally = Tally()
        self.critic.update(self._pretraining_losses(self.parts(batch), self.parts(self._fakes.draw(len(batch))), tally))
        return tally.means()

    def _pretraining_losses(self, real: list[Batch], fake: list[Batch], tally: "Tally") -> Iterator[Tensor]:
        for true, made in zip(real, fake, strict=True):
            real_maps, fake_maps = self.critic(true.L, true.ab, true.label), self.critic(made.L, made.ab, made.label)
            loss = self.critic_loss(real_maps, fake_maps)
            tally.add(critic=loss, critic_accuracy=self.critic_accuracy(real_maps, fake_maps))
            yield loss

    def gradient_penalty(self, part: Batch, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The penalty on this rank's part of the batch, and the gradient norm of each photograph."""
        epsilon = self.engine.per_image(len(part))
        return objectives.gradient_penalty(self.critic.network, part.L, part.ab, fake, part.label, epsilon)

    def critic_accuracy(self, real: objectives.Maps, fake: objectives.Maps) -> Float[Tensor, ""]:
        """How often the critic is right."""
        return objectives.accuracy(real, fake)

    def critic_loss(self, real: objectives.Maps, fake: objectives.Maps) -> Float[Tensor, ""]:
        """What the critic minimises."""
        return objectives.vanilla_critic(real, fake, self.config.critic.real_label)

    @torch.no_grad()
    def colourise_now(self, batch: Batch) -> Float[Tensor, "b 2 h w"]:
        """The generator's colours without a graph, as the critic sees them in training."""
        with self.waits(self.generator):
            ab: Tensor = self.generator(batch.L, batch.label).ab
        return ab

    @contextmanager
    def waits(self, player: Player) -> Iterator[None]:
        """The mode of a player while the other learns."""
        if self.config.waiting == "training":
            yield
            return
        player.network.eval()
        try:
            yield
        finally:
            player.network.train()

    def advance(self, used: float) -> None:
        """Also remembers how far the run is, for an Adam that begins later."""
        super().advance(used)
        self._used = used

    def observe(self, images: int, metrics: dict[str, float], opening: bool = False) -> dict[str, float]:
        """Lets the inflection detector look; where it decides, the generator of the best validation comes back."""
        if self._inflection.watches is None:
            return {}
        if opening:
            self._inflection.open(images, metrics[self._inflection.watches])
            self._best = copy.deepcopy(self.generator_state())
            return {}
        if not self._inflection.is_watching:
            return {}
        if self._inflection.observe(images, metrics[self._inflection.watches]):
            self._best = copy.deepcopy(self.generator_state())
        if not self._inflection.decided or self._best is None:
            return {}
        self.load_generator_state(self._best)
        return {"inflection/decided_at": float(images), "inflection/best_at": float(self._inflection.best.images)}

    def state_dict(self) -> dict[str, Any]:
        """Both players and the schedule."""
        own = {"critic": self.critic.state_dict(), "fakes": self._fakes.state_dict(), "in_game": self._in_game, "used": self._used}
        return super().state_dict() | own | {"inflection": self._inflection.state_dict(), "best": self._best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores both players and the schedule."""
        self._used = state["used"]
        self._play(state["in_game"])
        super().load_state_dict(state)
        self.critic.load_state_dict(state["critic"])
        self._fakes.load_state_dict(state["fakes"], self.engine.device)
        self._inflection.load_state_dict(state["inflection"])
        self._best = state["best"]

    def _outside_the_game(self) -> None:
        """The critic learns alone: what the game has of its own is put away."""
        self._inflection.pause()
        self._play(False)

    def _play(self, in_game: bool) -> None:
        """Players begin the game, and what comes after it, with an Adam of its own where the settings say so."""
        if in_game == self._in_game or not self.config.game.is_different:
            return
        self._in_game, config = in_game, self.config
        own, ratio = config.generator.adam, config.critic.learning_rate_ratio or 1.0
        for player in self.parents:
            player.begin_anew(config.game.adam(own) if in_game else own, config.game.encoder_rate if in_game else None)
        critic = self._critic_adam()
        self.critic.begin_anew(config.game.adam(critic, ratio) if in_game else critic)
        for player in self.players:
            player.decay(self._used)

    def _watched_step(self, number: int, batches: Iterator[Batch]) -> Losses:
        self._play(True)
        losses = self.step(batches)
        if self._inflection.watches:
            self._inflection.note(number, float(self.engine.average([losses["adversarial"]])[0]))
        return losses

    @classmethod
    def check(cls, config: VariantConfig, domain: Domain) -> None:
        """Also whether the critic's map has a place left."""
        super().check(config, domain)
        network = cast(AdversarialConfig, config).critic.network
        if domain.size // 2 ** (network.layers + network.scales - 1) < MIN_CRITIC_MAP:
            named = f"layers={network.layers} at scales={network.scales}"
            raise ColourbenchError(
                f"variant.critic.network: {named} halve {domain.size} pixels too often; lower one or use larger images"
            )

    def _new_critic(self) -> Player:
        return Player(Critic(self.config.critic.network, self.domain.classes), self._critic_adam(), self.engine)

    def _critic_adam(self) -> AdamConfig:
        adam, ratio = self.config.critic.adam, self.config.critic.learning_rate_ratio
        return adam.model_copy(update={"learning_rate": ratio * self.config.generator.adam.learning_rate}) if ratio else adam


class Tally:
    """Collects losses of parts and gives their means."""

    def __init__(self) -> None:
        self._sums: dict[str, list[Tensor]] = {}

    def add(self, **losses: Tensor) -> None:
        """One part's losses."""
        for name, loss in losses.items():
            self._sums.setdefault(name, []).append(loss.detach())

    def last(self, name: str) -> Tensor:
        """The newest value of one loss."""
        return self._sums[name][-1]

    def means(self) -> Losses:
        """The mean of each loss."""
        return {name: torch.stack(values).mean() for name, values in self._sums.items()}
