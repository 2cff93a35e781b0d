"""RGB <-> CIE Lab (D65, 2° observer), and the only place that scales L and ab to [-1, 1] and back.

Formulas and constants are those of skimage.color, so that figures agree with the field's usual tool. They are written in torch,
to work on every device, in every precision and with gradients; photographs on a CPU that need no gradient go through a compiled
loop of the same formulas (`colourbench bench lab`).
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from common.fast import lab_loops, switch
from common.fast.compiled import F, for_each
from common.fast.lab_loops import EPSILON, OFFSET, ROOT_EDGE, SLOPE, SRGB_EDGE

L_CENTRE = 50.0  # L in [0, 100] becomes L / 50 - 1
AB_RANGE = 110.0  # ab in about [-110, 110] becomes ab / 110
PIXELS = 2**16  # converted at a time; their three channels take 0.8 MB in float32

_XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)


def rgb_to_lab(
    rgb: UInt8[Tensor, "b 3 h w"] | Float[Tensor, "b 3 h w"],
) -> Float[Tensor, "b 3 h w"]:
    """sRGB, uint8 or float in [0, 1], to Lab: L in [0, 100], ab in Lab units. Float64 stays float64."""
    if not _is_for_kernels(rgb, torch.uint8):
        return _in_cache(_rgb_to_lab, rgb)
    lab = torch.empty(rgb.shape)
    _fill(lab[:, :1], lab[:, 1:], rgb, (1.0, 1.0), 0.0)
    return lab


def lab_to_rgb(lab: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Lab to sRGB in [0, 1]; colours outside the gamut are clipped, as skimage does."""
    if not _is_for_kernels(lab, torch.float32):
        return _in_cache(_lab_to_rgb, lab)
    rgb = torch.empty(lab.shape)
    matrix = _nine(_from_xyz)
    planes = lab.detach().contiguous().numpy()
    for_each(lambda lab, rgb: lab_loops.lab_to_rgb(lab, matrix, rgb), planes, rgb.numpy())
    return rgb


def split(
    lab: Float[Tensor, "b 3 h w"],
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 2 h w"]]:
    """Lab units to the networks' (L, ab), each in about [-1, 1]."""
    return lab[:, :1] / L_CENTRE - 1.0, lab[:, 1:] / AB_RANGE


def join(L: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 3 h w"]:
    """The networks' (L, ab) back to Lab units; the inverse of `split`."""
    return torch.cat([(L + 1.0) * L_CENTRE, ab * AB_RANGE], dim=1)


def to_network(
    rgb: UInt8[Tensor, "b 3 h w"],
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 2 h w"]]:
    """uint8 photographs to the networks' (L, ab)."""
    if not _is_for_kernels(rgb, torch.uint8):
        return split(rgb_to_lab(rgb))
    L, ab = (torch.empty(len(rgb), channels, *rgb.shape[2:]) for channels in (1, 2))
    _fill(L, ab, rgb, (1 / L_CENTRE, 1 / AB_RANGE), -1.0)
    return L, ab


def to_photographs(
    L: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h w"]
) -> UInt8[Tensor, "b 3 h w"]:
    """The networks' (L, ab) to the uint8 sRGB photograph that a user sees."""
    return (lab_to_rgb(join(L, ab)) * 255.0).round().to(torch.uint8)


def lightness(
    rgb: UInt8[Tensor, "b 3 h w"], weights: Float[Tensor, "b 3"]
) -> Float[Tensor, "b 1 h w"]:
    """The networks' L where luminance is another mix of linear R, G and B than the eye's, with weights that add up to 1."""
    Y = torch.einsum("bchw,bc->bhw", _linear(rgb).to(weights.dtype), weights)[:, None]
    f = _in_two_pieces(Y, EPSILON, lambda t: SLOPE * t + OFFSET, lambda t: _power(t, 1 / 3))
    return (116.0 * f - 16.0) / L_CENTRE - 1.0


def luminance_weights() -> tuple[float, float, float]:
    """The eye's own mix, Y of CIE XYZ."""
    return _XYZ_FROM_RGB[1]


def _is_for_kernels(image: Tensor, dtype: torch.dtype) -> bool:
    """Whether the compiled loops can convert it: on a CPU, without gradients, and not part of an exported computation.

    Raises:
        ValueError: there are not three channels; the compiled loops do not check bounds.
    """
    if image.shape[1] != 3:
        raise ValueError(f"colours have 3 channels, not {image.shape[1]}")
    is_plain = (
        switch.is_on()
        and type(image) is Tensor
        and image.device.type == "cpu"
        and image.dtype == dtype
    )
    return is_plain and not (torch.is_grad_enabled() and image.requires_grad)


def _fill(L: Tensor, ab: Tensor, rgb: Tensor, scale: tuple[float, float], shift: float) -> None:
    """Writes scaled L (b, 1, h, w) and ab (b, 2, h, w) of uint8 photographs (b, 3, h, w) into the given tensors."""
    fixed = _linear_table(rgb.device).numpy(), _nine(_to_xyz), (F(scale[0]), F(scale[1])), F(shift)
    pixels = rgb.permute(0, 2, 3, 1).numpy()  # (b, h, w, 3)

    def fill(rgb: np.ndarray, L: np.ndarray, ab: np.ndarray) -> None:
        lab_loops.rgb_to_lab(np.ascontiguousarray(rgb), *fixed, L, ab)

    for_each(fill, pixels, L.numpy(), ab.numpy())


def _in_cache(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """On a CPU, converts few enough photographs at a time that intermediate results stay in the cache."""
    count = max(1, PIXELS // images[0, 0].numel()) if len(images) else 1
    if images.device.type != "cpu" or len(images) <= count:
        return function(images)
    return torch.cat([function(part) for part in images.split(count)])


def _rgb_to_lab(rgb: Tensor) -> Tensor:
    t = _matrix(_to_xyz, rgb) @ _linear(rgb).flatten(2)
    f = _in_two_pieces(t, EPSILON, lambda t: SLOPE * t + OFFSET, lambda t: _power(t, 1 / 3))
    return (_matrix(_to_lab, f) @ f + _matrix(_lab_offset, f)).view(rgb.shape)


def lab_to_linear(lab: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Lab to linear R, G and B, which lie beyond [0, 1] where sRGB does not have the colour."""
    f = _matrix(_from_lab, lab) @ (lab.flatten(2) - _matrix(_lab_offset, lab))
    f = torch.cat([f[:, :2], f[:, 2:].clamp(min=0.0)], dim=1)
    t = _in_two_pieces(f, ROOT_EDGE, lambda f: (f - OFFSET) / SLOPE, lambda f: f * f * f)
    linear: Tensor = _matrix(_from_xyz, lab) @ t
    return linear.view(lab.shape)


def _lab_to_rgb(lab: Tensor) -> Tensor:
    linear = lab_to_linear(lab)
    rgb = _in_two_pieces(
        linear, SRGB_EDGE, lambda x: 12.92 * x, lambda x: 1.055 * _power(x, 1 / 2.4) - 0.055
    )
    return rgb.clamp(0.0, 1.0)


def _linear(rgb: Tensor) -> Tensor:
    """sRGB to linear RGB; uint8 is looked up in a table of its 256 values."""
    if rgb.dtype == torch.uint8:
        return _linear_table(rgb.device).index_select(0, rgb.flatten().int()).view(rgb.shape)
    return torch.where(
        rgb > 0.04045, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92
    )


def _power(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent for x > 0; on a CPU cheaper than torch's power."""
    return torch.exp2(torch.log2(x) * exponent)


def _in_two_pieces(
    x: Tensor, edge: float, below: Callable[[Tensor], Tensor], above: Callable[[Tensor], Tensor]
) -> Tensor:
    """below(x) up to the edge and above(x) beyond it; `above` never gets values below the edge, where its slope may be infinite.

    The pieces agree to 3e-7 at the edge, so in float32 their clamped parts are added: an elementwise choice is slower.
    """
    if x.dtype == torch.float64:
        return torch.where(x > edge, above(x.clamp(min=edge)), below(x))
    return below(x.clamp(max=edge)) + (
        above(x.clamp(min=edge)) - float(above(torch.tensor(edge, dtype=torch.float64)))
    )


@cache
def _linear_table(device: torch.device) -> Tensor:
    return _linear(torch.arange(256, dtype=torch.float64) / 255.0).float().to(device)


def _to_xyz() -> Tensor:
    """The matrix from linear RGB to XYZ relative to the white point."""
    return (
        torch.tensor(_XYZ_FROM_RGB, dtype=torch.float64)
        / torch.tensor(_WHITE, dtype=torch.float64)[:, None]
    )


def _from_xyz() -> Tensor:
    return _to_xyz().inverse()


def _to_lab() -> Tensor:
    """The matrix from f(X), f(Y), f(Z) to L + 16, a, b."""
    return torch.tensor(
        [[0.0, 116.0, 0.0], [500.0, -500.0, 0.0], [0.0, 200.0, -200.0]], dtype=torch.float64
    )


def _from_lab() -> Tensor:
    return _to_lab().inverse()


def _lab_offset() -> Tensor:
    return torch.tensor([[-16.0], [0.0], [0.0]], dtype=torch.float64)


def _matrix(make: Callable[[], Tensor], image: Tensor) -> Float[Tensor, "1 3 n"]:
    """A matrix on the image's device and in its precision; uint8 gives float32."""
    return _placed(make, image.device, torch.float32 if image.dtype == torch.uint8 else image.dtype)


@cache
def _nine(make: Callable[[], Tensor]) -> tuple[Any, ...]:
    """A 3x3 matrix as nine float32 numbers, the form that the compiled loops take."""
    return tuple(map(F, make().flatten().tolist()))


@cache
def _placed(make: Callable[[], Tensor], device: torch.device, dtype: torch.dtype) -> Tensor:
    return make().to(device, dtype)[None]
