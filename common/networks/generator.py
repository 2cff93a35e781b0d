"""Which generator: pix2pix's U-Net, or a timm encoder with a decoder."""

from typing import Annotated

from pydantic import Field

from common.networks.backbone_unet import BackboneUNet, BackboneUNetConfig
from common.networks.colours import Head
from common.networks.recomputation import recompute
from common.networks.unet import UNet, UNetConfig

NetworkConfig = Annotated[UNetConfig | BackboneUNetConfig, Field(discriminator="kind")]
GeneratorNetwork = UNet | BackboneUNet


def build_network(
    config: UNetConfig | BackboneUNetConfig, size: int, classes: int = 0, head: Head | None = None, forgetful: bool = False
) -> GeneratorNetwork:
    """A freshly drawn generator for images of `size` pixels.

    Args:
        classes: number of labels it can be given; 0 makes it unconditional.
        forgetful: compute activations again in the backward instead of keeping them (gradient checkpointing).
    """
    network = UNet(config, size, classes, head) if isinstance(config, UNetConfig) else BackboneUNet(config, classes, head)
    if forgetful:
        recompute(network)
    return network


def without_fetching(config: UNetConfig | BackboneUNetConfig) -> UNetConfig | BackboneUNetConfig:
    """The same network with random weights, for when trained ones are loaded next."""
    if isinstance(config, UNetConfig):
        return config
    return config.model_copy(update={"pretrained": False, "backbone_weights": None})
