"""A generator's output, and the heads that compute it."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from common.colour.ab_bins import AbBins
from common.networks.layers import full_precision


class Colours(NamedTuple):
    """ab (B, 2, H, W) in about [-1, 1]; a classification head also returns logits (B, Q, H, W) over bins of ab."""

    ab: Tensor
    logits: Tensor | None = None


class TanhHead(nn.Module):
    """ab as tanh of two feature maps (Isola et al. 2017)."""

    channels = 2

    def forward(self, x: Float[Tensor, "b 2 h w"]) -> Colours:
        return Colours(x.tanh())


class BinsHead(nn.Module):
    """A distribution over quantised ab at every pixel, and its annealed mean as ab (Zhang et al. 2016, eq. 5)."""

    def __init__(self, bins: AbBins, temperature: float) -> None:
        super().__init__()
        self.channels = len(bins)
        self._bins = bins
        self._temperature = temperature

    def forward(self, x: Float[Tensor, "b q h w"]) -> Colours:
        logits = x.float()
        with full_precision(logits):
            return Colours(self._bins.annealed_mean(logits, self._temperature), logits)


# a generator's last module; its input has `channels` feature maps
Head = TanhHead | BinsHead
