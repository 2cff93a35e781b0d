"""A process that computes for this one: its memory is its own, and its errors arrive as themselves."""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, TypeVar

from common.errors import ColourbenchError, first_line

T = TypeVar("T")


class Killed(ColourbenchError):
    """The process ended without an answer, most often because there was not enough memory."""


class OwnProcess:
    """One fresh process, as a context; what a call leaves in its modules is there for the next one."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, far_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(far_end,), daemon=True)
        self._process.start()
        far_end.close()

    def __enter__(self) -> "OwnProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._line.close()
        self._process.kill()
        self._process.join()

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls a module-level function there and returns what it returns.

        Raises:
            Killed: the process ended before it answered.
            Exception: whatever the function raises.
        """
        try:
            self._line.send((function, arguments))
            is_error, answer = self._line.recv()
        except (EOFError, OSError):
            raise Killed("a process that computes was killed; is there enough memory?") from None
        if is_error:
            raise answer
        result: T = answer
        return result


def _serve(line: Connection) -> None:
    """The other end: answers calls until the line is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, who ends this process
    os.dup2(2, 1)  # what libraries print must not mix with the caller's output
    while True:
        try:
            function, arguments = line.recv()
            line.send((False, function(*arguments)))
        except EOFError:
            return
        except Exception as error:  # whatever the function raises is the caller's
            _send_error(line, error)


def _send_error(line: Connection, error: Exception) -> None:
    line.send((True, error if _arrives(error) else ColourbenchError(first_line(error))))


def _arrives(error: Exception) -> bool:
    """Whether the error survives pickling: its class may be unknown elsewhere, or need arguments that it does not keep."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # pickling runs the class's own code
        return False
    return True
