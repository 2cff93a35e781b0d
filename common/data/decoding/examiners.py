"""Cuts files in separate processes, so that no file can block the rest, and so that files are cut on every core.

Processes, unlike threads, do not wait for one another's interpreter.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any

from common.data.decoding.confined import Answer, ConfinedProcess, Limits, serve_confined
from common.data.decoding.cutting import Cut, Cutting, cut
from common.data.decoding.fingerprints import Fingerprint
from common.data.decoding.images import BadImage

LOOK = 1.0  # seconds between two checks for late processes
AT_HAND = 2  # files assigned to an examiner: one in work, and the next
# files for each examiner that may be finished before it is their turn to be returned
AHEAD = 16

# a longer question is sent when the one before is answered: two ends that both send and do not read would wait for ever
AHEAD_BYTES = 4096
# how a question begins: the content of a file, or its path
CONTENT = b"c"
PATH = b"p"

Result = Cut | BadImage


class Examiners:
    """A pool of processes that cut files, as a context manager."""

    def __init__(
        self, how: Cutting, count: int | None = None, limits: Limits | None = None
    ) -> None:
        allowed = limits or Limits()
        self._team = [_Examiner(how, allowed) for _ in range(count or os.cpu_count() or 1)]

    def __enter__(self) -> "Examiners":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for examiner in self._team:
            examiner.process.close()

    def examine(self, files: Iterable[Path | bytes | BadImage]) -> Iterator[Result]:
        """Yields the result for each file or content, in order, with a bounded number of results in memory.

        What could not even be read comes as the reason, which is its result.

        Raises:
            ColourbenchError: a process cannot work at all.
        """
        waiting = enumerate(files)
        done = dict[int, Result]()
        turn = 0  # of the next result
        given = 0  # files so far
        is_exhausted = False
        while True:
            for examiner in self._team:
                while len(examiner.files) < AT_HAND and given < turn + AHEAD * len(self._team):
                    number, file = next(waiting, (-1, b""))
                    if number < 0:
                        is_exhausted = True
                        break
                    given += 1
                    if isinstance(file, BadImage):
                        done[number] = file
                    else:
                        examiner.take(number, file)
            done |= self._next_results()
            while turn in done:
                yield done.pop(turn)
                turn += 1
            if is_exhausted and turn == given:
                return

    def _next_results(self) -> dict[int, Result]:
        """Waits for the next results and returns them by file number; empty if no process has work."""
        busy = {examiner.process.line: examiner for examiner in self._team if examiner.files}
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
    """One process, the files assigned to it, and how long it has been at the first."""

    waited: float  # seconds spent waiting for the file in work

    def __init__(self, how: Cutting, limits: Limits) -> None:
        self.files: deque[tuple[int, bytes]] = (
            deque()
        )  # numbers and questions; the first is in work
        self.process = ConfinedProcess(serve, limits, asdict(how))
        self.waited = 0.0

    @property
    def is_late(self) -> bool:
        """Whether the file in work has taken too much wall-clock time."""
        return self.waited > self.process.limits.wait

    def take(self, number: int, file: Path | bytes) -> None:
        """Assigns one more file to the process."""
        if not self.files:
            self.waited = 0.0
        question = CONTENT + file if isinstance(file, bytes) else PATH + os.fsencode(file)
        self.files.append((number, question))
        if len(self.files) == 1 or len(question) <= AHEAD_BYTES:
            self._tell(question)

    def answer(self) -> tuple[int, Result]:
        """Reads the result for the file in work; call it when the connection has something to read."""
        try:
            result: Result = _received(self.process.answer())
        except BadImage as error:
            result = error
        except (EOFError, OSError):
            return self._replaced(self.process.why_it_ended())
        self.waited = 0.0
        number, _ = self.files.popleft()
        if self.files and len(self.files[0][1]) > AHEAD_BYTES:
            self._tell(self.files[0][1])
        return number, result

    def give_up(self) -> tuple[int, Result]:
        """Gives up the file in work, which takes too long, and replaces the process."""
        return self._replaced(self.process.too_late)

    def _replaced(self, reason: BadImage) -> tuple[int, Result]:
        """Starts a new process for the files after the one that ended this process."""
        number, _ = self.files.popleft()
        self.process.restart()
        self.waited = 0.0
        for place, (_, question) in enumerate(self.files):
            if place == 0 or len(question) <= AHEAD_BYTES:
                self._tell(question)
        return number, reason

    def _tell(self, question: bytes) -> None:
        # the process has ended, which shows when its answer is read
        with suppress(OSError):
            self.process.ask(question)


def serve(descriptor: int) -> None:
    """Runs in a process of its own: cuts one file after another."""
    serve_confined(descriptor, _cut)


def _cut(question: bytes, limits: Limits, settings: dict[str, Any]) -> Answer:
    told = question[1:]
    file = told if question[:1] == CONTENT else Path(os.fsdecode(told))
    one = cut(file, Cutting(**settings), limits.pixels)
    facts = {
        "width": one.width,
        "height": one.height,
        "content_hash": one.content_hash,
        "hash": one.fingerprint.hash,
        "mirrored": one.fingerprint.mirrored,
        "cells": one.fingerprint.cells.hex(),
        "remarks": one.remarks,
    }
    return Answer(facts, [one.small, *one.squares])


def _received(answer: Answer) -> Cut:
    facts = answer.facts
    small, *squares = answer.pictures
    fingerprint = Fingerprint(facts["hash"], facts["mirrored"], bytes.fromhex(facts["cells"]))
    return Cut(
        width=facts["width"],
        height=facts["height"],
        small=small,
        squares=squares,
        content_hash=facts["content_hash"],
        fingerprint=fingerprint,
        remarks=tuple(facts["remarks"]),
    )
