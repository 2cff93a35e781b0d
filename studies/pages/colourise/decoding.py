"""Decodes what strangers send in a process of its own: one that exceeds its time or memory is ended and replaced.

A decoder is C code, which a Python exception cannot interrupt; a process can be ended. It writes no file, and what it answers is
plain numbers and text, so that nothing it sends can run here.
"""

import json
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Timer
from types import TracebackType

import numpy as np
from jaxtyping import UInt8

from common.data.decoding import images
from common.data.decoding.images import BadImage
from common.errors import ColourbenchError
from common.system.processes import bare_process

CHANNELS = 3
LAST_SECONDS = 2.0  # between a process's last word and its end
COPIES = 3  # of a file's content that are in memory while it is received
LONGEST_ANSWER = 4096  # bytes, beside the pixels


@dataclass(frozen=True)
class Limits:
    """What decoding one photograph may take.

    Args:
        pixels: of the photograph, checked before it is decoded.
        seconds: of processor time.
        wait: seconds of wall-clock time, sending it to the process and back included.
        memory: bytes beside what the process needs for itself.
    """

    pixels: int = images.MAX_PIXELS
    seconds: float = 5.0
    wait: float = 60.0
    memory: int = 2**30


def limits_for(pixels: int, content: int) -> Limits:
    """Limits for photographs of so many pixels and bytes: more time and memory where more pixels are allowed than usual."""
    more = max(1.0, pixels / images.MAX_PIXELS)
    return Limits(
        pixels,
        Limits.seconds * more,
        Limits.wait * more,
        int(Limits.memory * more) + COPIES * content,
    )


class Decoder:
    """One process that decodes, as a context manager; one photograph at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._start()

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def process_id(self) -> int:
        """The process that decodes now."""
        return self._process.pid

    def decode(self, data: bytes) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes a file's content to sRGB.

        Raises:
            BadImage: it cannot be used; the text is one sentence, and repeats nothing of the content.
            ColourbenchError: the process cannot work at all.
        """
        # ended between two photographs, which is neither's fault
        if self._process.poll() is not None:
            self._line.close()
            self._start()
        with self._deadline() as is_late:
            try:
                return self._asked(data)
            except (EOFError, OSError):
                pass  # the process has ended
        raise self._replaced(is_late.is_set())

    def _asked(self, data: bytes) -> UInt8[np.ndarray, "h w 3"]:
        self._line.send_bytes(data)
        answer = json.loads(self._line.recv_bytes(LONGEST_ANSWER))
        if "error" in answer:
            raise BadImage(answer["error"])
        rgb = np.empty((answer["height"], answer["width"], CHANNELS), np.uint8)
        self._line.recv_bytes_into(rgb.data.cast("B"))
        return rgb

    @contextmanager
    def _deadline(self) -> Iterator[Event]:
        """Ends the process if what is inside takes too long, which ends any wait for it."""
        is_late = Event()
        process = self._process

        def end() -> None:
            is_late.set()
            process.kill()

        timer = Timer(self._limits.wait, end)
        timer.daemon = True
        timer.start()
        try:
            yield is_late
        finally:
            timer.cancel()

    def _replaced(self, is_late: bool) -> ColourbenchError:
        """Starts another process and says why the last one ended."""
        self._line.close()
        status = self._ended()
        self._start()
        if status >= 0:
            return ColourbenchError(
                f"the process that decodes photographs could not work (status {status})"
            )
        if is_late:
            return BadImage(f"it could not be read within {self._limits.wait:g} seconds")
        if -status == signal.SIGPROF:
            return BadImage(
                f"decoding it takes more than {self._limits.seconds:g} seconds of processor time"
            )
        return BadImage("decoding it ended the process that decodes")

    def _start(self) -> None:
        self._process, self._line = bare_process(serve)
        self._line.send(asdict(self._limits))

    def _ended(self) -> int:
        """How the process ended; it may still be about to."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(LAST_SECONDS)
        self._process.kill()
        return self._process.wait()

    def _end(self) -> None:
        self._line.close()
        self._process.kill()
        self._process.wait()


def serve(descriptor: int) -> None:
    """Runs in the child process: decodes one photograph after another until the connection is closed."""
    # Ctrl-C is handled by the parent, which ends this process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    line = Connection(descriptor)
    limits = Limits(**line.recv())
    with suppress(BadImage):
        # loads the decoders, which no photograph's time and memory need pay for
        images.decode(b"")
    _confine(limits.memory)
    try:
        while True:
            for part in _answer(line.recv_bytes(), limits):
                line.send_bytes(part)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _answer(data: bytes, limits: Limits) -> list[bytes | memoryview]:
    """The size and the pixels, or the reason why there are none."""
    signal.setitimer(signal.ITIMER_PROF, limits.seconds)
    try:
        rgb = images.decode(data, limits.pixels).rgb
    except BadImage as error:
        return [json.dumps({"error": _without_content(error)}).encode()]
    except MemoryError:
        return [json.dumps({"error": "decoding it takes more memory than is allowed"}).encode()]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return [
        json.dumps({"height": rgb.shape[0], "width": rgb.shape[1]}).encode(),
        rgb.data.cast("B"),
    ]


def _without_content(error: BadImage) -> str:
    """The reason without Pillow's own words, which may quote what was sent."""
    reason, _, quoted = str(error).partition(": ")
    return "the picture is damaged, or cut short" if quoted else reason


def _confine(memory: int) -> None:
    """No files, no core dumps, no output of the decoders, and no more memory than the process uses now and `memory` bytes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.dup2(2, 1)
    for what in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(what, (0, 0))
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
        (used + memory if ceiling < 0 else min(used + memory, ceiling), ceiling),
    )
