"""Files that survive a kill: whole or absent, never half."""

import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from common.errors import Busy

TEMPORARY = ".tmp-"
MANIFEST = "manifest.json"  # of a data set; its name stands here for those who only ask whether there is one


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary file beside `path` and puts it in its place, durably, when the block ends without an error."""
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Writes `data` so that a reader, or a crash, sees the old file or the new one."""
    with replacing(path) as file:
        file.write(data)


def sync_folder(folder: Path) -> None:
    """Makes renames in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clear_temporary(folder: Path, pattern: str = "*") -> None:
    """Removes what a killed process left half written. Only the holder of the folder's lock may call it."""
    for path in folder.glob(f"{TEMPORARY}{pattern}"):
        path.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(path: Path, busy: str | None = None) -> Iterator[None]:
    """Holds an exclusive lock on the file `path`; the system lets go of it when the process dies.

    Raises:
        Busy: somebody else holds it and `busy`, the message, was given; without it the call waits.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise Busy(str(busy)) from None
        yield


def as_text(name: str) -> str:
    """A file's name that any file, store or terminal can hold: bytes that are no UTF-8 as `\\xNN`; other names stay as they are."""
    if "\\x" not in name and _is_utf8(name):
        return name
    escaped = name.replace("\\", r"\x5c").encode("utf-8", "surrogateescape")
    return escaped.decode("utf-8", "backslashreplace")


def from_text(text: str) -> str:
    """The name that `as_text` was given: with it the file is found."""
    if "\\x" not in text:
        return text
    return os.fsdecode(re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), text.encode()))


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def appear_whole(path: Path, make: Callable[[Path], None]) -> None:
    """Lets `make` write a file beside its place and then moves it there, so that a kill leaves the whole file or none.

    Nothing happens where the file is there already. The caller holds a lock that only one process can hold.
    """
    if path.exists():
        return
    clear_temporary(path.parent, f"new-{path.name}*")  # of a process that was killed
    beside = path.with_name(f"{TEMPORARY}new-{path.name}")
    try:
        make(beside)
        beside.replace(path)
        sync_folder(path.parent)
    finally:
        clear_temporary(path.parent, f"new-{path.name}*")
