"""A U-Net whose encoder is any timm backbone, and DeOldify's large generator as its widest setting (Antic 2018)."""

from typing import Literal, cast

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from common.networks.colours import Colours, Head, TanhHead
from common.networks.encoders import Encoder, EncoderConfig
from common.networks.layers import FiLM, NormName, SelfAttention, initialise, nearest, no_labels, norm, spectral_norm

NARROWEST = 16
ATTENTION_REDUCTION = 8  # self-attention where the feature map has an eighth of the photograph's side
DROPOUT_BLOCKS = 3


class BackboneUNetConfig(EncoderConfig):
    """A timm encoder with a decoder."""

    kind: Literal["backbone"] = "backbone"
    """The family of the network."""
    frozen: bool = False
    """Do not train the encoder; its batch-norm statistics stay fixed too."""
    encoder_rate: float = Field(default=1.0, gt=0, le=1)
    """The encoder's learning rate as a fraction of the generator's."""
    decoder_width: int = Field(default=256, ge=8, le=2048)
    """Channels of the first (innermost) decoder block; each later block has half as many, but at least 16."""
    wide: bool = False
    """Keep decoder_width in every decoder block, as DeOldify's wide generators do."""
    bridge_width: int = Field(default=0, ge=0, le=8192)
    """Channels between the two convolutions that DeOldify puts between encoder and decoder; 0 leaves them out."""
    upsampling: Literal["pixel_shuffle", "bilinear"] = "pixel_shuffle"
    """How decoder blocks double the resolution; neither option causes checkerboard artefacts."""
    norm: NormName = "batch"
    """Normalisation in the decoder."""
    attention: bool = False
    """Add self-attention where the feature map has an eighth of the photograph's side."""
    spectral_norm: bool = False
    """Spectral norm on the decoder's convolutions."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout rate in the three innermost decoder blocks; this noise makes several samples of one photograph differ."""


class BackboneUNet(nn.Module):
    """L (B, 1, H, W) -> ab (B, 2, H, W) in [-1, 1]; H and W are multiples of `stride`. With `classes` it is conditional on a label.

    The encoder receives L as a grey RGB photograph, normalised with the mean and standard deviation of its pretraining.
    L*/100 stands for the grey value: both are nearly proportional to perceived lightness.
    """

    def __init__(self, config: BackboneUNetConfig, classes: int = 0, head: Head | None = None) -> None:
        super().__init__()
        self._config = config
        self.inputs = 1  # channels: L alone
        encoder = Encoder(config)
        self.stride = max(encoder.reductions)
        deepest = encoder.channels[-1]
        self.bridge = _bridge(deepest, config)
        self.blocks = nn.ModuleList(_blocks(encoder, config))
        widths = [cast(UpBlock, block).width for block in self.blocks]
        self.films = nn.ModuleList(FiLM(classes, width) for width in [deepest, *widths]) if classes else None
        self.head = head or TanhHead()
        self.last = nn.Conv2d(widths[-1], self.head.channels, 3, 1, 1)
        initialise(self)
        for block in self.blocks:
            cast(UpBlock, block).without_checkerboard()
        if config.spectral_norm:
            spectral_norm(self)
        self.encoder = encoder.requires_grad_(not config.frozen)  # last, so that initialise leaves it alone
        self.train()  # a frozen encoder is in evaluation mode from the start

    def forward(self, L: Float[Tensor, "b 1 h w"], label: Int[Tensor, " b"] | None = None) -> Colours:
        label = no_labels(L) if label is None else label
        *skips, x = self.encoder(((L + 1.0) / 2.0).expand(-1, 3, -1, -1))  # its input: (B, 3, H, W)
        x = self._modulated(0, self.bridge(x), label)
        for level, block in enumerate(self.blocks, 1):
            x = self._modulated(level, block(x, self._skip(level, skips, L)), label)
        colours: Colours = self.head(self.last(x))
        return colours

    def train(self, mode: bool = True) -> "BackboneUNet":
        """Sets the training mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.train(mode and not self._config.frozen)
        return self

    def rate_of(self, name: str) -> float:
        """The learning rate of a named parameter as a fraction of the generator's."""
        return self._config.encoder_rate if name.startswith("encoder.") else 1.0

    def _skip(self, level: int, skips: list[Tensor], L: Tensor) -> Tensor | None:
        """The encoder features that a decoder block receives; the last block also receives L itself."""
        skip = skips[-level] if level <= len(skips) else None
        if level < len(self.blocks):
            return skip
        return L if skip is None else torch.cat([skip, L.to(skip)], dim=1)  # (B, s + 1, H, W)

    def _modulated(self, level: int, x: Tensor, label: Tensor) -> Tensor:
        modulated: Tensor = self.films[level](x, label) if self.films else x
        return modulated


class UpBlock(nn.Module):
    """Doubles the resolution, joins the encoder's features of that resolution, and convolves."""

    def __init__(self, incoming: int, skip: int, width: int, dropout: float, config: BackboneUNetConfig) -> None:
        super().__init__()
        self.width = width
        self._shuffles = config.upsampling == "pixel_shuffle"
        self.enlarge = nn.Conv2d(incoming, width * (4 if self._shuffles else 1), 1)
        bias = config.norm in ("instance", "none")
        layers = [nn.Conv2d(width + skip, width, 3, 1, 1, bias=bias), norm(config.norm, width), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers[: 4 if dropout else 3])

    def forward(self, x: Float[Tensor, "b c h w"], skip: Float[Tensor, "b s h2 w2"] | None) -> Float[Tensor, "b d h2 w2"]:
        x = self.enlarge(x)
        if self._shuffles:  # the blur removes what remains of the 2x2 pattern (DeOldify)
            x = F.avg_pool2d(F.pad(F.pixel_shuffle(F.relu(x), 2), (1, 0, 1, 0), mode="replicate"), 2, stride=1)
        else:
            x = F.relu(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))
        if skip is not None:
            if x.shape[2:] != skip.shape[2:]:  # Xception rounds sides
                x = nearest(nearest(x, 2, skip.shape[2]), 3, skip.shape[3])
            x = torch.cat([x, skip.to(x)], dim=1)  # (B, width + s, h2, w2)
        joined: Tensor = self.layers(x)
        return joined

    def without_checkerboard(self) -> None:
        """ICNR (Aitken et al. 2017): the four channels that become a 2x2 patch start equal."""
        if self._shuffles:
            with torch.no_grad():
                self.enlarge.weight.copy_(self.enlarge.weight[::4].repeat_interleave(4, dim=0))


class AttentiveUpBlock(UpBlock):
    """An UpBlock with self-attention on its result."""

    def __init__(self, incoming: int, skip: int, width: int, dropout: float, config: BackboneUNetConfig) -> None:
        super().__init__(incoming, skip, width, dropout, config)
        self.attention = SelfAttention(width)

    def forward(self, x: Float[Tensor, "b c h w"], skip: Float[Tensor, "b s h2 w2"] | None) -> Float[Tensor, "b d h2 w2"]:
        attended: Tensor = self.attention(super().forward(x, skip))
        return attended


def _bridge(channels: int, config: BackboneUNetConfig) -> nn.Module:
    if not config.bridge_width:
        return nn.Identity()
    wide = config.bridge_width
    return nn.Sequential(
        norm(config.norm, channels), nn.ReLU(),
        nn.Conv2d(channels, wide, 3, 1, 1), norm(config.norm, wide), nn.ReLU(),
        nn.Conv2d(wide, channels, 3, 1, 1), norm(config.norm, channels), nn.ReLU(),
    )  # fmt: skip


def _blocks(encoder: Encoder, config: BackboneUNetConfig) -> list[UpBlock]:
    """Builds one decoder block for each halving of the resolution in the encoder, innermost first."""
    skips = dict(zip(encoder.reductions[:-1], encoder.channels[:-1], strict=True))
    blocks: list[UpBlock] = []
    incoming, reduction = encoder.channels[-1], encoder.reductions[-1]
    while reduction > 1:
        reduction //= 2
        width = config.decoder_width if config.wide else max(NARROWEST, config.decoder_width >> len(blocks))
        kind = AttentiveUpBlock if config.attention and reduction == ATTENTION_REDUCTION else UpBlock
        dropout = config.dropout if len(blocks) < DROPOUT_BLOCKS else 0.0
        blocks.append(kind(incoming, skips.get(reduction, 0) + (reduction == 1), width, dropout, config))
        incoming = width
    return blocks
