"""What can be set of the players and of every variant, and which combinations make no sense."""

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
    """Its network."""
    adam: AdamConfig = AdamConfig()
    """Its optimiser."""
    labels: bool = False
    """Condition it on the photograph's label (FiLM); the data set must have labels."""
    average: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the moving average of its weights, which then does the colourising; 0 takes the last weights. Usual: 0.999."""
    recompute: bool = False
    """Gradient checkpointing: keep fewer activations and compute them again in the backward. Less memory, a third more time."""

    @model_validator(mode="after")
    def _sensible_encoder(self) -> "GeneratorConfig":
        network = self.network
        if isinstance(network, BackboneUNetConfig) and network.frozen:
            if not network.pretrained and not network.backbone_weights:
                raise ValueError("network.frozen would keep random weights; set pretrained=true or name backbone_weights")
            if network.encoder_rate != 1:
                raise ValueError("network.frozen leaves encoder_rate without effect; set one of the two")
        return self


class CriticConfig(Settings):
    """The critic, also called discriminator elsewhere."""

    network: PatchCriticConfig = PatchCriticConfig()
    """Its network."""
    adam: AdamConfig = AdamConfig()
    """Its optimiser."""
    learning_rate_ratio: float | None = Field(default=None, gt=0, le=100)
    """Its learning rate as a multiple of the generator's (Heusel et al. 2017; DeOldify: 5), in place of adam.learning_rate."""
    real_label: float = Field(default=1.0, gt=0.5, le=1)
    """What it should say of real photographs; below 1 is one-sided label smoothing (Salimans et al. 2016: 0.9)."""


def refuse_mixed_images(critic: CriticConfig) -> None:
    """A gradient penalty holds for each image by itself.

    Raises:
        ValueError: the critic mixes the images of a batch.
    """
    if critic.network.norm == "batch":
        raise ValueError(
            "critic.network.norm is batch, which mixes the images that the gradient penalty must keep apart; "
            "use layer, instance or none"
        )
