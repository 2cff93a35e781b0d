"""Settings of generator and critic, and checks against combinations that make no sense."""

from typing import Literal

from pydantic import Field, model_validator

from common.config import Settings
from common.networks.backbone_unet import BackboneUNetConfig
from common.networks.generator import NetworkConfig
from common.networks.patch_critic import PatchCriticConfig
from common.networks.unet import UNetConfig
from variants.players.adam import AdamConfig

TestTime = Literal["calibrated", "running", "noise", "batch", "dropout"]


class GeneratorConfig(Settings):
    """The generator."""

    network: NetworkConfig = UNetConfig()
    """The generator's network."""
    adam: AdamConfig = AdamConfig()
    """The generator's optimiser."""
    labels: bool = False
    """Whether to condition the generator on the photograph's class label (FiLM); the data set must have labels."""
    hints: bool = False
    """Whether the generator also takes colour hints, a few points of known colour; it then trains with random ones."""
    average: float = Field(default=0.0, ge=0, lt=1)
    """Decay of a moving average of the weights, which is used to colourise; 0 uses the last weights instead. Usual: 0.999."""
    recompute: bool = False
    """Gradient checkpointing: store fewer activations and recompute them in the backward pass. Less memory, a third more time."""

    @model_validator(mode="after")
    def _sensible_encoder(self) -> "GeneratorConfig":
        network = self.network
        if isinstance(network, BackboneUNetConfig) and network.frozen:
            if not network.pretrained and not network.backbone_weights:
                raise ValueError(
                    "network.frozen would keep random weights; set pretrained=true or name backbone_weights"
                )
            if network.encoder_rate != 1:
                raise ValueError(
                    "network.frozen leaves encoder_rate without effect; set one of the two"
                )
        return self


class CriticConfig(Settings):
    """The critic, also called discriminator."""

    network: PatchCriticConfig = PatchCriticConfig()
    """The critic's network."""
    adam: AdamConfig = AdamConfig()
    """The critic's optimiser."""
    learning_rate_ratio: float | None = Field(default=None, gt=0, le=100)
    """Critic learning rate as a multiple of the generator's (Heusel et al. 2017; DeOldify: 5); overrides adam.learning_rate."""
    real_label: float = Field(default=1.0, gt=0.5, le=1)
    """The critic's target for real photographs; below 1 it is one-sided label smoothing (Salimans et al. 2016: 0.9)."""


def refuse_mixed_images(critic: CriticConfig) -> None:
    """Refuses a critic with batch norm, because a gradient penalty is defined for each image separately.

    Raises:
        ValueError: the critic mixes the images of a batch.
    """
    if critic.network.norm == "batch":
        raise ValueError(
            "critic.network.norm is batch, which mixes the images that the gradient penalty must keep apart; "
            "use layer, instance or none"
        )
