"""Image metrics: pure functions from uint8 sRGB photographs (B, 3, H, W), or from Lab, to one value per photograph.

PSNR, SSIM, CIEDE2000 and colourfulness are measured on the CPU, one photograph per thread, whichever device holds the images;
differences of uint8 never wrap around.
"""

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from analysis.metrics import ciede2000, colour_bleeding, photograph_sums
from common.colour import lab
from common.fast.compiled import for_each

Images = UInt8[Tensor, "b 3 h w"]
PerImage = Float[Tensor, " b"]
Lab = Float[Tensor, "b 3 h w"]

AB_SPAN = 220.0  # ab in Lab units run from about -110 to 110
GREY_CHROMA = 2.0  # C* below which a pixel looks grey


def psnr(images: Images, truth: Images) -> PerImage:
    """20 log10(255 / √MSE) over RGB; identical photographs give inf."""
    squared = _measured(photograph_sums.squared_error, images, truth)
    return _psnr(torch.tensor(squared, dtype=torch.float64) / math.prod(images.shape[1:]), 255.0)


def psnr_ab(images: Lab, truth: Lab) -> PerImage:
    """PSNR over the ab channels in Lab units, with the range 220."""
    mse = (images[:, 1:].double() - truth[:, 1:].double()).square().mean(dim=(1, 2, 3))
    return _psnr(mse, AB_SPAN)


def ssim(images: Images, truth: Images) -> PerImage:
    """Structural similarity over RGB (Wang et al. 2004): 11x11 Gaussian window, σ 1.5, K = (0.01, 0.03), without borders.

    Raises:
        ValueError: the photographs are smaller than the window.
    """
    if min(images.shape[2:]) <= photograph_sums.BORDER:
        raise ValueError(
            f"SSIM needs photographs of {photograph_sums.BORDER + 1} pixels and more, not {tuple(images.shape[2:])}"
        )
    return torch.tensor(_measured(photograph_sums.similarity, images, truth), dtype=torch.float64)


def delta_e(images: Lab, truth: Lab) -> PerImage:
    """CIEDE2000, averaged over pixels."""
    return delta_e_pixels(images, truth).double().mean(dim=(1, 2))


def delta_e_pixels(first: Lab, second: Lab) -> Float[Tensor, "b h w"]:
    """CIEDE2000 (Sharma, Wu & Dalal 2005) of each pixel, in float32, on the CPU and without gradients."""
    differences = np.empty((len(first), 1, *first.shape[2:]), np.float32)
    _measured(ciede2000.delta_e, first.float(), second.float(), out=differences)
    return torch.from_numpy(differences[:, 0])


def colourfulness(images: Images) -> PerImage:
    """M³ = √(σ²_rg + σ²_yb) + 0.3 √(μ²_rg + μ²_yb) (Hasler & Süsstrunk 2003, eq. 5); rg = R - G, yb = (R + G)/2 - B, signed.

    On the paper's scale 0 is not, 15 slightly, 33 moderately, 45 averagely, 59 quite, 82 highly and 109 extremely colourful.
    """
    sums = torch.tensor(_measured(photograph_sums.opponent_sums, images), dtype=torch.float64).view(
        -1, 2, 2
    )
    # sums are of 2yb and (2yb)²
    mean, square = (sums / math.prod(images.shape[2:]) / torch.tensor([[1, 1], [2, 4]])).unbind(2)
    deviation = (square - mean**2).clamp(min=0).sum(dim=1).sqrt()
    values: Tensor = deviation + 0.3 * mean.norm(dim=1)
    return values


def chroma(images: Lab) -> PerImage:
    """Mean C* = √(a² + b²)."""
    return torch.hypot(images[:, 1], images[:, 2]).mean(dim=(1, 2))


def grey_share(images: Lab) -> PerImage:
    """Share of pixels with C* below 2."""
    return (torch.hypot(images[:, 1], images[:, 2]) < GREY_CHROMA).float().mean(dim=(1, 2))


def ab_distance(images: Lab, truth: Lab) -> PerImage:
    """Wasserstein-1 distance between the distributions of the photographs' a and of their b, averaged over both, in Lab units.

    For samples of equal size this is the mean distance between the sorted values.
    """
    return torch.tensor(_measured(_sorted_distance, images, truth))


def bleeding(images: Lab) -> PerImage:
    """Share of the colour change that lies off the edges of L (`colour_bleeding`); the truth has a share of its own, above 0."""
    return torch.tensor(_measured(colour_bleeding.off_edges, images.float()), dtype=torch.float64)


def diversity(versions: Float[Tensor, "n b 3 h w"]) -> PerImage:
    """Mean ΔE*₇₆ over pixels and over all pairs of n versions of each photograph, in Lab; 0 if all versions are the same."""
    pairs = list(combinations(versions, 2))
    return torch.stack([(a - b).norm(dim=1).mean(dim=(1, 2)) for a, b in pairs]).mean(dim=0)


def all_metrics(images: Images, truth: Images) -> dict[str, PerImage]:
    """Every per-image metric of colourised photographs against the truth, on the CPU."""
    images = images.cpu()
    truth = truth.cpu()
    images_lab = lab.rgb_to_lab(images)
    truth_lab = lab.rgb_to_lab(truth)
    of_images = colourfulness(images)
    of_truth = colourfulness(truth)
    return {
        "psnr_rgb": psnr(images, truth),
        "psnr_ab": psnr_ab(images_lab, truth_lab),
        "ssim": ssim(images, truth),
        "delta_e": delta_e(images_lab, truth_lab),
        "colourfulness": of_images,
        "colourfulness_truth": of_truth,
        "colourfulness_difference": (of_images - of_truth).abs(),
        "chroma": chroma(images_lab),
        "grey_share": grey_share(images_lab),
        "ab_distance": ab_distance(images_lab, truth_lab),
        "bleeding": bleeding(images_lab),
        "bleeding_truth": bleeding(truth_lab),
    }


def _psnr(mse: Tensor, span: float) -> Tensor:
    return 20 * math.log10(span) - 10 * torch.log10(mse)


def _measured(
    kernel: Callable[..., Any], *images: Tensor, out: np.ndarray | None = None
) -> list[Any]:
    """The value that a kernel returns for each photograph, or its output in `out`; kernels do not check array bounds.

    Raises:
        ValueError: the photographs do not have three channels, or differ in size.
    """
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1 or {shape[1] for shape in shapes} != {3}:
        raise ValueError(
            f"only colour photographs of one size can be measured, not {' and '.join(map(str, shapes))}"
        )
    arrays = [image.detach().cpu().numpy() for image in images] + ([] if out is None else [out])
    return for_each(lambda *photographs: kernel(*map(np.ascontiguousarray, photographs)), *arrays)


def _sorted_distance(image: Float[np.ndarray, "3 h w"], truth: Float[np.ndarray, "3 h w"]) -> float:
    a, b = (np.sort(x[1:].reshape(2, -1)) for x in (image, truth))
    return float(np.abs(a - b).mean())
