"""Decides which images are not colour photographs, and why. Every rule measures the whole image and records its figures."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, UInt8

from common.colour import lab as colours
from common.config import Settings
from common.data.decoding.cutting import small_copy

LIGHTNESS_BIN = 4.0  # in units of L
BINS = 32  # L ends at 100


class FilterConfig(Settings):
    """Removal thresholds; their defaults were set on Intel scenes, Imagenette, cats and dogs, flowers and 19th-century prints."""

    min_side: int = 32
    """Shorter side in pixels below which an image is too small."""
    grey_chroma: float = 3.0
    """An image is grey if its mean chroma C* (Lab) is below this and its 95th percentile of C* is below `grey_peak`."""
    grey_peak: float = 6.0
    """An image is grey if its 95th percentile of C* is below this and its mean C* is below `grey_chroma`."""
    low_chroma: float = 3.0
    """Mean chroma C* below which an image has too little colour to learn from."""
    toned_spread: float = 2.0
    """RMS spread of ab among pixels of equal lightness, in Lab units, below which an image is a toned print (sepia, cyanotype)."""


@dataclass(frozen=True)
class Verdict:
    """`reason` is empty for an image that is kept; `figures` are what the rules measured."""

    reason: str = ""
    figures: dict[str, float] = field(default_factory=dict)


def judge(
    rgb: UInt8[np.ndarray, "h w 3"], config: FilterConfig, size: tuple[int, int] | None = None
) -> Verdict:
    """Applies the rules for size, grey, toning and low colour to one photograph.

    Args:
        size: height and width of the original, where `rgb` is a smaller copy.
    """
    height, width = size or rgb.shape[:2]
    if min(height, width) < config.min_side:
        return Verdict("too small", {"width": float(width), "height": float(height)})
    figures = chroma_figures(rgb)
    if figures["chroma_mean"] < config.grey_chroma and figures["chroma_p95"] < config.grey_peak:
        return Verdict("grey", figures)
    if figures["spread_at_lightness"] < config.toned_spread:
        return Verdict("toned", figures)
    if figures["chroma_mean"] < config.low_chroma:
        return Verdict("low colour", figures)
    return Verdict("", figures)


def chroma_figures(rgb: UInt8[np.ndarray, "h w 3"]) -> dict[str, float]:
    """Mean and 95th percentile of C*, and the RMS distance of ab from its mean at the same L, all in Lab units.

    In a toned print colour is a function of lightness, so that the last figure is near 0 whatever the hue; a sky or a meadow of
    one hue still varies at each lightness.
    """
    L, a, b = _lab(small_copy(rgb))
    chroma = np.hypot(a, b)
    bin_index = np.maximum(L / LIGHTNESS_BIN, 0).astype(int)
    count, sum_a, sum_b = (np.bincount(bin_index, weights, BINS) for weights in (None, a, b))
    # Σ(a² + b²) that the means of each bin of L explain
    of_means = ((sum_a**2 + sum_b**2) / np.maximum(count, 1)).sum()
    spread = max(float((chroma.astype(float) ** 2).sum()) - of_means, 0.0) / len(chroma)
    figures = {
        "chroma_mean": chroma.mean(),
        "chroma_p95": np.percentile(chroma, 95),
        "spread_at_lightness": spread**0.5,
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def _lab(rgb: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "3 n"]:
    tensor = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None]  # (1, 3, h, w)
    return colours.rgb_to_lab(tensor)[0].reshape(3, -1).double().numpy()
