"""The pix2pix patch critic (Isola et al. 2017, §6.1.2): one logit for each patch of the photograph, at one or more scales."""

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from common.config import Settings
from common.fast.convolution import Conv2d
from common.networks.layers import NormName, initialise, no_labels, norm, spectral_norm

WIDEST = 8


class PatchCriticConfig(Settings):
    """The critic's network."""

    base_width: int = Field(default=64, ge=4, le=512)
    """Channels of the first layer. pix2pix: 64."""
    layers: int = Field(default=3, ge=1, le=6)
    """Number of stride-2 convolutions; each logit sees 70x70 pixels with 3 of them, 16x16 with 1, 286x286 with 5."""
    norm: NormName = "batch"
    """Normalisation between convolutions; a gradient penalty needs one that does not mix images, so not `batch`."""
    scales: int = Field(default=1, ge=1, le=4)
    """Number of critics of this design, on the photograph at full, half, quarter … resolution (Wang et al. 2018, pix2pixHD)."""
    spectral_norm: bool = False
    """Spectral norm on every convolution."""
    projection: bool = False
    """Also judge how well the photograph fits its label (Miyato & Koyama 2018); needs generator.labels."""


class Critic(nn.Module):
    """(L, ab, label) -> one map of logits (B, 1, h, w) for each scale, higher for real."""

    def __init__(self, config: PatchCriticConfig, classes: int = 0) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchCritic(config, classes) for _ in range(config.scales))

    def forward(
        self,
        L: Float[Tensor, "b 1 h w"],
        ab: Float[Tensor, "b 2 h w"],
        label: Int[Tensor, " b"] | None = None,
    ) -> list[Tensor]:
        maps = []
        for number, critic in enumerate(self.scales):
            if number:
                L, ab = (F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) for x in (L, ab))
            maps.append(critic(L, ab, label))
        return maps


class PatchCritic(nn.Module):
    """(L, ab) -> logits (B, 1, h, w), higher for real.

    At 256 pixels, width 64 and 3 layers: 2,765,633 parameters, 30x30 logits, each seeing 70x70 pixels. With `projection`
    the inner product of the label's embedding and the mean feature is added to every logit (Miyato & Koyama 2018, eq. 3).
    """

    def __init__(self, config: PatchCriticConfig, classes: int = 0) -> None:
        super().__init__()
        widths = [3] + [config.base_width * min(2**i, WIDEST) for i in range(config.layers + 1)]
        bias = config.norm in ("instance", "none")
        blocks: list[nn.Module] = []
        for i, (incoming, outgoing) in enumerate(pairwise(widths)):
            stride = 2 if i < config.layers else 1
            blocks.append(Conv2d(incoming, outgoing, 4, stride, 1, bias=bias or i == 0))
            if i > 0:
                blocks.append(norm(config.norm, outgoing))
            blocks.append(nn.LeakyReLU(0.2))
        self.blocks = nn.Sequential(*blocks, Conv2d(widths[-1], 1, 4, 1, 1))
        # its last row: no label
        self.embedding = nn.Embedding(classes + 1, widths[-1]) if config.projection else None
        initialise(self)
        if config.spectral_norm:
            spectral_norm(self)

    def forward(
        self,
        L: Float[Tensor, "b 1 h w"],
        ab: Float[Tensor, "b 2 h w"],
        label: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b 1 m n"]:
        # (B, 3, H, W) -> (B, c, h, w)
        features = self.blocks[:-1](torch.cat([L, ab], dim=1))
        logits: Tensor = self.blocks[-1](features)
        if self.embedding is None:
            return logits
        label = no_labels(L) if label is None else label
        embedded = self.embedding(label % self.embedding.num_embeddings)
        # (B, 1, 1, 1)
        fit: Tensor = (embedded * features.mean(dim=(2, 3))).sum(dim=1).view(-1, 1, 1, 1)
        return logits + fit
