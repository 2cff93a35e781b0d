"""RGB <-> Lab of one photograph in one pass: the formulas of common.colour.lab for single numbers; tests compare both."""

import math

import numpy as np
from jaxtyping import Float32, UInt8

from common.fast.compiled import F, inlined, kernel

EPSILON = 0.008856  # below it CIE's cube root is replaced by a line …
SLOPE, OFFSET = 7.787, 16.0 / 116.0  # … SLOPE t + OFFSET
ROOT_EDGE = 0.2068966  # the cube root of EPSILON
SRGB_EDGE = 0.0031308  # below it sRGB's curve is a line
BIAS = np.int32(0x2A5137A0)  # two thirds of the exponent's bias, tuned

Numbers = tuple[float, ...]
Table = Float32[np.ndarray, " 256"]
Planes = Float32[np.ndarray, "c h w"]


@kernel
def rgb_to_lab(
    rgb: UInt8[np.ndarray, "h w 3"], linear: Table, m: Numbers, scale: Numbers, shift: float, L: Planes, ab: Planes
) -> None:
    """Writes scale[0] L + shift and scale[1] ab; `m`, row by row, takes linear RGB to XYZ relative to the white point.

    A row is looked up in the table, then converted in place, sixteen pixels at a time.
    """
    for j in range(rgb.shape[0]):
        u, v, w = L[0, j], ab[0, j], ab[1, j]  # first R, G, B and then L, a, b
        for i in range(rgb.shape[1]):
            u[i], v[i], w[i] = linear[rgb[j, i, 0]], linear[rgb[j, i, 1]], linear[rgb[j, i, 2]]
        for i in range(rgb.shape[1]):
            x = _f(m[0] * u[i] + m[1] * v[i] + m[2] * w[i])
            y = _f(m[3] * u[i] + m[4] * v[i] + m[5] * w[i])
            z = _f(m[6] * u[i] + m[7] * v[i] + m[8] * w[i])
            u[i] = scale[0] * (F(116) * y - F(16)) + shift
            v[i] = scale[1] * (F(500) * (x - y))
            w[i] = scale[1] * (F(200) * (y - z))


@kernel
def lab_to_rgb(lab: Planes, m: Numbers, rgb: Planes) -> None:
    """Writes sRGB in [0, 1]; `m` takes XYZ relative to the white point to linear RGB."""
    for j in range(lab.shape[1]):
        u, v, w = rgb[0, j], rgb[1, j], rgb[2, j]  # first L, a, b and then R, G, B
        _copy(lab[0, j], u)
        _copy(lab[1, j], v)
        _copy(lab[2, j], w)
        for i in range(lab.shape[2]):
            fy = (u[i] + F(16)) * F(1 / 116)
            fz = fy - w[i] * F(1 / 200)
            x, y, z = _inverse_f(fy + v[i] * F(1 / 500)), _inverse_f(fy), _inverse_f(F(0) if fz < F(0) else fz)
            u[i] = _encoded(m[0] * x + m[1] * y + m[2] * z)
            v[i] = _encoded(m[3] * x + m[4] * y + m[5] * z)
            w[i] = _encoded(m[6] * x + m[7] * y + m[8] * z)


@inlined
def _copy(row: Float32[np.ndarray, " w"], out: Float32[np.ndarray, " w"]) -> None:
    """Faster than an assignment of the whole row."""
    for i in range(len(row)):
        out[i] = row[i]


@inlined
def _f(t: float) -> float:
    """CIE's curve: computes both pieces and then selects one, so that nothing branches."""
    root = _cube_root(max(t, F(EPSILON)))
    return root if t > F(EPSILON) else F(SLOPE) * t + F(OFFSET)


@inlined
def _inverse_f(f: float) -> float:
    return f * f * f if f > F(ROOT_EDGE) else (f - F(OFFSET)) * F(1 / SLOPE)


@inlined
def _encoded(x: float) -> float:
    """The sRGB curve, x^(1 / 2.4) = ∛(x ∜x), clipped to [0, 1]; NaN stays NaN."""
    bright = min(max(x, F(SRGB_EDGE)), F(2))
    curve = F(1.055) * _cube_root(bright * math.sqrt(math.sqrt(bright))) - F(0.055)
    encoded = curve if x > F(SRGB_EDGE) else F(12.92) * x
    encoded = F(0) if encoded < F(0) else encoded
    return F(1) if encoded > F(1) else encoded


@inlined
def _cube_root(t: float) -> float:
    """∛t for t > 0, relative error 2e-7: a third of the exponent as the start, then two of Halley's steps."""
    y = F(np.int32(np.float32(t).view(np.int32) // np.int32(3) + BIAS).view(np.float32))
    for _ in range(2):
        cube = y * y * y
        y = y * (cube + t + t) / (cube + cube + t)
    return y
