"""A process that decodes: one that exceeds its time or memory is ended and replaced, and nothing it sends can run here.

A decoder is C code, which a Python exception cannot interrupt; a process can be ended. It writes no file. Questions and answers
are plain bytes, JSON and pixels: a process that a photograph has taken over can only answer wrongly.
"""

import json
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from multiprocessing import BufferTooShort
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from common.data.decoding import images
from common.data.decoding.images import BadImage
from common.errors import ColourbenchError, first_line
from common.system.processes import bare_process

CHANNELS = 3
LAST_SECONDS = 2.0  # between a process's last word and its end
LONGEST_HEADER = 2**20  # bytes, beside the pixels
GIGABYTE = 2**30


@dataclass(frozen=True)
class Limits:
    """What decoding one photograph may take.

    Args:
        pixels: of the photograph, checked before it is decoded.
        seconds: of processor time; the limits on pixels and scans keep most files far below it.
        wait: seconds of wall-clock time, which a network drive that does not respond uses without any processor time.
        memory: bytes beside what the process needs for itself.
    """

    pixels: int = images.MAX_PIXELS
    seconds: float = 5.0
    wait: float = 60.0
    memory: int = GIGABYTE


@dataclass(frozen=True)
class Answer:
    """What a process answers: facts that JSON can hold, and pictures."""

    facts: dict[str, Any]
    pictures: Sequence[UInt8[np.ndarray, "..."]] = field(default=())


# decodes the bytes that were asked, with the settings that the process was started with; raises BadImage
Work = Callable[[bytes, Limits, dict[str, Any]], Answer]


class ConfinedProcess:
    """The near side of one process.

    Args:
        serve: what it runs: a module's own function that calls `serve_confined`.
        settings: for its work, as JSON can hold them.
    """

    def __init__(
        self, serve: Callable[[int], None], limits: Limits, settings: dict[str, Any]
    ) -> None:
        self.limits = limits
        self._serve = serve
        self._settings = settings
        self._start()

    @property
    def process_id(self) -> int:
        """The process that decodes now."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def ask(self, data: bytes) -> None:
        """Sends a question; a process that has ended shows when its answer is read.

        Raises:
            OSError: the process has ended.
        """
        self.line.send_bytes(data)

    def answer(self) -> Answer:
        """Waits for the next answer.

        Raises:
            BadImage: the photograph cannot be used; the text gives the reason.
            EOFError, OSError: the process has ended, or was ended because its answer made no sense.
            ColourbenchError: its work failed for a reason that is no photograph's.
        """
        try:
            header = json.loads(self.line.recv_bytes(LONGEST_HEADER))
            if "error" in header:
                raise BadImage(str(header["error"]))
            if "fault" in header:
                raise ColourbenchError(f"decoding failed: {header['fault']}")
            pictures = [self._room_for(*shape) for shape in header["shapes"]]
            for picture in pictures:
                self.line.recv_bytes_into(picture.data.cast("B"))
            return Answer(header["facts"], pictures)
        except (ValueError, KeyError, TypeError, BufferTooShort):
            self.end_now()
            raise EOFError from None

    def _room_for(self, height: int, width: int, channels: int) -> UInt8[np.ndarray, "h w 3"]:
        """Memory for a picture that a process says it has.

        Raises:
            ValueError: nobody asked for such a picture.
        """
        if channels != CHANNELS or not 0 < height * width <= self.limits.pixels:
            raise ValueError(f"a picture of {height}x{width}x{channels}")
        return np.empty((height, width, channels), np.uint8)

    def end_now(self) -> None:
        """Ends the process, which ends any wait for it too."""
        self._process.kill()

    def restart(self) -> None:
        """Replaces the process by a new one."""
        self.close()
        self._start()

    def close(self) -> None:
        """Ends the process and the connection."""
        self.line.close()
        self._process.kill()
        self._process.wait()

    def why_it_ended(self) -> BadImage:
        """What the photograph in work did to the process; it may still be about to end.

        Raises:
            ColourbenchError: it cannot work at all.
        """
        status = self._status()
        if status >= 0:
            raise ColourbenchError(
                f"a process that decodes photographs could not work (status {status}); see its message above"
            )
        if -status == signal.SIGPROF:
            return BadImage(
                f"decoding it takes more than {self.limits.seconds:g} seconds of processor time"
            )
        return BadImage(f"decoding it ended the process ({signal.Signals(-status).name})")

    @property
    def too_late(self) -> BadImage:
        """The reason where nothing was answered in time."""
        return BadImage(f"it could not be read within {self.limits.wait:g} seconds")

    def _status(self) -> int:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(LAST_SECONDS)
        self._process.kill()
        return self._process.wait()

    def _start(self) -> None:
        self._process, self.line = bare_process(self._serve)
        told = {"limits": asdict(self.limits), "settings": self._settings}
        self.line.send_bytes(json.dumps(told).encode())


def serve_confined(descriptor: int, work: Work) -> None:
    """Runs in the process: answers one question after another until the connection is closed."""
    # Ctrl-C is handled by the parent, which ends this process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    line = Connection(descriptor)
    told = json.loads(line.recv_bytes())
    limits = Limits(**told["limits"])
    with suppress(BadImage):
        # loads the decoders, which no photograph's time and memory need pay for
        images.decode(b"")
    _confine(limits.memory)
    try:
        while True:
            for part in _within(limits, work, line.recv_bytes(), told["settings"]):
                line.send_bytes(part)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _within(
    limits: Limits, work: Work, data: bytes, settings: dict[str, Any]
) -> list[bytes | memoryview]:
    """The facts and the pictures, or the reason why there are none, made within the limits."""
    signal.setitimer(signal.ITIMER_PROF, limits.seconds)
    try:
        answer = work(data, limits, settings)
        shapes = [picture.shape for picture in answer.pictures]
        header = json.dumps({"facts": answer.facts, "shapes": shapes}).encode()
        pictures = [np.ascontiguousarray(picture).data.cast("B") for picture in answer.pictures]
    except BadImage as error:
        return [json.dumps({"error": str(error)}).encode()]
    except MemoryError:
        allowed = f"{limits.memory / GIGABYTE:.2g} GB of memory"
        return [json.dumps({"error": f"decoding it takes more than {allowed}"}).encode()]
    except Exception as error:  # told, for this process has no output of its own
        return [json.dumps({"fault": f"{type(error).__name__}: {first_line(error)}"}).encode()]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return [header, *pictures]


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
    allowed = used + memory
    soft = allowed if ceiling < 0 else min(allowed, ceiling)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, ceiling))
