"""Names and files of people's machines as text, whatever bytes they contain."""

import codecs
import os
import re
from collections.abc import Sequence

SHOWN = 3  # names that a message lists


def as_text(name: str) -> str:
    """A file name that any file, store or terminal accepts: bytes that are not UTF-8 become `\\xNN`; other names do not change."""
    if "\\x" not in name and _is_utf8(name):
        return name
    escaped = name.replace("\\", r"\x5c").encode("utf-8", "surrogateescape")
    return escaped.decode("utf-8", "backslashreplace")


def from_text(text: str) -> str:
    """The original name that `as_text` was given, which opens the file."""
    if "\\x" not in text:
        return text
    return os.fsdecode(
        re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), text.encode())
    )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def some_of(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def decoded(content: bytes) -> str:
    """The text of a file that a spreadsheet saved: UTF-8, UTF-16 by its mark, or else Windows-1252."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")
