"""Loops over pixels, compiled by numba: one pass where tensors would take dozens, each through memory.

Kernels are for a CPU and know no gradients. They use no fast-math flag: every pixel has the same bits wherever it lies.
"""

import inspect
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, wraps
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite.binding
import numba
import numpy as np
import torch

Function = TypeVar("Function", bound=Callable[..., Any])

F = cast(Callable[[Any], float], np.float32)
"""A number in single precision; to a type checker one like any other."""


def kernel(function: Function) -> Function:
    """Compiles at the first call and keeps the result on disk for the next process; lets other threads run meanwhile.

    Arrays are to be contiguous: every other layout would be compiled anew. A kernel's helpers stand beside it: of what another
    file changes the kept result knows nothing.
    """
    plain = _unchecked(function)
    compiled = numba.njit(cache=_is_kept(Path(inspect.getfile(plain))), nogil=True, error_model="numpy")(plain)

    @wraps(plain)
    def run(*arguments: Any) -> Any:
        try:
            return compiled(*arguments)
        except OSError:  # no room to keep it: it is compiled all the same
            return compiled(*arguments)

    return cast(Function, run)


def inlined(function: Function) -> Function:
    """Part of a kernel, for one pixel. Only what stands in the loop itself is done for sixteen pixels at a time: a call is not."""
    return cast(Function, numba.njit(forceinline=True, error_model="numpy")(_unchecked(function)))


def for_each(function: Callable[..., Any], *photographs: np.ndarray) -> list[Any]:
    """function(one of each) for all photographs, on as many threads as torch may use."""
    threads = torch.get_num_threads()
    share = _pool(threads).map if min(threads, len(photographs[0])) > 1 else map
    return list(share(function, *photographs))


def _unchecked(function: Function) -> Function:
    """Without the checks of shapes that tests add: they cannot be compiled."""
    return cast(Function, inspect.unwrap(function))


def _is_kept(source: Path) -> bool:
    """Names the folder for what is compiled from a file; False where none can be written to.

    numba does not lock its folder. Each version of the source and each processor has one of its own, so that processes that
    compile at the same time, on hosts that share a home, write the same into it.
    """
    host = [numba.__version__, llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten()]
    version = sha256(source.read_bytes() + Path(__file__).read_bytes() + " ".join(host).encode()).hexdigest()[:16]
    try:
        folder = _cache() / version
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # nobody may write there, or there is no home
        return False
    numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    return os.access(folder, os.W_OK)


def _cache() -> Path:
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "colourbench"


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="photographs")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not come along
