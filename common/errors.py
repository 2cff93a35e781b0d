"""Errors that a user can fix: their text says what is wrong and what to do, and no traceback is shown."""

import difflib
from collections.abc import Iterable


class ColourbenchError(Exception):
    """A user's mistake or a problem outside the program, explained in one or two lines."""


class Busy(ColourbenchError):
    """Another process is already working on it."""


class Interrupted(BaseException):
    """The user or the scheduler asked to stop; everything is saved, and the same command resumes.

    Not a subclass of Exception: code that tolerates a broken photograph or a failed run must not catch it.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or an empty string if no known name resembles `name`."""
    names = list(known)
    close = [item for item in names if item.startswith(name)] or difflib.get_close_matches(
        name, names, n=1
    )
    return f"; did you mean {close[0]}?" if close else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type's name if the message is empty."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
