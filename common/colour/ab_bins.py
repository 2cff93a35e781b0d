"""Quantises the ab plane into bins, for generators that classify colours (Zhang, Isola & Efros 2016)."""

from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from common.colour import lab

# a true colour is encoded over its nearest bins (Zhang et al. 2016, §2.2; the authors' code takes 10)
NEIGHBOURS = 5
SIGMA = 5.0  # … with a Gaussian of this width, in Lab units
PIXELS_AT_ONCE = 1 << 16
# step of the grid of sRGB values that finds the bins in gamut; a finer step finds no more
CUBE_STEP = 3


class AbBins:
    """Bins of `width` Lab units that contain an sRGB colour: 261 at width 10 (Zhang et al. keep 313, some outside of sRGB)."""

    def __init__(self, width: float) -> None:
        self.width = width
        self.centres: Float[Tensor, "q 2"] = _centres(width)  # in Lab units

    def __len__(self) -> int:
        return len(self.centres)

    def annealed_mean(
        self, logits: Float[Tensor, "b q h w"], temperature: float
    ) -> Float[Tensor, "b 2 h w"]:
        """The mean colour under softmax(logits / T), in the networks' scale of ab: T → 0 is the mode, T = 1 the mean (eq. 5)."""
        centres = _as_ab(self.centres).to(logits)
        return torch.einsum("bqhw,qc->bchw", torch.softmax(logits / temperature, dim=1), centres)

    def encode(
        self, ab: Float[Tensor, "b 2 h w"]
    ) -> tuple[Int[Tensor, "n 5"], Float[Tensor, "n 5"]]:
        """The nearest bins of every pixel, nearest first, and their weights, which sum to 1; n = b·h·w in that order."""
        distance, nearest = self._nearest(_in_lab_units(ab), NEIGHBOURS)
        weights = torch.exp(-(distance**2) / (2 * SIGMA**2))
        return nearest, weights / weights.sum(dim=1, keepdim=True)

    def nearest(self, ab: Float[Tensor, "b 2 h w"]) -> Int[Tensor, " n"]:
        """The bin of every pixel's ab, in Lab units; n = b·h·w in that order."""
        _, nearest = self._nearest(ab.permute(0, 2, 3, 1).reshape(-1, 2), 1)
        return nearest[:, 0].cpu()

    def smoothed(self, share: Float[Tensor, " q"]) -> Float[Tensor, " q"]:
        """p̃: the bins' shares of the pixels, smoothed over neighbouring bins (Zhang et al. 2016, §2.2)."""
        apart = torch.cdist(self.centres, self.centres)
        kernel = torch.exp(-(apart**2) / (2 * SIGMA**2)).double()
        return (kernel / kernel.sum(dim=0)) @ share.double().cpu()

    def rarity_weights(
        self, ab: Float[Tensor, "b 2 h w"], rebalancing: float
    ) -> Float[Tensor, " q"]:
        """w ∝ ((1 - λ) p̃ + λ/Q)⁻¹ with E_p̃[w] = 1 (eq. 4); p̃ is the smoothed share of each bin among the pixels of `ab`."""
        _, nearest = self._nearest(_in_lab_units(ab), 1)
        share = torch.bincount(nearest[:, 0], minlength=len(self)).double() / len(nearest)
        smooth = self.smoothed(share)
        weights = 1 / ((1 - rebalancing) * smooth + rebalancing / len(self))
        return (weights / (smooth * weights).sum()).float()

    def cross_entropy(
        self,
        logits: Float[Tensor, "b q h w"],
        ab: Float[Tensor, "b 2 h w"],
        weights: Float[Tensor, " q"],
    ) -> Float[Tensor, ""]:
        """-E[v(ab) Σ_q z_q log softmax(logits)_q], z the soft encoding and v the weight of the nearest bin (eq. 2 and 3)."""
        nearest, z = self.encode(ab)
        log_p = F.log_softmax(logits, dim=1).permute(0, 2, 3, 1).flatten(0, 2)  # (b·h·w, q)
        entropy = -(z * log_p.gather(1, nearest)).sum(dim=1)
        return (weights.to(entropy)[nearest[:, 0]] * entropy).mean()

    def _nearest(self, ab: Float[Tensor, "n 2"], count: int) -> tuple[Tensor, Tensor]:
        """Distances and indices of the nearest bins, in blocks of pixels: all pixels at once would take gigabytes."""
        centres = self.centres.to(ab)
        nearest = [
            torch.cdist(part, centres).topk(count, dim=1, largest=False)
            for part in ab.split(PIXELS_AT_ONCE)
        ]
        return torch.cat([part.values for part in nearest]), torch.cat(
            [part.indices for part in nearest]
        )


def _in_lab_units(ab: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "n 2"]:
    return lab.join(ab[:, :1], ab)[:, 1:].permute(0, 2, 3, 1).flatten(0, 2)


def _as_ab(centres: Float[Tensor, "q 2"]) -> Float[Tensor, "q 2"]:
    image = torch.cat([centres[:, :1], centres], dim=1)[:, :, None, None]
    return lab.split(image)[1][:, :, 0, 0]


@cache
def _centres(width: float) -> Float[Tensor, "q 2"]:
    values = torch.arange(0, 256, CUBE_STEP).float() / 255
    rgb = torch.cartesian_prod(values, values, values)
    ab = lab.rgb_to_lab(rgb[:, :, None, None])[:, 1:, 0, 0]
    bins: Tensor = torch.unique((ab / width).round(), dim=0)
    return bins * width
