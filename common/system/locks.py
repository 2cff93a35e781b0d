"""Locks between processes, on files that the system unlocks when the process that holds them dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import Busy


@contextmanager
def locked(path: Path, busy: str | None = None) -> Iterator[None]:
    """Holds an exclusive lock on the file `path`; the system releases it when the process dies.

    Raises:
        Busy: another process holds it and `busy`, the message, was given; without `busy` the call waits.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise Busy(str(busy)) from None
        yield
