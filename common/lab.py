"""RGB <-> CIE Lab (D65, 2° observer) in torch, and the only place that scales L and ab to [-1, 1] and back.

Formulas and constants are those of skimage.color, so that figures agree with the field's usual tool.
"""

from functools import cache

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

L_CENTRE = 50.0  # L in [0, 100] becomes L / 50 - 1
AB_RANGE = 110.0  # ab in about [-110, 110] becomes ab / 110

_XYZ_FROM_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)
_EPSILON = 0.008856  # below it the cube root is replaced by a line
_SLOPE, _OFFSET = 7.787, 16.0 / 116.0


def rgb_to_lab(rgb: UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """sRGB, uint8 or float in [0, 1], to Lab: L in [0, 100], ab in Lab units. Float64 stays float64."""
    linear = _linear_table(rgb.device)[rgb.int()] if rgb.dtype == torch.uint8 else _to_linear(rgb)
    t = _mix(linear, _matrix(linear, to_xyz=True))
    # clamp before the root: its gradient at 0 is infinite and would turn the unused branch into NaN
    f = torch.where(t > _EPSILON, t.clamp(min=_EPSILON) ** (1 / 3), _SLOPE * t + _OFFSET)
    x, y, z = f.unbind(1)
    return torch.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], dim=1)


def lab_to_rgb(lab: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Lab to sRGB in [0, 1]; colours outside the gamut are clipped, as skimage does."""
    L, a, b = lab.unbind(1)
    y = (L + 16.0) / 116.0
    f = torch.stack([y + a / 500.0, y, (y - b / 200.0).clamp(min=0.0)], dim=1)
    t = torch.where(f > 0.2068966, f**3, (f - _OFFSET) / _SLOPE)
    return _from_linear(_mix(t, _matrix(t, to_xyz=False))).clamp(0.0, 1.0)


def split(lab: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 2 h w"]]:
    """Lab units to the networks' (L, ab), each in about [-1, 1]."""
    return lab[:, :1] / L_CENTRE - 1.0, lab[:, 1:] / AB_RANGE


def join(L: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 3 h w"]:
    """The networks' (L, ab) back to Lab units; the inverse of `split`."""
    return torch.cat([(L + 1.0) * L_CENTRE, ab * AB_RANGE], dim=1)


def to_network(rgb: UInt8[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 2 h w"]]:
    """uint8 photographs to the networks' (L, ab)."""
    return split(rgb_to_lab(rgb))


def to_photographs(L: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h w"]) -> UInt8[Tensor, "b 3 h w"]:
    """The networks' (L, ab) to the uint8 sRGB photograph that a user sees."""
    return (lab_to_rgb(join(L, ab)) * 255.0).round().to(torch.uint8)


def _to_linear(rgb: Tensor) -> Tensor:
    return torch.where(rgb > 0.04045, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92)


def _from_linear(linear: Tensor) -> Tensor:
    return torch.where(linear > 0.0031308, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055, 12.92 * linear)


def _mix(image: Tensor, matrix: Tensor) -> Tensor:
    """A 3x3 matrix applied to the channels of (b, 3, h, w)."""
    return torch.einsum("rc,bchw->brhw", matrix, image)


@cache
def _linear_table(device: torch.device) -> Tensor:
    """The 256 linear values of uint8 sRGB: a look-up instead of a power for each sample."""
    return _to_linear(torch.arange(256, dtype=torch.float64) / 255.0).float().to(device)


@cache
def _matrices(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    xyz = torch.tensor(_XYZ_FROM_RGB, dtype=torch.float64)
    white = torch.tensor(_WHITE, dtype=torch.float64)
    to_xyz = xyz / white[:, None]  # the white point is folded into the matrix
    return to_xyz.to(device, dtype), torch.linalg.inv(to_xyz).to(device, dtype)


def _matrix(image: Tensor, *, to_xyz: bool) -> Tensor:
    return _matrices(image.device, image.dtype)[0 if to_xyz else 1]
