"""The files of a source, and the photographs in a folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.data.decoding.images import SUFFIXES, BadImage
from common.data.sources.archives import Archive
from common.errors import ColourbenchError
from common.system.text import as_text


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    `name` is its path inside the source, as text (see `text.as_text`), `label` its class or None, and `split` the split that its
    publishers put it into ("train", "validation" or "test") or None. Inside an archive, `path` is the member's.
    """

    path: Path
    name: str
    label: str | None = None
    split: str | None = None
    archive: Archive | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", as_text(self.name))
        object.__setattr__(self, "label", as_text(self.label) if self.label else self.label)

    def content(self) -> Path | bytes | BadImage:
        """Where the file is, or its content where it is in an archive, or why it cannot be read there."""
        if self.archive is None:
            return self.path
        try:
            return self.archive.read(str(self.path))
        except BadImage as error:
            return error


def images_below(root: Path) -> Iterator[Path]:
    """Image files in a folder and all folders below it, sorted; links to folders are followed, except in a cycle."""
    return (
        path
        for path in sorted(_files_below(root, set()))
        if path.suffix.lower() in SUFFIXES and not is_a_systems(path) and path.is_file()
    )


def is_a_systems(path: Path) -> bool:
    """Whether a file is no photograph but an operating system's own: macOS keeps `._NAME` beside NAME on foreign disks."""
    return path.name.startswith("._")


def _files_below(folder: Path, above: set[tuple[int, int]]) -> Iterator[Path]:
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    for path in folder.iterdir():
        if path.is_dir():
            yield from _files_below(path, above | {identity})
        else:
            yield path


def existing(root: Path | None, source: str) -> Path:
    if root is None:
        raise ColourbenchError(f"the source {source} needs --root DIR, the folder that holds it")
    if not root.is_dir():
        raise ColourbenchError(f"there is no folder {root}")
    return root
