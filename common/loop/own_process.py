"""Runs functions in a separate process with its own memory; their exceptions are raised in the caller."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, TypeVar

from common.errors import ColourbenchError

T = TypeVar("T")


class OwnProcess:
    """One new process, as a context manager; its modules keep their state from one call to the next."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

    def __enter__(self) -> "OwnProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls a function of a module in the process and returns its result.

        Raises:
            ColourbenchError: the process was killed, most often for lack of memory.
            Exception: whatever the function raises.
        """
        try:
            return self._pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise ColourbenchError("a process that computes was killed; is there enough memory?") from None
