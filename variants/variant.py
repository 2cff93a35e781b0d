"""The contract of a training method: players, one step, how a trained one colourises, and the schedule all of them share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from common.batches import Batch
from common.domain import Domain
from common.engine import Engine, ranks
from common.errors import ColourbenchError
from common.networks.colours import Colours
from common.networks.generator import build_network
from common.training import Budget, Losses, Phase
from variants.calibration import LOOK_IMAGES, calibrated_statistics
from variants.colouriser import Colouriser
from variants.player import Player
from variants.reconstruction import build_reconstruction, head_for
from variants.settings import VariantConfig

MIN_CRITIC_MAP = 3  # two more convolutions of 4x4 must fit


class Variant(ABC):
    """A training method."""

    Config: ClassVar[type[VariantConfig]]

    def __init__(self, config: VariantConfig, engine: Engine, domain: Domain) -> None:
        self.check(config, domain)
        self.config = config
        self.engine = engine
        self.domain = domain
        self.generator = self.new_generator()
        self.reconstruction_loss = build_reconstruction(config.reconstruction, domain, engine)
        self._average = _average(self.generator, config.generator.average)
        self._averaged_at = 0

    @abstractmethod
    def step(self, batches: Iterator[Batch]) -> Losses:
        """One step of the method; draws as many batches as it wants."""

    @property
    def players(self) -> list[Player]:
        """Everyone who learns."""
        return [self.generator]

    @property
    def parents(self) -> list[Player]:
        """The generators, the best first."""
        return [self.generator]

    @property
    def colourise(self) -> Colouriser:
        """The generator as it stands, as a user would get it: with averaged weights where these are wanted."""
        return self.colouriser(LOOK_IMAGES)

    def colouriser(self, images: int) -> Colouriser:
        """The same, its batch statistics over so many training images where they are calibrated."""
        network: Any = self._average.module if self._average else self.generator.network
        labelled = self.config.generator.labels
        calibrate = partial(calibrated_statistics, network, self.engine, self.domain, images, labelled)
        wanted = calibrate if self.config.test_time == "calibrated" else None
        return Colouriser(network, self.engine, self.domain.size, self.config.test_time, wanted)

    def phases(self, budget: Budget) -> list[Phase]:
        """The schedule over the budget; a share of 0 makes a phase vanish."""
        pretraining = self.config.pretraining * budget.amount
        phases = [
            Phase("pretrain_generator", self.pretrain_generator, pretraining, self.updates),
            Phase("adversarial", self.step, budget.amount - pretraining, self.updates),
        ]
        return [phase for phase in phases if phase.amount > 0]

    def updates(self) -> tuple[int, int]:
        """Updates of the generator and of the critic so far."""
        return self.generator.updates, 0

    def advance(self, used: float) -> None:
        """Told after each step which share of the budget is used: learning rates decay, weights are averaged."""
        for player in self.players:
            player.decay(used)
        if self._average and self.generator.updates > self._averaged_at:
            self._average.update_parameters(self.generator.network)
            _copy_power_iterations(self._average.module, self.generator.network)
            self._averaged_at = self.generator.updates

    def observe(self, images: int, metrics: dict[str, float], opening: bool = False) -> dict[str, float]:
        """Told each validation's metrics, `opening` before the first step of a phase that looks first; a schedule may act on them.

        Returns figures to log.
        """
        return {}

    def pretrain_generator(self, batches: Iterator[Batch]) -> Losses:
        """One generator update by reconstruction alone; several generators learn from one batch."""
        batch = self.draw(batches)
        losses = [self._reconstruct(player, batch) for player in self.parents]
        return {"reconstruction": torch.stack(losses).mean()}

    def draw(self, batches: Iterator[Batch]) -> Batch:
        """The next batch, some or all of its labels withheld."""
        batch = next(batches)
        if not self.config.generator.labels:
            return Batch(batch.L, batch.ab, torch.full_like(batch.label, -1))
        withheld = self.engine.per_image(len(batch)).flatten() < self.config.label_dropout
        return Batch(batch.L, batch.ab, batch.label.masked_fill(withheld, -1))

    def reconstruction(self, fake: Colours, batch: Batch) -> Float[Tensor, ""]:
        """The reconstruction loss, not yet weighted."""
        return self.reconstruction_loss(fake, batch)

    @classmethod
    def check(cls, config: VariantConfig, domain: Domain) -> None:
        """Whether photographs of this domain fit the settings: cheap, so that a study asks for every arm before it begins.

        Raises:
            ColourbenchError: they do not.
        """
        if ranks() > 1 and config.test_time in ("batch", "dropout"):
            raise ColourbenchError(
                f"test_time={config.test_time} takes batch statistics of all devices; use calibrated, running or noise"
            )
        if config.generator.labels and not domain.classes:
            raise ColourbenchError(
                "variant.generator.labels is on and the data set has no labels; sort its photographs into class folders"
            )

    def new_generator(self) -> Player:
        """A freshly drawn generator."""
        config = self.config.generator
        classes = self.domain.classes if config.labels else 0
        network = build_network(config.network, self.domain.size, classes, head_for(self.config.reconstruction), config.recompute)
        return Player(network, config.adam, self.engine)

    def generator_state(self) -> dict[str, Any]:
        """All that generator pretraining changes: enough to go on from it in another run."""
        average = self._average.state_dict() if self._average else None
        return {"parents": [p.state_dict() for p in self.parents], "average": average, "averaged_at": self._averaged_at}

    def load_generator_state(self, state: dict[str, Any]) -> None:
        """Restores `generator_state`."""
        for player, saved in zip(self.parents, state["parents"], strict=True):
            player.load_state_dict(saved)
        if self._average:
            self._average.load_state_dict(state["average"])
        self._averaged_at = state["averaged_at"]

    def state_dict(self) -> dict[str, Any]:
        """Everything that must come back for training to go on exactly: tensors and plain values only."""
        return {"generators": self.generator_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`."""
        self.load_generator_state(state["generators"])

    def _reconstruct(self, player: Player, batch: Batch) -> Tensor:
        seen: list[Tensor] = []

        def losses() -> Iterator[Tensor]:
            for part in self.parts(batch):
                loss = self.reconstruction(player(part.L, part.label), part)
                seen.append(loss.detach())
                yield loss

        player.update(losses())
        return torch.stack(seen).mean()

    def parts(self, batch: Batch) -> list[Batch]:
        """The batch in `accumulation` parts."""
        return batch.parts(self.config.accumulation)


def _average(player: Player, decay: float) -> AveragedModel | None:
    """A moving average of the weights and running statistics; young averages forget faster, so that short runs profit too."""
    if not decay:
        return None

    def blend(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
        keep = min(decay, (1 + int(updates)) / (10 + int(updates)))
        return averaged + (current - averaged) * (1 - keep)

    return AveragedModel(player.network, avg_fn=blend, use_buffers=True)


def _copy_power_iterations(averaged: nn.Module, network: nn.Module) -> None:
    """Spectral norm's vectors have length 1, which an average of them has not."""
    current = dict(network.named_buffers())
    for name, buffer in averaged.named_buffers():
        if name.endswith(("._u", "._v")):
            buffer.copy_(current[name])
