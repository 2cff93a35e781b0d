"""The generator as a program: a picture of any size is continued to a multiple of the stride, as numpy's reflection continues it."""

import numpy as np
import pytest
import torch

from variants.players.program import _continued


@pytest.mark.parametrize("side", [1, 2, 5, 7, 8, 9, 15, 16, 17])
@pytest.mark.parametrize("axis", [2, 3])
def test_the_next_multiple_by_reflection(side: int, axis: int) -> None:
    shape = [1, 1, 3, 3]
    shape[axis] = side
    x = torch.rand(shape)
    missing = -side % 8
    width = [(0, 0)] * 4
    width[axis] = (0, missing)
    expected = np.pad(x.numpy(), width, mode="reflect" if side > 1 else "edge")
    assert np.array_equal(_continued(x, axis, stride=8).numpy(), expected)
