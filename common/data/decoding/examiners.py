"""Cuts files in separate processes, so that no file can block the rest: a process that exceeds its time or memory is ended.

A decoder is C code, which a Python exception cannot interrupt. A process can be ended and replaced; and processes, unlike
threads, do not wait for one another's interpreter.
"""

import os
import pickle
import resource
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any

from common.data.decoding.cutting import Cut, Cutting, cut
from common.data.decoding.images import BadImage
from common.errors import ColourbenchError
from common.system.processes import bare_process

# of processor time that a file may take; the limits on pixels and scans keep most files far below it
SECONDS = 5.0
# seconds of wall-clock time: a file on a network drive that does not respond uses no processor time
WAIT = 60.0
MEMORY = 2**30  # bytes
LOOK = 1.0  # seconds between two checks for late processes
AT_HAND = 2  # files assigned to an examiner: one in work, and the next
# files for each examiner that may be finished before it is their turn to be returned
AHEAD = 16

Result = Cut | BadImage


class Examiners:
    """A pool of processes that cut files, as a context manager."""

    def __init__(self, how: Cutting, count: int | None = None) -> None:
        self._team = [_Examiner(how) for _ in range(count or os.cpu_count() or 1)]

    def __enter__(self) -> "Examiners":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for examiner in self._team:
            examiner.end()

    def examine(self, files: Iterable[Path]) -> Iterator[Result]:
        """Yields the result for each file, in order, with a bounded number of results in memory.

        Raises:
            ColourbenchError: a process cannot work at all.
        """
        waiting = deque(enumerate(files))
        done = dict[int, Result]()
        turn = 0
        while waiting or done or any(examiner.files for examiner in self._team):
            for examiner in self._team:
                while (
                    waiting
                    and len(examiner.files) < AT_HAND
                    and waiting[0][0] < turn + AHEAD * len(self._team)
                ):
                    examiner.take(*waiting.popleft())
            done |= self._next_results()
            while turn in done:
                yield done.pop(turn)
                turn += 1

    def _next_results(self) -> dict[int, Result]:
        """Waits for the next results and returns them by file number; empty if no process has work."""
        busy = {examiner.line: examiner for examiner in self._team if examiner.files}
        if not busy:
            return {}
        started = time.monotonic()
        ready = wait(list(busy), timeout=LOOK)
        # time in which the machine was asleep does not count
        waited = min(time.monotonic() - started, LOOK)
        for line, examiner in busy.items():
            examiner.waited += 0 if line in ready else waited
        late = [
            examiner for line, examiner in busy.items() if line not in ready and examiner.is_late
        ]
        answers = [busy[line].answer() for line in ready if isinstance(line, Connection)]
        return dict([*answers, *(examiner.give_up() for examiner in late)])


class _Examiner:
    """The parent's side of one process: the files assigned to it, and its replacement when a file has ended it."""

    waited: float  # seconds spent waiting for the file in work

    def __init__(self, how: Cutting) -> None:
        self.files: deque[tuple[int, Path]] = deque()  # the first is in work
        self._how = how
        self._start()

    @property
    def is_late(self) -> bool:
        """Whether the file in work has taken too much wall-clock time."""
        return self.waited > WAIT

    def take(self, number: int, path: Path) -> None:
        """Assigns one more file to the process."""
        if not self.files:
            self.waited = 0.0
        self.files.append((number, path))
        self._tell(path)

    def answer(self) -> tuple[int, Result]:
        """Reads the result for the file in work; call it when the connection has something to read."""
        try:
            result: Result = pickle.loads(self.line.recv_bytes())
        except (EOFError, OSError):
            return self._replaced(self._why_it_ended())
        self.waited = 0.0
        return self.files.popleft()[0], result

    def give_up(self) -> tuple[int, Result]:
        """Gives up the file in work, which takes too long, and replaces the process."""
        return self._replaced(f"it could not be read within {WAIT:.0f} seconds")

    def end(self) -> None:
        """Ends the process."""
        self.line.close()
        self._process.kill()
        self._process.wait()

    def _replaced(self, reason: str) -> tuple[int, Result]:
        """Starts a new process for the files after the one that ended this process."""
        self.end()
        number, _ = self.files.popleft()
        self._start()
        for _, path in self.files:
            self._tell(path)
        return number, BadImage(reason)

    def _start(self) -> None:
        self._process, self.line = bare_process(serve)
        self.waited = 0.0
        self._tell(self._how)

    def _tell(self, message: Any) -> None:
        # the process has ended, which shows when its answer is read
        with suppress(OSError):
            self.line.send(message)

    def _why_it_ended(self) -> str:
        status = self._process.wait()
        if status >= 0:
            raise ColourbenchError(
                f"a process that decodes photographs could not work (status {status}); see its message above"
            )
        if -status == signal.SIGPROF:
            return f"decoding it takes more than {SECONDS:.0f} seconds of processor time"
        return f"decoding it ended the process ({signal.Signals(-status).name})"


def serve(descriptor: int) -> None:
    """Runs in the child process: cuts one file after another until the connection is closed."""
    # Ctrl-C is handled by the parent, which closes the connection
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    line = Connection(descriptor)
    how: Cutting = line.recv()
    _limit_memory()
    while True:
        try:
            line.send_bytes(_within_limits(line.recv(), how))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def _within_limits(path: Path, how: Cutting) -> bytes:
    """Cuts a file and pickles the result, both within the limits: pickling takes memory too."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        return pickle.dumps(cut(path, how))
    except BadImage as error:
        return pickle.dumps(error)
    except MemoryError:
        return pickle.dumps(BadImage(f"decoding it takes more than {MEMORY // 2**30} GB of memory"))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit_memory() -> None:
    """Limits memory to what the process uses now plus a gigabyte for the file."""
    status = Path("/proc/self/status")
    if not status.exists():
        return  # other systems count memory differently
    used = next(
        int(line.split()[1]) * 1024
        for line in status.read_text().splitlines()
        if line.startswith("VmData:")
    )
    _, ceiling = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(
        resource.RLIMIT_DATA,
        (used + MEMORY if ceiling < 0 else min(used + MEMORY, ceiling), ceiling),
    )
