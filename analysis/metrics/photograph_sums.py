"""Per-photograph sums for PSNR, SSIM and colourfulness, compiled; sums of integers are exact."""

import numpy as np
from jaxtyping import Float32, UInt8

from common.fast.compiled import F, inlined, kernel

Photograph = UInt8[np.ndarray, "3 h w"]

_GAUSS = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
WINDOW = tuple(F(weight) for weight in _GAUSS / _GAUSS.sum())  # 11 wide, σ = 1.5
BORDER = len(WINDOW) - 1
C1 = F((0.01 * 255) ** 2)
C2 = F((0.03 * 255) ** 2)
# subtracted first: the variances stay the same, and the squares lose fewer digits
MIDDLE = F(128)


@kernel
def squared_error(image: Photograph, truth: Photograph) -> int:
    """The sum of squared differences."""
    total = 0
    for c in range(3):
        for j in range(image.shape[1]):
            for i in range(image.shape[2]):
                difference = int(image[c, j, i]) - int(truth[c, j, i])
                total += difference * difference
    return total


@kernel
def opponent_sums(image: Photograph) -> tuple[int, int, int, int]:
    """Σ rg, Σ rg², Σ 2yb and Σ (2yb)² with rg = R - G and 2yb = R + G - 2B."""
    rg_sum = 0
    rg_squares = 0
    yb_sum = 0
    yb_squares = 0
    for j in range(image.shape[1]):
        for i in range(image.shape[2]):
            R = int(image[0, j, i])
            G = int(image[1, j, i])
            B = int(image[2, j, i])
            rg = R - G
            yb = R + G - 2 * B
            rg_sum += rg
            rg_squares += rg * rg
            yb_sum += yb
            yb_squares += yb * yb
    return rg_sum, rg_squares, yb_sum, yb_squares


@kernel
def similarity(x: Photograph, y: Photograph) -> float:
    """SSIM, averaged over the positions where the whole window fits, and over the channels.

    Each row is blurred horizontally as it is read; the weighted sum of the last eleven gives the vertical blur.
    """
    height = x.shape[1]
    width = x.shape[2] - BORDER
    moments = np.empty((4, x.shape[2]), np.float32)
    blurred = np.empty((BORDER + 1, 4, width), np.float32)
    across = np.empty((4, width), np.float32)
    total = np.zeros(width, np.float64)
    for c in range(3):
        for j in range(height):
            _set_moments(x[c, j], y[c, j], moments)
            _blur_along(moments, blurred[j % (BORDER + 1)])
            if j >= BORDER:
                _blur_across(blurred, j - BORDER, across)
                _add_similarity(across, total)
    return float(total.sum() / (3 * (height - BORDER) * width))


@inlined
def _set_moments(
    x: UInt8[np.ndarray, " w"], y: UInt8[np.ndarray, " w"], moments: Float32[np.ndarray, "4 w"]
) -> None:
    """Fills `moments` with x, y, x² + y² (only the sum of the variances is needed) and xy."""
    for i in range(len(x)):
        u = F(x[i]) - MIDDLE
        v = F(y[i]) - MIDDLE
        moments[0, i] = u
        moments[1, i] = v
        moments[2, i] = u * u + v * v
        moments[3, i] = u * v


@inlined
def _blur_along(moments: Float32[np.ndarray, "4 w"], out: Float32[np.ndarray, "4 n"]) -> None:
    for q in range(4):
        for i in range(out.shape[1]):
            total = F(0)
            for k, weight in enumerate(WINDOW):
                total += weight * moments[q, i + k]
            out[q, i] = total


@inlined
def _blur_across(
    blurred: Float32[np.ndarray, "11 4 n"], first: int, out: Float32[np.ndarray, "4 n"]
) -> None:
    out[:] = F(0)
    for k, weight in enumerate(WINDOW):
        row = blurred[(first + k) % (BORDER + 1)]
        for q in range(4):
            for i in range(out.shape[1]):
                out[q, i] += weight * row[q, i]


@inlined
def _add_similarity(m: Float32[np.ndarray, "4 n"], total: Float32[np.ndarray, " n"]) -> None:
    for i in range(len(total)):
        both = m[0, i] * m[1, i]
        squares = m[0, i] * m[0, i] + m[1, i] * m[1, i]
        structure = (F(2) * (m[3, i] - both) + C2) / (m[2, i] - squares + C2)
        x = m[0, i] + MIDDLE
        y = m[1, i] + MIDDLE
        total[i] += structure * (F(2) * x * y + C1) / (x * x + y * y + C1)
