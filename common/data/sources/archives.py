"""Photographs inside archives, read where they are: zip, tar, compressed tar, WebDataset shards and Parquet files of images.

Nothing is unpacked, so no path of a member leads anywhere; links and members that grow beyond the limit are no photographs.
"""

import io
import json
import lzma
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from common.data.decoding.images import SUFFIXES, BadImage
from common.errors import ColourbenchError, first_line

ZIP = (".zip",)
TAR = (".tar",)
COMPRESSED_TAR = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
PARQUET = (".parquet",)
ENDINGS = (*ZIP, *TAR, *COMPRESSED_TAR, *PARQUET)
# bytes of one member, unpacked: more is no photograph but a bomb
LARGEST = 300_000_000
# what zipfile, tarfile and their decompressors raise for broken archives
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
)
BLOCK = 512  # bytes of a header in a tar file


@dataclass(frozen=True)
class Member:
    """A photograph in an archive: its name inside, and its label where the archive gives one beside the path."""

    name: str
    label: str | None = None


class Archive(ABC):
    """An archive of photographs.

    Raises:
        ColourbenchError: it is damaged, or no archive; the message names it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    @abstractmethod
    def members(self) -> list[Member]:
        """The photographs, in the archive's order."""

    @abstractmethod
    def _content(self, name: str) -> bytes:
        """A member's content."""

    def read(self, name: str) -> bytes:
        """A member's content; reading in the archive's order is fast in every kind of archive.

        Raises:
            BadImage: it cannot be read; the text says why.
        """
        try:
            return self._content(name)
        except BROKEN as error:
            reason = first_line(error) or type(error).__name__
            raise BadImage(f"it cannot be read from {self.path.name}: {reason}") from None

    @contextmanager
    def _naming_it(self) -> Iterator[None]:
        try:
            yield
        except BROKEN as error:
            reason = first_line(error) or type(error).__name__
            raise ColourbenchError(
                f"{self.path} is damaged, or no archive of its ending: {reason}; fetch it again"
            ) from None


class ZipArchive(Archive):
    """A zip file; any member is read directly."""

    @cached_property
    def _file(self) -> zipfile.ZipFile:
        with self._naming_it():
            return zipfile.ZipFile(self.path)

    @cached_property
    def members(self) -> list[Member]:
        """The photographs, in the archive's order."""
        names = (info.filename for info in self._file.infolist() if not info.is_dir())
        return [Member(name) for name in names if is_photograph(name)]

    def _content(self, name: str) -> bytes:
        info = self._file.getinfo(name)
        _check_size(info.file_size)
        if info.flag_bits & 1:
            raise BadImage("it is encrypted")
        with self._file.open(info) as file:
            # a header may promise less than there is
            content = file.read(LARGEST + 1)
        _check_size(len(content))
        return content


class TarArchive(Archive):
    """A tar file, compressed or not, with labels beside the photographs if it is a WebDataset shard (`0001.jpg`, `0001.cls`).

    An uncompressed one is read directly. A compressed one is read forward; going back begins at its start again.
    """

    @cached_property
    def _index(self) -> dict[str, tarfile.TarInfo]:
        with self._naming_it(), tarfile.open(self.path) as file:
            index = {info.name: info for info in file if info.isfile()}
            _check_end(file)
        return index

    @cached_property
    def members(self) -> list[Member]:
        """The photographs, in the archive's order."""
        labels = self._labels
        return [Member(name, labels.get(_key(name))) for name in self._index if is_photograph(name)]

    @cached_property
    def _labels(self) -> dict[str, str]:
        """The classes that a WebDataset shard gives, by the key that a photograph and its label share."""
        wanted = [name for name in self._index if name.endswith((".cls", ".json"))]
        labels = {}
        with self._naming_it():
            for name in wanted:
                if label := _label_in(name, self._content(name)):
                    labels[_key(name)] = label
        return labels

    def _content(self, name: str) -> bytes:
        info = self._index[name]
        _check_size(info.size)
        if self.path.name.lower().endswith(COMPRESSED_TAR):
            return self._forward.content(name)
        with self.path.open("rb") as file:
            file.seek(info.offset_data)
            content = file.read(info.size)
        if len(content) < info.size:
            raise EOFError("the archive ends within it")
        return content

    @cached_property
    def _forward(self) -> "_Forward":
        return _Forward(self.path)


class _Forward:
    """Reads a compressed tar file from its start to its end, and again from its start where something before is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open()

    def _open(self) -> None:
        self._file = tarfile.open(self._path, "r|*")  # noqa: SIM115 — it stays open between two members
        self._passed: set[str] = set()

    def content(self, name: str) -> bytes:
        if name in self._passed:
            self._file.close()
            self._open()
        for info in self._file:
            self._passed.add(info.name)
            if info.name == name and info.isfile():
                file = self._file.extractfile(info)
                return file.read() if file else b""
        raise EOFError("the archive ends before it")


class ParquetArchive(Archive):
    """A Parquet file with a column of images (bytes, or a struct of bytes and path) and perhaps a label, as data hubs have them."""

    # path, first row and images of the group of rows that was read last, of all files: a source may have hundreds
    _group: ClassVar[tuple[Path, int, Any]] = (Path(), 0, ())

    @cached_property
    def _file(self) -> Any:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        try:
            return ParquetFile(self.path)
        except (ArrowException, OSError) as error:
            raise ColourbenchError(
                f"{self.path} is damaged, or no Parquet file: {first_line(error)}; fetch it again"
            ) from None

    @cached_property
    def _columns(self) -> tuple[str, str | None]:
        """The column of images, and that of labels."""
        names = self._file.schema_arrow.names
        image = next((name for name in ("image", "img", "jpg", "png") if name in names), None)
        if image is None:
            raise ColourbenchError(
                f"{self.path} has no column of images (image, img, jpg or png); it has {', '.join(names)}"
            )
        return image, next((name for name in ("label", "labels", "class") if name in names), None)

    @cached_property
    def members(self) -> list[Member]:
        """The photographs, in the file's order; a row is named by its number."""
        _, label = self._columns
        count = self._file.metadata.num_rows
        labels: list[Any] = [None] * count
        if label:
            labels = self._file.read(columns=[label]).column(label).to_pylist()
        names = self._class_names(label)
        return [
            Member(
                f"{self.path.stem}-{row:07d}",
                _class(value, names),
            )
            for row, value in enumerate(labels)
        ]

    def _class_names(self, label: str | None) -> dict[Any, str]:
        """What the hub's own description says of each number."""
        described = (self._file.schema_arrow.metadata or {}).get(b"huggingface")
        if not described or not label:
            return {}
        with suppress(ValueError, KeyError, TypeError):
            feature = json.loads(described)["info"]["features"][label]
            return dict(enumerate(feature["names"]))
        return {}

    def _content(self, name: str) -> bytes:
        row = int(name.rpartition("-")[2])
        while True:
            path, first, images = ParquetArchive._group
            if path == self.path and first <= row < first + len(images):
                value = images[row - first].as_py()
                content = value.get("bytes") if isinstance(value, dict) else value
                if not content:
                    raise BadImage("its row holds no image")
                _check_size(len(content))
                return bytes(content)
            self._load(row)

    @cached_property
    def _starts(self) -> list[int]:
        metadata = self._file.metadata
        starts = [0]
        for number in range(metadata.num_row_groups):
            starts.append(starts[-1] + metadata.row_group(number).num_rows)
        return starts

    def _load(self, row: int) -> None:
        """Keeps the group of rows that holds this one: neighbours are asked for next."""
        number = next(n for n, start in enumerate(self._starts[1:]) if row < start)
        column, _ = self._columns
        images = self._file.read_row_group(number, columns=[column]).column(column)
        ParquetArchive._group = (self.path, self._starts[number], images)


def _check_end(file: tarfile.TarFile) -> None:
    """Checks that a tar file ends where reading it ended: a damaged header ends the list without a word."""
    opened: Any = file.fileobj
    opened.seek(file.offset)
    if opened.read(BLOCK).strip(b"\0"):
        raise tarfile.ReadError(f"what follows byte {file.offset:,} cannot be read")


def open_archive(path: Path) -> Archive:
    """The archive at a path, by its ending.

    Raises:
        ColourbenchError: it has none of the endings.
    """
    name = path.name.lower()
    if name.endswith(ZIP):
        return ZipArchive(path)
    if name.endswith((*TAR, *COMPRESSED_TAR)):
        return TarArchive(path)
    if name.endswith(PARQUET):
        return ParquetArchive(path)
    raise ColourbenchError(f"{path} is no archive that can be read ({', '.join(ENDINGS)})")


def is_archive(path: Path) -> bool:
    """Whether a path has the ending of an archive."""
    return path.name.lower().endswith(ENDINGS)


def is_photograph(name: str) -> bool:
    """Whether a member is a photograph by its ending, and not a system's own file (`__MACOSX/._a.jpg`)."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith("._")


def _class(value: Any, names: dict[Any, str]) -> str | None:
    """A row's label; None where it has none, or several."""
    if value is None or isinstance(value, list | dict):
        return None
    return names.get(value, str(value))


def _key(name: str) -> str:
    """What a photograph and its label share in a WebDataset shard: the path up to the first dot of the file's name."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.partition('.')[0]}"


def _label_in(name: str, content: bytes) -> str:
    """The class in a label's file: text, or a field of a JSON object; empty where there is none."""
    text = content.decode("utf-8", "replace").strip()
    if name.endswith(".cls"):
        return text
    with suppress(ValueError):
        described = json.load(io.StringIO(text))
        if isinstance(described, dict):
            return str(described.get("label", described.get("class", "")))
    return ""


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise BadImage(f"it has {size / 1e6:,.0f} MB, more than {LARGEST / 1e6:,.0f} MB")
