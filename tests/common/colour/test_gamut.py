"""Colours beyond sRGB keep L and hue; against scikit-image, which shares no code with ours."""

import numpy as np
import torch
from skimage import color

from common.colour import gamut, lab


def colours(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """L of photographs, and ab of any hue up to a chroma."""
    draw = torch.Generator().manual_seed(0)
    L = torch.rand(2, 1, 80, 50, generator=draw) * 1.8 - 0.9
    angle = torch.rand(2, 1, 80, 50, generator=draw) * 2 * torch.pi
    chroma = torch.rand(2, 1, 80, 50, generator=draw) * scale
    return L, torch.cat([chroma * angle.cos(), chroma * angle.sin()], dim=1)


def lightness(L: torch.Tensor, ab: torch.Tensor) -> np.ndarray:
    """L of the 8-bit picture, as scikit-image reads it."""
    pictures = lab.to_photographs(L, ab).permute(0, 2, 3, 1).numpy()
    found: np.ndarray = color.rgb2lab(pictures)[..., 0]
    return found


def test_lightness_is_kept_where_clipping_would_change_it() -> None:
    L, ab = colours(0.9)
    wanted = (L[:, 0] + 1).numpy() * 50
    clipped = np.abs(lightness(L, ab) - wanted)
    kept = np.abs(lightness(L, gamut.reduced_chroma(L, ab)) - wanted)
    assert clipped.max() > 10
    assert kept.max() < 1.0 and kept.mean() < 0.2  # 8 bits alone


def test_hue_is_kept_and_chroma_only_falls() -> None:
    L, ab = colours(0.9)
    reduced = gamut.reduced_chroma(L, ab)
    share = reduced.norm(dim=1) / ab.norm(dim=1)
    assert share.max() <= 1 and share.min() > 0
    assert torch.allclose(reduced, ab * share[:, None], atol=1e-6)
    # no more than is needed: a little more chroma would leave sRGB
    changed = share < 1
    linear = lab.lab_to_linear(lab.join(L, ab * (share + 0.002)[:, None]))
    is_outside = ((linear < 0) | (linear > 1)).any(dim=1)
    assert is_outside[changed].float().mean() > 0.98


def test_colours_within_srgb_stay_as_they_are() -> None:
    L, ab = colours(0.05)
    L = L * 0.5
    assert torch.equal(gamut.reduced_chroma(L, ab), ab)


def test_linear_light_is_scikit_images() -> None:
    L, ab = colours(0.3)
    xyz = color.lab2xyz(lab.join(L, ab).permute(0, 2, 3, 1).double().numpy())
    expected = xyz @ np.linalg.inv(color.colorconv.xyz_from_rgb).T
    found = lab.lab_to_linear(lab.join(L, ab)).permute(0, 2, 3, 1).numpy()
    assert np.abs(found - expected).max() < 1e-4
