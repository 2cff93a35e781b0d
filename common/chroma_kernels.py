"""The loop over pixels behind the filters' figures of colour."""

import math

import numpy as np
from jaxtyping import Float

from common.kernels import kernel

LIGHTNESS_BIN = 4.0  # in units of L
BINS = 32  # L ends at 100


@kernel
def chroma_sums(lab: Float[np.ndarray, "3 n"], chroma: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Fills in C* of every pixel; returns its mean, and the mean square distance of ab from its mean at the same L.

    The latter is E[a² + b²] less the same of the means of each bin of L.
    """
    count, sum_a, sum_b = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    total, squares = 0.0, 0.0
    for i in range(lab.shape[1]):
        a, b = float(lab[1, i]), float(lab[2, i])
        square = a * a + b * b
        chroma[i] = math.sqrt(square)
        total += chroma[i]
        squares += square
        place = max(0, int(lab[0, i] / LIGHTNESS_BIN))
        count[place] += 1.0
        sum_a[place] += a
        sum_b[place] += b
    for place in range(BINS):
        if count[place] > 0.0:
            squares -= (sum_a[place] * sum_a[place] + sum_b[place] * sum_b[place]) / count[place]
    return total / lab.shape[1], max(squares, 0.0) / lab.shape[1]
