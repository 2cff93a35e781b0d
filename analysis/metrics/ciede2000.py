"""CIEDE2000 of every pixel (Sharma, Wu & Dalal 2005), compiled, in the paper's symbols and equation numbers.

The paper's angles are never computed: coordinates give the cosines and sines of hues, and those of sums and multiples follow.
Only (16) needs an angle, and there a short polynomial.
"""

import math

import numpy as np
from jaxtyping import Float32

from common.fast.compiled import F, inlined, kernel

TINY = F(1e-20)
COS_30 = F(math.cos(math.radians(30)))
SIN_30 = F(math.sin(math.radians(30)))
COS_6 = F(math.cos(math.radians(6)))
SIN_6 = F(math.sin(math.radians(6)))
COS_63 = F(math.cos(math.radians(63)))
SIN_63 = F(math.sin(math.radians(63)))
COS_275 = F(math.cos(math.radians(275)))
SIN_275 = F(math.sin(math.radians(275)))
RADIANS_60 = F(math.radians(60))
# turns half of an angle in radians into (h̄' - 275°) / 25° of (16)
HALF_ANGLES = F(2 * math.degrees(1) / 25)
# coefficients of (arctan t - t) / t³ in powers of t², to 2e-8 (Abramowitz & Stegun 4.4.49), and of eˣ; highest power first
ARCTAN = tuple(
    map(
        F,
        (
            0.0028662257,
            -0.0161657367,
            0.0429096138,
            -0.075289640,
            0.1065626393,
            -0.1420889944,
            0.1999355085,
            -0.3333314528,
        ),
    )
)
EXP = tuple(F(1 / math.factorial(k)) for k in range(6, -1, -1))


@kernel
def delta_e(
    first: Float32[np.ndarray, "3 h w"],
    second: Float32[np.ndarray, "3 h w"],
    out: Float32[np.ndarray, "1 h w"],
) -> None:
    """Writes ΔE₀₀ of each pixel of two photographs in Lab."""
    for j in range(out.shape[1]):
        for i in range(out.shape[2]):
            out[0, j, i] = _pixel(
                first[0, j, i],
                first[1, j, i],
                first[2, j, i],
                second[0, j, i],
                second[1, j, i],
                second[2, j, i],
            )


@inlined
def _pixel(L1: float, a1: float, b1: float, L2: float, a2: float, b2: float) -> float:
    stretch = _stretch((_length(a1, b1) + _length(a2, b2)) * F(0.5))
    # C1 C2 sin Δh; computed before a1 and a2 are stretched, so that opposite hues give 0
    across = stretch * (a1 * b2 - a2 * b1)
    a1 = stretch * a1  # (5)
    a2 = stretch * a2
    C1 = _length(a1, b1)  # (6)
    C2 = _length(a2, b2)
    along = a1 * a2 + b1 * b2  # C1 C2 cos Δh
    is_left = _is_left(across, a1, b1)
    dL = L2 - L1  # (8)
    dC = C2 - C1  # (9)
    dH = _dH(C1 * C2, along, across, is_left)  # (11)

    L = (L1 + L2) * F(0.5)  # (12)
    C = (C1 + C2) * F(0.5)  # (13)
    cos, sin = _mean_hue(a1, b1, C1, a2, b2, C2, along, is_left)
    return _weighted(dL / _S_L(L), dC, dH, C, cos, sin)


@inlined
def _weighted(lightness: float, dC: float, dH: float, C: float, cos: float, sin: float) -> float:
    """ΔE₀₀ from ΔL' / S_L, ΔC' and ΔH', at the mean chroma C and the mean hue's cosine and sine."""
    chroma = dC / (F(1) + F(0.045) * C)  # S_C, (19)
    hue = dH / (F(1) + F(0.015) * C * _T(cos, sin))  # S_H, (20)
    R_T = -_sin_twice_d_theta(cos, sin) * F(2) * _seventh_power_ratio(C)  # (17), (21)
    squares = lightness * lightness + chroma * chroma + hue * hue
    return math.sqrt(max(squares + R_T * chroma * hue, F(0)))  # (22)


@inlined
def _stretch(mean_chroma: float) -> float:
    """1 + G, (4)."""
    return F(1) + F(0.5) * (F(1) - _seventh_power_ratio(mean_chroma))


@inlined
def _is_left(across: float, a1: float, b1: float) -> bool:
    """Δh > 0; for opposite hues (10) gives h2 - h1 = ±180°, which is positive where h1 < 180°."""
    is_upper = (b1 > F(0)) | ((b1 == F(0)) & (a1 > F(0)))
    return (across > F(0)) | ((across == F(0)) & is_upper)


@inlined
def _S_L(L: float) -> float:
    squared = (L - F(50)) * (L - F(50))
    return F(1) + F(0.015) * squared / math.sqrt(F(20) + squared)  # (18)


@inlined
def _dH(product: float, along: float, across: float, is_left: bool) -> float:
    """2 √(C1 C2) sin(Δh / 2) (10), (11), by a half-angle formula without cancellation: sin x / 2cos(x/2) for small angles."""
    small = F(2) * across / math.sqrt(max(F(2) * (product + along), TINY))
    large = math.sqrt(max(F(2) * (product - along), F(0)))
    signed = large if is_left else -large
    return small if along > F(0) else signed


@inlined
def _mean_hue(
    a1: float, b1: float, C1: float, a2: float, b2: float, C2: float, along: float, is_left: bool
) -> tuple[float, float]:
    """cos and sin of h̄' (14): halfway along the shorter arc. Grey has hue 0 here; dH = 0 and C = 0 make it irrelevant.

    For hues far apart the sum of the two directions vanishes, so their difference is rotated by a right angle instead.
    """
    x1 = a1 / max(C1, TINY)
    y1 = b1 / max(C1, TINY)
    x2 = a2 / max(C2, TINY)
    y2 = b2 / max(C2, TINY)
    turn = F(1) if is_left else F(-1)
    x = x1 + x2 if along > F(0) else turn * (y2 - y1)
    y = y1 + y2 if along > F(0) else turn * (x1 - x2)
    length = _length(x, y)
    return (x / max(length, TINY), y / max(length, TINY))


@inlined
def _T(cos: float, sin: float) -> float:
    """T of (15); the cosines of 2h, 3h and 4h are computed from those of h."""
    cos_2 = cos * cos - sin * sin
    sin_2 = F(2) * cos * sin
    cos_3 = cos_2 * cos - sin_2 * sin
    sin_3 = sin_2 * cos + cos_2 * sin
    cos_4 = cos_2 * cos_2 - sin_2 * sin_2
    sin_4 = F(2) * cos_2 * sin_2
    first = F(0.17) * (cos * COS_30 + sin * SIN_30)
    third = F(0.32) * (cos_3 * COS_6 - sin_3 * SIN_6)
    fourth = F(0.20) * (cos_4 * COS_63 + sin_4 * SIN_63)
    return F(1) - first + F(0.24) * cos_2 + third - fourth


@inlined
def _sin_twice_d_theta(cos: float, sin: float) -> float:
    """sin 2Δθ (16), (21); at a right angle or more from 275° it is 1e-6 or less, and taken as 0."""
    ahead = cos * COS_275 + sin * SIN_275
    aside = sin * COS_275 - cos * SIN_275
    angle = _arctan(aside / (F(1) + max(ahead, F(0)))) * HALF_ANGLES
    twice = RADIANS_60 * _exp(-angle * angle) if ahead > F(0) else F(0)
    square = twice * twice
    return twice * (F(1) + square * (F(-1 / 6) + square * (F(1 / 120) + square * F(-1 / 5040))))


@inlined
def _arctan(t: float) -> float:
    """arctan t for |t| <= 1."""
    square = t * t
    total = F(0)
    for c in ARCTAN:
        total = total * square + c
    return t + t * square * total


@inlined
def _exp(x: float) -> float:
    """eˣ for -80 < x <= 0: a power of two, set through the exponent bits, times a series for the rest."""
    whole = F(np.floor(x * F(1.4426950408889634) + F(0.5)))
    rest = x - whole * F(0.6931471805599453)
    total = F(0)
    for c in EXP:
        total = total * rest + c
    return total * F(np.int32((np.int32(whole) + 127) << 23).view(np.float32))


@inlined
def _seventh_power_ratio(C: float) -> float:
    """√(C⁷ / (C⁷ + 25⁷)), with C scaled first so that float32 does not overflow."""
    x = C * F(1 / 25)
    ratio = x * x * x * x * x * x * x
    return math.sqrt(ratio / (ratio + F(1)))


@inlined
def _length(x: float, y: float) -> float:
    return math.sqrt(x * x + y * y)
