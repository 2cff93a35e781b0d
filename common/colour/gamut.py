"""Colours that sRGB does not have, brought into it at the same L and hue: clipping R, G and B would change the lightness."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from common.colour import lab

STEPS = 10  # of the bisection: chroma to a thousandth
ROWS = 64  # at once, so that what is computed on the way stays small
# of linear R, G and B beyond [0, 1]; far less than half a step of 8 bits, which is 1.5e-4 where the curve is steepest
TOLERANCE = 2e-5


def reduced_chroma(
    L: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h w"]
) -> Float[Tensor, "b 2 h w"]:
    """Multiplies ab by the largest share up to 1 that leaves the colour within sRGB, by bisection, pixel by pixel.

    Args:
        L: in the networks' units, of a real photograph, so that grey of this lightness is within sRGB.
        ab: in the networks' units.
    """
    reduced = ab.clone()
    for top in range(0, L.shape[2], ROWS):
        rows = slice(top, top + ROWS)
        _reduce(L[:, :, rows], reduced[:, :, rows])
    return reduced


def _reduce(L: Tensor, ab: Tensor) -> None:
    """Changes ab in place."""
    is_outside = ~_is_inside(lab.join(L, ab))  # (B, H, W)
    if not is_outside.any():
        return
    own_L = L.permute(0, 2, 3, 1)[is_outside].T[None, :, None]  # (1, 1, 1, N)
    own_ab = ab.permute(0, 2, 3, 1)[is_outside].T[None, :, None]
    low = torch.zeros_like(own_L)
    high = torch.ones_like(own_L)
    for _ in range(STEPS):
        share = (low + high) / 2
        fits = _is_inside(lab.join(own_L, own_ab * share))[:, None]
        low = torch.where(fits, share, low)
        high = torch.where(fits, high, share)
    ab.permute(0, 2, 3, 1)[is_outside] = (own_ab * low)[0, :, 0].T


def _is_inside(colours: Float[Tensor, "b 3 h w"]) -> Bool[Tensor, "b h w"]:
    linear = lab.lab_to_linear(colours)
    return ((linear >= -TOLERANCE) & (linear <= 1 + TOLERANCE)).all(dim=1)
