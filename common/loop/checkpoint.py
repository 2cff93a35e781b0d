"""Crash-safe checkpoints: written atomically, checked, the previous one kept, loaded weights-only.

A checkpoint's name holds the number of images seen and the start of its own SHA-256 (`checkpoint-000012800-1f3a5c….pt`), so that
the file needs no companion to be verified, and plain `torch.load` opens it.
"""

import hashlib
import io
import os
import pickle
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from common.errors import ColourbenchError, first_line
from common.system.atomic import TEMPORARY, clear_temporary, sync_folder
from common.system.integrity import file_sha256

State = dict[str, Any]  # tensors and plain values only
KEPT = 2
_NAME = re.compile(r"^checkpoint-(\d+)-([0-9a-f]{16})\.pt$")


class DamagedCheckpoint(ColourbenchError):
    """A file that is not a complete checkpoint."""


def save(folder: Path, state: State, images: int) -> Path:
    """Writes `state` and removes all but the newest two checkpoints.

    Raises:
        ColourbenchError: a tensor holds NaN or infinity, the disk is full, or the folder is read-only; earlier checkpoints stay.
    """
    path = _save(folder, state, lambda digest: f"checkpoint-{images:012d}-{digest[:16]}.pt")
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def save_file(path: Path, state: State) -> None:
    """Writes `state` to `path`, whole or not at all; raises as `save` does."""
    _save(path.parent, state, lambda digest: path.name)


def latest(folder: Path, device: torch.device | str = "cpu") -> tuple[Path | None, State | None]:
    """The path and state of the newest intact checkpoint, or (None, None). Damaged ones are skipped with a warning."""
    clear_temporary(folder)
    for path in _newest_first(folder):
        try:
            return path, load(path, device)
        except DamagedCheckpoint as error:
            warnings.warn(f"{error}; going on from the one before", stacklevel=2)
    return None, None


def exists(folder: Path) -> bool:
    """Whether a folder holds a checkpoint, whole or not."""
    return bool(_newest_first(folder))


def load(path: Path, device: torch.device | str = "cpu") -> State:
    """Loads tensors and plain values; code in a malicious file does not run.

    Raises:
        DamagedCheckpoint: the file does not match the checksum in its name, or holds more than tensors and plain values.
        ColourbenchError: there is no such file.
    """
    if not path.is_file():
        raise ColourbenchError(f"there is no checkpoint {path}")
    name = _NAME.match(path.name)
    if name and _digest(path)[:16] != name[2]:
        raise DamagedCheckpoint(f"{path} is damaged: its checksum does not match its name")
    try:
        with warnings.catch_warnings():
            # torch warns about odd pickles before it refuses them
            warnings.simplefilter("ignore")
            state: Any = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, OSError) as error:
        raise DamagedCheckpoint(
            f"{path} is no checkpoint of tensors and plain values: {first_line(error)}"
        ) from None
    if not isinstance(state, dict):
        raise DamagedCheckpoint(f"{path} holds {type(state).__name__} in place of a checkpoint")
    return state


def _digest(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise DamagedCheckpoint(f"{path} cannot be read: {error.strerror}") from None


def remove_all(folder: Path) -> None:
    """Removes the checkpoints of a finished run, whose generator is saved on its own."""
    for path in _newest_first(folder):
        path.unlink(missing_ok=True)


def _save(folder: Path, state: State, name: Callable[[str], str]) -> Path:
    _refuse_non_finite(state)
    temporary = folder / f"{TEMPORARY}{os.getpid()}-checkpoint.pt"
    try:
        path = folder / name(_write(temporary, state))
        temporary.replace(path)
        sync_folder(folder)
    except (OSError, RuntimeError) as error:
        raise ColourbenchError(
            f"cannot save a checkpoint in {folder}: {first_line(error)}; free some space and run the same command"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


class _HashingFile(io.RawIOBase):
    """Writes to a file and hashes the data on the way, so that the file is not read again for its checksum."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.hash = hashlib.sha256()
        # torch turns it into an error that does not say what happened
        self.failure: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.hash.update(data)
        try:
            return self._file.write(data)
        except OSError as error:
            self.failure = error
            raise

    def close(self) -> None:
        if not self.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        super().close()


def _write(path: Path, state: State) -> str:
    file = _HashingFile(path)
    try:
        with file:
            # torch.save writes once from start to end, so a raw file without seeking is enough
            torch.save(state, cast(IO[bytes], file))
    except RuntimeError as error:
        raise file.failure or error from None
    return file.hash.hexdigest()


def _newest_first(folder: Path) -> list[Path]:
    checkpoints = [
        (int(match[1]), path)
        for path in folder.glob("checkpoint-*.pt")
        if (match := _NAME.match(path.name))
    ]
    return [
        path
        for _, path in sorted(
            checkpoints, key=lambda item: (item[0], item[1].stat().st_mtime), reverse=True
        )
    ]


def _refuse_non_finite(state: State) -> None:
    for name, tensor in _tensors(state):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ColourbenchError(
                f"{name} holds NaN or infinity; no checkpoint was written, the one before is good"
            )


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _tensors(item, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _tensors(item, f"{name}[{number}]")
