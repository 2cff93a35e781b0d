"""The manifest of a data set: how photographs became images, where these are stored, and what was left out."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.config import Settings, sha256
from common.data.decoding.filters import FilterConfig
from common.errors import ColourbenchError
from common.system import integrity

SCHEMA = 2
SPLITS = ("train", "validation", "test")


class ShardConfig(Settings):
    """How photographs become a data set."""

    size: int = Field(default=64, ge=16, le=1024)
    """Side length in pixels of the images that the networks are trained on."""
    margin: int = Field(default=8, ge=0, le=256)
    """Extra pixels stored on each axis, so that training can crop at random (pix2pix stores 286 for 256)."""
    tile: int | None = Field(default=None, ge=16)
    """Cut each photograph into squares with this side in pixels first; null takes the centre square of each."""
    validation: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the photographs held out for choosing hyper-parameters; of the published training set where there is one."""
    test: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the photographs held out for the comparison, where the source has no test split of its own."""
    splits: Literal["official", "content"] = "official"
    """official: the splits that the source comes in (`train`, `val`, `test` folders), where it has them; content: by content."""
    filters: FilterConfig = FilterConfig()
    """Thresholds of the filters that remove images."""

    @property
    def stored(self) -> int:
        """Side length in pixels of the stored images."""
        return self.size + self.margin


@dataclass(frozen=True)
class Entry:
    """One stored image: `photograph` is the file it was cut from; all images of one file are in the same split."""

    photograph: str
    tile: int
    label: int
    split: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Removal:
    """A file that was left out: `kind` is "unreadable", "grey", "duplicate" …; `detail` what is wrong, or whose duplicate it is."""

    photograph: str
    kind: str
    detail: str = ""
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Shard:
    """One file of images."""

    file: str
    images: int
    sha256: str


class Manifest(BaseModel):
    """The contents of manifest.json."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    version: int = Field(alias="schema")
    sha256: str
    config: ShardConfig
    labels: list[str]
    shards: list[Shard]
    images: list[Entry]
    removed: list[Removal]
    # where the photographs came from, a name of `sources.SOURCES`; earlier versions did not note it
    source: str = ""


def read_manifest(path: Path) -> Manifest:
    """Reads a manifest and checks that it is consistent.

    Raises:
        ColourbenchError: it is of another version, or damaged.
    """
    remedy = "prepare the data set again"
    raw = integrity.read_json(path, remedy)
    if raw.get("schema") == 1:
        try:
            raw |= {"schema": SCHEMA, "removed": [_with_kind(item) for item in raw["removed"]]}
        except (KeyError, TypeError, AttributeError):
            raise integrity.Damaged(
                f"{path} is damaged: its list of removed files; {remedy}"
            ) from None
    if raw.get("schema") != SCHEMA:
        raise ColourbenchError(
            f"{path} was written by another version (schema {raw.get('schema')}); {remedy}"
        )
    try:
        manifest = Manifest.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise integrity.Damaged(
            f"{path} is damaged: {where}: {first['msg'].lower()}; {remedy}"
        ) from None
    if wrong := _contradiction(manifest) or (
        "" if sha256([raw["shards"], raw["images"]]) == manifest.sha256 else "its checksum"
    ):
        raise integrity.Damaged(f"{path} is damaged: {wrong} does not fit the rest; {remedy}")
    return manifest


def _with_kind(item: dict[str, Any]) -> dict[str, Any]:
    """Converts a removal of schema 1, whose reason was a sentence: "unreadable: …", "duplicate of …", "grey"."""
    reason = item.pop("reason")
    separator = " of " if reason.startswith(("duplicate of ", "near duplicate of ")) else ": "
    kind, _, detail = reason.partition(separator)
    return {**item, "kind": kind, "detail": detail}


def _contradiction(manifest: Manifest) -> str:
    """Names the part of a manifest that contradicts the rest; empty if none does."""
    if sum(shard.images for shard in manifest.shards) != len(manifest.images):
        return "the number of images"
    split_names = {entry.split for entry in manifest.images}
    if split_names != set(SPLITS):
        return f"the list of splits ({', '.join(sorted(split_names))})"
    if any(not -1 <= entry.label < len(manifest.labels) for entry in manifest.images):
        return "a label"
    return ""
