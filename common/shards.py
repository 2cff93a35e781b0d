"""A prepared data set: memory-mapped uint8 RGB shards and the manifest that describes them."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common import kept
from common.config import Settings, sha256
from common.errors import ColourbenchError
from common.files import MANIFEST, file_sha256, write_atomically
from common.filters import FilterConfig

SCHEMA = 1
CHECKED = ".checked.json"  # size and time of the shards whose checksums were right
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


@dataclass(frozen=True)
class Removal:
    """A file that was left out."""

    photograph: str
    reason: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Shard:
    """One file of images."""

    file: str
    images: int
    sha256: str


class Manifest(BaseModel):
    """What manifest.json says: how photographs became images, where they lie, and what was left out."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    version: int = Field(alias="schema")
    sha256: str
    config: ShardConfig
    labels: list[str]
    shards: list[Shard]
    images: list[Entry]
    removed: list[Removal]


class Dataset:
    """A prepared data set, read through memory maps.

    Its shards are compared with their checksums when they are first used, and again when a file's size or time has changed.

    Raises:
        ColourbenchError: the folder holds no data set, or one that another version wrote or that is damaged.
    """

    def __init__(self, folder: Path) -> None:
        manifest = folder / MANIFEST
        if not manifest.is_file():
            raise ColourbenchError(f"there is no data set in {folder}; make it with `colourbench data prepare`")
        self.folder = folder
        self.manifest = read_manifest(manifest)
        self.name, self.fingerprint = self.manifest.name, self.manifest.sha256
        self.config, self.labels, self.entries = self.manifest.config, self.manifest.labels, self.manifest.images
        self._shards = [self._open(shard) for shard in self.manifest.shards]
        self._is_checked = False

    def split(self, name: str) -> "Split":
        """One of "train", "validation", "test"."""
        self._check_once()
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
        for shard in self.manifest.shards:
            if file_sha256(self.folder / shard.file) != shard.sha256:
                raise ColourbenchError(f"{self.folder / shard.file} is damaged; prepare the data set {self.name} again")

    def _check_once(self) -> None:
        """The first time that these very files are used; what is known of them is remembered beside them where that is allowed."""
        if self._is_checked:
            return
        known = {shard.file: [shard.sha256, *_size_and_time(self.folder / shard.file)] for shard in self.manifest.shards}
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
            raise ColourbenchError(f"{path} is missing or damaged; prepare the data set {self.name} again") from None
        if mapped.shape != expected or mapped.dtype != np.uint8:
            raise ColourbenchError(
                f"{path} holds {mapped.dtype} {mapped.shape} and should hold uint8 {expected}; prepare {self.name} again"
            )
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


def read_manifest(path: Path) -> Manifest:
    """What a manifest says, when all of it fits together.

    Raises:
        ColourbenchError: it is of another version, or damaged.
    """
    remedy = "prepare the data set again"
    raw = kept.read_json(path, remedy)
    if raw.get("schema") != SCHEMA:
        raise ColourbenchError(f"{path} was written by another version (schema {raw.get('schema')}); {remedy}")
    try:
        manifest = Manifest.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise kept.Damaged(f"{path} is damaged: {where}: {first['msg'].lower()}; {remedy}") from None
    if wrong := _contradiction(manifest) or ("" if sha256([raw["shards"], raw["images"]]) == manifest.sha256 else "its checksum"):
        raise kept.Damaged(f"{path} is damaged: {wrong} does not fit the rest; {remedy}")
    return manifest


def _contradiction(manifest: Manifest) -> str:
    """What in a manifest cannot be true; empty where nothing is."""
    if sum(shard.images for shard in manifest.shards) != len(manifest.images):
        return "the number of images"
    found = {entry.split for entry in manifest.images}
    if found != set(SPLITS):
        return f"the list of splits ({', '.join(sorted(found))})"
    if any(not -1 <= entry.label < len(manifest.labels) for entry in manifest.images):
        return "a label"
    return ""


def _size_and_time(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _remembered(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
