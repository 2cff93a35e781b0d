"""Other processes of this program: one that computes for this one, bare ones that serve it, and teams of workers."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from common.errors import ColourbenchError, first_line

T = TypeVar("T")
POLL_SECONDS = 0.5
STOP_SECONDS = 60
# of workers that die without anything finished in between; more means that something is wrong with the machine
RESTARTS = 10


class Killed(ColourbenchError):
    """The process ended without an answer, most often because there was not enough memory."""


class OwnProcess:
    """One fresh process, as a context: its memory is its own, and its errors arrive as themselves."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, far_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(far_end,), daemon=True)
        self._process.start()
        far_end.close()

    def __enter__(self) -> "OwnProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
    # Ctrl-C is for the caller, who ends this process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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


def bare_process(
    serve: Callable[[int], None],
) -> tuple["subprocess.Popen[bytes]", Connection]:
    """Starts a process that imports nothing but the function's module, and calls it with the far end's descriptor.

    For whom an `OwnProcess` is too much: it has neither the caller's main module nor its standard input, and nothing is
    unpickled unless the two ends do so.

    Args:
        serve: a module's own function; it serves until the connection is closed.

    Returns:
        The process and the near end of the connection.
    """
    near, far = Pipe()
    descriptor = far.fileno()
    module, function = serve.__module__, serve.__name__
    command = f"from {module} import {function}; {function}({descriptor})"
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", command],
        pass_fds=[descriptor],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
        stdin=subprocess.DEVNULL,
    )
    far.close()
    return process, near


class Team:
    """Worker processes on this machine that share their work through files and stores; each has a log of its own.

    A worker that dies is replaced, unless workers die again and again without finishing anything.

    Args:
        command: a worker's command line, by its number.
        logs: the logs' path, to which `-worker-N.log` is appended.
        environment: added to this process's environment, by the worker's number.
    """

    def __init__(
        self,
        count: int,
        command: Callable[[int], list[str]],
        logs: Path,
        environment: Callable[[int], dict[str, str]],
        say: Callable[[str], None],
    ) -> None:
        self._count = count
        self._command = command
        self._logs = logs
        self._environment = environment
        self._say = say
        self._restarts = 0
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def work(self, look: Callable[[], bool]) -> None:
        """Runs until all workers have ended. `look` is called in between and says whether anything was finished since.

        Raises:
            ColourbenchError: a worker died and is not replaced.
        """
        self._logs.parent.mkdir(parents=True, exist_ok=True)
        self._say(f"{self._count} workers; their logs are {self._logs}-worker-*.log")
        try:
            self._running = {number: self._start(number) for number in range(self._count)}
            while self._running:
                time.sleep(POLL_SECONDS)
                if look():
                    self._restarts = 0
                for number, process in list(self._running.items()):
                    if process.poll() is not None:
                        self._replace(number, process.returncode)
        except BaseException:
            self._stop()
            raise
        look()

    def _start(self, number: int) -> "subprocess.Popen[bytes]":
        """Starts a worker. Its standard input is a pipe that nothing is written to: it closes when this process ends."""
        with self._log(number).open("ab") as log:
            return subprocess.Popen(
                self._command(number),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment(number)},
            )

    def _replace(self, number: int, status: int) -> None:
        """Removes a worker that ended from the list; starts another one if it died."""
        _close(self._running.pop(number))
        if status == 0:
            return
        was_told_to_stop = status in (130, -signal.SIGINT, -signal.SIGTERM)
        if self._restarts >= RESTARTS or was_told_to_stop:
            raise ColourbenchError(
                f"worker {number} ended with status {status}; see {self._log(number)}"
            )
        self._say(f"worker {number} ended with status {status}; another one takes its place")
        self._running[number] = self._start(number)
        self._restarts += 1

    def _log(self, number: int) -> Path:
        return self._logs.with_name(f"{self._logs.name}-worker-{number}.log")

    def _stop(self) -> None:
        """Stops workers: one signal lets them save their checkpoints, and they are killed only if they do not end."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _close(process)


def _close(process: "subprocess.Popen[bytes]") -> None:
    """Closes this side of an ended worker's pipe."""
    if process.stdin:
        process.stdin.close()


def one_share(number: int, count: int) -> dict[str, str]:
    """Environment of one of `count` workers: its share of the cores, and one of the GPUs in turn."""
    shared = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count))}
    gpus = _visible_gpus()
    return shared | ({"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if len(gpus) > 1 else {})


def _visible_gpus() -> list[str]:
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def launcher_watch() -> Callable[[], bool]:
    """Called in a worker: returns a function that says whether the process that started it has ended.

    The parent's process id does not tell: where the parent is not the launcher, as with a shell that ends, it changes too.
    """
    has_ended = threading.Event()

    def wait() -> None:
        while os.read(0, 1):
            pass
        has_ended.set()

    threading.Thread(target=wait, daemon=True).start()
    return has_ended.is_set
