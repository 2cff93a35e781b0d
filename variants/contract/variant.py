"""The contract of a training method: players, one step, how a trained one colourises, and the schedule all of them share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from common.config import Settings
from common.data.batches import Batch
from common.data.domain import Domain
from common.errors import ColourbenchError
from common.loop.engine import Engine, ranks
from common.loop.training import Budget, Losses, Phase
from common.networks.colours import Colours
from variants.contract.ranges import GENERATOR, Space, Value
from variants.losses.reconstruction import L1Config, ReconstructionConfig, build_reconstruction
from variants.players.average import Average
from variants.players.calibration import LOOK_IMAGES, calibrated_statistics
from variants.players.colouriser import Colouriser
from variants.players.generator import generator_network
from variants.players.player import Loss, Player, means
from variants.players.settings import GeneratorConfig, TestTime


class VariantConfig(Settings):
    """What every variant has."""

    name: str
    """The variant."""
    generator: GeneratorConfig = GeneratorConfig()
    """The generator."""
    reconstruction: ReconstructionConfig = L1Config()
    """Loss between the colourised and the true ab; `reconstruction=l2` is short for `reconstruction.loss=l2`."""
    pretraining: float = Field(default=0.0, ge=0, le=1)
    """Share of the budget in which the generator learns by reconstruction alone, before the critic joins."""
    label_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of the training images whose label is withheld, so that the generator colourises without one too."""
    accumulation: int = Field(default=1, ge=1, le=256)
    """Parts that a batch is computed in, to save memory; batch statistics are then those of a part."""
    test_time: TestTime = "calibrated"
    """How a generator runs when it is looked at and used: with batch statistics computed anew over training images, with the
    running ones, with these and dropout as noise, with the batch's own, or with the batch's own and dropout (pix2pix)."""

    @property
    def acts_on_validation(self) -> bool:
        """Whether what is learnt depends on what validations find."""
        return False

    @field_validator("reconstruction", mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return {"loss": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _noise_needs_dropout(self) -> "VariantConfig":
        if self.test_time in ("noise", "dropout") and self.generator.network.dropout == 0:
            raise ValueError(f"test_time={self.test_time} needs generator.network.dropout above 0: dropout is the noise")
        return self

    def check(self, domain: Domain) -> None:
        """Whether photographs of this domain fit the settings: cheap, so that a study asks for every arm before it begins.

        Raises:
            ColourbenchError: they do not.
        """
        if ranks() > 1 and self.test_time in ("batch", "dropout"):
            raise ColourbenchError(
                f"test_time={self.test_time} takes batch statistics of all devices; use calibrated, running or noise"
            )
        if self.generator.labels and not domain.classes:
            raise ColourbenchError(
                "variant.generator.labels is on and the data set has no labels; sort its photographs into class folders"
            )


class Variant(ABC):
    """A training method."""

    Config: ClassVar[type[VariantConfig]]
    space: ClassVar[Space] = GENERATOR
    """Where a sweep looks."""
    presets: ClassVar[Sequence[Mapping[str, Value]]] = ()
    """Settings of papers, which a sweep tries first; fields that one does not name keep the run's own values."""

    def __init__(self, config: VariantConfig, engine: Engine, domain: Domain) -> None:
        config.check(domain)
        self.config = config
        self.engine = engine
        self.domain = domain
        self.generator = self.new_generator()
        self.reconstruction_loss = build_reconstruction(config.reconstruction, domain, engine)
        decay = config.generator.average
        self.average = Average(self.generator, decay) if decay else None

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
        network: Any = self.average.network if self.average else self.generator.network
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
        if self.average:
            self.average.follow()

    def observe(self, images: int, metrics: dict[str, float], opening: bool = False) -> dict[str, float]:
        """Told each validation's metrics, `opening` before the first step of a phase that looks first; a schedule may act on them.

        Returns figures to log.
        """
        return {}

    def pretrain_generator(self, batches: Iterator[Batch]) -> Losses:
        """One generator update by reconstruction alone; several generators learn from one batch."""
        parts = self.draw_parts(batches)
        return means([parent.update(partial(self._reconstruction_of, parent), parts) for parent in self.parents])

    def _reconstruction_of(self, player: Player, part: Batch) -> Loss:
        loss = self.reconstruction(player(part.L, part.label), part)
        return loss, {"reconstruction": loss}

    def draw(self, batches: Iterator[Batch]) -> Batch:
        """The next batch, some or all of its labels withheld."""
        batch = next(batches)
        if not self.config.generator.labels:
            return Batch(batch.L, batch.ab, torch.full_like(batch.label, -1))
        withheld = self.engine.per_image(len(batch)).flatten() < self.config.label_dropout
        return Batch(batch.L, batch.ab, batch.label.masked_fill(withheld, -1))

    def draw_parts(self, batches: Iterator[Batch]) -> list[Batch]:
        """The next batch in `accumulation` parts."""
        return self.draw(batches).parts(self.config.accumulation)

    def reconstruction(self, fake: Colours, batch: Batch) -> Float[Tensor, ""]:
        """The reconstruction loss, not yet weighted."""
        return self.reconstruction_loss(fake, batch)

    def new_generator(self) -> Player:
        """A freshly drawn generator."""
        return Player(generator_network(self.config, self.domain), self.config.generator.adam, self.engine)

    def generator_state(self) -> dict[str, Any]:
        """All that generator pretraining changes: enough to go on from it in another run."""
        average = self.average.state_dict() if self.average else {"average": None, "averaged_at": 0}
        return {"parents": [player.state_dict() for player in self.parents], **average}

    def load_generator_state(self, state: dict[str, Any]) -> None:
        """Restores `generator_state`."""
        for player, saved in zip(self.parents, state["parents"], strict=True):
            player.load_state_dict(saved)
        if self.average:
            self.average.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """Everything that must come back for training to go on exactly: tensors and plain values only."""
        return {"generators": self.generator_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`."""
        self.load_generator_state(state["generators"])
