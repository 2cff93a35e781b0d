"""A prepared data set: memory-mapped uint8 RGB shards and the manifest that describes them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from pydantic import Field

from common.config import Settings
from common.errors import ColourbenchError
from common.files import file_sha256
from common.filters import FilterConfig

SCHEMA = 1
SHARD_IMAGES = 4096
SPLITS = ("train", "validation", "test")


class ShardConfig(Settings):
    """How photographs become a data set."""

    size: int = Field(default=64, ge=16, le=1024)
    """Side in pixels that networks see."""
    margin: int = Field(default=8, ge=0, le=256)
    """Extra pixels stored on each axis, so that training can crop at random (pix2pix stores 286 for 256)."""
    tile: int | None = Field(default=None, ge=16)
    """Cut each photograph into squares of this many pixels first; null takes the centre square of each."""
    validation: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the photographs held out for choosing hyper-parameters."""
    test: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the photographs held out for the comparison."""
    filters: FilterConfig = FilterConfig()
    """What is removed."""

    @property
    def stored(self) -> int:
        """Side in pixels that is stored."""
        return self.size + self.margin


@dataclass(frozen=True)
class Entry:
    """One stored image: `photograph` is the file it was cut from, and the unit of the splits."""

    photograph: str
    tile: int
    label: int
    split: str
    remarks: tuple[str, ...] = ()


class Dataset:
    """A prepared data set, read through memory maps.

    Raises:
        ColourbenchError: the folder holds no data set, or one that another version wrote or that is damaged.
    """

    def __init__(self, folder: Path) -> None:
        manifest = folder / "manifest.json"
        if not manifest.is_file():
            raise ColourbenchError(f"there is no data set in {folder}; make it with `colourbench data prepare`")
        self.folder = folder
        self.manifest: dict[str, Any] = _load_manifest(manifest)
        self.name: str = self.manifest["name"]
        self.fingerprint: str = self.manifest["sha256"]
        self.config = ShardConfig.model_validate_json(json.dumps(self.manifest["config"]))
        self.labels: list[str] = self.manifest["labels"]
        self.entries = [Entry(**{**entry, "remarks": tuple(entry["remarks"])}) for entry in self.manifest["images"]]
        self._shards = [self._open(shard) for shard in self.manifest["shards"]]

    def split(self, name: str) -> "Split":
        """One of "train", "validation", "test"."""
        return Split(self, np.array([i for i, entry in enumerate(self.entries) if entry.split == name], dtype=np.int64))

    def read(self, indices: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n s s 3"]:
        """Stored images by their place in the manifest."""
        return np.stack([self.image(int(i)) for i in indices])

    def image(self, index: int) -> UInt8[np.ndarray, "s s 3"]:
        """One stored image, still in its file: what is not looked at is not read."""
        shard, place = divmod(index, SHARD_IMAGES)
        stored: np.ndarray = self._shards[shard][place]
        return stored

    def check(self) -> None:
        """Compares every shard with its checksum."""
        for shard in self.manifest["shards"]:
            if file_sha256(self.folder / shard["file"]) != shard["sha256"]:
                raise ColourbenchError(f"{self.folder / shard['file']} is damaged; prepare the data set {self.name} again")

    def _open(self, shard: dict[str, Any]) -> np.ndarray:
        path = self.folder / shard["file"]
        expected = (shard["images"], self.config.stored, self.config.stored, 3)
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            raise ColourbenchError(f"{path} is missing or damaged; prepare the data set {self.name} again") from None
        if mapped.shape != expected:
            raise ColourbenchError(f"{path} holds {mapped.shape} and should hold {expected}; prepare {self.name} again")
        return np.asarray(mapped)


@dataclass(frozen=True)
class Split:
    """The part of a data set that one purpose may see."""

    dataset: Dataset
    indices: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, positions: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n s s 3"]:
        """Stored images, margin included, by their place in the split."""
        return self.dataset.read(self.indices[positions])

    def image(self, position: int) -> UInt8[np.ndarray, "s s 3"]:
        """One stored image, still in its file."""
        return self.dataset.image(int(self.indices[position]))

    def centres(self, positions: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n s s 3"]:
        """Images as evaluation sees them: the centre of the stored square."""
        size, offset = self.dataset.config.size, self.dataset.config.margin // 2
        return self.read(positions)[:, offset : offset + size, offset : offset + size]

    def entries(self) -> list[Entry]:
        """The split's manifest entries, in order."""
        return [self.dataset.entries[i] for i in self.indices]

    def labels(self) -> Int[np.ndarray, " n"]:
        """Class index of each image; -1 where there is none."""
        return np.array([entry.label for entry in self.entries()], dtype=np.int64)


def _load_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError:
        raise ColourbenchError(f"{path} is damaged; prepare the data set again") from None
    if manifest.get("schema") != SCHEMA:
        raise ColourbenchError(
            f"{path} was written by another version (schema {manifest.get('schema')}); prepare the data set again"
        )
    return manifest
