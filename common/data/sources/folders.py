"""Anybody's photographs: a folder, an archive, a folder of archives, or a list of paths."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from common.data.decoding.images import SUFFIXES
from common.data.sources.archives import is_archive, open_archive
from common.data.sources.files import SourceFile, existing, images_below
from common.errors import ColourbenchError
from common.system.text import decoded, some_of

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def folder(root: Path | None, download: bool = False) -> list[SourceFile]:
    """All image files below `root`, in an archive, a folder of archives, or a list (CSV); the first folder's name is the label.

    Where there is a folder `train` and a folder `test` or `val`, these are splits, and the folder below them is the label.
    """
    if root is None:
        raise ColourbenchError(
            "the source folder needs --root DIR, a folder of photographs; an archive or a list of paths (CSV) will do too"
        )
    if root.is_file() and root.suffix.lower() == ".csv":
        return from_list(root)
    if root.is_file():
        return in_archives([root])
    existing(root, "folder")
    paths = list(images_below(root))
    if paths:
        relative = [path.relative_to(root) for path in paths]
        places = placed(relative)
        files = zip(paths, relative, places, strict=True)
        return [SourceFile(path, name.as_posix(), *place) for path, name, place in files]
    archives = sorted(path for path in root.iterdir() if is_archive(path))
    if not archives:
        raise ColourbenchError(
            f"{root} holds no image files ({', '.join(SUFFIXES)}, in small or capital letters) and no archives of some"
        )
    return in_archives(archives)


def in_archives(paths: Sequence[Path]) -> list[SourceFile]:
    """The photographs in archives, in their order; archives that begin with a split's name are that split (`train-000.tar`)."""
    files: list[SourceFile] = []
    starts = {path: SPLIT_FOLDERS.get(re.split(r"[-_.]", path.name)[0].lower()) for path in paths}
    by_name = starts if len({*starts.values()}) > 1 else {}
    for path in paths:
        archive = open_archive(path)
        members = [member for member in archive.members if ".." not in Path(member.name).parts]
        if not members:
            raise ColourbenchError(f"{path} holds no photographs ({', '.join(SUFFIXES)})")
        inside = _without_common_folder([Path(member.name) for member in members])
        prefix = f"{path.name}/" if len(paths) > 1 else ""
        for member, relative, (label, split) in zip(members, inside, placed(inside), strict=True):
            files.append(
                SourceFile(
                    path=Path(member.name),
                    name=prefix + relative.as_posix(),
                    label=member.label or label,
                    split=by_name.get(path) or split,
                    archive=archive,
                )
            )
    return files


def from_list(path: Path) -> list[SourceFile]:
    """The photographs of a CSV file with the columns path, and perhaps label and split; paths are relative to the file's folder.

    Raises:
        ColourbenchError: a column is missing, a file does not exist, or a split has another name; the message names them.
    """
    rows = list(csv.DictReader(decoded(path.read_bytes()).splitlines()))
    if not rows or "path" not in rows[0]:
        raise ColourbenchError(
            f"{path} needs a first line with the column path (label and split are optional), and a line for each photograph"
        )
    _check_files(path, [row["path"] or "(empty)" for row in rows])
    given = {row.get("split") or "" for row in rows}
    if unknown := sorted(given - {"", *SPLIT_FOLDERS}):
        raise ColourbenchError(
            f"{path} has the split {unknown[0]!r}; the splits are {', '.join(SPLIT_FOLDERS)}"
        )
    return [
        SourceFile(
            path=path.parent / row["path"],
            name=row["path"],
            label=row.get("label") or None,
            split=SPLIT_FOLDERS.get(row.get("split") or ""),
        )
        for row in rows
    ]


def _check_files(path: Path, listed: Sequence[str]) -> None:
    missing = [name for name in listed if not (path.parent / name).is_file()]
    if missing:
        raise ColourbenchError(
            f"{path} names {len(missing)} files that are not there: {some_of(missing)}"
        )


def placed(paths: Sequence[Path]) -> list[tuple[str | None, str | None]]:
    """The label and the split of each path, from its first folders."""
    folders = {path.parts[0] for path in paths if len(path.parts) > 1}
    splits = {
        name: SPLIT_FOLDERS[name.lower()] for name in folders if name.lower() in SPLIT_FOLDERS
    }
    if len(set(splits.values())) < 2 or "train" not in splits.values():
        splits = {}  # a class may be called "train"
    return [_place(path, splits) for path in paths]


def _place(path: Path, splits: dict[str, str]) -> tuple[str | None, str | None]:
    folders = list(path.parts[:-1])
    split = splits.get(folders[0]) if folders else None
    if split:
        del folders[0]
    return folders[0] if folders else None, split


def _without_common_folder(paths: list[Path]) -> list[Path]:
    """Paths below the one folder that an archive of folders was made of, if there is one."""
    tops = {path.parts[0] for path in paths}
    if len(tops) > 1 or any(len(path.parts) < 2 for path in paths):
        return paths
    return [Path(*path.parts[1:]) for path in paths]
