"""Reads files that the suite wrote; a missing or changed file raises an error that names the file and the remedy.

A finished folder holds `SHA256SUMS`, in the format of the `sha256sum` command. A file listed there is compared with its
checksum before it is used; one that is not listed (from an older version) must still have the right format.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import ColourbenchError, first_line
from common.system.atomic import write_atomically

if TYPE_CHECKING:
    import pandas as pd

SUMS = "SHA256SUMS"
_LINE = re.compile(r"^([0-9a-f]{64})  (.+)$")


class Damaged(ColourbenchError):
    """One of the suite's own files is missing or differs from what was written."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder: Path, names: Iterable[str]) -> None:
    """Adds the checksums of files that will not change any more to the folder's SHA256SUMS."""
    sums = _sums(folder) | {name: file_sha256(folder / name) for name in names}
    write_atomically(
        folder / SUMS,
        "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode(),
    )


def check_sealed(folder: Path, needed: Iterable[str], remedy: str) -> None:
    """Checks that every sealed file of a folder exists and is unchanged, and that the `needed` ones exist even if not sealed.

    Raises:
        Damaged: a file is missing, or was changed.
    """
    for name in dict.fromkeys([*needed, *_sums(folder)]):
        intact(folder / name, remedy)


def intact(path: Path, remedy: str) -> Path:
    """Returns the path of a file after checking that it exists and matches its checksum, if one is recorded.

    Raises:
        Damaged: it is missing, or was changed.
    """
    if not path.is_file():
        raise Damaged(f"{path} is missing; {remedy}")
    try:
        expected = _sums(path.parent).get(path.name)
        is_right = not expected or file_sha256(path) == expected
    except OSError as error:
        raise Damaged(f"{path} cannot be read: {error.strerror}; {remedy}") from None
    if not is_right:
        raise Damaged(f"{path} is damaged: it is not what {SUMS} beside it says; {remedy}")
    return path


def read_json(path: Path, remedy: str, kind: type = dict) -> Any:
    """Reads a JSON file that holds a value of type `kind`.

    Raises:
        Damaged: it is missing or incomplete, or holds another type.
    """
    try:
        value = json.loads(intact(path, remedy).read_bytes())
    except (OSError, ValueError, RecursionError):
        raise Damaged(f"{path} is damaged: it is no whole JSON file; {remedy}") from None
    if not isinstance(value, kind):
        raise Damaged(
            f"{path} is damaged: it holds {type(value).__name__} in place of {kind.__name__}; {remedy}"
        )
    return value


def read_table(path: Path, columns: Sequence[str], remedy: str) -> "pd.DataFrame":
    """Reads a parquet file with at least these columns and one row.

    Raises:
        Damaged: it is missing or damaged, lacks one of the columns, or has no rows.
    """
    import pandas as pd

    try:
        table = pd.read_parquet(intact(path, remedy))
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these types
        raise Damaged(f"{path} is damaged: {first_line(error)}; {remedy}") from None
    missing = [name for name in columns if name not in table]
    if missing or table.empty:
        lacks = f"has no column {', '.join(missing)}" if missing else "has no rows"
        raise Damaged(f"{path} is of another version or damaged: it {lacks}; {remedy}")
    return table


def read_photographs(path: Path, remedy: str) -> np.ndarray:
    """Reads a .npy file of photographs: uint8 (n, h, w, 3).

    Raises:
        Damaged: it is missing or damaged, or has another dtype or shape.
    """
    try:
        array: np.ndarray = np.load(intact(path, remedy), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise Damaged(f"{path} is damaged: {first_line(error)}; {remedy}") from None
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3:] != (3,):
        raise Damaged(
            f"{path} is damaged: it holds {array.dtype} {array.shape} in place of photographs; {remedy}"
        )
    return array


def _sums(folder: Path) -> dict[str, str]:
    path = folder / SUMS
    lines = (
        path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    )
    return {match[2]: match[1] for line in lines if (match := _LINE.match(line))}
