"""Files are cut up in processes of their own, which no file can hold up: a limit of seconds and of memory ends the process.

A decoder is C code that no exception reaches. A process can be ended, and another takes its place; and processes do not wait for
one another's interpreter, as threads do.
"""

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import TracebackType
from typing import Any

from common.cutting import Cut, Cutting, cut
from common.errors import ColourbenchError
from common.images import BadImage

SECONDS = 5.0  # of processor time that a file may take; what the limits on pixels and scans let through takes less than two
WAIT = 60.0  # seconds on the clock: a file on a network drive that does not answer takes no processor time
MEMORY = 2**30  # bytes
CHUNK = 16  # files under way for each process


class Examiners:
    """Some processes that cut files, as a context."""

    def __init__(self, how: Cutting, processes: int | None = None) -> None:
        self._how = how
        self._count = processes or os.cpu_count() or 1
        self._own = threading.local()  # each thread speaks to a process of its own
        self._all: list[_Process] = []

    def __enter__(self) -> "Examiners":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self._all:
            process.end()

    def examine(self, files: Iterable[Path], seen: Callable[[int], None]) -> Iterator[Cut | BadImage]:
        """What becomes of each file, in order, with a bounded number in memory; `seen` is told how many more are done."""
        queue = iter(files)
        with ThreadPoolExecutor(self._count) as threads:
            while chunk := list(islice(queue, CHUNK * self._count)):
                yield from threads.map(self._examine, chunk)
                seen(len(chunk))

    def _examine(self, path: Path) -> Cut | BadImage:
        process: _Process | None = getattr(self._own, "process", None)
        if process is None or not process.is_alive:
            process = self._own.process = _Process(self._how)
            self._all.append(process)
        return process.examine(path)


class _Process:
    """The near end of an examiner."""

    def __init__(self, how: Cutting) -> None:
        self._line, far = Pipe()
        command = [sys.executable, "-c", f"from common.examiners import serve; serve({far.fileno()})"]
        here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])}
        self._process = subprocess.Popen(command, pass_fds=[far.fileno()], env=here, stdin=subprocess.DEVNULL)
        far.close()
        self._line.send(how)
        self.is_alive = True

    def examine(self, path: Path) -> Cut | BadImage:
        try:
            self._line.send(path)
            if not self._line.poll(WAIT):
                self.end()
                return BadImage(f"it could not be read within {WAIT:.0f} seconds")
            found: Cut | BadImage = self._line.recv()
            return found
        except (EOFError, OSError):
            return BadImage(self._why_it_ended())

    def end(self) -> None:
        self.is_alive = False
        self._line.close()
        self._process.kill()
        self._process.wait()

    def _why_it_ended(self) -> str:
        self.is_alive = False
        self._line.close()
        status = self._process.wait()
        if status >= 0:
            raise ColourbenchError(f"a process that decodes photographs could not work (status {status}); see its message above")
        if -status == signal.SIGPROF:
            return f"decoding it takes more than {SECONDS:.0f} seconds of processor time"
        return f"decoding it ended the process ({signal.Signals(-status).name})"


def serve(descriptor: int) -> None:
    """The far end: cuts one file after another until the line is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the near end, which closes the line
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    line = Connection(descriptor)
    how: Cutting = line.recv()
    _limit_memory()
    while True:
        try:
            line.send(_within_limits(line.recv(), how))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def _within_limits(path: Path, how: Cutting) -> Cut | BadImage:
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        return cut(path, how)
    except BadImage as error:
        return error
    except MemoryError:
        return BadImage(f"decoding it takes more than {MEMORY // 2**30} GB of memory")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit_memory() -> None:
    """What the process has now, and a gigabyte for the file."""
    status = Path("/proc/self/status")
    if not status.exists():
        return  # other systems do not count alike
    now = next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmData:"))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    wanted: Any = now + MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if most < 0 else min(wanted, most), most))
