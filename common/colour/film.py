"""Old black-and-white film: how it sees colours, and what time does to it.

A film records Y = w · (R, G, B) in linear light, which a print shows as lightness L*(Y). The weights below are coarse: three
numbers stand for a spectral sensitivity, in the order in which films came. White stays white under every film.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from common.colour import lab
from common.config import Settings

FilmName = Literal["blue_sensitive", "orthochromatic", "panchromatic", "red_filtered", "random"]
FILMS: dict[str, tuple[float, float, float]] = {
    "blue_sensitive": (
        0.0,
        0.08,
        0.92,
    ),  # wet plates and early film: blue sky is white, red and green are dark
    "orthochromatic": (0.02, 0.58, 0.40),  # from about 1880: red lips and red hair are dark
    "panchromatic": (
        0.32,
        0.36,
        0.32,
    ),  # from about 1920: all colours, blue lighter than the eye sees it
    "red_filtered": (0.88, 0.12, 0.0),  # panchromatic film behind a red filter: the sky is dark
}
# lightness towards which fading draws all tones, as a share of white: blacks turn grey, whites yellow
FADED = 0.6
GRAIN_BLUR = 3  # pixels: grains clump


class FilmConfig(Settings):
    """Which film the training images are taken on; the colours to be predicted stay the true ones."""

    films: tuple[FilmName, ...] = ()
    """Films, drawn for each image with equal probability; `random` mixes the colour channels at random. None: lightness itself."""
    grain: float = Field(default=0.0, ge=0, le=20)
    """Largest standard deviation of the grain, in units of lightness; each image draws one up to it."""
    fading: float = Field(default=0.0, ge=0, lt=1)
    """Largest share of the contrast lost by fading; each image draws one up to it."""

    @property
    def is_on(self) -> bool:
        """Whether it changes anything."""
        return bool(self.films) or self.grain > 0 or self.fading > 0


@dataclass(frozen=True)
class Shot:
    """How one photograph was taken: its film's weights (None: lightness itself), its grain, its fading, and its grain's seed."""

    weights: tuple[float, float, float] | None
    grain: float = 0.0
    fading: float = 0.0
    seed: int = 0


def draw_shot(config: FilmConfig, draw: np.random.Generator) -> Shot:
    """A random shot within the settings."""
    weights = None
    if config.films:
        name = config.films[int(draw.integers(len(config.films)))]
        weights = tuple(draw.dirichlet((1, 1, 1)).tolist()) if name == "random" else FILMS[name]
    grain = draw.uniform(0, config.grain)
    fading = draw.uniform(0, config.fading)
    return Shot(weights, float(grain), float(fading), int(draw.integers(2**31)))


def expose(rgb: UInt8[Tensor, "b 3 h w"], shots: Sequence[Shot]) -> Float[Tensor, "b 1 h w"]:
    """The networks' L of photographs as their films saw them."""
    eye = lab.luminance_weights()
    # (b, 3)
    weights = torch.tensor([shot.weights or eye for shot in shots], device=rgb.device)
    t = (lab.lightness(rgb, weights) + 1.0) / 2.0  # (b, 1, h, w) in [0, 1]
    fading = torch.tensor([shot.fading for shot in shots], device=rgb.device).view(-1, 1, 1, 1)
    t = t + fading * (FADED - t)
    for image, shot in zip(t, shots, strict=True):
        if shot.grain:
            image += (
                (shot.grain / 100)
                * _grain(image.shape, shot.seed).to(image)
                * (4 * image * (1 - image)).clamp(min=0)
            )
    return t.clamp(0.0, 1.0) * 2.0 - 1.0


def _grain(shape: Sequence[int], seed: int) -> Float[Tensor, "1 h w"]:
    """Spatially correlated noise with standard deviation 1; strongest in the midtones, as silver grain is."""
    noise = torch.from_numpy(
        np.random.default_rng(seed).standard_normal(tuple(shape), dtype=np.float32)
    )
    return (
        F.avg_pool2d(noise[None], GRAIN_BLUR, 1, GRAIN_BLUR // 2, count_include_pad=False)[0]
        * GRAIN_BLUR
    )
