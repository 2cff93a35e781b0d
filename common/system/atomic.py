"""Crash-safe files: if the process is killed, a file is complete or absent, never partial."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".tmp-"


PRIVATE = 0o600  # of files that may hold a password


@contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Opens a temporary file beside `path` and renames it to `path`, durably, when the block ends without an error.

    Args:
        mode: the file's permissions, from its first byte on; by default the usual ones.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        if mode is not None:
            temporary.touch(mode)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes, mode: int | None = None) -> None:
    """Writes `data` so that a reader sees either the old file or the new one, even after a crash; `mode` as in `replacing`."""
    with replacing(path, mode) as file:
        file.write(data)


def sync_folder(folder: Path) -> None:
    """Makes renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clear_temporary(folder: Path, pattern: str = "*") -> None:
    """Removes the partial files of a killed process. Only the holder of the folder's lock may call it."""
    for path in folder.glob(f"{TEMPORARY}{pattern}"):
        path.unlink(missing_ok=True)


def appear_whole(path: Path, make: Callable[[Path], None]) -> None:
    """Lets `make` write a file under a temporary name, then renames it, so that a killed process leaves the whole file or none.

    Does nothing if the file already exists. The caller must hold an exclusive lock.
    """
    if path.exists():
        return
    clear_temporary(path.parent, f"new-{path.name}*")  # left by a process that was killed
    beside = path.with_name(f"{TEMPORARY}new-{path.name}")
    try:
        make(beside)
        beside.replace(path)
        sync_folder(path.parent)
    finally:
        clear_temporary(path.parent, f"new-{path.name}*")
