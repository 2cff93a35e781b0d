"""The pix2pix patch critic (Isola et al. 2017, §6.1.2): one logit for each patch of the photograph."""

from itertools import pairwise

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from common.config import Settings
from common.networks.layers import NormName, initialise, norm

WIDEST = 8


class PatchCriticConfig(Settings):
    """The critic's network."""

    base_width: int = Field(default=64, ge=4, le=512)
    """Channels of the first layer. pix2pix: 64."""
    layers: int = Field(default=3, ge=1, le=6)
    """Convolutions of stride 2; 3 give patches of 70 pixels, 1 of 16, 5 of 286."""
    norm: NormName = "batch"
    """Normalisation between convolutions; a gradient penalty needs one that does not mix images."""


class PatchCritic(nn.Module):
    """(L, ab) -> logits (B, 1, h, w), higher for real.

    At 256 pixels, width 64 and 3 layers: 2,765,633 parameters, 30x30 logits, each seeing 70x70 pixels.
    """

    def __init__(self, config: PatchCriticConfig) -> None:
        super().__init__()
        widths = [3] + [config.base_width * min(2**i, WIDEST) for i in range(config.layers + 1)]
        bias = config.norm in ("instance", "none")
        blocks: list[nn.Module] = []
        for i, (incoming, outgoing) in enumerate(pairwise(widths)):
            stride = 2 if i < config.layers else 1
            blocks.append(nn.Conv2d(incoming, outgoing, 4, stride, 1, bias=bias or i == 0))
            if i > 0:
                blocks.append(norm(config.norm, outgoing))
            blocks.append(nn.LeakyReLU(0.2))
        self.blocks = nn.Sequential(*blocks, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        initialise(self)

    def forward(self, L: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 1 m n"]:
        logits: Tensor = self.blocks(torch.cat([L, ab], dim=1))
        return logits
