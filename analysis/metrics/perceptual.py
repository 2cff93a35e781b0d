"""LPIPS, FID and KID, through torchmetrics and with the networks that define them.

They are measured on what a user sees: uint8 photographs after the Lab round trip. The truth takes the same round trip.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy import stats
from torch import Tensor, nn

from analysis.metrics import weights
from analysis.statistics.crossed import LEVEL

Images = UInt8[Tensor, "b 3 h w"]
Features = Float[Tensor, "n features"]
Compare = Callable[[Images, Images], Float[Tensor, " b"]]
Extract = Callable[[Images], Features]

LPIPS = "lpips"


@dataclass(frozen=True)
class Networks:
    """The networks that are available; None where the weights are missing."""

    compare: Compare | None  # LPIPS of pairs of photographs
    extract: Extract | None  # Inception's 2048 pooled features

    @property
    def missing(self) -> list[str]:
        """What cannot be computed, and how to get the missing weights."""
        needs = {"LPIPS": (self.compare, weights.ALEXNET), "FID and KID": (self.extract, weights.INCEPTION)}
        return [
            f"{what}: {needed.name} is missing; `colourbench data weights` says how to get it"
            for what, (network, needed) in needs.items()
            if network is None
        ]


@dataclass(frozen=True)
class SetFigures:
    """FID and KID of a set of n photographs; KID's interval is over photographs."""

    fid: float
    kid: float
    kid_low: float
    kid_high: float
    n: int


def networks(device: torch.device | str = "cpu") -> Networks:
    """Loads the networks whose weights are in the cache.

    Raises:
        ColourbenchError: weights exist but are not the published ones.
    """
    compare = lpips_network(device) if weights.ALEXNET.is_here() else None
    return Networks(compare, inception(device) if weights.INCEPTION.is_here() else None)


def lpips_network(device: torch.device | str = "cpu") -> Compare:
    """LPIPS with AlexNet, version 0.1 (Zhang et al. 2018); identical photographs give 0."""
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    weights.ALEXNET.check()
    metric = LearnedPerceptualImagePatchSimilarity(net_type="alex").to(device)

    def compare(images: Images, truth: Images) -> Float[Tensor, " b"]:
        first, second = (batch.to(device).float() / 127.5 - 1 for batch in (images, truth))
        distance: Tensor = metric.net(first, second)
        return distance.flatten().cpu()

    return compare


def inception(device: torch.device | str = "cpu") -> Extract:
    """The Inception v3 that FID uses: 2048 features after the last pooling."""
    from torchmetrics.image.fid import NoTrainInceptionV3

    path = weights.INCEPTION.check()
    network = NoTrainInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)).to(device)
    return lambda images: network(images.to(device)).cpu()


@dataclass(frozen=True)
class Measured:
    """The networks' outputs for a split; None where a network is missing."""

    lpips: Float[np.ndarray, " n"] | None
    features: Features | None
    truth: Features | None

    @property
    def sets(self) -> SetFigures | None:
        """FID and KID, or None without features."""
        return None if self.features is None or self.truth is None else set_figures(self.features, self.truth)


@torch.no_grad()
def measure(batches: Iterable[tuple[Any, Images, Images]], available: Networks, truth: Features | None = None) -> Measured:
    """Computes LPIPS and features of batches from `evaluation.colourised`.

    Args:
        truth: features of the true photographs, if known: they are the same for every arm.
    """
    distances, features, true_features = [], [], []
    for _, images, real in batches:
        if available.compare:
            distances.append(available.compare(images, real))
        if available.extract:
            features.append(available.extract(images))
        if available.extract and truth is None:
            true_features.append(available.extract(real))
    lpips = torch.cat(distances).double().numpy() if distances else None
    known = torch.cat(true_features) if true_features else truth
    return Measured(lpips, torch.cat(features) if features else None, known if features else None)


def set_figures(features: Features, truth: Features) -> SetFigures:
    """FID and KID; row i of both is the same photograph, coloured and true. NaN for fewer than 3 photographs."""
    if len(features) < 3:
        return SetFigures(math.nan, math.nan, math.nan, math.nan, len(features))
    value, error = kid(features, truth)
    half = float(stats.t.ppf(1 - LEVEL / 2, len(features) - 1)) * error
    return SetFigures(fid(features, truth), value, value - half, value + half, len(features))


def fid(features: Features, truth: Features) -> float:
    """‖μ - μ_w‖² + tr(Σ + Σ_w - 2 (Σ Σ_w)^½) (Heusel et al. 2017, eq. 6). Biased for few photographs: compare only at equal n."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_Given(features.shape[1]))
    metric.update(truth.double(), real=True)
    metric.update(features.double(), real=False)
    return float(metric.compute())


def kid(features: Features, truth: Features) -> tuple[float, float]:
    """The unbiased MMD² with the kernel (x·y / d + 1)³ (Bińkowski et al. 2018, section 4), and its standard error.

    Computed over all photographs at once, not over subsets, whose spread is not a standard error. The error is the jackknife's:
    each photograph in turn is left out of both sets.
    """
    from torchmetrics.image.kid import poly_kernel

    x, y = features.double(), truth.double()
    xx, yy, xy = poly_kernel(x, x), poly_kernel(y, y), poly_kernel(x, y)
    n = len(x)
    within = xx.sum() - xx.trace() + yy.sum() - yy.trace()
    value = within / (n * (n - 1)) - 2 * xy.sum() / n**2
    own = 2 * (xx.sum(1) - xx.diag() + yy.sum(1) - yy.diag())  # terms that involve each photograph
    across = xy.sum(0) + xy.sum(1) - xy.diag()
    left_out = (within - own) / ((n - 1) * (n - 2)) - 2 * (xy.sum() - across) / (n - 1) ** 2
    error = torch.sqrt((n - 1) * left_out.var(correction=0))
    return float(value), float(error)


def over_seeds(values: Sequence[float]) -> tuple[float, float]:
    """The mean over seeds, and half of the width of its 95 % interval; NaN for one seed."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, math.nan
    return mean, float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1) * stats.sem(values))


class _Given(nn.Module):
    """Replaces the torchmetrics extractor, as the features are already computed."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, features: Tensor) -> Tensor:
        """Returns the features unchanged."""
        return features
