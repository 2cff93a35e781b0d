"""The schedule of a variant with a critic, including NoGAN: which network trains when, and the state kept across phases.

NoGAN (Antic 2018) pretrains the generator. Each round then trains the critic alone on stored fakes, and both networks together.
"""

import copy
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from common.data.batches import Batch
from common.loop.training import Budget, Losses, Phase
from variants.schedule.inflection import Inflection
from variants.schedule.stored_fakes import StoredFakes

if TYPE_CHECKING:
    from variants.contract.adversarial import AdversarialVariant


class Schedule:
    """The phases [pretrain_generator] + rounds x [pretrain_critic, adversarial], and the state that they need."""

    def __init__(self, variant: "AdversarialVariant") -> None:
        self._variant, self._config = variant, variant.config
        self.fakes = StoredFakes(self._config.stored_fakes)
        self.inflection = Inflection(self._config.inflection)
        self._best: dict[str, Any] | None = None  # the generators at the best validation of an adversarial phase
        self._in_game = False
        self._used = 0.0  # share of the budget that is used

    def phases(self, budget: Budget) -> list[Phase]:
        """The phases of a run with this budget; phases with a share of 0 are left out."""
        config, variant, updates = self._config, self._variant, self._variant.updates
        game = 1 - config.pretraining - config.critic_pretraining
        phases = [Phase("pretrain_generator", variant.pretrain_generator, config.pretraining * budget.amount, updates)]
        for number in range(1, config.rounds + 1):
            alone, together = (share * budget.amount / config.rounds for share in (config.critic_pretraining, game))
            phases.append(Phase("pretrain_critic", variant.pretrain_critic, alone, updates))
            step, ended = partial(self._adversarial_step, number), partial(self.inflection.decided_in, number)
            phases.append(Phase("adversarial", step, together, updates, ended, self.inflection.watches is not None))
        return [phase for phase in phases if phase.amount > 0]

    def begin_critic_pretraining(self) -> None:
        """Called when the critic trains alone: pauses the inflection detector and restores the optimisers' own settings."""
        self.inflection.pause()
        self._play(False)

    def draw_fakes(self, batch: Batch) -> Batch:
        """Draws as many stored fakes as the batch has images; until the store is full, it first adds fakes made from this batch."""
        if self.fakes.wants_more(self._variant.generator.updates):
            self.fakes.add(batch.L, self._variant.colourise_now(batch), batch.label)
        return self.fakes.draw(len(batch))

    def wants_critic_update(self, done: Sequence[Losses], fewest: int = 1) -> bool:
        """Whether the critic needs another update before the generator's, given the losses of its updates in this step.

        With a threshold, until its loss is below the threshold (Antic 2018), but at most `most_critic_updates` times.
        """
        config = self._config
        if len(done) < fewest or config.critic_threshold is None:
            return len(done) < fewest
        (loss,) = self._variant.engine.average([done[-1]["critic"]])
        return len(done) < config.most_critic_updates and not bool(loss < config.critic_threshold)

    def advance(self, used: float) -> None:
        """Notes the used share of the budget, which sets the learning rate when a phase starts with a new Adam."""
        self._used = used

    def observe(self, images: int, metrics: dict[str, float], opening: bool) -> dict[str, float]:
        """Passes a validation to the inflection detector; if it ends the phase, restores the generator of the best validation."""
        watched = self.inflection.watches
        if watched is None or not (opening or self.inflection.is_watching):
            return {}
        if opening:
            self.inflection.open(images, metrics[watched])
        if opening or self.inflection.observe(images, metrics[watched]):
            self._best = copy.deepcopy(self._variant.generator_state())
        if not self.inflection.decided or self._best is None:
            return {}
        self._variant.load_generator_state(self._best)
        return {"inflection/decided_at": float(images), "inflection/best_at": float(self.inflection.best.images)}

    def state_dict(self) -> dict[str, Any]:
        """The schedule's state, as tensors and plain values."""
        own = {"fakes": self.fakes.state_dict(), "in_game": self._in_game, "used": self._used}
        return own | {"inflection": self.inflection.state_dict(), "best": self._best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`. Call it before restoring the players: it gives them the Adam that their states belong to."""
        self._used, self._best = state["used"], state["best"]
        self._play(state["in_game"])
        self.fakes.load_state_dict(state["fakes"], self._variant.engine.device)
        self.inflection.load_state_dict(state["inflection"])

    def _adversarial_step(self, number: int, batches: Iterator[Batch]) -> Losses:
        self._play(True)
        losses = self._variant.step(batches)
        if self.inflection.watches:
            self.inflection.note(number, float(self._variant.engine.average([losses["adversarial"]])[0]))
        return losses

    def _play(self, in_game: bool) -> None:
        """At the start and the end of adversarial training, gives the players a new Adam if `game` has settings of its own."""
        game, own = self._config.game, self._config.generator.adam
        if in_game == self._in_game or not game.is_different:
            return
        self._in_game = in_game
        for player in self._variant.parents:
            player.restart_adam(game.adam(own) if in_game else own, game.encoder_rate if in_game else None)
        critic, ratio = self._config.critic_adam, self._config.critic.learning_rate_ratio or 1.0
        self._variant.critic.restart_adam(game.adam(critic, ratio) if in_game else critic)
        for player in self._variant.players:
            player.decay(self._used)
