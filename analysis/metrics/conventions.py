"""What published evaluations of colourisers compute, so that a figure can stand beside theirs under their own convention.

Colourfulness with |rg| and |yb| reads 8 to 10 % low, SSIM depends on its window and range, and differences of means are not means
of differences: a figure without its convention compares with nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from skimage.metrics import structural_similarity
from torch import Tensor

from analysis.metrics import per_image
from common.colour.ab_bins import AbBins

Images = UInt8[Tensor, "b 3 h w"]
Lab = Float[Tensor, "b 3 h w"]
PerImage = Float[Tensor, " b"]

FARTHEST = 150  # the largest threshold of the AuC, in units of ab
BIN_WIDTH = 10.0
CT2_RANGE = 225  # of SSIM in CT²'s code; photographs have 255


def absolute_colourfulness(images: Images) -> PerImage:
    """Hasler & Süsstrunk's M³ with |R - G| and |(R + G)/2 - B|, as in the code of DDColor, CT² and UniColor."""
    red, green, blue = images.cpu().double().unbind(1)
    rg = (red - green).abs().flatten(1)
    yb = ((red + green) / 2 - blue).abs().flatten(1)
    deviation = torch.hypot(rg.std(1, correction=0), yb.std(1, correction=0))
    values: Tensor = deviation + 0.3 * torch.hypot(rg.mean(1), yb.mean(1))
    return values


def ssim_of_ct2(images: Images, truth: Images) -> PerImage:
    """scikit-image's SSIM as CT²'s code calls it: a uniform window of 7 pixels, each channel for itself, a range of 225."""
    pairs = zip(_hwc(images), _hwc(truth), strict=True)
    values = [
        structural_similarity(theirs, real, data_range=CT2_RANGE, channel_axis=2)
        for theirs, real in pairs
    ]
    return torch.tensor(values, dtype=torch.float64)


def within_reach(images: Lab, truth: Lab) -> Float[Tensor, "b h w"]:
    """Of each pixel, the share of the thresholds 0, 1, … 150 that its distance in ab does not exceed (Zhang et al. 2016, §3.1).

    Its mean over pixels is the area under the curve of the share of pixels within a threshold, normalised to 1.
    """
    distance = (images[:, 1:].double() - truth[:, 1:].double()).norm(dim=1)
    share: Tensor = (FARTHEST + 1 - distance.ceil()).clamp(min=0) / (FARTHEST + 1)
    return share


class Rarity:
    """How rare the true colours are over a whole set: the weights of the rebalanced AuC (Zhang et al. 2016, eq. 4 with λ = 0)."""

    def __init__(self) -> None:
        self._bins = AbBins(BIN_WIDTH)
        self._counts = torch.zeros(len(self._bins), dtype=torch.float64)

    def add(self, truth: Lab) -> None:
        """Counts the colours of true photographs."""
        nearest = self._bins.nearest(truth[:, 1:])
        self._counts += torch.bincount(nearest, minlength=len(self._bins)).double()

    def weights(self, truth: Lab) -> Float[Tensor, "b h w"]:
        """Each pixel's weight: the inverse of its colour's smoothed share of all pixels that were counted."""
        of_bins = 1 / self._bins.smoothed(self._counts / self._counts.sum())
        shape = (len(truth), *truth.shape[2:])
        return of_bins[self._bins.nearest(truth[:, 1:])].view(shape)


def area_under_curve(images: Lab, truth: Lab, rarity: Rarity) -> dict[str, Float[np.ndarray, " b"]]:
    """Of each photograph: the AuC, and the sums over pixels of weight x share and of weight that make the rebalanced one."""
    share = within_reach(images, truth)
    weight = rarity.weights(truth)
    sums = {
        "auc": share.mean(dim=(1, 2)),
        "auc_weighted": (share * weight).sum(dim=(1, 2)),
        "auc_weights": weight.sum(dim=(1, 2)),
    }
    return {name: values.numpy() for name, values in sums.items()}


@dataclass(frozen=True)
class Convention:
    """How one published evaluation measures: its figures of each photograph, and what of it is not computed here."""

    source: str
    figures: Mapping[str, Callable[[Images, Images], PerImage]]
    by_means: bool = False  # ΔCF is |mean CF - mean true CF|, not a mean of differences
    not_computed: str = ""


_TORCHVISION_FID = (
    "its FID (features of torchvision's ImageNet Inception on another scale of pixels; "
    "FID of the published Inception is in the table without --as)"
)
CONVENTIONS = {
    "ddcolor": Convention(
        "Kang et al. 2023 and their code",
        {
            "PSNR (RGB), dB": per_image.psnr,
            "colourfulness, |rg| and |yb|": lambda images, _: absolute_colourfulness(images),
            "… of the truth": lambda _, truth: absolute_colourfulness(truth),
        },
        by_means=True,
        not_computed=_TORCHVISION_FID,
    ),
    "ct2": Convention(
        "Weng et al. 2022 and their code",
        {
            "PSNR (RGB), dB": per_image.psnr,
            "SSIM, range 225": ssim_of_ct2,
            "colourfulness, |rg| and |yb|": lambda images, _: absolute_colourfulness(images),
            "… of the truth": lambda _, truth: absolute_colourfulness(truth),
        },
        by_means=True,
        not_computed=_TORCHVISION_FID,
    ),
    # only its AuC, which needs all photographs at once
    "zhang": Convention("Zhang, Isola & Efros 2016, §3.1", {}, not_computed="VGG's accuracy"),
}


def _hwc(images: Images) -> np.ndarray:
    return images.cpu().permute(0, 2, 3, 1).numpy()
