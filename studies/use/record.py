"""What a folder of results holds: the source, model and settings that made each file, one line each in `colourbench.jsonl`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from common.config import sha256
from common.system.integrity import file_sha256

NAME = "colourbench.jsonl"


@dataclass(frozen=True)
class Maker:
    """What decides a result beside its source: the model's file and the settings."""

    model: str  # name, for readers
    weights: str  # SHA-256 of the file
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """The same for the same weights and settings."""
        return sha256([self.weights, dict(self.settings)])


UNKNOWN = Maker("", "")


@dataclass(frozen=True)
class Entry:
    """A result and what made it. `target` is its name without version and suffix, which belongs to the source alone."""

    result: str
    target: str
    source: str
    source_sha256: str
    size: int
    modified_ns: int
    identity: str
    model: str
    settings: dict[str, Any]


class Record:
    """The entries of a folder of results; of a result that was written again the last one counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: dict[str, Entry] = {}
        self._targets: dict[str, str] = {}
        path = folder / NAME
        content = path.read_bytes() if path.is_file() else b""
        if content and not content.endswith(b"\n"):
            with path.open("ab") as file:
                file.write(b"\n")  # so that the next entry does not join an unfinished line
        lines = content.splitlines()
        for line in lines:
            try:
                self._keep(Entry(**json.loads(line)))
            except (ValueError, TypeError):
                continue  # a line that a killed command left unfinished

    def _keep(self, entry: Entry) -> None:
        self._entries[entry.result] = entry
        self._targets[entry.source] = entry.target

    def target_of(self, source: Path) -> Path | None:
        """The name that a source's results have had so far."""
        known = self._targets.get(str(source.resolve()))
        return Path(known) if known else None

    def owner(self, target: Path) -> str | None:
        """The source whose results have a name; None for a name that is free."""
        owners = (source for source, known in self._targets.items() if known == str(target))
        return next(owners, None)

    def is_result(self, path: Path) -> bool:
        """Whether a file is one of the folder's results."""
        path = path.resolve()
        folder = self._folder.resolve()
        return path.is_relative_to(folder) and str(path.relative_to(folder)) in self._entries

    def is_current(self, result: Path, source: Path, maker: Maker) -> bool | None:
        """Whether a result was made from the source as it is now, by this model and with these settings; None if it is unknown."""
        entry = self._entries.get(str(result.relative_to(self._folder)))
        if entry is None:
            return None
        if entry.source != str(source.resolve()) or entry.identity != maker.identity:
            return False
        status = source.stat()
        if (entry.size, entry.modified_ns) == (status.st_size, status.st_mtime_ns):
            return True
        return entry.source_sha256 == file_sha256(source)

    def add(self, result: Path, target: Path, source: Path, maker: Maker) -> None:
        """Notes a result that was written."""
        status = source.stat()
        entry = Entry(
            result=str(result.relative_to(self._folder)),
            target=str(target),
            source=str(source.resolve()),
            source_sha256=file_sha256(source),
            size=status.st_size,
            modified_ns=status.st_mtime_ns,
            identity=maker.identity,
            model=maker.model,
            settings=dict(maker.settings),
        )
        path = self._folder / NAME
        with path.open("ab") as file:
            file.write(json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n")
        self._keep(entry)
