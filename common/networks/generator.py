"""Builds the configured generator: pix2pix's U-Net, or a timm encoder with a decoder."""

from typing import Annotated

from pydantic import Field

from common.networks.backbone_unet import BackboneUNet, BackboneUNetConfig
from common.networks.colours import Head
from common.networks.recomputation import recompute
from common.networks.unet import UNet, UNetConfig

NetworkConfig = Annotated[UNetConfig | BackboneUNetConfig, Field(discriminator="kind")]
GeneratorNetwork = UNet | BackboneUNet


def build_network(
    config: UNetConfig | BackboneUNetConfig,
    size: int,
    classes: int = 0,
    head: Head | None = None,
    recomputes: bool = False,
    hinted: bool = False,
) -> GeneratorNetwork:
    """Builds a new generator for images with a side of `size` pixels.

    Args:
        classes: number of class labels that it is conditioned on; 0 makes it unconditional.
        recomputes: computes activations again in the backward pass, instead of storing them (gradient checkpointing).
        hinted: whether it also takes colour hints.
    """
    if isinstance(config, UNetConfig):
        network: GeneratorNetwork = UNet(config, size, classes, head, hinted)
    else:
        network = BackboneUNet(config, classes, head, hinted)
    if recomputes:
        recompute(network)
    return network


def without_fetching(config: UNetConfig | BackboneUNetConfig) -> UNetConfig | BackboneUNetConfig:
    """The same settings without pretrained weights, for a network whose trained weights are loaded next."""
    if isinstance(config, UNetConfig):
        return config
    return config.model_copy(update={"pretrained": False, "backbone_weights": None})
