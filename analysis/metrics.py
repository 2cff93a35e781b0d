"""Image metrics, batched in torch: pure functions from uint8 sRGB photographs (B, 3, H, W) to one figure for each.

Every figure is computed in floating point; differences of uint8 would wrap around.
"""

import math
from itertools import combinations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from common import lab

Images = UInt8[Tensor, "b 3 h w"]
PerImage = Float[Tensor, " b"]
Lab = Float[Tensor, "b 3 h w"]

AB_SPAN = 220.0  # ab in Lab units run from about -110 to 110
GREY_CHROMA = 2.0  # C* below which a pixel looks grey


def psnr(images: Images, truth: Images) -> PerImage:
    """20 log10(255 / √MSE) over RGB; identical photographs give inf."""
    mse = (images.double() - truth.double()).square().mean(dim=(1, 2, 3))
    return _psnr(mse, 255.0)


def psnr_ab(images: Lab, truth: Lab) -> PerImage:
    """PSNR over the ab channels in Lab units, with the range 220."""
    mse = (images[:, 1:].double() - truth[:, 1:].double()).square().mean(dim=(1, 2, 3))
    return _psnr(mse, AB_SPAN)


def ssim(images: Images, truth: Images) -> PerImage:
    """Structural similarity over RGB (Wang et al. 2004): Gaussian window of σ 1.5 and 11x11, K = (0.01, 0.03), borders left out."""
    x, y = images.float(), truth.float()
    channels = x.shape[1]
    means = _blur(torch.cat([x, y, x * x, y * y, x * y], dim=1))
    mu_x, mu_y, xx, yy, xy = means.split(channels, dim=1)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    var_x, var_y, covariance = xx - mu_x**2, yy - mu_y**2, xy - mu_x * mu_y
    similarity: Tensor = (2 * mu_x * mu_y + c1) * (2 * covariance + c2)
    similarity = similarity / ((mu_x**2 + mu_y**2 + c1) * (var_x + var_y + c2))
    return similarity.mean(dim=(1, 2, 3))


def delta_e(images: Lab, truth: Lab) -> PerImage:
    """CIEDE2000 (Sharma, Wu & Dalal 2005), the mean over pixels."""
    return delta_e_pixels(images, truth).mean(dim=(1, 2))


def delta_e_pixels(first: Lab, second: Lab) -> Float[Tensor, "b h w"]:
    """CIEDE2000 of each pixel; symbols and equations (2) to (22) as in Sharma, Wu & Dalal 2005."""
    L1, a1, b1 = first.unbind(1)
    L2, a2, b2 = second.unbind(1)
    C_mean = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2
    G = 0.5 * (1 - _seventh_power_ratio(C_mean))  # (4)
    a1, a2 = (1 + G) * a1, (1 + G) * a2  # (5)
    C1, C2 = torch.hypot(a1, b1), torch.hypot(a2, b2)  # (6)
    h1, h2 = torch.atan2(b1, a1) % (2 * math.pi), torch.atan2(b2, a2) % (2 * math.pi)  # (7)

    dL, dC = L2 - L1, C2 - C1  # (8), (9)
    coloured = (C1 * C2) > 0
    dh = torch.where(coloured, (h2 - h1 + math.pi) % (2 * math.pi) - math.pi, torch.zeros_like(h1))  # (10)
    dH = 2 * torch.sqrt(C1 * C2) * torch.sin(dh / 2)  # (11)

    L, C = (L1 + L2) / 2, (C1 + C2) / 2  # (12), (13)
    far = (h1 - h2).abs() > math.pi
    h = torch.where(far, (h1 + h2 + torch.where(h1 + h2 < 2 * math.pi, 2 * math.pi, -2 * math.pi)) / 2, (h1 + h2) / 2)
    h = torch.where(coloured, h, h1 + h2)  # (14)
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
    a, b = images[:, 1:].flatten(2).sort(dim=2).values, truth[:, 1:].flatten(2).sort(dim=2).values
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


def _seventh_power_ratio(C: Tensor) -> Tensor:
    """√(C⁷ / (C⁷ + 25⁷)), with C scaled first so that float32 does not overflow."""
    ratio = (C / 25.0) ** 7
    return torch.sqrt(ratio / (ratio + 1))


def _blur(x: Tensor) -> Tensor:
    """The Gaussian window of SSIM, separable, over the places where it fits whole."""
    offsets = torch.arange(-5, 6, dtype=x.dtype, device=x.device)
    window = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = (window / window.sum()).view(1, 1, -1, 1)
    flat = x.flatten(0, 1)[:, None]
    return F.conv2d(F.conv2d(flat, window), window.transpose(2, 3)).view(*x.shape[:2], x.shape[2] - 10, x.shape[3] - 10)
