"""Handles Ctrl-C and SIGTERM: training stops after the current step, everything else at once."""

import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from common.errors import Interrupted

if TYPE_CHECKING:
    from common.loop.training import Losses, Progress


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Handles Ctrl-C and SIGTERM outside training: `finally` blocks and contexts clean up."""
    raise Interrupted(f"stopped by {signal.Signals(number).name}; the same command goes on")


def interrupt_on_signal() -> None:
    """Lets Ctrl-C and SIGTERM raise `Interrupted`; typer would end without a message."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


class StopOnSignal:
    """Ctrl-C and SIGTERM save a checkpoint after the current step and then stop; a second Ctrl-C stops at once."""

    def __init__(self, save: "Callable[[Progress], None]", agree: Callable[[bool], bool] = bool) -> None:
        self._save, self._agree = save, agree  # ranks must stop after the same step
        self._received: int | None = None
        self._previous: Mapping[int, Any] = {}

    def __enter__(self) -> "StopOnSignal":
        try:
            self._previous = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: the code that started this thread handles signals
            self._previous = {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __call__(self, progress: "Progress", losses: "Losses") -> None:
        if self._agree(self._received is not None):
            self._save(progress)
            name = signal.Signals(self._received or signal.SIGTERM).name
            raise Interrupted(f"stopped by {name} after {progress.images} images; the same command goes on from there")

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise Interrupted("stopped at once; the same command goes on from the last checkpoint")
        self._received = number
