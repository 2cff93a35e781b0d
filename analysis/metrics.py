"""Image metrics, batched in torch: pure functions from uint8 sRGB photographs (B, 3, H, W) to one figure for each.

Every figure is computed in floating point; differences of uint8 would wrap around.
"""

import math
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from common import lab

Images = UInt8[Tensor, "b 3 h w"]
PerImage = Float[Tensor, " b"]
Lab = Float[Tensor, "b 3 h w"]

AB_SPAN = 220.0  # ab in Lab units run from about -110 to 110
GREY_CHROMA = 2.0  # C* below which a pixel looks grey


def psnr(images: Images, truth: Images) -> PerImage:
    """20 log10(255 / √MSE) over RGB; identical photographs give inf."""
    return _psnr(lab.in_cache(_squared_error, images, truth), 255.0)


def psnr_ab(images: Lab, truth: Lab) -> PerImage:
    """PSNR over the ab channels in Lab units, with the range 220."""
    mse = (images[:, 1:].double() - truth[:, 1:].double()).square().mean(dim=(1, 2, 3))
    return _psnr(mse, AB_SPAN)


def ssim(images: Images, truth: Images) -> PerImage:
    """Structural similarity over RGB (Wang et al. 2004): Gaussian window of σ 1.5 and 11x11, K = (0.01, 0.03), borders left out."""
    return lab.in_cache(_ssim, images, truth)


def delta_e(images: Lab, truth: Lab) -> PerImage:
    """CIEDE2000 (Sharma, Wu & Dalal 2005), the mean over pixels."""
    return lab.in_cache(lambda first, second: delta_e_pixels(first, second).mean(dim=(1, 2)), images, truth)


def delta_e_pixels(first: Lab, second: Lab) -> Float[Tensor, "b h w"]:
    """CIEDE2000 of each pixel; symbols and equations (2) to (22) as in Sharma, Wu & Dalal 2005."""
    L1, a1, b1 = first.unbind(1)
    L2, a2, b2 = second.unbind(1)
    C_mean = (_length(a1, b1) + _length(a2, b2)) / 2
    G = 0.5 * (1 - _seventh_power_ratio(C_mean))  # (4)
    a1, a2 = (1 + G) * a1, (1 + G) * a2  # (5)
    C1, C2 = _length(a1, b1), _length(a2, b2)  # (6)
    h1, h2 = _hue(a1, b1), _hue(a2, b2)  # (7)

    dL, dC = L2 - L1, C2 - C1  # (8), (9)
    dh = h2 - h1
    dh = dh - 2 * math.pi * torch.round(dh / (2 * math.pi))  # (10)
    dH = 2 * torch.sqrt(C1 * C2) * torch.sin(dh / 2)  # (11); 0 where a colour is grey, so that its h does not matter below

    L, C = (L1 + L2) / 2, (C1 + C2) / 2  # (12), (13)
    far, late = ((h1 - h2).abs() > math.pi).to(h1), (h1 + h2 >= 2 * math.pi).to(h1)
    h = (h1 + h2) / 2 + math.pi * far * (1 - 2 * late)  # (14)
    T = (
        1
        - 0.17 * torch.cos(h - math.radians(30))
        + 0.24 * torch.cos(2 * h)
        + 0.32 * torch.cos(3 * h + math.radians(6))
        - 0.20 * torch.cos(4 * h - math.radians(63))
    )  # (15)
    d_theta = math.radians(30) * torch.exp(-(((h - math.radians(275)) / math.radians(25)) ** 2))  # (16)
    R_C = 2 * _seventh_power_ratio(C)  # (17)
    S_L = 1 + 0.015 * (L - 50) ** 2 / torch.sqrt(20 + (L - 50) ** 2)  # (18)
    S_C, S_H = 1 + 0.045 * C, 1 + 0.015 * C * T  # (19), (20)
    R_T = -torch.sin(2 * d_theta) * R_C  # (21)
    lightness, chroma, hue = dL / S_L, dC / S_C, dH / S_H
    return torch.sqrt((lightness**2 + chroma**2 + hue**2 + R_T * chroma * hue).clamp(min=0))  # (22)


def colourfulness(images: Images) -> PerImage:
    """M³ = √(σ²_rg + σ²_yb) + 0.3 √(μ²_rg + μ²_yb) (Hasler & Süsstrunk 2003, eq. 5); rg = R - G, yb = (R + G)/2 - B, signed.

    0 is not, 15 slightly, 33 moderately, 45 averagely, 59 quite, 82 highly and 109 extremely colourful.
    """
    R, G, B = images.float().flatten(2).unbind(1)
    rg, yb = R - G, (R + G) / 2 - B
    deviation = torch.hypot(rg.std(dim=1, correction=0), yb.std(dim=1, correction=0))
    return deviation + 0.3 * torch.hypot(rg.mean(dim=1), yb.mean(dim=1))


def chroma(images: Lab) -> PerImage:
    """Mean C* = √(a² + b²)."""
    return torch.hypot(images[:, 1], images[:, 2]).mean(dim=(1, 2))


def grey_share(images: Lab) -> PerImage:
    """Share of the pixels with C* below 2."""
    return (torch.hypot(images[:, 1], images[:, 2]) < GREY_CHROMA).float().mean(dim=(1, 2))


def ab_distance(images: Lab, truth: Lab) -> PerImage:
    """Wasserstein-1 distance between the photographs' a and b distributions, the mean of the two, in Lab units.

    For samples of equal size it is the mean distance of the sorted values.
    """
    a, b = (_sorted(x[:, 1:].flatten(2)) for x in (images, truth))
    return (a - b).abs().mean(dim=(1, 2))


def diversity(versions: Float[Tensor, "n b 3 h w"]) -> PerImage:
    """Mean ΔE*₇₆ over pixels and over all pairs of n versions of each photograph, in Lab; 0 where they are all the same."""
    pairs = list(combinations(versions, 2))
    return torch.stack([(a - b).norm(dim=1).mean(dim=(1, 2)) for a, b in pairs]).mean(dim=0)


def all_metrics(images: Images, truth: Images) -> dict[str, PerImage]:
    """Every per-image metric of colourised photographs against the truth."""
    images_lab, truth_lab = lab.rgb_to_lab(images), lab.rgb_to_lab(truth)
    found, true = colourfulness(images), colourfulness(truth)
    return {
        "psnr_rgb": psnr(images, truth),
        "psnr_ab": psnr_ab(images_lab, truth_lab),
        "ssim": ssim(images, truth),
        "delta_e": delta_e(images_lab, truth_lab),
        "colourfulness": found,
        "colourfulness_truth": true,
        "colourfulness_difference": (found - true).abs(),
        "chroma": chroma(images_lab),
        "grey_share": grey_share(images_lab),
        "ab_distance": ab_distance(images_lab, truth_lab),
    }


def _psnr(mse: Tensor, span: float) -> Tensor:
    return 20 * math.log10(span) - 10 * torch.log10(mse)


def _squared_error(images: Tensor, truth: Tensor) -> Tensor:
    """The mean for each photograph, exact: sums of integers."""
    difference = images.int() - truth.int()
    return (difference * difference).sum(dim=(1, 2, 3)).double() / math.prod(images.shape[1:])


def _length(a: Tensor, b: Tensor) -> Tensor:
    return torch.sqrt(a * a + b * b)


def _hue(a: Tensor, b: Tensor) -> Tensor:
    """In [0, 2π)."""
    angle = torch.atan2(b, a)
    return angle + 2 * math.pi * (angle < 0).to(angle)


def _seventh_power_ratio(C: Tensor) -> Tensor:
    """√(C⁷ / (C⁷ + 25⁷)), with C scaled first so that float32 does not overflow."""
    x = C / 25.0
    squared = x * x
    ratio = squared * squared * squared * x
    return torch.sqrt(ratio / (ratio + 1))


def _sorted(x: Tensor) -> Tensor:
    """By the last dimension; on a CPU numpy sorts twice as fast as torch."""
    return torch.from_numpy(np.sort(x.numpy(), axis=-1)) if x.device.type == "cpu" else x.sort(dim=-1).values


def _ssim(images: Tensor, truth: Tensor) -> Tensor:
    x, y = images.float(), truth.float()
    # only the sum of the variances is wanted
    mu_x, mu_y, squares, xy = _blur(torch.cat([x, y, x * x + y * y, x * y], dim=1)).split(x.shape[1], dim=1)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    means = mu_x**2 + mu_y**2
    similarity: Tensor = (2 * mu_x * mu_y + c1) * (2 * (xy - mu_x * mu_y) + c2)
    similarity = similarity / ((means + c1) * (squares - means + c2))
    return similarity.mean(dim=(1, 2, 3))


def _blur(x: Tensor) -> Tensor:
    """The Gaussian window of SSIM, separable, over the places where it fits whole; shifted sums are 20 times as fast as conv2d."""
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = (window / window.sum()).tolist()
    for dim in (2, 3):
        n = x.shape[dim] - 10
        total = x.narrow(dim, 0, n) * weights[0]
        for shift, weight in enumerate(weights[1:], 1):
            total.add_(x.narrow(dim, shift, n), alpha=weight)
        x = total
    return x
