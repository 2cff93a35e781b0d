"""A prepared data set: memory-mapped uint8 RGB shards and the manifest that describes them."""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from common.data.manifest import Entry, Shard, read_manifest
from common.errors import ColourbenchError, first_line
from common.system.atomic import write_atomically
from common.system.integrity import file_sha256
from common.system.names import MANIFEST

CHECKED = ".checked.json"  # size and time of the shards whose checksums were right
SHARD_IMAGES = 4096


class Dataset:
    """A prepared data set, read through memory maps.

    Its shards are compared with their checksums when they are first used, and again when a file's size or time has changed.

    Raises:
        ColourbenchError: the folder holds no data set, or one that another version wrote or that is damaged.
    """

    def __init__(self, folder: Path) -> None:
        manifest = folder / MANIFEST
        if not manifest.is_file():
            raise ColourbenchError(
                f"there is no data set in {folder}; make it with `colourbench data prepare`"
            )
        self.folder = folder
        self.manifest = read_manifest(manifest)
        self.name = self.manifest.name
        self.fingerprint = self.manifest.sha256
        self.config = self.manifest.config
        self.labels = self.manifest.labels
        self.entries = self.manifest.images
        self._shards = [self._open(shard) for shard in self.manifest.shards]
        self._is_checked = False

    def split(self, name: str) -> "Split":
        """One of "train", "validation", "test"."""
        self._check_once()
        return Split(
            self,
            np.array(
                [i for i, entry in enumerate(self.entries) if entry.split == name], dtype=np.int64
            ),
        )

    def read(self, indices: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n s s 3"]:
        """Stored images by their index in the manifest."""
        return np.stack([self.image(int(i)) for i in indices])

    def image(self, index: int) -> UInt8[np.ndarray, "s s 3"]:
        """One stored image as a view of the memory-mapped file: only the pixels that are used are read."""
        shard, position = divmod(index, SHARD_IMAGES)
        stored: np.ndarray = self._shards[shard][position]
        return stored

    def check(self) -> None:
        """Compares every shard with its checksum."""
        for shard in self.manifest.shards:
            if file_sha256(self.folder / shard.file) != shard.sha256:
                raise ColourbenchError(
                    f"{self.folder / shard.file} is damaged; prepare the data set {self.name} again"
                )

    def _check_once(self) -> None:
        """Checks the shards on first use; their size and time are recorded beside them, if permitted, to skip later checks."""
        if self._is_checked:
            return
        known = {
            shard.file: [shard.sha256, *_size_and_time(self.folder / shard.file)]
            for shard in self.manifest.shards
        }
        memory = self.folder / CHECKED
        if _remembered(memory) != known:
            self.check()
            with suppress(OSError):
                write_atomically(memory, json.dumps(known).encode())
        self._is_checked = True

    def _open(self, shard: Shard) -> np.ndarray:
        path = self.folder / shard.file
        expected = (shard.images, self.config.stored, self.config.stored, 3)
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise ColourbenchError(
                f"{path} is missing or damaged; prepare the data set {self.name} again"
            ) from None
        if mapped.shape != expected or mapped.dtype != np.uint8:
            raise ColourbenchError(
                f"{path} holds {mapped.dtype} {mapped.shape} and should hold uint8 {expected}; prepare {self.name} again"
            )
        return np.asarray(mapped)


@dataclass(frozen=True)
class Split:
    """The part of a data set that is reserved for one purpose."""

    dataset: Dataset
    indices: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, positions: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n s s 3"]:
        """Stored images, margin included, by their position in the split."""
        return self.dataset.read(self.indices[positions])

    def image(self, position: int) -> UInt8[np.ndarray, "s s 3"]:
        """One stored image as a view of the memory-mapped file."""
        return self.dataset.image(int(self.indices[position]))

    def centres(self, positions: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n s s 3"]:
        """Images as evaluation sees them: the centre of the stored square."""
        size = self.dataset.config.size
        offset = self.dataset.config.margin // 2
        return self.read(positions)[:, offset : offset + size, offset : offset + size]

    def photographs(self, positions: Int[np.ndarray, " n"]) -> UInt8[Tensor, "n 3 h w"]:
        """The centre crops that `centres` returns, as a tensor."""
        return torch.from_numpy(np.ascontiguousarray(self.centres(positions))).permute(0, 3, 1, 2)

    def spread(self, count: int) -> Int[np.ndarray, " n"]:
        """`count` positions spread evenly over the split, or all if there are fewer; the same at every call."""
        return np.unique(np.linspace(0, len(self) - 1, num=min(count, len(self))).astype(int))

    def entries(self) -> list[Entry]:
        """The split's manifest entries, in order."""
        return [self.dataset.entries[i] for i in self.indices]

    def labels(self) -> Int[np.ndarray, " n"]:
        """Class index of each image; -1 where there is none."""
        return np.array([entry.label for entry in self.entries()], dtype=np.int64)


def _size_and_time(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _remembered(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


class ShardWriter:
    """Collects squares and writes them as .npy files of SHARD_IMAGES images."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pending: list[UInt8[np.ndarray, "s s 3"]] = []
        self._shards: list[dict[str, Any]] = []

    def add(self, square: UInt8[np.ndarray, "s s 3"]) -> None:
        """Adds one image."""
        self._pending.append(square)
        if len(self._pending) == SHARD_IMAGES:
            self._flush()

    def close(self) -> list[dict[str, Any]]:
        """Writes what is left, and returns the manifest's entries for the files."""
        if self._pending:
            self._flush()
        return self._shards

    def _flush(self) -> None:
        path = self._folder / f"images-{len(self._shards):05d}.npy"
        try:
            with path.open("wb") as file:
                np.save(file, np.stack(self._pending), allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:  # numpy reports a full disk only by numbers of bytes
            reason = error.strerror or f"the disk is full ({first_line(error)})"
            raise ColourbenchError(
                f"cannot write the data set into {self._folder.parent}: {reason}; free some space there, or choose another --home"
            ) from None
        self._shards.append(
            {"file": path.name, "images": len(self._pending), "sha256": file_sha256(path)}
        )
        self._pending = []
