"""File names as text, whatever bytes they contain."""

import os
import re


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
