"""RGB <-> Lab of one photograph in one pass: the formulas of common.colour.lab for single numbers; tests compare both."""

import math

import numpy as np
from jaxtyping import Float32, UInt8

from common.fast.compiled import F, inlined, kernel

EPSILON = 0.008856  # below it CIE's cube root is replaced by a line …
SLOPE = 7.787
OFFSET = 16.0 / 116.0  # … SLOPE t + OFFSET
ROOT_EDGE = 0.2068966  # the cube root of EPSILON
SRGB_EDGE = 0.0031308  # below it sRGB's curve is a line
BIAS = np.int32(0x2A5137A0)  # two thirds of the exponent's bias, tuned

Numbers = tuple[float, ...]
Table = Float32[np.ndarray, " 256"]
Row = Float32[np.ndarray, " w"]
Planes = Float32[np.ndarray, "c h w"]


@kernel
def rgb_to_lab(
    rgb: UInt8[np.ndarray, "h w 3"],
    linear: Table,
    m: Numbers,
    scale: Numbers,
    shift: float,
    L: Planes,
    ab: Planes,
) -> None:
    """Writes scale[0] L + shift and scale[1] ab; `m`, row by row, takes linear RGB to XYZ relative to the white point.

    A row is looked up in the table, then converted in place, sixteen pixels at a time.
    """
    for j in range(rgb.shape[0]):
        # first R, G, B and then L, a, b
        u = L[0, j]
        v = ab[0, j]
        w = ab[1, j]
        _look_up(rgb[j], linear, u, v, w)
        for i in range(rgb.shape[1]):
            x = _f(_product(m, 0, u[i], v[i], w[i]))
            y = _f(_product(m, 3, u[i], v[i], w[i]))
            z = _f(_product(m, 6, u[i], v[i], w[i]))
            u[i] = scale[0] * (F(116) * y - F(16)) + shift
            v[i] = scale[1] * (F(500) * (x - y))
            w[i] = scale[1] * (F(200) * (y - z))


@inlined
def _look_up(row: UInt8[np.ndarray, "w 3"], linear: Table, u: Row, v: Row, w: Row) -> None:
    for i in range(row.shape[0]):
        u[i] = linear[row[i, 0]]
        v[i] = linear[row[i, 1]]
        w[i] = linear[row[i, 2]]


@inlined
def _product(m: Numbers, k: int, x: float, y: float, z: float) -> float:
    """The row of the 3 x 3 matrix that begins at `k`, times (x, y, z)."""
    return m[k] * x + m[k + 1] * y + m[k + 2] * z


@kernel
def lab_to_rgb(lab: Planes, m: Numbers, rgb: Planes) -> None:
    """Writes sRGB in [0, 1]; `m` takes XYZ relative to the white point to linear RGB."""
    for j in range(lab.shape[1]):
        # first L, a, b and then R, G, B
        u = rgb[0, j]
        v = rgb[1, j]
        w = rgb[2, j]
        for c in range(3):
            _copy(lab[c, j], rgb[c, j])
        for i in range(lab.shape[2]):
            fy = (u[i] + F(16)) * F(1 / 116)
            fz = fy - w[i] * F(1 / 200)
            x = _inverse_f(fy + v[i] * F(1 / 500))
            y = _inverse_f(fy)
            z = _inverse_f(F(0) if fz < F(0) else fz)
            u[i] = _encoded(_product(m, 0, x, y, z))
            v[i] = _encoded(_product(m, 3, x, y, z))
            w[i] = _encoded(_product(m, 6, x, y, z))


@inlined
def _copy(row: Row, out: Row) -> None:
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
