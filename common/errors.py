"""Errors that a user can mend: their text says what is wrong and what to do, and no traceback is shown."""

import difflib
from collections.abc import Iterable


class ColourbenchError(Exception):
    """A mistake or a condition outside the program, told in one or two lines."""


class Busy(ColourbenchError):
    """Another process is at it."""


class Interrupted(BaseException):
    """The user or the scheduler asked to stop; everything is saved and the same command goes on.

    No Exception: what forgives a broken photograph or a failed run must not take it for one.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing where no known name resembles `name`."""
    names = list(known)
    close = [item for item in names if item.startswith(name)] or difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its type where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
