"""The contract of a training method, and the schedule that all of them share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from common.batches import Batch
from common.config import Settings
from common.engine import Engine
from common.errors import ColourbenchError
from common.networks.patch_critic import PatchCritic, PatchCriticConfig
from common.networks.unet import UNet, UNetConfig
from common.training import Budget, Losses, Phase
from variants import objectives
from variants.player import AdamConfig, Player

MIN_CRITIC_MAP = 3  # two more convolutions of 4x4 must fit


class GeneratorConfig(Settings):
    """The generator."""

    network: UNetConfig = UNetConfig()
    """Its network."""
    adam: AdamConfig = AdamConfig()
    """Its optimiser."""


class CriticConfig(Settings):
    """The critic, also called discriminator elsewhere."""

    network: PatchCriticConfig = PatchCriticConfig()
    """Its network."""
    adam: AdamConfig = AdamConfig()
    """Its optimiser."""


class VariantConfig(Settings):
    """What every variant has."""

    name: str
    """The variant."""
    generator: GeneratorConfig = GeneratorConfig()
    """The generator."""
    reconstruction: objectives.ReconstructionName = "l1"
    """Loss between the colourised and the true ab."""
    pretraining: float = Field(default=0.0, ge=0, le=1)
    """Share of the budget in which the generator learns by reconstruction alone, before the critic joins."""
    test_time: Literal["running", "batch", "dropout"] = "running"
    """How a trained generator runs: with running batch statistics, with the batch's own, or with these and dropout (pix2pix)."""


class AdversarialConfig(VariantConfig):
    """What every variant with a critic has."""

    critic: CriticConfig = CriticConfig()
    """The critic."""
    reconstruction_weight: float = Field(default=100.0, ge=0)
    """λ, the weight of the reconstruction beside the adversarial loss. pix2pix: 100."""


class Variant(ABC):
    """A training method: players, one step, and how a trained one colourises."""

    Config: ClassVar[type[VariantConfig]]

    def __init__(self, config: VariantConfig, engine: Engine, size: int) -> None:
        self.config = config
        self.engine = engine
        self.size = size
        self.generator = self.new_generator()

    @abstractmethod
    def step(self, batches: Iterator[Batch]) -> Losses:
        """One step of the method; draws as many batches as it wants."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything that must come back for training to go on exactly: tensors and plain values only."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores `state_dict`."""

    @property
    def critic_updates(self) -> int:
        """Critic updates in one step."""
        return 0

    @property
    def stride(self) -> int:
        """Sides of what the generator colourises are multiples of this."""
        return int(self.generator.network.stride)

    def phases(self, budget: Budget) -> list[Phase]:
        """The schedule over the budget; a share of 0 makes a phase vanish."""
        pretraining = self.config.pretraining * budget.amount
        phases = [
            Phase("pretrain_generator", self.pretrain_generator, pretraining),
            Phase("adversarial", self.step, budget.amount - pretraining, critic_updates=self.critic_updates),
        ]
        return [phase for phase in phases if phase.amount > 0]

    def pretrain_generator(self, batches: Iterator[Batch]) -> Losses:
        """One generator update by reconstruction alone."""
        batch = next(batches)
        loss = objectives.reconstruction(self.config.reconstruction, self.generator(batch.L), batch.ab)
        self.generator.update(loss)
        return {"reconstruction": loss.detach()}

    @torch.no_grad()
    def colourise(self, L: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 2 h w"]:
        """The generator's colours as a user gets them, with `test_time`'s norm and dropout; H, W multiples of its stride."""
        network = self.generator.network
        was_training = network.training
        kept = [buffer.clone() for buffer in network.buffers()]
        set_mode(network, self.config.test_time)
        ab = self.generator(L)
        network.train(was_training)
        for buffer, value in zip(network.buffers(), kept, strict=True):
            buffer.copy_(value)  # looking must not move the running statistics
        return ab

    def new_generator(self) -> Player:
        """A freshly drawn generator."""
        return Player(UNet(self.config.generator.network, self.size), self.config.generator.adam, self.engine)


class AdversarialVariant(Variant):
    """A variant with a critic."""

    config: AdversarialConfig

    def __init__(self, config: AdversarialConfig, engine: Engine, size: int) -> None:
        super().__init__(config, engine, size)
        layers = config.critic.network.layers
        if size // 2**layers < MIN_CRITIC_MAP:
            raise ColourbenchError(
                f"variant.critic.network.layers={layers} halves {size} pixels too often; lower it or use larger images"
            )
        self.critic = Player(PatchCritic(config.critic.network), config.critic.adam, engine)

    @property
    def critic_updates(self) -> int:
        """Critic updates in one step."""
        return 1

    def reconstruction(self, fake: Tensor, batch: Batch) -> Tensor:
        """The reconstruction loss, not yet weighted."""
        return objectives.reconstruction(self.config.reconstruction, fake, batch.ab)

    def state_dict(self) -> dict[str, Any]:
        """Both players."""
        return {"generator": self.generator.state_dict(), "critic": self.critic.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores both players."""
        self.generator.load_state_dict(state["generator"])
        self.critic.load_state_dict(state["critic"])


def set_mode(network: nn.Module, test_time: str) -> None:
    """Puts norms and dropout into the state that `test_time` names."""
    network.train(test_time != "running")
    if test_time == "batch":
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
