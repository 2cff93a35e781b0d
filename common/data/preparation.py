"""Turns photographs into a data set: decode, filter, cut, split by whole photograph, write shards."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.config import as_json, sha256
from common.data.decoding import filters
from common.data.decoding.copies import Copies
from common.data.decoding.cutting import Cut, Cutting
from common.data.decoding.examiners import Examiners
from common.data.decoding.images import BadImage
from common.data.manifest import SCHEMA, SPLITS, Entry, Removal, ShardConfig
from common.data.shards import Dataset, ShardWriter
from common.data.sources.files import SourceFile
from common.data.splits import assign_splits, tests_first
from common.errors import ColourbenchError
from common.system.atomic import sync_folder, write_atomically
from common.system.locks import locked
from common.system.names import MANIFEST


@dataclass(frozen=True)
class Examined:
    """A photograph that passed the filters, cut into the squares that will be stored."""

    file: SourceFile
    cut: Cut


@dataclass(frozen=True)
class Stored:
    """What is kept in memory of a photograph whose squares are on disk."""

    file: SourceFile
    tiles: int
    content_hash: str
    remarks: tuple[str, ...]


def prepare(
    files: Sequence[SourceFile],
    folder: Path,
    config: ShardConfig,
    seen: Callable[[int], None] = lambda n: None,
    source: str = "",
) -> Dataset:
    """Decodes, filters and cuts `files` and writes them below `folder`; one bad file never stops it.

    The folder gets its name only when it is complete. `seen` is called with the number of files finished since the last call.
    `source` is the name of the files' source, for the manifest.

    Raises:
        ColourbenchError: too few photographs were left; the message counts the reasons.
    """
    with locked(
        folder.with_name(f".{folder.name}.lock"),
        f"the data set {folder.name} is being prepared by another process",
    ):
        work = folder.with_name(f".{folder.name}.part")
        old = folder.with_name(f".{folder.name}.old")
        _recover(folder, old)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            manifest = {"name": folder.name, "source": source, **_write(files, work, config, seen)}
            write_atomically(work / MANIFEST, json.dumps(manifest, indent=1).encode())
            if folder.exists():
                folder.replace(old)
            work.replace(folder)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return Dataset(folder)


def _recover(folder: Path, old: Path) -> None:
    """Restores the old data set if the process was killed after moving it away and before the new one was in its place."""
    if old.exists() and not folder.exists():
        old.replace(folder)


def _write(
    files: Sequence[SourceFile], work: Path, config: ShardConfig, seen: Callable[[int], None]
) -> dict[str, Any]:
    """Writes the shards and returns the manifest without its name."""
    removed: list[Removal] = []
    stored: list[Stored] = []
    writer = ShardWriter(work)
    # of two copies in official splits the one that tests stays
    files = tests_first(files, config)
    for item in _without_duplicates(_examine_all(files, config, seen), removed):
        for square in item.cut.squares:
            writer.add(square)
        stored.append(
            Stored(item.file, len(item.cut.squares), item.cut.content_hash, item.cut.remarks)
        )
    if len(stored) < len(SPLITS):
        raise ColourbenchError(_too_few(len(files), len(stored), removed))
    shards = writer.close()
    labels = sorted({item.file.label for item in stored if item.file.label is not None})
    entries = [asdict(entry) for entry in _entries(stored, labels, config)]
    return {
        "schema": SCHEMA,
        "sha256": sha256([shards, entries]),
        "config": as_json(config),
        "labels": labels,
        "shards": shards,
        "images": entries,
        "removed": [asdict(item) for item in removed],
    }


def _examine_all(
    files: Sequence[SourceFile], config: ShardConfig, seen: Callable[[int], None]
) -> Iterator[Examined | Removal]:
    """Cuts the files on all cores and applies the filters, in order, with a bounded number in memory."""
    with Examiners(Cutting(config.tile, config.stored)) as examiners:
        for file, result in zip(
            files, examiners.examine(file.content() for file in files), strict=True
        ):
            yield _judged(file, result, config)
            seen(1)


def _judged(file: SourceFile, result: Cut | BadImage, config: ShardConfig) -> Examined | Removal:
    if isinstance(result, BadImage):
        return Removal(file.name, "unreadable", str(result))
    verdict = filters.judge(result.small, config.filters, (result.height, result.width))
    return (
        Removal(file.name, verdict.reason, figures=verdict.figures)
        if verdict.reason
        else Examined(file, result)
    )


def _without_duplicates(
    items: Iterator[Examined | Removal], removed: list[Removal]
) -> Iterator[Examined]:
    """Yields each photograph once; removals are added to `removed`, duplicates with the name of the first copy."""
    contents: dict[str, str] = {}
    copies = Copies()
    for item in items:
        if isinstance(item, Removal):
            removed.append(item)
        elif twin := contents.get(item.cut.content_hash):
            removed.append(Removal(item.file.name, "duplicate", twin))
        elif twin := copies.original_of(item.cut.fingerprint):
            removed.append(Removal(item.file.name, "near duplicate", twin))
        else:
            contents[item.cut.content_hash] = item.file.name
            copies.add(item.file.name, item.cut.fingerprint)
            yield item


def _entries(
    stored: Sequence[Stored], labels: Sequence[str], config: ShardConfig
) -> Iterator[Entry]:
    numbers = {label: number for number, label in enumerate(labels)}
    splits = assign_splits([(item.content_hash, item.file.split) for item in stored], config)
    for item, split in zip(stored, splits, strict=True):
        label = numbers.get(item.file.label or "", -1)
        for tile in range(item.tiles):
            yield Entry(item.file.name, tile, label, split, item.remarks)


def _too_few(files: int, kept: int, removed: Sequence[Removal]) -> str:
    kinds = Counter(item.kind for item in removed)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) or "none removed"
    return (
        f"only {kept} of {files} files are colour photographs ({counts}); at least {len(SPLITS)} are needed, "
        "one for each split. Check --root, or loosen the filter with --set filters.grey_chroma=…"
    )
