"""Loops over pixels, compiled by numba: one pass where tensors would take dozens, each through memory.

Kernels are for a CPU and know no gradients. They use no fast-math flag: every pixel has the same bits wherever it lies.
"""

import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar, cast

import numba
import numpy as np
import torch

Function = TypeVar("Function", bound=Callable[..., Any])

F = cast(Callable[[Any], float], np.float32)
"""A number in single precision; to a type checker one like any other."""


def kernel(function: Function) -> Function:
    """Compiles at the first call and keeps the result on disk for the next process; lets other threads run meanwhile.

    Numbers from outside are frozen in, and a change in another file is not noticed: a kernel's helpers stand beside it.
    """
    try:
        compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(_unchecked(function))
    except RuntimeError:  # neither the program's folder nor the user's can be written to
        compiled = numba.njit(nogil=True, error_model="numpy")(_unchecked(function))
    return cast(Function, compiled)


def inlined(function: Function) -> Function:
    """Part of a kernel, for one pixel. Only what stands in the loop itself is done for sixteen pixels at a time: a call is not."""
    return cast(Function, numba.njit(forceinline=True, error_model="numpy")(_unchecked(function)))


def for_each(function: Callable[..., Any], *photographs: np.ndarray) -> list[Any]:
    """function(one of each) for all photographs, on as many threads as torch may use."""
    threads = min(torch.get_num_threads(), len(photographs[0]))
    return list((_pool(threads).map if threads > 1 else map)(function, *photographs))


def _unchecked(function: Function) -> Function:
    """Without the checks of shapes that tests add: they cannot be compiled."""
    return cast(Function, inspect.unwrap(function))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="photographs")
