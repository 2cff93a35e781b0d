"""Colour hints: a few points whose colour is known steer the rest (Zhang et al. 2017, "Real-Time User-Guided Image Colorization").

A generator that takes hints sees L and three more channels: the hints' ab, zero where there is none, and a mask of where they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from common.colour import lab

CHANNELS = 3  # ab and the mask
STOP = 1 / 8  # after each point another one follows with probability 7/8 (§3.1)
MOST = 64  # points in an image
LARGEST_PATCH = 9  # pixels; patches have 1 to 9 (§3.1)
REVEALED = 0.01  # share of the training images that reveal all their colours (§3.1)
PATCH = 1 / 32  # side of a user's hint as a share of the image's shorter side


@dataclass(frozen=True)
class Hint:
    """One point: x and y in [0, 1] from the left and the top, and ab in the networks' scale."""

    x: float
    y: float
    ab: tuple[float, float]


def seen(
    L: Float[Tensor, "b 1 h w"], hints: Float[Tensor, "b 3 h w"] | None, inputs: int
) -> Float[Tensor, "b c h w"]:
    """What a generator with this number of input channels sees: L alone, or L and the hints; None stands for no hint.

    Raises:
        ValueError: there are hints, and the generator takes none.
    """
    if inputs == 1:
        if hints is not None:
            raise ValueError("this generator takes no hints")
        return L
    return torch.cat(
        [L, L.new_zeros(len(L), CHANNELS, *L.shape[2:]) if hints is None else hints.to(L)], dim=1
    )


def training_hints(
    ab: Float[Tensor, "b 2 h w"], random: Float[Tensor, " b"]
) -> Float[Tensor, "b 3 h w"]:
    """Random points of the true colours, as many as users may give: geometric in number, mostly none to fifteen.

    Args:
        random: U[0, 1) for each image, which decides its points.
    """
    hints = ab.new_zeros(len(ab), CHANNELS, *ab.shape[2:])
    for image, value in enumerate(random.tolist()):
        draw = np.random.default_rng(int(value * 2**32))
        if draw.random() < REVEALED:
            hints[image, :2] = ab[image]
            hints[image, 2] = 1.0
        else:
            _reveal(hints[image], ab[image], min(int(draw.geometric(STOP)) - 1, MOST), draw)
    return hints


def revealed(
    ab: Float[Tensor, "b 2 h w"], count: int, seeds: Sequence[int]
) -> Float[Tensor, "b 3 h w"]:
    """`count` points of each image's true colours, the same for the same seeds; the points of a smaller count are among them."""
    hints = ab.new_zeros(len(ab), CHANNELS, *ab.shape[2:])
    for image, seed in enumerate(seeds):
        _reveal(hints[image], ab[image], count, np.random.default_rng([seed, CHANNELS]))
    return hints


def placed(points: Sequence[Hint], height: int, width: int) -> Float[Tensor, "1 3 h w"]:
    """A user's points as a map; a later point covers an earlier one."""
    hints = torch.zeros(1, CHANNELS, height, width)
    reach = max(1, round(PATCH * min(height, width))) // 2
    for point in points:
        y = min(int(point.y * height), height - 1)
        x = min(int(point.x * width), width - 1)
        rows = slice(max(0, y - reach), y + reach + 1)
        columns = slice(max(0, x - reach), x + reach + 1)
        hints[0, :2, rows, columns] = torch.tensor(point.ab).view(2, 1, 1)
        hints[0, 2, rows, columns] = 1.0
    return hints


def pooled(hints: Float[Tensor, "b 3 h w"], factor: int) -> Float[Tensor, "b 3 i j"]:
    """Hints on a map that is smaller by a whole factor: each cell's mean ab over its hinted pixels, and whether it has any."""
    if factor == 1:
        return hints
    ab = F.avg_pool2d(hints[:, :2], factor)
    share = F.avg_pool2d(hints[:, 2:], factor)
    hinted = (share > 0).to(share)
    mean = ab / (share + (1 - hinted))  # 0 where there is no hint
    return torch.cat([mean, hinted], dim=1)


def from_rgb(x: float, y: float, colour: str) -> Hint:
    """A hint with a colour written as #RRGGBB."""
    rgb = torch.tensor(list(bytes.fromhex(colour.removeprefix("#"))), dtype=torch.uint8).view(
        1, 3, 1, 1
    )
    _, ab = lab.to_network(rgb)
    return Hint(x, y, (float(ab[0, 0]), float(ab[0, 1])))


def _reveal(
    hints: Float[Tensor, "3 h w"], ab: Float[Tensor, "2 h w"], count: int, draw: np.random.Generator
) -> None:
    """Writes patches with their mean colour at places around the centre: N(½ (H, W), ¼ (H, W)) (§3.1)."""
    height, width = ab.shape[1:]
    for _ in range(count):
        side = min(int(draw.integers(1, LARGEST_PATCH + 1)), height, width)
        centre = draw.normal((height / 2, width / 2), (height / 4, width / 4))
        top, left = (
            int(np.clip(c - side / 2, 0, limit - side))
            for c, limit in zip(centre, (height, width), strict=True)
        )
        rows = slice(top, top + side)
        columns = slice(left, left + side)
        hints[:2, rows, columns] = ab[:, rows, columns].mean(dim=(1, 2), keepdim=True)
        hints[2, rows, columns] = 1.0
