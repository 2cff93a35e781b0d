"""The pix2pix U-Net generator (Isola et al. 2017, §6.1.1) for images of 32, 64, … 512 pixels."""

from typing import Literal

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from common.colour import hints
from common.config import Settings
from common.errors import ColourbenchError
from common.fast.convolution import Conv2d, ConvTranspose2d, joined
from common.networks.colours import Colours, Head, TanhHead
from common.networks.layers import FiLM, FullPrecision, NormName, initialise, no_labels, norm

SIZES = (32, 64, 128, 256, 512)
WIDEST = 8  # channels grow from base_width to 8 x base_width: 64 to 512
# up blocks 0, 1, 2 from the bottom; the authors' PyTorch code uses 1, 2, 3: allow for that with their weights
DROPOUT_BLOCKS = 3


class UNetConfig(Settings):
    """pix2pix's U-Net."""

    kind: Literal["unet"] = "unet"
    """The family of the network: unet, or backbone for a timm encoder with a decoder."""
    base_width: int = Field(default=64, ge=4, le=512)
    """Channels of the first layer; deeper layers double them, up to eight times as many. pix2pix: 64."""
    norm: NormName = "batch"
    """Normalisation between convolutions."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout rate in the three innermost up blocks of full width; pix2pix's only source of noise."""


class UNet(nn.Module):
    """L (B, 1, H, W) -> ab (B, 2, H, W) in [-1, 1]; H and W are multiples of `stride`. With `classes` it is conditional on a label.

    A `hinted` one sees L and hints, (B, 4, H, W). The depth depends on the size, so that the bottleneck of a training image is
    1x1. At 256 pixels and width 64 it has 54,409,858 parameters.

    Raises:
        ColourbenchError: `size` is not a power of two from 32 to 512.
    """

    def __init__(
        self,
        config: UNetConfig,
        size: int,
        classes: int = 0,
        head: Head | None = None,
        hinted: bool = False,
    ) -> None:
        super().__init__()
        if size not in SIZES:
            raise ColourbenchError(
                f"the U-Net is made for images of {', '.join(map(str, SIZES))} pixels, not {size}"
            )
        depth = size.bit_length() - 1
        widths = [config.base_width * min(2**i, WIDEST) for i in range(depth)]
        self.stride = size
        self.inputs = 1 + hints.CHANNELS * hinted
        self.downs = nn.ModuleList(
            _down(i, [self.inputs, *widths], depth, config) for i in range(depth)
        )
        self.head = head or TanhHead()
        self.ups = nn.ModuleList(
            _up(i, widths, self.head.channels, config) for i in reversed(range(depth))
        )
        self.films = (
            nn.ModuleList(FiLM(classes, width) for width in reversed(widths)) if classes else None
        )
        initialise(self)

    def forward(
        self, L: Float[Tensor, "b c h w"], label: Int[Tensor, " b"] | None = None
    ) -> Colours:
        skips: list[Tensor] = []
        x = L
        for down in self.downs:
            x = down(x)
            skips.append(x)
        label = no_labels(L) if label is None else label
        x = self.ups[0](self._modulated(0, skips.pop(), label))
        # each up block also sees the encoder's features of its own resolution
        for level, up in enumerate(self.ups[1:], 1):
            x = up(joined(skips.pop(), self._modulated(level, x, label)))
        colours: Colours = self.head(x)
        return colours

    def _modulated(self, level: int, x: Tensor, label: Tensor) -> Tensor:
        """Applies the label's FiLM to the bottleneck (level 0) or an up block's output; without labels x is returned unchanged."""
        modulated: Tensor = self.films[level](x, label) if self.films else x
        return modulated


def _down(i: int, widths: list[int], depth: int, config: UNetConfig) -> nn.Sequential:
    """Down block i: halves the resolution. The outermost and innermost blocks have no norm."""
    lacks_norm = i in (0, depth - 1)
    layers: list[nn.Module] = [] if i == 0 else [nn.LeakyReLU(0.2)]
    # a norm with its own shift makes a bias useless
    bias = config.norm in ("instance", "none")
    layers.append(Conv2d(widths[i], widths[i + 1], 4, 2, 1, bias=bias))
    if not lacks_norm:
        layers.append(norm(config.norm, widths[i + 1]))
    return nn.Sequential(*layers)


def _up(i: int, widths: list[int], last: int, config: UNetConfig) -> nn.Sequential:
    """Up block i, the mirror of down block i: doubles the resolution. The outermost block has no norm, and gives colours."""
    innermost = i == len(widths) - 1
    outermost = i == 0
    incoming = widths[i] if innermost else 2 * widths[i]
    outgoing = last if outermost else widths[i - 1]
    bias = outermost or config.norm in ("instance", "none")
    layers: list[nn.Module] = [nn.ReLU(), ConvTranspose2d(incoming, outgoing, 4, 2, 1, bias=bias)]
    if not outermost:
        layers.append(norm(config.norm, outgoing))
    from_bottom = len(widths) - 1 - i
    if (
        from_bottom < DROPOUT_BLOCKS
        and outgoing == WIDEST * config.base_width
        and config.dropout > 0
    ):
        layers.append(nn.Dropout(config.dropout))
    return FullPrecision(*layers) if outermost else nn.Sequential(*layers)
