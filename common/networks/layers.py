"""Layers that several networks share."""

from typing import Literal

from torch import Tensor, nn

NormName = Literal["batch", "instance", "layer", "none"]


def norm(name: NormName, channels: int) -> nn.Module:
    """A normalisation layer by name; "layer" is over channels and places (GroupNorm with one group)."""
    match name:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "instance":
            return nn.InstanceNorm2d(channels)
        case "layer":
            return nn.GroupNorm(1, channels)
        case "none":
            return nn.Identity()


def initialise(network: nn.Module) -> None:
    """pix2pix's start: convolutions ~ N(0, 0.02), norm scales ~ N(1, 0.02), biases 0."""
    for module in network.modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, Tensor):
            continue
        centre = 1.0 if isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.InstanceNorm2d) else 0.0
        nn.init.normal_(weight, centre, 0.02)
        bias = getattr(module, "bias", None)
        if isinstance(bias, Tensor):
            nn.init.zeros_(bias)
