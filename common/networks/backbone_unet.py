"""A U-Net whose encoder is any timm backbone, and DeOldify's large generator as its widest setting (Antic 2018)."""

from typing import Literal, cast

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from common.colour import hints
from common.errors import ColourbenchError
from common.networks.colours import Colours, Head, TanhHead
from common.networks.encoders import Encoder, EncoderConfig, described
from common.networks.layers import (
    FiLM,
    FullPrecision,
    NormName,
    SelfAttention,
    initialise,
    nearest,
    no_labels,
    norm,
    spectral_norm,
)

NARROWEST = 16
# self-attention where the feature map has an eighth of the photograph's side
ATTENTION_REDUCTION = 8
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

    def check(self, size: int, images: int) -> None:
        """Checks that images of `size` pixels, of which norms see `images` at once, leave the norms something to compare.

        Raises:
            ColourbenchError: the innermost map has one position, and a norm of the settings needs more.
        """
        encoder = described(self.encoder)
        if size // encoder.stride > 1:
            return
        has_batch_norm = (encoder.has_batch_norm and not self.frozen) or (
            self.bridge_width and self.norm == "batch"
        )
        if images < 2 and has_batch_norm:
            raise ColourbenchError(
                f"at {size} pixels the innermost map of {self.encoder} has one position, and batch norm needs two values: "
                "use larger images, a larger batches.size or a smaller variant.accumulation"
            )
        if self.norm == "instance" and self.bridge_width:
            raise ColourbenchError(
                f"at {size} pixels the innermost map of {self.encoder} has one position, which instance norm turns into 0: "
                "use larger images, bridge_width=0, or norm=batch or layer"
            )


class BackboneUNet(nn.Module):
    """L (B, 1, H, W) -> ab (B, 2, H, W) in [-1, 1]; H and W are multiples of `stride`. With `classes` it is conditional on a label.

    The encoder receives L as a grey RGB photograph, normalised with the mean and standard deviation of its pretraining.
    L*/100 stands for the grey value: both are nearly proportional to perceived lightness. A `hinted` one sees L and hints,
    (B, 4, H, W); the hints reach the bottleneck and every decoder block, at its own resolution.
    """

    def __init__(
        self,
        config: BackboneUNetConfig,
        classes: int = 0,
        head: Head | None = None,
        hinted: bool = False,
    ) -> None:
        super().__init__()
        self._config = config
        self._hints = hints.CHANNELS * hinted
        self.inputs = 1 + self._hints
        encoder = Encoder(config)
        self.stride = max(encoder.reductions)
        deepest = encoder.channels[-1]
        self.bridge = _bridge(deepest, config)
        self.blocks = nn.ModuleList(_blocks(encoder, config, self._hints))
        widths = [cast(UpBlock, block).width for block in self.blocks]
        self.films = (
            nn.ModuleList(FiLM(classes, width) for width in [deepest, *widths]) if classes else None
        )
        self.head = head or TanhHead()
        self.last = FullPrecision(nn.Conv2d(widths[-1], self.head.channels, 3, 1, 1))
        initialise(self)
        for block in self.blocks:
            cast(UpBlock, block).without_checkerboard()
        if config.spectral_norm:
            spectral_norm(self)
        # last, so that initialise leaves it alone
        self.encoder = encoder.requires_grad_(not config.frozen)
        self.train()  # a frozen encoder is in evaluation mode from the start

    def forward(
        self, seen: Float[Tensor, "b c h w"], label: Int[Tensor, " b"] | None = None
    ) -> Colours:
        L = seen[:, :1]
        points = seen[:, 1:]  # (B, 3, H, W), or no channels
        label = no_labels(L) if label is None else label
        # its input: (B, 3, H, W)
        *skips, x = self.encoder(((L + 1.0) / 2.0).expand(-1, 3, -1, -1))
        x = self._modulated(0, self.bridge(x), label)
        if self._hints:
            x = _beside(x, hints.pooled(points, self.stride))  # (B, c + 3, h, w)
        for level, block in enumerate(self.blocks, 1):
            x = self._modulated(level, block(x, self._skip(level, skips, L, points)), label)
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

    def _skip(self, level: int, skips: list[Tensor], L: Tensor, points: Tensor) -> Tensor | None:
        """What a decoder block joins: the encoder's features of its resolution, the hints, and, in the last block, L itself."""
        parts = [skips[-level]] if level <= len(skips) else []
        if self._hints:
            parts.append(hints.pooled(points, self.stride >> level))
        if level == len(self.blocks):
            parts.append(L)
        if not parts:
            return None
        joined = parts[0]
        for part in parts[1:]:
            joined = _beside(joined, part)
        return joined

    def _modulated(self, level: int, x: Tensor, label: Tensor) -> Tensor:
        modulated: Tensor = self.films[level](x, label) if self.films else x
        return modulated


class UpBlock(nn.Module):
    """Doubles the resolution, joins the encoder's features of that resolution, and convolves."""

    def __init__(
        self, incoming: int, skip: int, width: int, dropout: float, config: BackboneUNetConfig
    ) -> None:
        super().__init__()
        self.width = width
        self._shuffles = config.upsampling == "pixel_shuffle"
        self.enlarge = nn.Conv2d(incoming, width * (4 if self._shuffles else 1), 1)
        bias = config.norm in ("instance", "none")
        layers = [
            nn.Conv2d(width + skip, width, 3, 1, 1, bias=bias),
            norm(config.norm, width),
            nn.ReLU(),
            nn.Dropout(dropout),
        ]
        self.layers = nn.Sequential(*layers[: 4 if dropout else 3])

    def forward(
        self, x: Float[Tensor, "b c h w"], skip: Float[Tensor, "b s h2 w2"] | None
    ) -> Float[Tensor, "b d h2 w2"]:
        x = self.enlarge(x)
        if self._shuffles:  # the blur removes what remains of the 2x2 pattern (DeOldify)
            x = F.avg_pool2d(
                F.pad(F.pixel_shuffle(F.relu(x), 2), (1, 0, 1, 0), mode="replicate"), 2, stride=1
            )
        else:
            x = F.relu(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))
        if skip is not None:
            x = torch.cat([_resized(x, skip), skip.to(x)], dim=1)  # (B, width + s, h2, w2)
        joined: Tensor = self.layers(x)
        return joined

    def without_checkerboard(self) -> None:
        """ICNR (Aitken et al. 2017): the four channels that become a 2x2 patch start equal."""
        if self._shuffles:
            with torch.no_grad():
                self.enlarge.weight.copy_(self.enlarge.weight[::4].repeat_interleave(4, dim=0))


class AttentiveUpBlock(UpBlock):
    """An UpBlock with self-attention on its result."""

    def __init__(
        self, incoming: int, skip: int, width: int, dropout: float, config: BackboneUNetConfig
    ) -> None:
        super().__init__(incoming, skip, width, dropout, config)
        self.attention = SelfAttention(width)

    def forward(
        self, x: Float[Tensor, "b c h w"], skip: Float[Tensor, "b s h2 w2"] | None
    ) -> Float[Tensor, "b d h2 w2"]:
        attended: Tensor = self.attention(super().forward(x, skip))
        return attended


def _resized(x: Tensor, like: Tensor) -> Tensor:
    """x with the height and width of another map; they differ where an encoder rounds sides, as Xception does."""
    if x.shape[2:] == like.shape[2:]:
        return x
    return nearest(nearest(x, 2, like.shape[2]), 3, like.shape[3])


def _beside(x: Tensor, other: Tensor) -> Tensor:
    """The channels of x, then those of another map."""
    return torch.cat([x, _resized(other, x).to(x)], dim=1)


def _bridge(channels: int, config: BackboneUNetConfig) -> nn.Module:
    if not config.bridge_width:
        return nn.Identity()
    wide = config.bridge_width
    return nn.Sequential(
        norm(config.norm, channels), nn.ReLU(),
        nn.Conv2d(channels, wide, 3, 1, 1), norm(config.norm, wide), nn.ReLU(),
        nn.Conv2d(wide, channels, 3, 1, 1), norm(config.norm, channels), nn.ReLU(),
    )  # fmt: skip


def _blocks(encoder: Encoder, config: BackboneUNetConfig, hint_channels: int) -> list[UpBlock]:
    """Builds one decoder block for each halving of the resolution in the encoder, innermost first."""
    skips = dict(zip(encoder.reductions[:-1], encoder.channels[:-1], strict=True))
    blocks: list[UpBlock] = []
    incoming = encoder.channels[-1] + hint_channels
    reduction = encoder.reductions[-1]
    while reduction > 1:
        reduction //= 2
        width = (
            config.decoder_width
            if config.wide
            else max(NARROWEST, config.decoder_width >> len(blocks))
        )
        kind = (
            AttentiveUpBlock if config.attention and reduction == ATTENTION_REDUCTION else UpBlock
        )
        dropout = config.dropout if len(blocks) < DROPOUT_BLOCKS else 0.0
        # L itself at full resolution
        joined = skips.get(reduction, 0) + hint_channels + (reduction == 1)
        blocks.append(kind(incoming, joined, width, dropout, config))
        incoming = width
    return blocks
