"""Which images are no colour photographs, and why. Every rule looks at the whole image and keeps its figures."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from common import lab
from common.config import Settings


class FilterConfig(Settings):
    """What is removed; the defaults were set on Intel scenes, Imagenette, cats and dogs, flowers and 19th-century prints."""

    min_side: int = 32
    """Shorter side in pixels below which an image is too small."""
    grey_chroma: float = 3.0
    """Mean chroma C* (Lab) below which, with `grey_peak`, an image is grey."""
    grey_peak: float = 6.0
    """95th percentile of C* below which an image is grey."""
    low_chroma: float = 5.0
    """Mean chroma below which an image has too little colour to teach any."""
    tint_concentration: float = 0.985
    """Share of the chroma that points in one hue direction; above it the image is tinted (sepia, cyanotype)."""
    tint_spread: float = 2.5
    """Standard deviation of ab across that direction, in Lab units; a tinted image is also below this."""


@dataclass(frozen=True)
class Verdict:
    """`reason` is empty for an image that is kept; `figures` are what the rules measured."""

    reason: str = ""
    figures: dict[str, float] = field(default_factory=dict)


def judge(rgb: UInt8[np.ndarray, "h w 3"], config: FilterConfig) -> Verdict:
    """Applies the rules for size, grey, tint and low colour to one photograph."""
    height, width = rgb.shape[:2]
    if min(height, width) < config.min_side:
        return Verdict("too small", {"width": float(width), "height": float(height)})
    figures = chroma_figures(rgb)
    if figures["chroma_mean"] < config.grey_chroma and figures["chroma_p95"] < config.grey_peak:
        return Verdict("grey", figures)
    if figures["hue_concentration"] > config.tint_concentration and figures["spread_across"] < config.tint_spread:
        return Verdict("tinted", figures)
    if figures["chroma_mean"] < config.low_chroma:
        return Verdict("low colour", figures)
    return Verdict("", figures)


def chroma_figures(rgb: UInt8[np.ndarray, "h w 3"]) -> dict[str, float]:
    """Mean and 95th percentile of C*, the concentration of hue in [0, 1], and the spread of ab across the main hue.

    The hue's concentration is |Σ(a, b)| / Σ C*: 1 where all colours have one hue (Mardia & Jupp 2000, §2.3, weighted by chroma).
    """
    ab = _ab(_thumbnail(rgb, 256))
    chroma = np.hypot(ab[0], ab[1])
    total = ab.sum(axis=1)
    length = float(np.hypot(*total))
    direction = total / length if length > 0 else np.array([1.0, 0.0])
    across = ab[1] * direction[0] - ab[0] * direction[1]
    figures = {
        "chroma_mean": float(chroma.mean()),
        "chroma_p95": float(np.percentile(chroma, 95)),
        "hue_concentration": length / float(chroma.sum()) if chroma.sum() > 0 else 1.0,
        "spread_across": float(across.std()),
    }
    return {name: round(value, 4) for name, value in figures.items()}


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


def _ab(rgb: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "2 n"]:
    tensor = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None]
    return np.asarray(lab.rgb_to_lab(tensor)[0, 1:].reshape(2, -1).numpy(), dtype=np.float64)
