"""The interface of a training method: its networks, one training step, and the trained colouriser."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from common.colour.hints import training_hints
from common.config import Settings
from common.data.batches import Batch
from common.data.domain import Domain
from common.errors import ColourbenchError
from common.loop.engine import Engine, ranks
from common.loop.training import Losses
from common.networks.backbone_unet import BackboneUNetConfig
from common.networks.colours import Colours
from variants.contract.ranges import GENERATOR_SPACE, Space, Value
from variants.losses.reconstruction import L1Config, ReconstructionConfig, build_reconstruction
from variants.players.average import Average
from variants.players.calibration import LOOK_IMAGES, MOST_AT_ONCE, calibrated_statistics
from variants.players.colouriser import Colouriser
from variants.players.generator import generator_network
from variants.players.player import Loss, Player, means
from variants.players.settings import GeneratorConfig, TestTime


class VariantConfig(Settings):
    """Settings that all variants share."""

    name: str
    """The variant."""
    generator: GeneratorConfig = GeneratorConfig()
    """The generator."""
    reconstruction: ReconstructionConfig = L1Config()
    """Loss between predicted and true ab; `reconstruction=l2` is short for `reconstruction.loss=l2`."""
    label_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of the training images whose label is hidden, so that the generator also learns to colourise without a label."""
    accumulation: int = Field(default=1, ge=1, le=256)
    """Gradient accumulation: number of parts that a batch is split into to save memory. Batch norm then sees one part at a time."""
    test_time: TestTime = "calibrated"
    """Batch statistics when a generator is validated, tested or used. calibrated: recomputed over training images; running: the
    running ones; noise: running, plus dropout; batch: those of the batch itself; dropout: batch, plus dropout (pix2pix)."""

    @field_validator("reconstruction", mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return {"loss": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _noise_needs_dropout(self) -> "VariantConfig":
        if self.test_time in ("noise", "dropout") and self.generator.network.dropout == 0:
            raise ValueError(
                f"test_time={self.test_time} needs generator.network.dropout above 0: dropout is the noise"
            )
        return self

    def check(self, domain: Domain) -> None:
        """Checks that the settings fit photographs of this domain. It is cheap, so a study checks every arm before it starts.

        Raises:
            ColourbenchError: they do not.
        """
        if ranks() > 1 and self.test_time in ("batch", "dropout"):
            raise ColourbenchError(
                f"test_time={self.test_time} takes batch statistics of all devices; use calibrated, running or noise"
            )
        if isinstance(self.generator.network, BackboneUNetConfig):
            self.generator.network.check(domain.size, domain.batch // self.accumulation)
        if self.generator.labels and not domain.classes:
            raise ColourbenchError(
                "variant.generator.labels is on and the data set has no labels; sort its photographs into class folders"
            )


class Variant(ABC):
    """A training method."""

    Config: ClassVar[type[VariantConfig]]
    space: ClassVar[Space] = GENERATOR_SPACE
    """The search space of a sweep."""
    presets: ClassVar[Sequence[Mapping[str, Value]]] = ()
    """Settings from papers, which a sweep tries first; fields that a preset does not name keep the run's own values."""

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
        """One training step of the method; draws as many batches as it needs."""

    @property
    def players(self) -> list[Player]:
        """All networks that train."""
        return [self.generator]

    @property
    def parents(self) -> list[Player]:
        """The generators, best first."""
        return [self.generator]

    @property
    def colourise(self) -> Colouriser:
        """The current generator as a user would get it, with averaged weights if `generator.average` is set; for validation."""
        return self.colouriser(LOOK_IMAGES)

    def colouriser(self, images: int) -> Colouriser:
        """The same; if batch statistics are calibrated, they are computed over `images` training images."""
        network: Any = self.average.network if self.average else self.generator.network
        labelled = self.config.generator.labels
        calibrate = partial(
            calibrated_statistics,
            network,
            self.engine,
            self.domain,
            images,
            labelled,
            self.calibration_batch,
        )
        wanted = calibrate if self.config.test_time == "calibrated" else None
        return Colouriser(network, self.engine, self.domain.size, self.config.test_time, wanted)

    @property
    def calibration_batch(self) -> int:
        """Images in a batch when batch statistics are calibrated: as many as batch norm sees at once in training, up to a limit."""
        return max(1, min(MOST_AT_ONCE, self.domain.batch // self.config.accumulation))

    def updates(self) -> tuple[int, int]:
        """Number of updates of the generator and of the critic so far."""
        return self.generator.updates, 0

    def advance(self, used: float) -> None:
        """Called after each step with the used share of the budget: decays the learning rates and averages the weights."""
        for player in self.players:
            player.decay(used)
        if self.average:
            self.average.follow()

    def pretrain_generator(self, batches: Iterator[Batch]) -> Losses:
        """One update of each generator on the reconstruction loss alone; all generators train on the same batch."""
        parts = self.draw_parts(batches)
        return means(
            [
                parent.update(partial(self._reconstruction_of, parent), parts)
                for parent in self.parents
            ]
        )

    def _reconstruction_of(self, player: Player, part: Batch) -> Loss:
        loss = self.reconstruction(player(part.seen, part.label), part)
        return loss, {"reconstruction": loss}

    def draw(self, batches: Iterator[Batch]) -> Batch:
        """The next batch, with some labels hidden (-1): a share of `label_dropout`, or all if the generator takes no labels.

        A generator that takes hints is given random points of the true colours.
        """
        batch = next(batches)
        label = torch.full_like(batch.label, -1)
        if self.config.generator.labels:
            # (B,)
            withheld = self.engine.per_image(len(batch)).flatten() < self.config.label_dropout
            label = batch.label.masked_fill(withheld, -1)
        if not self.config.generator.hints:
            return Batch(batch.L, batch.ab, label)
        # (B, 3, H, W)
        points = training_hints(batch.ab, self.engine.per_image(len(batch)).flatten())
        return Batch(batch.L, batch.ab, label, points)

    def draw_parts(self, batches: Iterator[Batch]) -> list[Batch]:
        """The next batch in `accumulation` parts."""
        return self.draw(batches).parts(self.config.accumulation)

    def reconstruction(self, fake: Colours, batch: Batch) -> Float[Tensor, ""]:
        """The reconstruction loss, before its weight λ."""
        return self.reconstruction_loss(fake, batch)

    def new_generator(self) -> Player:
        """A generator with new random weights."""
        config = self.config
        network = generator_network(config.generator, config.reconstruction, self.domain)
        return Player(network, config.generator.adam, self.engine)

    def start_from(self, generator: Mapping[str, Tensor], critic: Mapping[str, Tensor]) -> None:
        """Starts every generator from trained weights, and the critic where there is one and weights are given.

        Raises:
            RuntimeError: they are another network's.
        """
        for player in self.parents:
            player.take_weights(generator)
        if self.average:
            self.average = Average(self.generator, self.config.generator.average)

    def generator_state(self) -> dict[str, Any]:
        """All state that generator pretraining changes, so that another run can continue from a pretrained generator."""
        average = self.average.state_dict() if self.average else {"average": None, "averaged_at": 0}
        return {"parents": [player.state_dict() for player in self.parents], **average}

    def load_generator_state(self, state: dict[str, Any]) -> None:
        """Restores `generator_state`."""
        for player, saved in zip(self.parents, state["parents"], strict=True):
            player.load_state_dict(saved)
        if self.average:
            self.average.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """Everything that training needs to resume exactly: tensors and plain values only."""
        return {"generators": self.generator_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`."""
        self.load_generator_state(state["generators"])
