"""Which images are no colour photographs, and why. Every rule looks at the whole image and keeps its figures."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from common import lab
from common.config import Settings

LIGHTNESS_BIN = 4.0  # in units of L


class FilterConfig(Settings):
    """What is removed; the defaults were set on Intel scenes, Imagenette, cats and dogs, flowers and 19th-century prints."""

    min_side: int = 32
    """Shorter side in pixels below which an image is too small."""
    grey_chroma: float = 3.0
    """Mean chroma C* (Lab) below which, with `grey_peak`, an image is grey."""
    grey_peak: float = 6.0
    """95th percentile of C* below which an image is grey."""
    low_chroma: float = 3.0
    """Mean chroma below which an image has too little colour to teach any."""
    toned_spread: float = 2.0
    """Spread of ab among pixels of one lightness, in Lab units, below which an image is a toned print (sepia, cyanotype)."""


@dataclass(frozen=True)
class Verdict:
    """`reason` is empty for an image that is kept; `figures` are what the rules measured."""

    reason: str = ""
    figures: dict[str, float] = field(default_factory=dict)


def judge(rgb: UInt8[np.ndarray, "h w 3"], config: FilterConfig) -> Verdict:
    """Applies the rules for size, grey, toning and low colour to one photograph."""
    height, width = rgb.shape[:2]
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
    L, a, b = _lab(_thumbnail(rgb, 256))
    chroma = np.hypot(a, b)
    bins = (L / LIGHTNESS_BIN).astype(int)
    count = np.maximum(np.bincount(bins), 1)
    mean_a, mean_b = np.bincount(bins, a) / count, np.bincount(bins, b) / count
    spread = np.sqrt(((a - mean_a[bins]) ** 2 + (b - mean_b[bins]) ** 2).mean())
    figures = {"chroma_mean": chroma.mean(), "chroma_p95": np.percentile(chroma, 95), "spread_at_lightness": spread}
    return {name: round(float(value), 4) for name, value in figures.items()}


def content_hash(rgb: UInt8[np.ndarray, "h w 3"]) -> str:
    """SHA-256 of size and pixels: the same photograph under another name or in another container has the same hash."""
    return hashlib.sha256(str(rgb.shape).encode() + rgb.tobytes()).hexdigest()


def look_hash(rgb: UInt8[np.ndarray, "h w 3"]) -> str:
    """A difference hash of 256 bits: photographs that were only resized or compressed again mostly share it.

    Each bit says whether a cell of a 16x17 grid is brighter than its neighbour (Krawetz 2013, dHash).
    """
    grey = np.asarray(Image.fromarray(rgb).convert("L").resize((17, 16), Image.Resampling.BOX), dtype=np.int16)
    return np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes().hex()


def _thumbnail(rgb: UInt8[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """At most `side` pixels wide and high, by averaging: chroma figures of it differ little and cost far less."""
    image = Image.fromarray(rgb)
    image.thumbnail((side, side), Image.Resampling.BOX)
    return np.asarray(image)


def _lab(rgb: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "3 n"]:
    tensor = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None]
    return np.asarray(lab.rgb_to_lab(tensor)[0].reshape(3, -1).numpy(), dtype=np.float64).clip(min=[[0], [-200], [-200]])
