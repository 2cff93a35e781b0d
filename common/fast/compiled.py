"""Loops over pixels, compiled by numba: one pass through memory where tensor operations would take dozens.

Kernels run on a CPU and have no gradients. They use no fast-math flag: a pixel's result has the same bits at every position.
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
"""Converts a number to single precision; a type checker sees an ordinary float."""


def kernel(function: Function) -> Function:
    """Compiles at the first call, caches the result on disk for later processes, and releases the GIL while the kernel runs.

    Arrays must be contiguous: every other layout would be compiled again. A kernel's helpers must be in the kernel's own file,
    because the cache does not notice changes in another file.
    """
    plain = _unchecked(function)
    compiled = numba.njit(
        cache=_is_kept(Path(inspect.getfile(plain))), nogil=True, error_model="numpy"
    )(plain)

    @wraps(plain)
    def run(*arguments: Any) -> Any:
        try:
            return compiled(*arguments)
        except OSError:  # no space to cache it: it is compiled all the same
            return compiled(*arguments)

    return cast(Function, run)


def inlined(function: Function) -> Function:
    """Part of a kernel, for one pixel. It is inlined because a call inside the loop would not be vectorised over sixteen pixels."""
    return cast(Function, numba.njit(forceinline=True, error_model="numpy")(_unchecked(function)))


def for_each(function: Callable[..., Any], *photographs: np.ndarray) -> list[Any]:
    """Calls function(one of each) for all photographs, on as many threads as torch may use."""
    threads = torch.get_num_threads()
    share = _pool(threads).map if min(threads, len(photographs[0])) > 1 else map
    return list(share(function, *photographs))


def _unchecked(function: Function) -> Function:
    """The function without the shape checks that tests add, which cannot be compiled."""
    return cast(Function, inspect.unwrap(function))


def _is_kept(source: Path) -> bool:
    """Sets the cache folder for code compiled from a file; False if no folder can be written to.

    numba does not lock its folder. Each version of the source and each processor has its own folder, so that processes that
    compile at the same time, on hosts that share a home, write the same content.
    """
    host = [
        numba.__version__,
        llvmlite.binding.get_host_cpu_name(),
        llvmlite.binding.get_host_cpu_features().flatten(),
    ]
    version = sha256(
        source.read_bytes() + Path(__file__).read_bytes() + " ".join(host).encode()
    ).hexdigest()[:16]
    try:
        folder = _cache() / version
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # the folder is not writable, or there is no home
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


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
