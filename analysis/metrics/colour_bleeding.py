"""Colour bleeding, compiled: the share of a photograph's colour change that does not lie on an edge of its lightness.

In photographs colour mostly changes where lightness does; a colour that runs over an object's outline changes elsewhere.
"""

import numpy as np
from jaxtyping import Float32

from common.fast.compiled import F, inlined, kernel

ROUNDING = F(1.0)  # |∇ab| per pixel; changes up to this size count as rounding to 8 bits
# |∇L| per pixel in units of L; from this size on, a pixel and its neighbours are an edge
EDGE = F(3.0)


@kernel
def off_edges(image: Float32[np.ndarray, "3 h w"]) -> float:
    """Σ |∇ab| away from edges of L over Σ |∇ab|, by central differences; 0 where the colour does not change.

    Args:
        image: in Lab, at least 3 x 3 pixels.
    """
    height = image.shape[1] - 2
    width = image.shape[2] - 2
    is_edge = np.zeros((height + 2, width + 2), np.uint8)
    for j in range(1, height + 1):
        for i in range(1, width + 1):
            if _squared_gradient(image, 0, j, i) >= EDGE * EDGE:
                is_edge[j - 1 : j + 2, i - 1 : i + 2] = 1
    total = 0.0
    off = 0.0
    for j in range(1, height + 1):
        for i in range(1, width + 1):
            squares = _squared_gradient(image, 1, j, i) + _squared_gradient(image, 2, j, i)
            change = np.sqrt(squares) if squares > ROUNDING * ROUNDING else F(0)
            total += change
            if is_edge[j, i] == 0:
                off += change
    return off / total if total > 0 else 0.0


@inlined
def _squared_gradient(image: Float32[np.ndarray, "3 h w"], c: int, j: int, i: int) -> float:
    across = (image[c, j, i + 1] - image[c, j, i - 1]) * F(0.5)
    down = (image[c, j + 1, i] - image[c, j - 1, i]) * F(0.5)
    squared: float = across * across + down * down
    return squared
