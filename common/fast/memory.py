"""Sets the C library's allocator for training, which allocates the same blocks at every step."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3  # malloc.h


def keep_freed_memory() -> None:
    """Tells glibc to keep freed memory: each training step allocates the same again, and fresh pages cost time."""
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**30)
        ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
