"""RGB <-> Lab of one photograph in one pass; the formulas and constants come from common.lab, which describes them."""

import math

import numpy as np
from jaxtyping import Float32, UInt8

from common.kernels import F, inlined, kernel

BIAS = np.int32(0x2A5137A0)  # two thirds of that of the exponent, tuned

Numbers = tuple[float, ...]
Table = Float32[np.ndarray, " 256"]
Planes = Float32[np.ndarray, "c h w"]


@kernel
def rgb_to_lab(
    rgb: UInt8[np.ndarray, "h w 3"], linear: Table, m: Numbers, scale: Numbers, shift: float, L: Planes, ab: Planes
) -> None:
    """Writes scale[0] L + shift and scale[1] ab; `m`, row by row, takes linear RGB to XYZ over the white point.

    The table is read in a loop of its own: the rest is then done for sixteen pixels at a time.
    """
    row = np.empty((3, rgb.shape[1]), np.float32)
    for j in range(rgb.shape[0]):
        for i in range(rgb.shape[1]):
            for c in range(3):
                row[c, i] = linear[rgb[j, i, c]]
        for i in range(rgb.shape[1]):
            x = _f(m[0] * row[0, i] + m[1] * row[1, i] + m[2] * row[2, i])
            y = _f(m[3] * row[0, i] + m[4] * row[1, i] + m[5] * row[2, i])
            z = _f(m[6] * row[0, i] + m[7] * row[1, i] + m[8] * row[2, i])
            row[0, i] = scale[0] * (F(116) * y - F(16)) + shift
            row[1, i] = scale[1] * (F(500) * (x - y))
            row[2, i] = scale[1] * (F(200) * (y - z))
        L[0, j], ab[0, j], ab[1, j] = row[0], row[1], row[2]


@kernel
def lab_to_rgb(lab: Planes, m: Numbers, rgb: Planes) -> None:
    """Writes sRGB in [0, 1]; `m` takes XYZ over the white point to linear RGB."""
    row = np.empty((3, lab.shape[2]), np.float32)
    for j in range(lab.shape[1]):
        row[0], row[1], row[2] = lab[0, j], lab[1, j], lab[2, j]
        for i in range(lab.shape[2]):
            fy = (row[0, i] + F(16)) * F(1 / 116)
            fz = fy - row[2, i] * F(1 / 200)
            x, y, z = _inverse_f(fy + row[1, i] * F(1 / 500)), _inverse_f(fy), _inverse_f(F(0) if fz < F(0) else fz)
            row[0, i] = _encoded(m[0] * x + m[1] * y + m[2] * z)
            row[1, i] = _encoded(m[3] * x + m[4] * y + m[5] * z)
            row[2, i] = _encoded(m[6] * x + m[7] * y + m[8] * z)
        rgb[0, j], rgb[1, j], rgb[2, j] = row[0], row[1], row[2]


@inlined
def _f(t: float) -> float:
    """CIE's curve: both pieces, then the choice, so that nothing branches."""
    root = _cube_root(max(t, F(0.008856)))
    return root if t > F(0.008856) else F(7.787) * t + F(16 / 116)


@inlined
def _inverse_f(f: float) -> float:
    return f * f * f if f > F(0.2068966) else (f - F(16 / 116)) * F(1 / 7.787)


@inlined
def _encoded(x: float) -> float:
    """The sRGB curve, x^(1 / 2.4) = ∛(x ∜x), clipped to [0, 1]; no number stays no number."""
    bright = min(max(x, F(0.0031308)), F(2))
    curve = F(1.055) * _cube_root(bright * math.sqrt(math.sqrt(bright))) - F(0.055)
    encoded = curve if x > F(0.0031308) else F(12.92) * x
    encoded = F(0) if encoded < F(0) else encoded
    return F(1) if encoded > F(1) else encoded


@inlined
def _cube_root(t: float) -> float:
    """∛t for t > 0 to 2e-7 of it: a third of the exponent, then two of Halley's steps."""
    y = F(np.int32(np.float32(t).view(np.int32) // np.int32(3) + BIAS).view(np.float32))
    for _ in range(2):
        cube = y * y * y
        y = y * (cube + t + t) / (cube + cube + t)
    return y
